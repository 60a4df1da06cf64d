"""Answered calls on disk, so that a restart keeps them: their dialogs, their channels, and the end of their records.

A file beside the log (`-calls` added to its name), only for the guard itself: one line of JSON for each answered call,
another one when something of it changes or it ends; the last line of a call counts. It is written once a second by a
thread, and made anew, without what is over, when the guard starts, when it stops, and when it has doubled. A guard that
is killed loses at most the last second of it. Nobody reads it for evidence: that is the log's part.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Final, Literal, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from guard.net.say import LOG
from guard.proxy.call import Call
from guard.proxy.core import ALL
from guard.proxy.kept import KeptCall, keep
from guard.ratekeeping import Departures, Rates
from guard.store.tables import PAUSE

EVERY: Final = 1.0  # s between two looks at what has changed
SLICE: Final = 8  # calls that are looked at before messages have their turn: at 1 000 calls/s all took 2 to 5 ms
SLICES: Final = 512  # of these in a row: where each turn brings more, what was looked at is still written down
# Bytes that are added, at least, before the file is made anew: some 4 000 calls. As many as there were, where those are
# more: with 50 000 calls up it was made anew every 8 s, which took 2 s each, and calls were refused for want of time.
GROWN: Final = 4 * 1024 * 1024
POLITE: Final = 64  # lines read before the loop is made way for, some 0.2 ms
HOUR: Final = 3600.0  # s after which it is made anew in any case: what is over is nobody's business any more
MAX_PENDING: Final = 64 * 1024 * 1024  # bytes that wait while the disk takes none; beyond that the oldest are lost
MAX_LINE: Final = 256 * 1024  # bytes: a call has a handful of URIs and addresses
MODE: Final = 0o600
VERSION: Final = 1
Known = Literal["open", "over", "unknown"]  # what the log knows of a call
COUNTERS: Final = ("kept_calls", "kept_revived", "kept_unreadable", "kept_errors", "kept_lost")


class Line(Struct, frozen=True, omit_defaults=True):
    """One line: a call by its number in this file; without `call` it is over."""

    n: int
    call: KeptCall | None = None
    version: int = VERSION


class Place(Struct, frozen=True):
    """A line as far as it tells whose it is; what it says of the call is well-formed, and not read."""

    n: int
    call: msgspec.Raw = msgspec.Raw()


class Core(Protocol):
    """The proxy core, as far as calls are kept."""

    wall_offset: int

    def keep(self) -> None:
        """Remember what changes."""

    def changed(self, most: int = ..., /) -> dict[int, Call | None]:
        """What changed, by ticket; so much of it at most."""

    def revive(self, kept: KeptCall, now: int) -> int:
        """Go on with a call."""


_ENCODE: Final = msgspec.json.Encoder()
_DECODE: Final = msgspec.json.Decoder(Line)
_PLACE: Final = msgspec.json.Decoder(Place)


def path_of(store: Path) -> Path:
    """The file of a log's open calls."""
    return store.with_name(store.name + "-calls")


def read(path: Path) -> tuple[list[KeptCall], int]:
    """The calls of a file that are not over, oldest first, and how many lines could not be read. Raises OSError where
    there is a file and it cannot be read."""
    calls: dict[int, KeptCall] = {}
    bad = 0
    for _, line in _lines(path):
        try:
            found = _DECODE.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            bad += 1  # torn when the guard was killed, or of another version
            continue
        if found.version != VERSION:
            bad += 1
        elif found.call is None:
            calls.pop(found.n, None)
        else:
            calls[found.n] = found.call
    return list(calls.values()), bad


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each line begins, and the line; one that is too long in pieces."""
    at = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE):
                if line.strip():
                    yield at, line
                at += len(line)
    except FileNotFoundError:
        return


def write(path: Path, lines: Iterable[bytes]) -> int:
    """Make the file anew: whole, or as it was; how long it is now. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE), "wb") as file:
        file.writelines(lines)
        size = file.tell()
    fresh.replace(path)
    return size


def add(path: Path, lines: Iterable[bytes]) -> int:
    """Add lines to the file; how long it is now. A line that a kill tore apart stays alone. Raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE), "ab") as file:
        file.write(b"\n")
        file.writelines(lines)
        return file.tell()


def renew(path: Path) -> int:
    """Make the file anew without what is over; how long it is now. Raises OSError."""
    last: dict[int, int] = {}
    for at, line in _slowly(_lines(path)):
        try:
            found = _PLACE.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if found.call:
            last[found.n] = at
        else:
            last.pop(found.n, None)
    kept = set(last.values())
    return write(path, (line for at, line in _slowly(_lines(path)) if at in kept))


def _slowly(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The same, with pauses for the loop."""
    for n, line in enumerate(lines, 1):
        yield line
        if not n % POLITE:
            sleep(PAUSE)


def room(size: int) -> int:
    """How long a file may grow that is so long when it is made anew: the work stays in proportion to what is added."""
    return size + max(GROWN, size)


class Keeper:
    """Keeps the answered calls of one core, and the departures of `rates` (`now` is the timeline). `seq_of` gives the
    number of a call's record."""

    def __init__(
        self,
        path: Path,
        core: Core,
        seq_of: Callable[[int], int],
        fault: Callable[[Exception], None],
        rates: Rates | None = None,
        now: Callable[[], int] = lambda: 0,
    ) -> None:
        self._rates = rates
        self._now = now
        self._left: Departures | None = None  # what the file of departures is to hold, None where it holds that
        self._path = path
        self._core = core
        self._seq_of = seq_of
        self._fault = fault
        self._pending: list[bytes] = []
        self._there: set[int] = set()  # calls of which the file says, or soon will, that they are up
        self._limit = GROWN
        self._renewing = False  # with the next write
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "calls", _behind)  # one: lines keep their order
        self._failing = False
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    def load(self, look: Callable[[KeptCall], Known], resume: Callable[[int, KeptCall], None], now: int) -> None:
        """Go on with the calls of the life before, but for those whose record has its end (`look` tells what the log
        knows of one); `resume` hears of each. From now on calls are kept."""
        try:
            calls, bad = read(self._path)
        except OSError as error:
            self._failed(error)
            calls, bad = [], 0
        self.counters["kept_unreadable"] += bad
        lines = []
        for kept in calls:
            known = look(kept) if kept.seq else "unknown"
            if known == "over":
                continue
            if known == "unknown":
                kept = replace(kept, seq=0)  # of a log that is no more: no other record shall get its end
            ticket = self._core.revive(kept, now)
            lines.append(_line(Line(ticket, kept)))
            self._there.add(ticket)
            self.counters["kept_revived"] += 1
            try:
                resume(ticket, kept)
            except Exception as error:  # noqa: BLE001 - told: one call without its channel is better than no guard
                self._fault(error)
        self._core.keep()
        try:
            self._limit = room(write(self._path, lines))
            self._recall(now)
        except OSError as error:
            self._failed(error)
        if lines or bad:
            LOG.info("calls of before: %d go on%s", len(lines), f"; lines not readable: {bad}" if bad else "")

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
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._gather()
        if self._rates is not None:
            self._left = self._rates.last(self._now(), self._core.wall_offset)
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
                self._fault(error)

    def _gather(self, most: int = ALL) -> int:
        """Lines of what has changed, of so many calls at most; of how many."""
        offset = self._core.wall_offset
        changed = self._core.changed(most)
        for ticket, call in changed.items():
            if call is not None:
                self._there.add(ticket)
                line = Line(ticket, keep(call, self._seq_of(ticket), offset))
            elif ticket in self._there:
                self._there.remove(ticket)
                line = Line(ticket)
            else:
                continue  # answered and over since the last look: the file has never heard of it
            self.counters["kept_calls"] += 1
            self._pending.append(_line(line))
        return len(changed)

    def _note_rates(self) -> None:
        if self._rates is not None:
            self._left = self._rates.changed(self._now(), self._core.wall_offset) or self._left

    def _taken(self) -> list[bytes]:
        taken, self._pending = self._pending, []
        return taken

    def _write(self, lines: list[bytes]) -> None:
        """In a thread: no two at once."""
        try:
            self._write_rates()
            size = add(self._path, lines)
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


def _line(line: Line) -> bytes:
    return _ENCODE.encode(line) + b"\n"
