"""The numbering plan that is shipped: what each number is, at which date, against the public texts and ARCEP's data."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.numbering.number import EMERGENCY, Dial, normalise
from guard.numbering.overseas import FRENCH_CODES
from guard.numbering.plan import Plan, Range, load_plan
from guard.numbering.planschema import TERRITORIES
from tests.numbering.plan_table import SHORT, TEN_DIGITS, Row

HERE: Final = Path(__file__).parent
POLICIES: Final = HERE.parent.parent / "policies" / "numbering"
PARIS: Final = ZoneInfo("Europe/Paris")
PLAN: Final = load_plan(POLICIES)


def at(day: str) -> int:
    """Unix time (µs) of an instant in Paris."""
    return int(datetime.fromisoformat(day).replace(tzinfo=PARIS).timestamp() * 1_000_000)


NOW: Final = at("2026-11-21T10:00")


def e164(national: str, code: str) -> str:
    """A national number in E.164, without asking the code under test."""
    return f"+{code}{national[1:]}" if code else national


def whole(row: Row) -> Iterator[str]:
    """The first and the last number of each root of a row."""
    for root in row[0].split():
        yield root.ljust(row[1], "0")
        yield root.ljust(row[1], "9")


@pytest.mark.parametrize("row", TEN_DIGITS + SHORT, ids=lambda row: f"{row[0].split()[0]}-{row[1]}-{row[3]}")
def test_each_row_of_the_public_texts(row: Row) -> None:
    _, _, code, category, territory, opened = row
    for national in whole(row):
        found = PLAN.lookup(e164(national, code), NOW)
        if opened is None and found.id != category:
            continue  # a whole range has other ranges at its edges: they have rows of their own
        assert (found.id, found.territory, found.length_ok) == (category, territory, True), national
        if opened is not None:
            assert found.opened is opened, national


def test_rows_of_whole_ranges_are_found_inside() -> None:
    inside = {"0140000000": "geographic", "0250000000": "geographic", "0360000000": "geographic"}
    inside |= {"0470000000": "geographic", "0550000000": "geographic"}
    for national, category in inside.items():
        assert PLAN.lookup(e164(national, "33"), NOW).id == category, national
    for root in ("32", "34", "36", "39"):
        assert {PLAN.lookup(f"{root}{n:02}", NOW).id for n in range(100)} == {"short-variable"}


def test_saint_pierre_et_miquelon_keeps_six_digits_after_its_code() -> None:
    for low, high, opened in (
        ("+508400000", "+508449999", True),
        ("+508510000", "+508519999", True),
        ("+508550000", "+508559999", True),
        ("+508390000", "+508399999", False),
        ("+508450000", "+508509999", False),
    ):
        for value in (low, high):
            found = PLAN.lookup(value, NOW)
            assert (found.id, found.territory, found.opened) == ("geographic", "PM", opened), value
            assert found.length_ok
    assert PLAN.lookup("+508708461234", NOW).id == "routing"


def expected(value: str, instant: int) -> Range | None:
    """The range of the longest prefix that is in force, found the slow way."""
    fits = [
        r
        for r in PLAN.ranges
        if value.startswith(r.prefix)
        and r.since <= instant < r.until
        and (r.prefix[0] == "+" or len(value) == r.length)
    ]
    return max(fits, key=lambda r: len(r.prefix), default=None)


def beside(value: str, step: int) -> str:
    """The number before or after one, as wide."""
    plus = "+" if value[0] == "+" else ""
    return f"{plus}{str(int(value.lstrip('+')) + step).zfill(len(value) - len(plus))}"


def test_both_edges_of_every_range_and_what_lies_beyond() -> None:
    for one in PLAN.ranges:
        for value in (one.low, one.high, beside(one.low, -1), beside(one.high, 1)):
            for instant in (NOW, at("2022-06-01")):
                found = PLAN.lookup(value, instant)
                right = expected(value, instant)
                assert found.id == (right.category if right else found.id if found.id == "foreign" else ""), value
                if right is not None:
                    assert found.territory == right.territory
                    assert found.length_ok is (len(value) == right.length), value


def test_every_range_speaks_somewhere() -> None:
    for one in PLAN.ranges:
        instant = max(NOW, one.since)
        step = 10 ** (one.length - len(one.prefix)) // 1000 or 1
        low = int(one.low.lstrip("+"))
        plus = "+" if one.prefix[0] == "+" else ""
        width = one.length - len(plus)
        numbers = (f"{plus}{str(low + i * step).zfill(width)}" for i in range(1000))
        assert any(expected(n, instant) is one for n in numbers), one.prefix


def test_wrong_lengths_are_told_and_keep_their_category() -> None:
    for one in PLAN.ranges:
        if one.prefix[0] != "+":
            continue
        for value in (one.low + "0", one.high[:-1]):
            found = PLAN.lookup(value, NOW)
            right = expected(value, NOW)
            assert right is not None
            assert (found.id, found.length_ok) == (right.category, False), value


@pytest.mark.parametrize(
    ("value", "category"),
    [
        ("+33700012345", "mobile-extended"),  # ten digits where fourteen are wanted
        ("+33700012345678", "mobile-extended"),
        ("+5907005123456789", "mobile-extended"),  # fourteen where thirteen are
        ("+3314567890", "geographic"),
        ("+331456789000", "geographic"),
    ],
)
def test_extended_numbers_and_others_have_lengths_of_their_own(value: str, category: str) -> None:
    found = PLAN.lookup(value, NOW)
    assert (found.id, found.length_ok) == (category, False)


@pytest.mark.parametrize(
    ("value", "day", "category"),
    [
        ("+33939012345", "2022-12-31T23:59:59", "polyvalent"),
        ("+33939012345", "2023-01-01", "platform"),
        ("+590947512345", "2022-12-31T23:59:59", ""),
        ("+590947512345", "2023-01-01", "verified"),
        ("+33151012345", "2025-12-31T23:59:59.999", "geographic"),
        ("+33151012345", "2026-01-01", "general-interest"),
        ("+590598712345", "2025-12-31T23:59:59", ""),
        ("+590598712345", "2026-01-01", "verified-unconfirmed"),
        ("+33162012345", "2019-01-01", "verified"),
    ],
)
def test_old_calls_are_judged_by_the_plan_of_their_day(value: str, day: str, category: str) -> None:
    assert PLAN.lookup(value, at(day)).id == category


@pytest.mark.parametrize("value", ["", "+", "+33", "0", "x", "+x", "abc", "++33", "1234567", "99999999999", "+0", "-1"])
def test_what_is_no_number_is_of_no_range(value: str) -> None:
    assert PLAN.lookup(value, NOW).id in {"", "foreign"}
    assert not PLAN.lookup(value, NOW).territory


@pytest.mark.parametrize(
    "value", ["+442071234567", "+12025550123", "+32470123456", "+687201234", "+689440123", "+681721234"]
)
def test_numbers_of_other_plans_are_foreign(value: str) -> None:
    assert PLAN.lookup(value, NOW).id == "foreign"


def test_comoros_are_foreign_and_mayotte_is_not() -> None:
    assert PLAN.lookup("+2693201234", NOW).id == "foreign"
    assert PLAN.lookup("+262269601234", NOW).territory == "YT"


def test_the_twelve_are_the_twelve() -> None:
    assert {r.prefix for r in PLAN.ranges if r.category == "emergency"} == set(EMERGENCY)
    assert all(r.length == len(r.prefix) for r in PLAN.ranges if r.category == "emergency")


def test_numbers_are_written_in_e164_where_the_plan_has_them() -> None:
    """The shapes that `normalise` knows, and the plan's files, agree on codes and lengths."""
    assert set(FRENCH_CODES) == set(TERRITORIES)
    for one in PLAN.ranges:
        if one.prefix[0] != "+" or one.file.endswith("reserved.toml"):
            continue
        for value in (one.low, one.high):
            if expected(value, NOW) is not one:
                continue
            national = one.national + value[len(one.prefix) :]
            number = normalise(national, Dial())
            assert (number.value, number.kind) == (value, "e164"), national
            assert normalise(value, Dial()).value == value


def rows(name: str, delimiter: str = ",") -> list[dict[str, str]]:
    with (HERE / "data" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_every_allotted_block_has_a_category_and_its_territory() -> None:
    allotted = rows("allotted.csv")
    assert len(allotted) > 1000
    for row in allotted:
        for national in (row["first"], row["last"]):
            number = normalise(national, Dial(), callee=True)
            assert number.value, national
            found = PLAN.lookup(number.value, NOW)
            assert found.id, national
            assert found.opened, national
            assert found.length_ok, national
            assert found.territory == row["territory"], national


# What libphonenumber 9.0.43 calls the numbers of each category; it knows none of the newer categories.
LIBPHONENUMBER: Final = {
    "geographic": {"FIXED_LINE", "FIXED_LINE_OR_MOBILE"},
    "verified": {"FIXED_LINE", "VOIP"},
    "verified-unconfirmed": {"FIXED_LINE"},
    "routing": {"FIXED_LINE", "MOBILE"},
    "mobile": {"MOBILE"},
    "polyvalent": {"VOIP"},
    "platform": {"VOIP"},
    "special-free": {"TOLL_FREE"},
    "special-ordinary": {"UAN"},
    "premium-081": {"SHARED_COST", "PREMIUM_RATE"},
    "premium-082": {"SHARED_COST", "PREMIUM_RATE"},
    "premium-089": {"PREMIUM_RATE"},
    "legacy-data": {"PREMIUM_RATE"},
    "special-unallotted": {"SHARED_COST", "PREMIUM_RATE"},
}
# Where libphonenumber is of another mind, and ARCEP's data are not: 08 under overseas codes, which France dials under
# +33 only; 0976 0 of Guadeloupe under Guyane's code; and a mobile of Saint-Pierre that MAJNUM has fixed.
NOT_IN_THE_PLAN: Final = ("+2628", "+5088", "+5908", "+5948", "+5968", "+594976012345")
OTHERWISE: Final = {"+508551234": "geographic"}


def test_every_good_and_bad_number_agrees() -> None:
    good_bad = rows("good_bad.tsv", "\t")
    assert len(good_bad) > 1000
    for row in good_bad:
        written = row["input"].removeprefix("tel:").replace("(0)", "")
        number = normalise(written, Dial())
        found = PLAN.lookup(number.value, NOW)
        expect, kind = row["expect"], row["lib_type"]
        if expect == "short":
            assert number.kind == "short", written
            assert found.id, written
        elif expect in {"assigned", "unassigned"}:
            assert found.opened is (expect == "assigned"), written
            assert number.kind == "malformed" or number.value.startswith("+"), written
        elif expect == "bad":
            bad = number.kind in {"malformed", "anonymous"} or found.id == "foreign"
            assert bad or "phone-context" in written, written
        elif expect in {"good", "ambiguous"}:
            assert number.value == row["e164"], written
            assert found.id or number.value.startswith(NOT_IN_THE_PLAN), written
        if expect != "bad" and number.value.startswith(FRENCH_PLUS):
            if number.value.startswith(NOT_IN_THE_PLAN):
                assert not (found.id and found.length_ok), written
            elif number.value in OTHERWISE:
                assert found.id == OTHERWISE[number.value]
            elif kind:
                assert kind in LIBPHONENUMBER[found.id], written


FRENCH_PLUS: Final = tuple(f"+{code}" for code in FRENCH_CODES)


def test_every_category_and_source_is_used_and_named_in_both_languages() -> None:
    assert {r.category for r in PLAN.ranges} == set(PLAN.categories)
    assert {s.split(" ")[0] for r in PLAN.ranges for s in r.source} >= set(PLAN.sources) - {"libphonenumber"}
    for words in PLAN.categories.values():
        assert words.en
        assert words.fr


@given(st.text(alphabet="+0123456789", max_size=20), st.integers(-(2**63), 2**63))
@settings(max_examples=300)
def test_lookup_is_total_and_agrees_with_the_slow_way(value: str, instant: int) -> None:
    found = PLAN.lookup(value, instant)
    right = expected(value, instant)
    assert found.id == (right.category if right else found.id if found.id == "foreign" else "")


@given(st.text(max_size=40), st.integers())
@settings(max_examples=200)
def test_lookup_never_raises(value: str, instant: int) -> None:
    assert isinstance(Plan.lookup(PLAN, value, instant).id, str)
