"""What is usual for a line at an hour of the week: learned from four weeks, by the median, and not while it alarms."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.detectors.usual import COUNTED, FLOOR, HOURS, LEVELS, NEEDED, SPREADS, UNKNOWN, WEEK, Usual, unpacked

HOUR: Final = 500_000  # some hour of Unix time


def busy(usual: Usual, hour: int, calls: int, *, frozen: bool = False) -> None:
    """So many calls in an hour."""
    for _ in range(calls):
        usual.one_more(hour, frozen=frozen)


def weeks(calls: int, many: int = 4) -> Usual:
    """A line that placed so many calls in every hour of some weeks before HOUR."""
    usual = Usual()
    for hour in range(HOUR - many * WEEK - 1, HOUR):
        busy(usual, hour, calls)
    usual.one_more(HOUR, frozen=False)
    return usual


def test_it_says_nothing_while_it_learns() -> None:
    usual = Usual()
    usual.one_more(HOUR, frozen=False)
    assert usual.limit() == 0
    assert weeks(3, 1).limit() == 0, f"one week fills three cells of the twelve, {NEEDED} are needed"
    assert weeks(3, 2).limit() > 0


def test_what_is_usual_is_the_median_and_spreads_above_it() -> None:
    assert weeks(0).limit() == 0, "no call at all was ever learned of"
    assert weeks(1).limit() == max(1 + SPREADS, FLOOR)
    assert weeks(30).limit() == 30 + SPREADS * 5  # the root of thirty: the least spread
    assert weeks(228).limit() == 228 + SPREADS * 15


def test_a_few_odd_hours_move_nothing() -> None:
    calm = weeks(4)
    odd = Usual()
    for hour in range(HOUR - 4 * WEEK - 1, HOUR):
        busy(odd, hour, 200 if hour % WEEK == (HOUR - 1) % WEEK and hour < HOUR - WEEK else 4)
    odd.one_more(HOUR, frozen=False)
    assert odd.limit() == calm.limit()


def test_hours_without_a_call_are_learned_as_empty() -> None:
    usual = Usual()
    for day in range(28, 0, -1):
        usual.one_more(HOUR - day * 24 + 5, frozen=False)  # at another hour of the day
    usual.one_more(HOUR, frozen=False)
    assert usual.limit() == FLOOR


def test_four_empty_weeks_are_learned_at_once() -> None:
    usual = weeks(30)
    usual.one_more(HOUR + HOURS, frozen=False)
    assert usual.limit() == FLOOR
    slow = weeks(30)
    for hour in range(HOUR + 24, HOUR + HOURS + 1, 24):
        slow.one_more(hour, frozen=False)
    assert slow.limit() == FLOOR


@given(st.integers(0, 2 * HOURS), st.lists(st.integers(1, HOURS + 3), max_size=6))
def test_many_hours_without_a_call_are_learned_as_each_is(start: int, gaps: list[int]) -> None:
    """Two hours stand in an octet, and the end of the four weeks is their beginning."""
    usual = Usual()
    known: dict[int, int] = {}  # hour of the four weeks -> level
    hour = HOUR + start
    usual.one_more(hour, frozen=False)
    for gap in gaps:
        known[hour % HOURS] = 1
        known |= dict.fromkeys((n % HOURS for n in range(hour + 1, hour + gap)), 0)
        if gap >= HOURS:
            known = dict.fromkeys(range(HOURS), 0)
        hour += gap
        usual.one_more(hour, frozen=False)
    cells = usual.packed() or b"\xff" * (HOURS // 2)
    levels = [level for cell in cells for level in (cell & 15, cell >> 4)]
    assert levels == [known.get(n, UNKNOWN) for n in range(HOURS)]


@pytest.mark.parametrize("frozen", [True, False])
def test_what_an_alarm_fills_is_not_learned(frozen: bool) -> None:
    usual = weeks(4)
    for week in range(1, 5):
        for hour in (-1, 0, 1):
            busy(usual, HOUR + week * WEEK + hour, 200, frozen=frozen)
    usual.one_more(HOUR + 4 * WEEK + 2, frozen=frozen)
    usual.one_more(HOUR + 5 * WEEK, frozen=frozen)
    assert (usual.limit() < 40) is frozen, "the same without an alarm moves it"


@pytest.mark.parametrize("frozen", [True, False])
def test_an_hour_in_which_something_alarmed_is_not_learned_once_it_is_over(frozen: bool) -> None:
    """The next call comes the next day, when the alarm has long run out."""
    usual = weeks(4)
    for week in range(1, 5):
        for hour in (-1, 0, 1):
            busy(usual, HOUR + week * WEEK + hour, 100)
            usual.one_more(HOUR + week * WEEK + hour, frozen=frozen)
            busy(usual, HOUR + week * WEEK + hour, 100)
    usual.one_more(HOUR + 5 * WEEK, frozen=False)
    assert (usual.limit() < 40) is frozen


def test_counting_ends_somewhere() -> None:
    usual = Usual(hour=HOUR, count=COUNTED - 1, alarmed=True)
    assert [usual.one_more(HOUR, frozen=False) for _ in range(2)] == [COUNTED, COUNTED]
    again = unpacked(b"", HOUR, usual.counted)
    assert (again.count, again.alarmed) == (COUNTED, True)


def test_it_counts_the_running_hour() -> None:
    usual = Usual()
    assert [usual.one_more(HOUR, frozen=False) for _ in range(3)] == [1, 2, 3]
    assert usual.one_more(HOUR + 1, frozen=False) == 1
    assert usual.one_more(HOUR, frozen=False) == 2, "an hour that has gone counts into the running one"


@pytest.mark.parametrize("calls", [*LEVELS[1:], 5, 25, 300])
def test_an_hour_is_kept_as_the_level_below_it(calls: int) -> None:
    assert weeks(calls).limit() == weeks(max(low for low in LEVELS if low <= calls)).limit()


@given(st.lists(st.tuples(st.integers(0, 90), st.booleans()), max_size=120), st.integers(0, 120))
def test_it_rests_and_comes_back_the_same(steps: list[tuple[int, bool]], at: int) -> None:
    kept, rested = Usual(), Usual()
    hour = HOUR
    for i, (step, frozen) in enumerate(steps):
        hour += step
        if i == at:
            rested = unpacked(rested.packed(), rested.hour, rested.counted)
        assert kept.one_more(hour, frozen=frozen) == rested.one_more(hour, frozen=frozen)
        assert kept.limit() == rested.limit()


def test_one_that_learned_nothing_takes_no_octet() -> None:
    assert Usual().packed() == b""
    assert len(weeks(1).packed()) == HOURS // 2
