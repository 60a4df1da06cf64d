"""The window's law: wherever a span begins, no more than `limit` set-ups leave in it, however late each one leaves."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.model import SECOND
from guard.state.contract import Reading, State, Touch
from guard.state.memory import MAX_PENDING_US
from tests.state.conftest import Make

SPAN: Final = SECOND
HOLD: Final = 2 * SECOND
EDGES: Final = (0, 1, SPAN // 2, SPAN - 1, SPAN, SPAN + 1, HOLD)
steps = st.one_of(st.sampled_from(EDGES), st.integers(0, 300_000), st.integers(0, 3))


def window(ident: str, limit: int | None = 3, *, force: bool = False, take: bool = True) -> Touch:
    return Touch(kind="window", key="cps:t", ident=ident, limit=limit, span_us=SPAN, force=force, take=take)


def one(state: State, touch: Touch, now: int) -> Reading:
    (reading,) = state.touch((touch,), now)
    return reading


def most_in_any_span(instants: list[int]) -> int:
    """The most departures in any half-open window of the span: one that begins at a departure has the most."""
    left = sorted(instants)
    return max((sum(begin <= at < begin + SPAN for at in left) for begin in left), default=0)


Arrival = tuple[int, int, str]  # after how long, leaves how much later, and what becomes of it
arrivals = st.lists(
    st.tuples(steps, steps.map(lambda d: min(d, HOLD)), st.sampled_from(("leaves", "leaves", "leaves", "forgotten"))),
    max_size=60,
)


def play(
    make: Make, story: list[Arrival], limit: int, urgent: frozenset[int] = frozenset()
) -> tuple[list[int], list[int], int]:
    """Departures of ordinary calls, those of emergency calls, and how many were refused."""
    state = make()
    ordinary: list[int] = []
    forced: list[int] = []
    refused = 0
    due: list[tuple[int, str, str]] = []
    now = 0

    def settle(until: int) -> None:
        for at, ident, fate in sorted(d for d in due if d[0] <= until):
            due.remove((at, ident, fate))
            if fate == "leaves":
                state.departed(ident, at)
                (forced if int(ident) in urgent else ordinary).append(at)
            else:
                state.forget(ident, at)

    for i, (after, delay, fate) in enumerate(story):
        now += after
        settle(now)
        if one(state, window(str(i), limit, force=i in urgent), now).taken:
            due.append((now + delay, str(i), fate))
        else:
            refused += 1
    settle(now + HOLD)
    return ordinary, forced, refused


@settings(max_examples=300)
@given(arrivals, st.integers(1, 6))
def test_no_span_has_more_departures_than_the_limit(make: Make, story: list[Arrival], limit: int) -> None:
    ordinary, _, refused = play(make, story, limit)
    assert most_in_any_span(ordinary) <= limit
    assert len(ordinary) + refused <= len(story)


@settings(max_examples=200)
@given(arrivals, st.integers(1, 4), st.frozensets(st.integers(0, 59), max_size=12))
def test_ordinary_calls_keep_the_law_whatever_emergencies_do(
    make: Make, story: list[Arrival], limit: int, urgent: frozenset[int]
) -> None:
    """Emergency calls are never refused; among all that leaves in a span, only they may be beyond the limit."""
    ordinary, forced, refused = play(make, story, limit, urgent)
    assert most_in_any_span(ordinary) <= limit
    leaves = [i for i in sorted(urgent) if i < len(story) and story[i][2] == "leaves"]
    assert len(forced) == len(leaves)
    assert refused <= len(story) - len([i for i in urgent if i < len(story)])


@settings(max_examples=200)
@given(st.lists(steps, min_size=1, max_size=40), st.integers(1, 5))
def test_a_call_that_tries_again_when_told_always_gets_its_place(make: Make, after: list[int], limit: int) -> None:
    """`free_at` is neither too early nor too late where every set-up leaves at once: the greedy schedule exactly."""
    state = make()
    now = 0
    left: list[int] = []
    for i, wait in enumerate(after):
        now += wait
        reading = one(state, window(str(i), limit), now)
        earliest = now if len(left) < limit else max(now, left[-limit] + SPAN)
        if not reading.taken:
            assert reading.free_at == earliest
            assert not one(state, window(str(i), limit), earliest - 1).taken
            now = earliest
            assert one(state, window(str(i), limit), now).taken
        else:
            assert earliest == now
            assert reading.free_at == 0
        state.departed(str(i), now)
        left.append(now)
    assert all(a <= b for a, b in pairwise(left))


def test_the_edge_of_the_span(make: Make) -> None:
    state = make()
    assert one(state, window("a", 1), 0).taken
    state.departed("a", 0)
    assert not one(state, window("b", 1), SPAN - 1).taken
    assert one(state, window("b", 1), SPAN).taken


def test_a_place_counts_from_the_departure_and_not_from_the_taking(make: Make) -> None:
    state = make()
    assert one(state, window("a", 1), 0).taken
    state.departed("a", 900_000)
    full = one(state, window("b", 1), SPAN)
    assert (full.taken, full.value, full.free_at) == (False, 1, 900_000 + SPAN)


def test_one_that_has_not_left_yet_counts_however_old_it_is(make: Make) -> None:
    state = make()
    assert one(state, window("a", 1), 0).taken
    waiting = one(state, window("b", 1), 5 * SPAN)
    assert (waiting.taken, waiting.free_at) == (False, 6 * SPAN)


def test_what_never_left_is_given_back(make: Make) -> None:
    state = make()
    assert one(state, window("a", 1), 0).taken
    state.forget("a", 10)
    assert one(state, window("b", 1), 10).taken
    state.forget("nobody", 10)


def test_what_left_cannot_be_forgotten(make: Make) -> None:
    state = make()
    one(state, window("a", 1), 0)
    state.departed("a", 0)
    state.forget("a", 1)
    assert not one(state, window("b", 1), 1).taken


def test_taking_twice_is_taking_once(make: Make) -> None:
    state = make()
    for _ in range(3):
        assert one(state, window("a", 1), 0).taken
    state.departed("a", 5)
    assert one(state, window("a", 1), 6).taken


def test_forced_takes_a_place_that_others_then_lack(make: Make) -> None:
    state = make()
    for ident in "ab":
        assert one(state, window(ident, 2), 0).taken
    assert one(state, window("sos", 2, force=True), 0).taken
    for ident in ("a", "b", "sos"):
        state.departed(ident, 0)
    after = one(state, window("c", 2), 0)
    assert (after.value, after.taken, after.free_at) == (3, False, SPAN)
    assert one(state, window("c", 2), SPAN).taken


def test_beyond_the_limit_as_many_must_leave_as_are_too_many(make: Make) -> None:
    state = make()
    for at, ident in ((0, "a"), (100_000, "sos"), (200_000, "sos2")):
        assert one(state, window(ident, 1, force=True), at).taken
        state.departed(ident, at)
    assert one(state, window("b", 1), 300_000).free_at == 200_000 + SPAN
    assert one(state, window("b", 2), 300_000).free_at == 100_000 + SPAN


def test_reading_takes_nothing(make: Make) -> None:
    state = make()
    assert one(state, window("a", 1, take=False), 0) == Reading(key="cps:t", value=0, taken=False)
    assert one(state, window("a", 1), 0).taken
    assert one(state, window("b", 1, take=False), 0).value == 1


def test_without_a_limit_everything_is_counted_and_nothing_refused(make: Make) -> None:
    state = make()
    values = [one(state, window(str(i), None), 0).value for i in range(50)]
    assert values == list(range(50))


def test_a_setup_that_is_never_heard_of_again_leaves_after_a_minute(make: Make) -> None:
    state = make()
    assert one(state, window("a", 1), 0).taken
    assert not one(state, window("b", 1), MAX_PENDING_US - 1).taken
    assert one(state, window("b", 1), MAX_PENDING_US).taken
