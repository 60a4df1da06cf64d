"""Countries of numbers: the French ones by the plan, the others by their codes, checked against libphonenumber."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.numbering.countries import read_countries
from guard.numbering.overseas import FRENCH_CODES
from guard.numbering.plan import Plan, PlanError, load_plan
from guard.tomlread import Problem

FOLDER: Final = Path(__file__).parent.parent.parent / "policies" / "numbering"
PLAN: Final = load_plan(FOLDER)
NOW: Final = 1_795_251_600_000_000  # 2026-11-21T10:00 in Paris


@pytest.mark.parametrize(
    ("value", "countries"),
    [
        ("+33145678900", ("FR",)),
        ("+33948123456", ("FR",)),
        ("+590590271234", ("GP", "MF", "BL")),
        ("+262262123456", ("RE",)),
        ("+262269601234", ("YT",)),
        ("+594594123456", ("GF",)),
        ("+596596123456", ("MQ",)),
        ("+508411234", ("PM",)),
        ("+33800123456", ()),
        ("3949", ()),
        ("112", ()),
        ("+3223456789", ("BE",)),
        ("+352123456", ("LU",)),
        ("+442071234567", ("GB", "GG", "IM", "JE")),
        ("+12125550123", ("CA", "US")),
        ("+12425550123", ("BS",)),
        ("+18095550123", ("DO",)),
        ("+74951234567", ("RU",)),
        ("+77012345678", ("KZ",)),
        ("+390612345678", ("IT",)),
        ("+390669812345", ("IT", "VA")),
        ("+2693201234", ("KM",)),
        ("+687201234", ("NC",)),
        ("+80012345678", ()),
        ("+8835100012345", ()),
        ("+99912345678", ()),
        ("+", ()),
        ("", ()),
    ],
)
def test_numbers(value: str, countries: tuple[str, ...]) -> None:
    assert PLAN.lookup(value, NOW).countries == countries


def test_foreign_numbers_are_foreign_whatever_their_country() -> None:
    for value in ("+3223456789", "+80012345678", "+12425550123"):
        found = PLAN.lookup(value, NOW)
        assert (found.id, found.territory, found.opened) == ("foreign", "", True)


def test_every_code_has_the_countries_of_libphonenumber() -> None:
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        if str(code) in FRENCH_CODES:
            continue
        wanted = {r for r in regions if r != "001"}
        listed = {c for p, found in read_countries(FOLDER, []).items() if p.startswith(f"+{code}") for c in found}
        assert listed == wanted, code


def test_example_numbers_are_of_their_country() -> None:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        if example is None:
            continue
        value = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        if not value.startswith(tuple(f"+{c}" for c in FRENCH_CODES)):
            assert region in PLAN.lookup(value, NOW).countries, (region, value)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("32,BE", '"32,BE" is none of prefix,countries, such as +32,BE'),
        ("+32,be", "is none of"),
        ("+32,", "is none of"),
        ("+32,BE,LU", "is none of"),
        ("+32", "is none of"),
        ("+44,GB", '"+44" stands here twice'),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, line: str, what: str) -> None:
    (tmp_path / "countries.csv").write_text(f"# codes\nprefix,countries\n+44,GB JE\n{line}\n", "utf-8")
    problems: list[Problem] = []
    assert read_countries(tmp_path, problems) == {"+44": ("GB", "JE")}
    (problem,) = problems
    assert problem.line == 4
    assert what in problem.what


def test_a_file_that_cannot_be_read_makes_the_plan_wrong(tmp_path: Path) -> None:
    assert read_countries(tmp_path, []) == {}
    for path in FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert load_plan(tmp_path).lookup("+3223456789", NOW).countries == ()
    (tmp_path / "countries.csv").write_bytes(b"\xff")
    with pytest.raises(PlanError, match="cannot be read"):
        load_plan(tmp_path)


@given(st.text(alphabet="+0123456789", max_size=20))
@settings(max_examples=200, deadline=None)
def test_looking_up_never_raises(value: str) -> None:
    assert isinstance(Plan.lookup(PLAN, value, NOW).countries, tuple)
