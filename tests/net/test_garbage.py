"""Full collections of garbage happen when it is quiet, and calls leave nothing for them."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from guard.net.garbage import AT_LAST, CLEAN, FEW, FINDS, LOOKS, MIDDLE, NEVER, PAUSE, SELDOM, Garbage
from tests.net.fakes import SECOND
from tests.proxy.world import UP, Leg, World

NOW = 1_000 * SECOND


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    before = gc.get_threshold(), gc.get_freeze_count()
    found = Garbage()
    found.start(NOW)
    yield found
    found.stop()
    found.tidy()
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
    found.stop()


def test_python_s_own_full_collections_stop_and_the_small_ones_stay(garbage: Garbage) -> None:
    young, middle, old = gc.get_threshold()
    assert old == NEVER
    assert 0 < young <= 10_000
    assert middle == MIDDLE
    assert gc.get_freeze_count() > 1_000


def test_what_outlives_a_small_collection_is_passed_through_once(garbage: Garbage) -> None:
    gc.collect()
    young, ran, most = gc.get_threshold()[0], [0, 0, 0], 0

    def look(phase: str, info: dict[str, int]) -> None:
        nonlocal most
        if phase == "start":
            ran[info["generation"]] += 1
            most = max(most, len(gc.get_objects(0)) + len(gc.get_objects(1)))

    kept: list[list[int]] = []
    gc.callbacks.append(look)
    try:
        kept += ([] for _ in range(20 * young))
    finally:
        gc.callbacks.remove(look)
    assert (ran[0], ran[2]) == (0, 0)
    assert ran[1] >= 18
    assert most <= young + 100


class Cycle:
    """Something that only a collection lets go of."""

    alive = 0

    def __init__(self) -> None:
        self.me = self
        Cycle.alive += 1

    def __del__(self) -> None:
        Cycle.alive -= 1


def young() -> int:
    return len(gc.get_objects(0)) + len(gc.get_objects(1))


def test_as_many_let_go_as_made_are_no_reason_to_wait(garbage: Garbage) -> None:
    """Calls that end let go of what the first ones left, so Python's own count of new objects never grows."""
    most = gc.get_threshold()[0]
    old: list[list[int]] = [[] for _ in range(10 * most)]
    garbage.tidy()
    new: list[list[int]] = []
    for _ in range(len(old)):
        old.pop()
        new.append([])
    assert young() > 5 * most
    garbage.tidy()
    assert young() < most


def test_what_calls_leave_is_passed_through_seldom_where_it_has_no_cycles(garbage: Garbage) -> None:
    gc.collect()
    ran: list[int] = []

    def look(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            ran.append(info["generation"])

    kept: list[list[int]] = []
    gc.callbacks.append(look)
    try:
        for _ in range(10 * LOOKS):
            kept += ([] for _ in range(300))
            garbage.tidy()
    finally:
        gc.callbacks.remove(look)
    assert ran == [1] * 10


def test_once_a_cycle_is_found_all_are(garbage: Garbage) -> None:
    find_one(garbage)
    before = Cycle.alive
    assert before == LOOKS - 1  # all but the last were put aside before anybody looked
    for _ in range(10):
        Cycle()
        garbage.tidy()
        assert Cycle.alive == before
    for _ in range(FINDS + LOOKS):
        garbage.tidy()
    Cycle()
    garbage.tidy()
    assert Cycle.alive == before + 1
    garbage.look(FEW, NOW + PAUSE)
    assert (garbage.collections, Cycle.alive) == (1, 0)


@pytest.mark.parametrize(
    ("waited", "kept", "collected"),
    [
        (CLEAN - 1, 0, False),
        (CLEAN, 0, True),
        (CLEAN, FEW, True),
        (CLEAN, FEW + 1, False),
        (AT_LAST - 1, FEW + 1, False),
        (AT_LAST, 1_000_000, True),
    ],
)
def test_a_good_moment(garbage: Garbage, waited: int, kept: int, collected: bool) -> None:
    garbage.look(kept, NOW + waited)
    assert garbage.collections == int(collected)
    if collected:
        garbage.look(kept, NOW + waited + 1)
        assert garbage.collections == 1, "not twice in a row"


def find_one(garbage: Garbage) -> None:
    """Have it know that there are cycles to be found."""
    for _ in range(LOOKS):
        Cycle()
        garbage.tidy()


def test_a_long_collection_is_a_seldom_one(garbage: Garbage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 1.0 + PAUSE / SELDOM / 1_000_000, 2.0, 2.130, 3.0, 3.0])
    monkeypatch.setattr("guard.net.garbage.perf_counter", lambda: next(clock))
    at = NOW + PAUSE
    find_one(garbage)
    garbage.look(0, at)  # 10 ms: a minute later again
    at += PAUSE
    find_one(garbage)
    garbage.look(0, at)  # 130 ms: in thirteen minutes
    assert garbage.collections == 2
    find_one(garbage)
    garbage.look(0, at + 129_000 * SELDOM)
    assert garbage.collections == 2
    garbage.look(0, at + 131_000 * SELDOM)
    assert garbage.collections == 3


def test_cycles_are_found_then(garbage: Garbage) -> None:
    Cycle()
    garbage.look(0, NOW + CLEAN)
    assert Cycle.alive == 0


def test_a_call_leaves_no_cycles() -> None:
    """Whole ones, cancelled ones without an ACK, and what nobody answered: when it is over, nothing is left to find."""
    w = World()
    gc.collect()
    gc.disable()
    try:
        for number in range(20):
            leg = Leg(w, call_id=f"c{number}", branch=f"b{number}")
            if number % 3 == 0:
                leg.up().bye()
            elif number % 3 == 1:
                w(leg.cancel(), UP)
                leg.answer(487)
        del leg
        w.rest()
        w.sent.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()
