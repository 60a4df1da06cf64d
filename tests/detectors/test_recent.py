"""The last calls of a subject, as octets: they say what a plain list of calls says, whatever happens."""

from __future__ import annotations

from collections import deque
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.detectors import recent as module
from guard.detectors.recent import ANSWERED, CANCELLED, FAILED, LATEST, OPEN, PRICE, ROW, SECOND_WIDTH, Past, Recent
from guard.detectors.subject import MOST
from guard.detectors.words import DAY, RECENT
from guard.model import SECOND
from tests.detectors.making import START

Row = tuple[int, int, int, int, int, int, int, int]


def row(past: Past) -> Row:
    return past.at, past.callee, past.caller, past.marks, past.outcome, past.cents, past.fee, past.talk


def rows(one: Recent) -> list[Row]:
    return [row(p) for p in one.all()]


def call(at: int = START, callee: int = 1, **more: int) -> Past:
    words = {"caller": 7, "marks": 0, "outcome": OPEN} | more
    return Past(at, callee, **words)


def rested(one: Recent) -> Recent:
    """As its octets bring it back."""
    return Recent(one.rows, one.prices, one.set_ups.tobytes())


# ---- against a list of calls -----------------------------------------------------------------------------------------


class Plain:
    """The same, as a list of calls."""

    def __init__(self) -> None:
        self.calls: deque[Past] = deque(maxlen=RECENT)

    def add(self, past: Past, marks: int) -> None:
        self.calls.append(Past(past.at, past.callee, past.caller, marks, past.outcome, past.cents, past.fee, past.talk))

    def up(self, call: Past) -> Past | None:
        found = [p for p in self.calls if (p.at, p.callee, p.outcome) == (call.at, call.callee, OPEN)]
        return found[-1] if found else None

    def over(self, call: Past, marks: int) -> None:
        known = self.up(call)
        if known is not None:
            self.calls.remove(known)
            marks |= known.marks
        else:
            marks |= call.marks
        self.add(call, marks)

    def drop(self, call: Past) -> bool:
        known = self.up(call)
        if known is not None:
            self.calls.remove(known)
        return known is not None

    def rest(self, since: int) -> None:
        while self.calls and self.calls[0].at < since:
            self.calls.popleft()


GAPS: Final = st.sampled_from((0, 0, 1, SECOND, 7 * SECOND, DAY // 9, DAY - 1, DAY + 1))
WHAT: Final = st.sampled_from(("add", "add", "add", "over", "drop", "rest", "wake", "clear"))
STEPS: Final = st.lists(st.tuples(GAPS, WHAT, st.integers(0, 3), st.integers(0, 255)), max_size=80)


@settings(max_examples=400)
@given(STEPS)
def test_it_says_what_a_list_of_calls_says(steps: list[tuple[int, str, int, int]]) -> None:
    one, plain = Recent(), Plain()
    up: list[Past] = []
    now = START
    for gap, what, n, marks in steps:
        now += gap
        if what == "add":
            fresh = call(now, n, caller=(0, 1, 256, 256)[n], marks=marks & 3, cents=20 * (n == 1), fee=MOST * (n == 2))
            one.add(fresh, marks)
            plain.add(fresh, marks)
            up.append(fresh)
        elif what in {"over", "drop"} and up:
            past = up.pop(marks % len(up))
            if what == "drop":
                assert one.drop(past) == plain.drop(past)
                continue
            past.outcome, past.talk = (ANSWERED, CANCELLED, FAILED)[marks % 3], marks * 256 * (n in {1, 2})
            past.talk = past.talk if past.cents or past.fee else 0
            one.over(past, marks)
            plain.over(past, marks)
        elif what == "rest":
            one.rest(now - DAY)
            plain.rest(now - DAY)
        elif what == "wake":
            one = rested(one)
        elif what == "clear":
            one.clear()
            plain.calls.clear()
        agree(one, list(plain.calls), now)


def agree(one: Recent, calls: list[Past], now: int) -> None:
    """Every look at it."""
    assert rows(one) == [row(p) for p in calls]
    assert len(one) == len(calls) <= RECENT
    assert one.instants() == tuple(p.at for p in calls)
    assert one.callees() == tuple(p.callee for p in calls)
    assert one.callers() == tuple(p.caller for p in calls)
    assert list(one.marks()) == [p.marks for p in calls]
    assert list(one.outcomes()) == [p.outcome for p in calls]
    which = list(range(0, len(calls), 2))
    assert one.cost(which, now) == sum(calls[n].cost(now) for n in which)
    if calls:
        assert one.one_caller() == (len({p.caller for p in calls}) == 1)
    assert len(one.set_ups) <= RECENT
    for since in (now, now - SECOND, now - DAY // 4, now - DAY):
        had = sum(1 for p in calls if p.at >= since)
        assert all(one.had(n, since // SECOND) for n in range(1, had + 1)), (
            "a look that is left out would have found them"
        )


# ---- what the list does not show -------------------------------------------------------------------------------------


def test_the_sizes_are_those_of_what_is_written() -> None:
    one = Recent()
    one.add(call(cents=1), 0)
    assert (len(one.rows), len(one.prices), one.set_ups.itemsize) == (ROW, PRICE, SECOND_WIDTH)
    assert module.SECOND == SECOND


def test_a_look_is_left_out_where_too_few_were_set_up_since() -> None:
    one = Recent()
    for n in range(5):
        one.add(call(START + n * 60 * SECOND), 0)
    now = START // SECOND + 240
    assert not one.had(6, 0)
    assert one.had(2, now - 60)
    assert not one.had(3, now - 60)
    assert one.had(1, now)
    assert not one.had(1, now + 1)


def test_the_largest_values_are_kept() -> None:
    one = Recent()
    most = call((1 << 64) - 1, (1 << 64) - 1, caller=MOST, cents=MOST, fee=MOST, talk=MOST, outcome=FAILED)
    one.add(most, 255)
    most.marks = 255
    assert rows(rested(one)) == [row(most)]
    assert one.set_ups[0] == LATEST
    assert one.had(1, most.at // SECOND), "beyond 2106 all are told to be within"


@pytest.mark.parametrize("place", [0, 7, RECENT - 1])
def test_prices_stand_beside_those_that_cost_nothing(place: int) -> None:
    one = Recent()
    for n in range(RECENT):
        one.add(call(START + n, n, fee=80 * (n == place)), 0)
    assert [p.fee for p in one.all()] == [80 * (n == place) for n in range(RECENT)]
    for n in range(RECENT, RECENT + place + 1):
        one.add(call(START + n, n), 0)
    assert not any(p.fee for p in one.all())
    one.rest(0)
    assert one.prices == b"", "the last one that cost something is forgotten"


def test_octets_of_two_calls_that_look_like_a_third_are_no_call() -> None:
    """Rows of the first instant of all, to number 0, are nothing but zeros."""
    one = Recent()
    zeros = call(0, 0, caller=0)
    one.add(zeros, 0)
    one.add(call(0, 0, caller=0, outcome=ANSWERED), 0)
    assert one.drop(zeros)
    assert [p.outcome for p in one.all()] == [ANSWERED]
    assert not one.drop(zeros)
