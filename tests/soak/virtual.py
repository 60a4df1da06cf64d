"""A loop whose time is virtual: when nothing is left to do, the clock goes on to the next timer at once.

What threads would do beside the calls is done on the spot, so that a day of the guard is the same day each time. Only
the log's own thread is real; until it has written what it was given, time stands still.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final, TypeVarTuple

from guard.model import CallAttempt, CallEnded, Decision
from guard.store.entries import Done, Entry
from guard.store.sqlite import SqliteWriter

Ts = TypeVarTuple("Ts")
BEGIN: Final = 1_000.0  # s, where the timeline begins
NOD: Final = 0.000_2  # s of real time between two looks whether the log has written


class Skipping(selectors.EpollSelector):
    """Waits for nothing but the log: where nothing is there to be read, the clock moves instead."""

    def __init__(self) -> None:
        super().__init__()
        self.time = BEGIN
        self.busy: Callable[[], bool] = bool  # whether the log has something to write

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See `selectors`."""
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self.busy() or timeout is None:
            return super().select(NOD)
        self.time += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. `waits` is asked whether time has to stand still."""

    def __init__(self) -> None:
        self._skipping = Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._skipping.time

    def waits(self, busy: Callable[[], bool]) -> None:
        """Time stands still while `busy`."""
        self._skipping.busy = busy

    def run_in_executor(  # type: ignore[override]  # typeshed has it return a future of the function's own type
        self, executor: Executor | None, func: Callable[[*Ts], object], *args: *Ts
    ) -> asyncio.Future[object]:
        """Done on the spot: no thread, no other order."""
        del executor
        done: asyncio.Future[object] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as a thread's: it is raised where it is awaited
            done.set_exception(error)
        return done


class VirtualClock:
    """Both clocks of the guard on such a loop. `wall` is Unix time (µs) where the timeline begins."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: int) -> None:
        self._loop = loop
        self._offset = wall - self.now()

    def now(self) -> int:
        """The timeline, µs."""
        return int(self._loop.time() * 1_000_000)

    def wall(self) -> int:
        """Unix time, µs."""
        return self._offset + self.now()


class WatchedLog(SqliteWriter):
    """The log, and which calls ended: `open` are decided ones whose end is still to come, `twice` those that ended more
    than once."""

    def __init__(self, *args: object, **named: object) -> None:
        self.open: dict[int, str] = {}
        self.decisions = self.ended_once = 0
        self.twice: list[int] = []
        self._told = threading.Lock()
        self._waiting = 0
        super().__init__(*args, **named)  # type: ignore[arg-type]  # the same

    def busy(self) -> bool:
        """Whether something is not on disk yet, or somebody waits to hear that it is."""
        return self.pending > 0 or self._waiting > 0

    def decided(self, call: CallAttempt, decision: Decision, done: Done | None) -> int:
        """See `SqliteWriter`."""
        seq = super().decided(call, decision, done)
        self.decisions += 1
        self.open[seq] = call.call_id
        return seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        """See `SqliteWriter`."""
        super().ended(seq, ended)
        if self.open.pop(seq, None) is None:
            self.twice.append(seq)
        else:
            self.ended_once += 1

    def _hand_over(self, entry: Entry, *, urgent: bool) -> None:
        done = entry.done
        if done is not None:
            with self._told:
                self._waiting += 1
            entry.done = partial(self._tell_and_count, done)
        super()._hand_over(entry, urgent=urgent)

    def _tell_and_count(self, done: Done, error: BaseException | None) -> None:
        done(error)
        with self._told:
            self._waiting -= 1
