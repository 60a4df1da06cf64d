"""What a running guard is asked by the guard's other processes, and what answers them: put together in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from guard.instruments import Instruments, Running
from guard.net.clock import Clock
from guard.net.control import Control
from guard.net.verdicts import Verdicts
from guard.state.memory import MemoryState
from guard.state.shared import Shared
from guard.store.sqlite import SqliteWriter
from guard.switchboard import Switchboard

TICK: Final = 1.0  # s


class Asking:
    """Of one guard. `life` is of this start alone. `start` on its loop, `drain` when it is being stopped, `stop`."""

    def __init__(
        self,
        running: Running,
        state: MemoryState | Shared,
        verdicts: Verdicts,
        store: SqliteWriter,
        clock: Clock,
        life: str,
    ) -> None:
        driver = running.driver
        self.instruments = Instruments(running, state, verdicts, store, clock, lambda: self.switchboard.open)
        self.switchboard = Switchboard(
            lambda: running.config, self.instruments.read, running.desk, verdicts, running.core, driver.turn,
            driver.now, life, driver.fault,
        )  # fmt: skip
        self.drain = self.switchboard.drain
        place = running.config.web.control if running.config.web is not None else None
        self.control = Control(place, self.switchboard, driver.fault) if place is not None else None

    async def start(self, every: Callable[[float, Callable[[], None]], None]) -> None:
        """Answer from now on; `every` has something done once in so many seconds."""
        every(TICK, self.instruments.tick)
        every(TICK, self.switchboard.tick)
        if self.control is not None:
            await self.control.start()

    async def stop(self) -> None:
        """Answer nobody any more."""
        if self.control is not None:
            await self.control.stop()

    @property
    def counters(self) -> dict[str, int]:
        """What was asked."""
        return self.control.counters if self.control is not None else {}
