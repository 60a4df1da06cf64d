"""The state in memory beyond what every state promises (test_contract.py): how long, and how much is held."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.state import memory
from guard.state.contract import StateError, StateFullError, Touch
from guard.state.memory import MAX_CALL_US, MemoryState
from tests.state.touches import SPAN, gauge, taken, window


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


@pytest.mark.interpreted
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


@pytest.mark.interpreted
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
