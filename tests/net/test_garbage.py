"""Full collections of garbage happen when it is quiet, and calls leave nothing for them."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from guard.net.garbage import AT_LAST, FEW, MIDDLE, NEVER, PAUSE, SELDOM, Garbage
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


def test_as_many_let_go_as_made_are_no_reason_to_wait(garbage: Garbage) -> None:
    """Calls that end let go of what the first ones left, so Python's own count of new objects never grows."""
    young = gc.get_threshold()[0]
    old: list[list[int]] = [[] for _ in range(10 * young)]
    garbage.tidy()
    new: list[list[int]] = []
    for _ in range(len(old)):
        old.pop()
        new.append([])
    assert len(gc.get_objects(0)) + len(gc.get_objects(1)) > 5 * young
    garbage.tidy()
    assert len(gc.get_objects(0)) + len(gc.get_objects(1)) < young


@pytest.mark.parametrize(
    ("waited", "kept", "collected"),
    [
        (PAUSE - 1, 0, False),
        (PAUSE, 0, True),
        (PAUSE, FEW, True),
        (PAUSE, FEW + 1, False),
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


def test_a_long_collection_is_a_seldom_one(garbage: Garbage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 1.0 + PAUSE / SELDOM / 1_000_000, 2.0, 2.130, 3.0, 3.0])
    monkeypatch.setattr("guard.net.garbage.perf_counter", lambda: next(clock))
    at = NOW + PAUSE
    garbage.look(0, at)  # 10 ms: a minute later again
    at += PAUSE
    garbage.look(0, at)  # 130 ms: in thirteen minutes
    assert garbage.collections == 2
    garbage.look(0, at + 129_000 * SELDOM)
    assert garbage.collections == 2
    garbage.look(0, at + 131_000 * SELDOM)
    assert garbage.collections == 3


def test_cycles_are_found_then(garbage: Garbage) -> None:
    class Cycle:
        alive = 0

        def __init__(self) -> None:
            self.me = self
            Cycle.alive += 1

        def __del__(self) -> None:
            Cycle.alive -= 1

    Cycle()
    garbage.look(0, NOW + PAUSE)
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
