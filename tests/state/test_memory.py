"""Gauges, all-or-nothing, and the bounds of what is held."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.model import SECOND
from guard.state import memory
from guard.state.contract import StateError, Touch
from guard.state.memory import MAX_CALL_US, MemoryState, StateFullError

SPAN: Final = SECOND


def gauge(ident: str, limit: int | None = 2, *, key: str = "channels:t", force: bool = False) -> Touch:
    return Touch(kind="gauge", key=key, ident=ident, limit=limit, force=force)


def window(ident: str, limit: int | None = 1) -> Touch:
    return Touch(kind="window", key="cps:t", ident=ident, limit=limit, span_us=SPAN)


def taken(state: MemoryState, touch: Touch, now: int = 0) -> bool:
    return state.touch((touch,), now)[0].taken


def test_a_gauge_has_its_places_and_no_more() -> None:
    state = MemoryState()
    assert taken(state, gauge("a"))
    assert taken(state, gauge("b"))
    assert not taken(state, gauge("c"))
    state.release("a", 1)
    assert taken(state, gauge("c"))


def test_releasing_twice_is_releasing_once() -> None:
    state = MemoryState()
    for ident in "ab":
        taken(state, gauge(ident))
    for _ in range(3):
        state.release("a", 1)
    state.release("nobody", 1)
    assert state.places == 1
    assert taken(state, gauge("c"))
    assert not taken(state, gauge("d"))


def test_taking_twice_is_taking_once() -> None:
    state = MemoryState()
    for _ in range(3):
        assert taken(state, gauge("a", 1))
    assert state.places == 1


def test_forced_is_in_use_like_any_other() -> None:
    state = MemoryState()
    assert taken(state, gauge("a", 1))
    assert taken(state, gauge("sos", 1, force=True))
    state.release("a", 1)
    assert not taken(state, gauge("b", 1))
    state.release("sos", 2)
    assert taken(state, gauge("b", 1))


def test_one_release_gives_back_every_gauge_of_the_call() -> None:
    state = MemoryState()
    assert all(r.taken for r in state.touch((gauge("a", 1), gauge("a", 1, key="line:x")), 0))
    state.release("a", 1)
    assert state.places == 0
    assert all(r.taken for r in state.touch((gauge("b", 1), gauge("b", 1, key="line:x")), 1))


@pytest.mark.parametrize("order", [0, 1])
def test_all_or_nothing(order: int) -> None:
    state = MemoryState()
    assert taken(state, gauge("a", 1))
    both = (window("b"), gauge("b", 1))
    readings = state.touch(both if order else both[::-1], 0)
    assert [r.taken for r in readings] == [False, False]
    assert sorted(r.value for r in readings) == [0, 1]
    assert state.places == 1
    assert taken(state, window("c")), "the refused call used up a place of the window"


def test_readings_are_in_the_order_of_the_touches() -> None:
    state = MemoryState()
    keys = ["line:x", "channels:t", "line:y"]
    readings = state.touch(tuple(gauge("a", key=k) for k in keys), 0)
    assert [r.key for r in readings] == keys


def test_nothing_asked_is_nothing_taken() -> None:
    assert MemoryState().touch((), 0) == ()


def test_no_place_at_all() -> None:
    state = MemoryState()
    assert not taken(state, gauge("a", 0))
    assert not taken(state, window("a", 0))
    assert taken(state, gauge("sos", 0, force=True))


def test_a_call_of_many_days_keeps_its_channel() -> None:
    state = MemoryState()
    day = 24 * 3600 * 1_000_000
    assert taken(state, gauge("a", 1), 0)
    assert not any(taken(state, gauge("b", 1), n * day) for n in range(1, 30))
    state.release("a", 30 * day)
    assert taken(state, gauge("b", 1), 30 * day)


def test_a_call_that_never_ended_frees_its_channel_after_a_month() -> None:
    state = MemoryState()
    assert taken(state, gauge("a", 1), 0)
    assert not taken(state, gauge("b", 1), MAX_CALL_US - 1)
    assert taken(state, gauge("b", 1), MAX_CALL_US)
    assert state.places == 1
    state.release("a", MAX_CALL_US + 1)
    assert state.places == 1


def test_no_more_is_held_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_PLACES", 4)
    state = MemoryState()
    for i in range(4):
        assert taken(state, gauge(str(i), None))
    with pytest.raises(StateFullError) as error:
        state.touch((gauge("more", None),), 0)
    assert isinstance(error.value, StateError)
    assert state.places == 4
    state.release("0", 1)
    assert taken(state, gauge("more", None), 1)


def test_what_is_over_makes_room_before_anything_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gauge without a limit and a window that nobody touches any more are not pruned on the way."""
    monkeypatch.setattr(memory, "MAX_PLACES", 4)
    state = MemoryState()
    for i in range(3):
        taken(state, gauge(str(i), None, key=f"line:{i}"), 0)
    taken(state, window("w", None), MAX_CALL_US)
    state.departed("w", MAX_CALL_US)
    assert state.places == 4
    assert taken(state, gauge("new", None), MAX_CALL_US + SPAN)
    assert state.places == 1


def test_the_bound_is_beyond_what_a_guard_carries() -> None:
    assert memory.MAX_PLACES >= 100_000


stories = st.lists(
    st.tuples(
        st.sampled_from(("touch", "force", "depart", "forget", "release")), st.integers(0, 12), st.integers(0, 5)
    ),
    max_size=80,
)


@settings(max_examples=200)
@given(stories)
def test_places_are_what_is_held_and_go_back_to_nothing(story: list[tuple[str, int, int]]) -> None:
    """Whatever happens in whatever order, the count is right, and a finished day leaves nothing behind."""
    state = MemoryState()
    now = 0
    idents = [str(i) for i in range(13)]
    for what, who, after in story:
        now += after * 200_000
        ident = idents[who]
        if what in {"touch", "force"}:
            force = what == "force"
            readings = state.touch(
                (
                    replace(window(ident, 2), force=force),
                    gauge(ident, 3, force=force),
                    gauge(ident, 1, key=f"line:{who % 3}", force=force),
                ),
                now,
            )
            assert len({r.taken for r in readings}) == 1
        elif what == "depart":
            state.departed(ident, now)
        elif what == "forget":
            state.forget(ident, now)
        else:
            state.release(ident, now)
        assert state.places >= 0
    for ident in idents:
        state.departed(ident, now)
        state.release(ident, now)
    state.touch((Touch(kind="window", key="cps:t", ident="last", limit=None, span_us=SPAN, take=False),), now + SPAN)
    assert state.places == 0
