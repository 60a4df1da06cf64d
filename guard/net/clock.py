"""The two clocks of the guard: a timeline that never goes back, and the wall clock that records name."""

from __future__ import annotations

import time
from typing import Final, Protocol

_monotonic: Final = time.monotonic_ns
_wall: Final = time.time_ns
WALL_JUMP: Final = 1_000_000  # µs; a wall clock that moved further than this against the timeline was set, not slewed


class Clock(Protocol):
    """Both in µs. The driver reads it once for each thing that happens."""

    def now(self) -> int:
        """The timeline: monotonic, of no particular beginning."""

    def wall(self) -> int:
        """Unix time."""


class SystemClock:
    """The machine's own clocks (CLOCK_MONOTONIC, CLOCK_REALTIME)."""

    @staticmethod
    def now() -> int:
        """The timeline: monotonic, of no particular beginning."""
        return _monotonic() // 1000

    @staticmethod
    def wall() -> int:
        """Unix time."""
        return _wall() // 1000


def anchored(clock: Clock, offset: int) -> int:
    """The wall offset (wall minus timeline, µs) to go on with: the old one, unless the wall clock was set since."""
    fresh = clock.wall() - clock.now()
    return fresh if abs(fresh - offset) > WALL_JUMP else offset
