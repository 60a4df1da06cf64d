"""What every state promises, in memory and in a real Redis: gauges, tallies, sums, all or nothing, the same answers."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.model import SECOND
from guard.state.contract import Touch
from guard.state.memory import MemoryState
from tests.state.conftest import Make
from tests.state.touches import MONTH, SPAN, gauge, one, taken, tally, total, window

FOREVER: Final = 0


def test_a_gauge_has_its_places_and_no_more(make: Make) -> None:
    state = make()
    assert taken(state, gauge("a"))
    assert taken(state, gauge("b"))
    assert not taken(state, gauge("c"))
    state.release("a", 1)
    assert taken(state, gauge("c"))


def test_releasing_twice_is_releasing_once(make: Make) -> None:
    state = make()
    for ident in "ab":
        taken(state, gauge(ident))
    for _ in range(3):
        state.release("a", 1)
    state.release("nobody", 1)
    assert taken(state, gauge("c"))
    assert not taken(state, gauge("d"))


def test_taking_twice_is_taking_once(make: Make) -> None:
    state = make()
    for _ in range(3):
        assert taken(state, gauge("a", 1))
    state.release("a", 1)
    assert taken(state, gauge("b", 1))


def test_forced_is_in_use_like_any_other(make: Make) -> None:
    state = make()
    assert taken(state, gauge("a", 1))
    assert taken(state, gauge("sos", 1, force=True))
    state.release("a", 1)
    assert not taken(state, gauge("b", 1))
    state.release("sos", 2)
    assert taken(state, gauge("b", 1))


def test_one_release_gives_back_every_gauge_of_the_call(make: Make) -> None:
    state = make()
    assert all(r.taken for r in state.touch((gauge("a", 1), gauge("a", 1, key="line:x")), 0))
    state.release("a", 1)
    assert all(r.taken for r in state.touch((gauge("b", 1), gauge("b", 1, key="line:x")), 1))


@pytest.mark.parametrize("full", ["gauge", "window", "tally", "sum"])
def test_all_or_nothing(make: Make, full: str) -> None:
    state = make()
    state.used("talk:t", MONTH, 1)
    touches = (gauge("b", 1), window("b", 1), tally("b", "x", 1), total("b", 5))
    narrow = tuple(replace(t, limit=0 if t.kind == full else t.limit) for t in touches)
    assert not any(r.taken for r in state.touch(narrow, 0))
    assert [r.value for r in state.touch(touches, 0)] == [0, 0, 0, 1], "the refused call used up a place"


def test_readings_are_in_the_order_of_the_touches(make: Make) -> None:
    keys = ["line:x", "channels:t", "line:y"]
    readings = make().touch(tuple(gauge("a", key=k) for k in keys), 0)
    assert [r.key for r in readings] == keys


def test_nothing_asked_is_nothing_taken(make: Make) -> None:
    assert make().touch((), 0) == ()


def test_no_place_at_all(make: Make) -> None:
    state = make()
    assert not taken(state, gauge("a", 0))
    assert not taken(state, window("a", 0))
    assert taken(state, gauge("sos", 0, force=True))


def test_different_members_are_counted_and_known_ones_pass(make: Make) -> None:
    state = make()
    assert taken(state, tally("1", "x"))
    assert taken(state, tally("2", "y", at=1))
    full = one(state, tally("3", "z", at=2))
    assert (full.taken, full.value, full.known) == (False, 2, False)
    again = one(state, tally("4", "x", at=3))
    assert (again.taken, again.value, again.known) == (True, 2, True)


def test_a_tally_without_members_counts_each_call(make: Make) -> None:
    state = make()
    assert [taken(state, tally(str(n), at=n)) for n in range(3)] == [True, True, False]


def test_what_is_before_since_is_not_counted(make: Make) -> None:
    state = make()
    old = replace(tally("1", "x"), since=MONTH - 10, at=MONTH - 5)
    assert taken(state, old)
    new = one(state, tally("2", "x", 1))
    assert (new.taken, new.value, new.known) == (True, 0, False)


def test_a_call_that_never_left_counted_nothing(make: Make) -> None:
    state = make()
    taken(state, tally("1", "x"))
    state.departed("1", 0)
    taken(state, tally("2", "x", at=9))
    taken(state, tally("3", "y", at=9))
    state.forget("2", 0)
    state.forget("3", 0)
    state.forget("1", 0)
    assert one(state, tally("4", "x", at=10)).value == 1


def test_a_tally_against_another(make: Make) -> None:
    state = make()
    for n in range(10):
        taken(state, tally(f"got{n}", f"g{n}", None, key="auto:got"))
    against = [replace(tally(f"{n}", f"m{n}", key="auto:made"), against="auto:got", percent=20) for n in range(3)]
    assert [taken(state, t) for t in against] == [True, True, False]
    assert one(state, against[2]).before == 10


def test_a_sum_is_what_was_used_since(make: Make) -> None:
    state = make()
    state.used("talk:t", MONTH - 1, 100)
    state.used("talk:t", MONTH, 20)
    state.used("talk:t", MONTH + 5 * 3600 * SECOND, 3)
    first = one(state, total("a", 24))
    assert (first.value, first.before, first.taken) == (23, 0, True)
    state.used("talk:t", MONTH + 5 * 3600 * SECOND, 1)
    second = one(state, total("b", 24))
    assert (second.value, second.before, second.taken) == (24, 23, False)
    assert taken(state, replace(total("c", 24), force=True))


def test_what_is_restored_is_counted_whatever_the_limit(make: Make) -> None:
    state = make()
    for n in range(4):
        state.restore(tally(f"#{n}", f"m{n}", 1, at=n))
    state.restored()
    assert one(state, tally("x", "new", 5, at=9)).value == 4


def test_a_key_and_a_member_may_be_anything(make: Make) -> None:
    state = make()
    for odd in ("", "a b", "}{:*", "é\x00\n", "x" * 5000, "x" * 4999 + "y"):
        assert one(state, gauge("a", 1, key=f"line:{odd}")).value == 0
        assert one(state, tally("a", odd or "-", None, key="odd")).known is False


# ---- one answer, whichever state gives it --------------------------------------------------------------------------

stories = st.lists(
    st.tuples(
        st.sampled_from(("touch", "touch", "touch", "force", "look", "depart", "forget", "release", "used")),
        st.integers(0, 6),
        st.sampled_from((0, 1, 300_000, SPAN - 1, SPAN)),
    ),
    max_size=40,
)


def wanted(who: int, now: int, *, force: bool, take: bool) -> tuple[Touch, ...]:
    ident = str(who)
    touches = (
        window(ident, 2),
        gauge(ident, 3),
        gauge(ident, 1, key=f"line:{who % 3}"),
        tally(ident, f"m{who % 4}", 3, at=now),
        tally(ident, "", 9, at=now * 10 + who, key="tries"),
        total(ident, 50),
    )
    return tuple(replace(t, force=force, take=take) for t in touches)


@settings(max_examples=150)
@given(stories)
def test_both_say_the_same(make: Make, story: list[tuple[str, int, int]]) -> None:
    """The state at hand against one in memory: every reading of any story is the same."""
    mine, reference = make(), MemoryState()
    gone: set[int] = set()
    now = 0
    for step, (what, who, after) in enumerate(story):
        now += after + 1
        for state in (mine, reference):
            if what == "depart":
                state.departed(str(who), now)
            elif what == "forget":
                state.forget(str(who), now)
            elif what == "release":
                state.release(str(who), now)
            elif what == "used":
                state.used("talk:t", MONTH + step, who)
        if what in {"touch", "force", "look"} and who not in gone:
            gone.add(who)  # a call asks until it has its places, and then no more
            touches = wanted(who, now, force=what == "force", take=what != "look")
            said = mine.touch(touches, now)
            assert said == reference.touch(touches, now)
            if not any(r.taken for r in said):
                gone.discard(who)
