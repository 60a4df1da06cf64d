"""The timeline never goes back; records follow a wall clock that was set, and not one that is slewed."""

from __future__ import annotations

import pytest

from guard.net.clock import WALL_JUMP, SystemClock, anchored
from tests.net.fakes import SECOND, FakeClock


@pytest.mark.parametrize("moved", [0, 1, WALL_JUMP, -WALL_JUMP])
def test_a_wall_clock_that_is_slewed_changes_nothing(moved: int) -> None:
    clock = FakeClock()
    offset = clock.wall() - clock.now()
    clock.of_wall += moved
    assert anchored(clock, offset) == offset


@pytest.mark.parametrize("moved", [WALL_JUMP + 1, -WALL_JUMP - 1, 3600 * SECOND, -86_400 * SECOND])
def test_a_wall_clock_that_was_set_is_followed(moved: int) -> None:
    clock = FakeClock()
    offset = clock.wall() - clock.now()
    clock.of_wall += moved
    assert anchored(clock, offset) == offset + moved


def test_the_machine_s_clocks_count_microseconds() -> None:
    clock = SystemClock()
    times = [clock.now() for _ in range(1_000)]
    assert times == sorted(times)
    assert 1_700_000_000 * SECOND < clock.wall() < 10_000_000_000 * SECOND
