"""Every national number has exactly one category: all thousand million of them, by the ranges that they fall into.

Between two borders of ranges all numbers are of the same ones, so the first and the last of such a cell speak for it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.numbering.overseas import EXTENDED, e164_of
from guard.numbering.plan import Range, load_plan

PLAN: Final = load_plan(Path(__file__).parent.parent.parent / "policies" / "numbering")
FIRST: Final = 100_000_000  # national significant numbers: nine digits, the first of which is no 0
LAST: Final = 999_999_999
DAYS: Final = ("2019-01-01", "2022-12-31", "2023-01-01", "2025-12-31", "2026-01-01", "2026-11-21", "2030-01-01")


def at(day: str) -> int:
    """Unix time (µs) of the noon of a day in Paris."""
    return int(datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo("Europe/Paris")).timestamp()) * 1_000_000


def national(one: Range) -> tuple[int, int] | None:
    """The numbers of nine digits that begin as a range does, from and to."""
    digits = one.national.removeprefix("0")
    if one.prefix[0] != "+" or len(digits) > 9:
        return None
    return int(digits.ljust(9, "0")), int(digits.ljust(9, "9"))


def cells() -> list[int]:
    """The first and the last number of everything between two borders."""
    borders = {FIRST, LAST + 1}
    for one in PLAN.ranges:
        span = national(one)
        if span is not None:
            borders |= {span[0], span[1] + 1}
    return sorted({n for b in borders for n in (b - 1, b) if FIRST <= n <= LAST})


CELLS: Final = cells()


def speaking(value: str, instant: int) -> list[Range]:
    """The ranges of the longest prefix of a number that are in force."""
    fits = [r for r in PLAN.ranges if value.startswith(r.prefix) and r.since <= instant < r.until]
    longest = max((len(r.prefix) for r in fits), default=0)
    return [r for r in fits if len(r.prefix) == longest]


def check(number: int, instant: int) -> None:
    digits = str(number)
    value = e164_of(digits)
    found = PLAN.lookup(value, instant)
    (one,) = speaking(value, instant)
    assert found.id == one.category, digits
    assert found.id in PLAN.categories, digits
    assert found.length_ok is (digits[:4] not in EXTENDED), digits
    assert isinstance(PLAN.allotted(value), bool)


def test_the_cells_cover_everything() -> None:
    assert CELLS[0] == FIRST
    assert CELLS[-1] == LAST
    assert len(CELLS) > 200


# Roots of overseas codes that the plan has from a day on, and nothing before: nobody had such a number.
LATER: Final = tuple(
    r.national.removeprefix("0")
    for r in PLAN.ranges
    if r.from_ and r.prefix[0] == "+" and not r.prefix.startswith("+33")
)


@pytest.mark.parametrize("day", DAYS)
def test_every_number_has_exactly_one_category(day: str) -> None:
    for number in CELLS:
        if speaking(e164_of(str(number)), at(day)):
            check(number, at(day))
        else:
            assert day < "2026", number
            assert str(number).startswith(LATER), number
            assert PLAN.lookup(e164_of(str(number)), at(day)).id == ""


@given(st.integers(FIRST, LAST))
@settings(max_examples=500, deadline=None)
def test_random_numbers_have_exactly_one_category(number: int) -> None:
    check(number, at("2026-11-21"))


@given(st.sampled_from(sorted(EXTENDED)), st.text(alphabet="0123456789", min_size=9, max_size=9))
@settings(max_examples=200, deadline=None)
def test_machine_numbers_have_exactly_one_category(root: str, rest: str) -> None:
    digits = (root + rest)[: EXTENDED[root]]
    value = e164_of(digits)
    found = PLAN.lookup(value, at("2026-11-21"))
    (one,) = speaking(value, at("2026-11-21"))
    assert (found.id, found.length_ok) == (one.category, True)
    assert isinstance(PLAN.allotted(value), bool)
