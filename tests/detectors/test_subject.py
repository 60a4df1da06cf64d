"""What is kept of a subject: bounded, by the day, and the same after a rest."""

from __future__ import annotations

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.detectors.measure import Ready, View
from guard.detectors.recent import (
    ANSWERED,
    CANCELLED,
    DEAR,
    FAILED,
    HYPER,
    NEAR,
    OPEN,
    REFUSED,
    SHORT,
    STEP,
    SVA,
    Past,
)
from guard.detectors.subject import DAYS, GRAIN, MOST, NEXT, Subject, unpack
from guard.detectors.words import BACKS, DAY, FEATURES, HOUR, MAX_SPAN_S, ORIGINS, RECENT, Clause
from guard.model import SECOND
from tests.detectors.making import MINUTE, START, past, subject

# ---- a call ----------------------------------------------------------------------------------------------------------


def test_a_call_costs_a_minute_at_least_and_as_long_as_it_is_up() -> None:
    up = past(0, cents=20)
    assert up.cost(START) == 20
    assert up.cost(START + 60 * SECOND) == 20
    assert up.cost(START + 61 * SECOND) == 40
    over = past(0, cents=20, outcome=ANSWERED, talk=121)
    assert over.cost(START + DAY) == 60


def test_it_is_billed_by_the_minute_or_by_the_call() -> None:
    """No premium number bills both: its ceiling is of whichever it is (docs/destinations.md)."""
    assert past(0, cents=80, fee=300, outcome=ANSWERED, talk=180).cost(START) == 300
    assert past(0, cents=80, fee=300, outcome=ANSWERED, talk=241).cost(START) == 400


def test_a_call_that_did_not_come_about_costs_nothing() -> None:
    assert past(0, cents=20, outcome=CANCELLED).cost(START) == 0
    assert past(0, fee=20, outcome=FAILED).cost(START) == 0
    assert past(0).cost(START + DAY) == 0, "nor does a free one"


# ---- calls of a subject ----------------------------------------------------------------------------------------------


def test_the_last_calls_are_kept() -> None:
    one = subject(*(past(100 - n, n + 1) for n in range(RECENT + 5)))
    assert [p.callee for p in one.recent.all()] == list(range(6, RECENT + 6))
    assert one.calls == RECENT + 5


def test_a_number_beside_the_last_is_near() -> None:
    one = subject(past(9, 1000), past(8, 1000), past(7, 1000 + NEXT), past(6, 1001 + 2 * NEXT), past(5, 1001 + NEXT))
    assert [bool(p.marks & NEAR) for p in one.recent.all()] == [False, False, True, False, True]


def test_a_run_of_rising_numbers_is_counted() -> None:
    one = subject(past(9, 10), past(8, 500), past(7, 9000))
    assert one.run == 3
    one.called(past(6, 9000))
    assert one.run == 1


def test_an_end_is_heard_of_also_where_the_call_was_forgotten() -> None:
    first = past(500, 1)
    one = subject(first, *(past(400 - n, n + 2) for n in range(RECENT)))
    assert not one.recent.drop(first)
    first.outcome = FAILED
    one.recent.over(first, REFUSED)
    last = one.recent.all()[-1]
    assert (last.callee, last.outcome, last.marks) == (1, FAILED, REFUSED)
    assert len(one.recent) == RECENT


def test_call_backs_and_calls_received_are_bounded() -> None:
    one = subject()
    for n in range(BACKS + 3):
        one.called_back(START + n)
        one.got(START + n)
    assert one.backs == one.received == tuple(START + n for n in range(3, BACKS + 3))


# ---- days ------------------------------------------------------------------------------------------------------------


def test_the_dearest_of_thirty_days_without_today() -> None:
    one = Subject(START - 40 * DAY)
    one.cost(START - 30 * DAY, 900)
    one.cost(START - 29 * DAY, 500)
    one.cost(START - DAY, 100)
    one.cost(START - DAY, 50)
    one.cost(START, 700)
    assert one.dearest(START) == 500
    assert one.dearest(START + DAY) == 700
    assert one.dearest(START + DAYS * DAY) == 0


def test_days_without_a_call_are_empty() -> None:
    one = Subject(START)
    one.cost(START, 500)
    one.cost(START + (DAYS + 3) * DAY, 1)
    assert one.dearest(START + (DAYS + 4) * DAY) == 1


def test_a_day_counts_up_to_the_most() -> None:
    one = Subject(START)
    for _ in range(3):
        one.cost(START, MOST - 1)
    assert one.dearest(START + DAY) == MOST


# ---- origins ---------------------------------------------------------------------------------------------------------


def test_origins_that_were_never_seen_before_this_day() -> None:
    one = Subject(START - 40 * DAY)
    one.origins.seen((1, 2, 3), START - 10 * DAY)
    assert one.new_origins(START) == 0
    one.origins.seen((1, 9, 8), START)
    assert one.new_origins(START) == 2
    assert one.new_origins(START + 23 * HOUR) == 2
    assert one.new_origins(START + 25 * HOUR) == 0


def test_of_a_young_line_one_of_each_kind_is_its_own() -> None:
    one = Subject(START)
    one.origins.seen((1, 2, 3), START)
    assert one.new_origins(START) == 0
    one.origins.seen((1, 2, 4), START)
    assert one.new_origins(START) == 1


def test_the_longest_unused_origins_are_forgotten() -> None:
    one = Subject(START)
    one.origins.seen(tuple(range(ORIGINS)), START)
    one.origins.seen((0, 99), START)
    assert len(one.origins) == ORIGINS
    one.origins.seen((2, 98), START + 2 * DAY)
    assert one.new_origins(START + 2 * DAY) == 1, "2 was still known, 98 is new"
    one.origins.seen((1,), START + 4 * DAY)
    assert one.new_origins(START + 4 * DAY) == 1, "1 was forgotten"


# Octets of one that holds the most: head, calls, their prices and set-ups, usual hours, origins, call-backs and calls
# received, days; filled up.
SIZE: Final = -(-(42 + RECENT * (20 + 6 + 4) + 336 + ORIGINS * 8 + 2 * BACKS * 8 + 4 + 2 * DAYS) // GRAIN) * GRAIN

# ---- a rest ----------------------------------------------------------------------------------------------------------

SPANS: Final = (60, 3600, MAX_SPAN_S)
WAYS: Final = tuple(
    Ready(Clause(span_s=span, to=to, different=different, callers=callers, step=step))
    for span in SPANS
    for to in ("any", "sva", "dear")
    for different, callers, step in ((False, False, False), (True, True, True))
)


def measured(one: Subject, now: int) -> list[object]:
    """Everything that any clause can ask of a subject."""
    view = View(one, one, now)
    values: list[object] = [view.value(f, way) for way in WAYS for f in FEATURES]
    values += [view.whole(f, way) for way in WAYS for f in ("calls", "hyper_short", "refused", "in_order")]
    return [*values, one.dearest(now), one.usual.count, one.usual.limit(), one.calls, one.first]


Step = tuple[int, str, int, int]
GAPS: Final = st.sampled_from((0, 1, 7 * SECOND, 40 * MINUTE, 9 * HOUR, DAY - 1, DAY, DAY + 1, 3 * DAY, 31 * DAY))
WHAT: Final = st.sampled_from(("call", "call", "call", "over", "got", "back"))
STEPS: Final = st.lists(
    st.tuples(
        GAPS, st.sampled_from(("call", "call", "call", "over", "got", "back")), st.integers(0, 40), st.integers(0, 7)
    ),
    max_size=60,
)
MARKS: Final = (0, SVA, DEAR, STEP, SVA, 0, DEAR, 0)
ENDS: Final = ((ANSWERED, 0), (ANSWERED, HYPER), (CANCELLED, SHORT), (FAILED, REFUSED), (FAILED, 0))


def apply(one: Subject, open_calls: list[Past], now: int, step: Step) -> None:
    """One thing that happens, as the watch tells it to a subject."""
    _, what, n, kind = step
    if what == "call":
        fresh = Past(now, n, kind, MARKS[kind], OPEN, 20 if MARKS[kind] else 0, 0, 0)
        one.called(fresh)
        one.origins.seen((n, kind + 100), now)
        one.usual.one_more(now // HOUR, frozen=kind == 7)
        open_calls.append(fresh)
    elif what == "over" and open_calls:
        over = open_calls.pop(n % len(open_calls))
        over.outcome, mark = ENDS[n % len(ENDS)]
        over.talk = n
        one.recent.over(over, mark)
        if over.cost(now):
            one.cost(now, over.cost(now))
    elif what == "got":
        one.got(now)
    elif what == "back":
        one.called_back(now)


@settings(max_examples=400)
@given(STEPS, st.sets(st.integers(0, 60), max_size=20))
def test_it_rests_and_comes_back_measuring_the_same(steps: list[Step], rests: set[int]) -> None:
    """Law: the same input at the same instant gives the same decision, whoever else called meanwhile."""
    kept, rested = Subject(START), Subject(START)
    kept_open: list[Past] = []
    rested_open: list[Past] = []
    now = START
    for i, step in enumerate(steps):
        now += step[0]
        if i in rests:
            rested = unpack(rested.packed())
        apply(kept, kept_open, now, step)
        apply(rested, rested_open, now, step)
        assert measured(kept, now) == measured(rested, now)


def test_a_call_that_lasted_for_days_takes_its_place_also_after_a_rest() -> None:
    """What is last heard of pushes out what was first: a rest may not make room that was not there."""
    long = past(2 * 86_400, 999)
    one = subject(long, *(past(600 - n, n + 1) for n in range(RECENT - 1)))
    one.recent.over(long, 0)
    other = unpack(one.packed())
    for who in (one, other):
        who.called(past(0, 777))
    assert [p.callee for p in one.recent.all() if p.callee != 999] == [
        p.callee for p in other.recent.all() if p.callee != 999
    ]
    assert measured(one, START) == measured(other, START)


def test_octets_are_the_same_however_often_it_rests() -> None:
    one = subject(*(past(100 - n, n * 50, marks=SVA, cents=20, talk=3) for n in range(12)))
    once = one.packed()
    assert unpack(once).packed() == once


def test_calls_of_days_ago_take_no_octets() -> None:
    one = subject(*(past(90_000 - n, n * 50) for n in range(12)))
    full = len(one.packed())
    one.called(past(0))
    assert len(one.packed()) < full
    assert len(unpack(one.packed()).recent) == 1


def test_it_rests_with_all_that_it_may_hold() -> None:
    """Each part of the octets as full as it gets."""
    one = Subject(START - 40 * DAY)
    for n in range(RECENT + 5):
        at = START - (RECENT + 5 - n) * SECOND
        one.called(Past(at, 10**18 - n, MOST, 255, OPEN, MOST, MOST, 0))
        one.origins.seen((3 * n, 3 * n + 1, 3 * n + 2), at)
        one.usual.one_more(at // HOUR, frozen=False)
        one.called_back(at)
        one.got(at)
    for day in range(DAYS):
        one.cost(START - (DAYS - day) * DAY, MOST - day)
    once = one.packed()
    again = unpack(once)
    assert again.packed() == once
    assert len(once) <= SIZE
    assert measured(again, START) == measured(one, START)
    assert again.backs == again.received == one.backs
    assert (len(again.backs), len(again.recent), len(again.origins)) == (BACKS, RECENT, ORIGINS)
    assert [again.dearest(START + n * DAY) for n in range(DAYS)] == [one.dearest(START + n * DAY) for n in range(DAYS)]


def test_what_nobody_can_ask_for_any_more_takes_no_octets() -> None:
    """What its calls cost, once thirty days are over; calls back and calls received of more than a day before."""
    one, other = subject(past(1)), subject(past(1))
    one.cost(START - DAYS * DAY, 500)
    one.got(START - DAY - 2 * SECOND)
    one.called_back(START - DAY - 2 * SECOND)
    assert one.packed() == other.packed()
    one.cost(START, 500)
    assert one.packed() != other.packed()


def test_it_rests_whatever_its_counters_have_come_to() -> None:
    one = subject(past(1))
    one.calls = 1 << 40
    one.run = 1 << 20
    found = unpack(one.packed())
    assert found.run == MOST
    assert found.calls >= 1 << 31


def test_two_calls_of_one_instant_to_one_number_both_end() -> None:
    """As two targets of a list, or all calls while the clock is being set back: none of them stays up for ever."""
    one = subject(past(60, 5, cents=20), past(60, 5, cents=20))
    for _ in range(2):
        one.recent.over(past(60, 5, outcome=CANCELLED, cents=20), 0)
    assert [p.outcome for p in one.recent.all()] == [CANCELLED, CANCELLED]
    assert sum(p.cost(START) for p in one.recent.all()) == 0
