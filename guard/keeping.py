"""Answered calls on disk, so that a restart keeps them: their dialogs, their channels, and the end of their records.

A file beside the log (`-calls` added to its name), only for the guard itself: one line of JSON for each answered call,
another one when something of it changes or it ends; the last line of a call counts. It is written once a second by a
thread, and made anew, without what is over, when the guard starts, when it stops, and when it has doubled. A guard that
is killed loses at most the last second of it. Nobody reads it for evidence: that is the log's part.

A guard that starts takes of each line whose it is, and serves; calls are made of the lines beside (`guard.resting`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from msgspec.structs import replace

from guard.callsfile import GROWN, UNREADABLE, Whose, add, anew, call_of, line_of, read, renew, room, write
from guard.net.say import LOG
from guard.proxy.call import Call
from guard.proxy.calls import Rests
from guard.proxy.core import ALL
from guard.proxy.kept import KeptCall, keep
from guard.ratekeeping import Departures, Rates
from guard.resting import AT_ONCE, Known, Resting

EVERY: Final = 1.0  # s between two looks at what has changed
SLICE: Final = 8  # calls that are looked at before messages have their turn: at 1 000 calls/s all took 2 to 5 ms
SLICES: Final = 512  # of these in a row: where each turn brings more, what was looked at is still written down
HOUR: Final = 3600.0  # s after which it is made anew in any case: what is over is nobody's business any more
MAX_PENDING: Final = 64 * 1024 * 1024  # bytes that wait while the disk takes none; beyond that the oldest are lost
COUNTERS: Final = ("kept_calls", "kept_revived", "kept_unreadable", "kept_errors", "kept_lost")


class Core(Protocol):
    """The proxy core, as far as calls are kept."""

    wall_offset: int

    def keep(self) -> None:
        """Remember what changes."""

    def changed(self, most: int = ..., /) -> dict[int, Call | None]:
        """What changed, by ticket; so much of it at most."""

    def next_ticket(self) -> int:
        """A ticket for a call that goes on."""

    def revive(self, kept: KeptCall, ticket: int, now: int) -> None:
        """Go on with a call."""

    def rest(self, calls: Rests | None) -> None:
        """Calls that go on once something is heard of them; None: no more."""


class Driver(Protocol):
    """Who turns the core."""

    def now(self) -> int:
        """The timeline, µs."""

    def turn(self, what: Callable[[int], None], /) -> None:
        """Do something at an instant, and all that comes of it."""

    def fault(self, error: Exception, /) -> None:
        """Something raised: told and counted."""


class Keeper:
    """Keeps the answered calls of one core, and the departures of `rates`. `seq_of` gives the number of a call's
    record."""

    def __init__(
        self, path: Path, core: Core, driver: Driver, seq_of: Callable[[int], int], rates: Rates | None = None
    ) -> None:
        self._rates = rates
        self._left: Departures | None = None  # what the file of departures is to hold, None where it holds that
        self._path = path
        self._core = core
        self._driver = driver
        self._seq_of = seq_of
        self._pending: list[bytes] = []
        self._there: set[int] = set()  # calls of which the file says, or soon will, that they are up
        self._resting = Resting(self._goes_on)
        self._resume: Callable[[int, KeptCall], None] = _nobody
        self._anew: list[bytes] = []  # what the file is to begin with, where that could not be written at the start
        self._limit = GROWN
        self._renewing = False  # with the next write
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = ThreadPoolExecutor(1, "calls", _behind)  # one: lines keep their order
        self._failing = False
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    def load(
        self,
        look: Callable[[Sequence[Whose]], Sequence[Known]],
        known: Callable[[int, int], None],
        resume: Callable[[int, KeptCall], None],
        *,
        rest: bool = True,
    ) -> None:
        """Go on with the calls of the life before, but for those whose record has its end (`look` tells what the log
        knows of them). `known` hears of each its ticket and the number of its record, at once; `resume` of each when it
        goes on: without `rest` all do at once. From now on calls are kept."""
        self._resume = resume
        try:
            calls, bad = read(self._path)
        except OSError as error:
            self._failed(error)
            calls, bad = [], 0
        lines, later = [], []
        for call, what in zip(calls, look([c.whose for c in calls]), strict=True):
            if what == "over":
                continue
            ticket = self._core.next_ticket()
            lines.append(anew(ticket, call.line))
            self._there.add(ticket)
            known(ticket, call.whose.seq if what == "open" else 0)  # no record of another log shall get its end
            if call.whose.urgent or len(lines) <= AT_ONCE or not rest:
                self._goes_on(ticket, call.line)
            else:
                later.append((ticket, call))
        # The last go on first: those that the guard itself is to end soon.
        for ticket, call in sorted(later, key=lambda one: (one[1].whose.ends > 0, -one[1].whose.ends)):
            self._resting.add(call.whose, ticket, call.line)
        self.counters["kept_unreadable"] += bad
        self._core.rest(self._resting if len(self._resting) else None)
        self._core.keep()
        self._begin(lines)
        if lines or bad:
            LOG.info("calls of before: %d go on%s", len(lines), f"; lines not readable: {bad}" if bad else "")

    def _begin(self, lines: list[bytes]) -> None:
        """The files of this life."""
        try:
            self._limit = room(write(self._path, lines))
        except OSError as error:
            self._anew = lines
            self._failed(error)
        try:
            self._recall(self._driver.now())
        except OSError as error:
            self._failed(error)

    def _goes_on(self, ticket: int, line: bytes) -> None:
        try:
            kept = replace(call_of(line), seq=self._seq_of(ticket))
        except UNREADABLE:
            self.counters["kept_unreadable"] += 1
            self._there.discard(ticket)
            self._pending.append(line_of(ticket, None))
            return
        try:
            self._core.revive(kept, ticket, self._driver.now())
            self.counters["kept_revived"] += 1
            self._resume(ticket, kept)
        except Exception as error:  # noqa: BLE001 - told: one call without its channel is better than no guard
            self._driver.fault(error)

    async def _wake(self) -> None:
        """What rests goes on, beside calls."""
        bad = self.counters["kept_unreadable"]
        while len(self._resting):
            self._driver.turn(lambda _: self._resting.some())
            await asyncio.sleep(0)
        self._core.rest(None)
        if more := self.counters["kept_unreadable"] - bad:
            LOG.warning("%s: calls of before that cannot be read, and do not go on: %d", self._path, more)

    def _recall(self, now: int) -> None:
        """Count what left in the life before. Raises OSError."""
        if self._rates is None:
            return
        try:
            self._left = self._rates.load(now, self._core.wall_offset)
        except ValueError as error:
            self.counters["kept_unreadable"] += 1
            LOG.warning("%s: %s; the last second of the life before is not counted", self._rates.path, error)
        self._write_rates()

    def start(self) -> None:
        """Begin to look every second."""
        self._thread.submit(bool)  # begun now: without memory none could be, and what is up at the end has to be kept
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._wake())]

    async def stop(self) -> None:
        """Write what is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._gather()
        if self._rates is not None:
            self._left = self._rates.last(self._driver.now(), self._core.wall_offset)
        self._renewing = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, self._taken())
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(EVERY)
            try:
                for _ in range(SLICES):
                    if self._gather(SLICE) < SLICE:
                        break
                    await asyncio.sleep(0)
                self._note_rates()
                if loop.time() - renewed > HOUR:
                    self._renewing, renewed = True, loop.time()
                if self._pending or self._renewing or self._left is not None:
                    await asyncio.shield(loop.run_in_executor(self._thread, self._write, self._taken()))
            except Exception as error:  # noqa: BLE001 - told: calls go on, whatever becomes of this file
                self._driver.fault(error)

    def _gather(self, most: int = ALL) -> int:
        """Lines of what has changed, of so many calls at most; of how many."""
        offset = self._core.wall_offset
        changed = self._core.changed(most)
        for ticket, call in changed.items():
            if call is not None:
                self._there.add(ticket)
                line = line_of(ticket, keep(call, self._seq_of(ticket), offset))
            elif ticket in self._there:
                self._there.remove(ticket)
                line = line_of(ticket, None)
            else:
                continue  # answered and over since the last look: the file has never heard of it
            self.counters["kept_calls"] += 1
            self._pending.append(line)
        return len(changed)

    def _note_rates(self) -> None:
        if self._rates is not None:
            self._left = self._rates.changed(self._driver.now(), self._core.wall_offset) or self._left

    def _taken(self) -> list[bytes]:
        taken, self._pending = self._pending, []
        return taken

    def _write(self, lines: list[bytes]) -> None:
        """In a thread: no two at once."""
        try:
            self._write_rates()
            size = write(self._path, [*self._anew, *lines]) if self._anew else add(self._path, lines)
            self._anew = []
            if size > self._limit or self._renewing:
                self._limit = room(renew(self._path))
                self._renewing = False
        except OSError as error:
            self._failed(error)
            while lines and sum(map(len, lines)) > MAX_PENDING:
                del lines[0]
                self.counters["kept_lost"] += 1
            self._pending[:0] = lines
        else:
            self._failing = False

    def _write_rates(self) -> None:
        """Raises OSError."""
        left = self._left
        if self._rates is not None and left is not None:
            write(self._rates.path, (left.line(),))
            if self._left is left:
                self._left = None

    def _failed(self, error: OSError) -> None:
        self.counters["kept_errors"] += 1
        if not self._failing:
            self._failing = True
            LOG.warning("%s: %s; calls that are up would not outlast a restart", self._path, error.strerror or error)


def _behind() -> None:
    """The thread does not push the loop off its core when it is woken."""
    with contextlib.suppress(OSError):  # where that is forbidden, messages wait for it at times
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _nobody(_: int, __: KeptCall) -> None:
    """Before there are any calls."""
