"""What a running guard does beside the calls: it signs checkpoints, erases what is too old, and does what commands ask.

All on the loop that the calls run on, but for the reading of the log, which another thread does; the log's own thread
writes. Nothing here may cost a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import tzinfo
from functools import partial
from typing import Final, TypeVar

from guard.beside import Beside, aside, reading
from guard.config import Config
from guard.evidence.policies import keep
from guard.ledger import checkpoint
from guard.net.clock import Clock
from guard.net.say import LOG
from guard.policy.digest import digest, enforcing, parts
from guard.store import requests, retention
from guard.store.bookfile import BookFile, path_of
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.reader import SqliteReader
from guard.store.schema import MEMORY
from guard.store.signing import signed
from guard.store.sqlite import ERASE_LIMIT, SqliteWriter
from guard.store.verify import signatures

T = TypeVar("T")
Done = Callable[[BaseException | None], None]
LOOK: Final = 2.0  # s between looks for what is to be done: a person waits for the answer to a command
HOUR: Final = 3_600_000_000  # µs
DAY: Final = 24 * HOUR
SOON: Final = HOUR // 60  # µs: what people write into the books is signed within that time, and no checkpoint is nearer
FIRST_PURGE: Final = HOUR // 6  # µs after the start: not among the calls that come back first
BREATH: Final = (
    0.05  # s between two slices that are erased, so that the log's thread is the calls' for most of the time
)
LAST: Final = 5.0  # s that a guard which stops waits for the log to take its policies
STILL: Final = 2 * DAY  # a checkpoint comes every hour: a clock further on than that may be wrong
BACK: Final = HOUR


class Housekeeper:
    """`start` it on a running loop when the log is open, `stop` it before the log is closed."""

    def __init__(self, store: SqliteWriter, config: Config, clock: Clock, fault: Callable[[Exception], None]) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._begun = False
        self._beside = Beside(self._turn, LOOK, fault, "")
        self._last = Beside(self._keep, LOOK, fault, "a policy is not kept with the log: ")
        self._next_sign = self._next_purge = 0
        self._unkept: list[str] = []
        self._books = (0, 0)  # when the books beside the log were last written, as of the last checkpoint
        self._offset = 0

    def start(self) -> None:
        """Begin."""
        now = self._clock.now()
        self._offset = self._clock.wall() - now
        self._next_purge = now + FIRST_PURGE
        self._next_sign = now + HOUR
        self._beside.start()

    async def stop(self) -> None:
        """Give up what is under way: it goes on at the next start. But for the policies that calls were decided by: the
        next start may find other files, so they are kept now."""
        went = self._beside.goes
        await self._beside.stop()
        if went:
            try:
                await asyncio.wait_for(self._last.once(), LAST)
            except TimeoutError:
                LOG.warning("a policy is not kept with the log: no answer for %g s", LAST)

    def adopt(self, config: Config, named: str) -> None:
        """A policy comes into force, and is to be kept with the log. `named` is the digest that records name it by."""
        self._config = config
        self._unkept.append(named)

    async def _turn(self) -> None:
        if self._begun:
            await self._look()
        else:
            self._begun = True
            await self._first()

    async def _first(self) -> None:
        """What the guard finds at its start, before it signs anything itself."""
        async with reading(self._store) as reader:
            last = await aside(_last, reader)
        if last is not None:
            found, held = last
            if not held:
                LOG.error(
                    "the log is not what was signed: checkpoint %d names entry %d; `guard log --verify` tells more",
                    found.n,
                    found.seq,
                )
            gap = self._clock.wall() - found.at
            if not -BACK <= gap <= STILL:
                LOG.warning("the clock differs by %d h from the last checkpoint: nothing is purged today", gap // HOUR)
                self._next_purge = self._clock.now() + DAY
        self._books = await aside(BookFile(path_of(self._store.path)).stamp)
        self._store.sign(self._clock.wall())
        await self._keep()
        if last is not None and self._store.path != MEMORY:
            letters = await aside(settle_books, self._store.path, self._config.zone, last[0])
            if letters:
                LOG.info("deleted %d letters of the books whose entries were erased before the guard stopped", letters)

    async def _look(self) -> None:
        await self._keep()
        now = self._clock.now()
        books = await aside(BookFile(path_of(self._store.path)).stamp)
        if now >= self._next_sign or (books != self._books and now >= self._next_sign - HOUR + SOON):
            self._next_sign = now + HOUR
            self._books = books
            self._store.sign(self._clock.wall())
        async with reading(self._store) as reader:
            for request in await aside(requests.waiting, reader):
                answer = requests.answering(request.id, await self._answer(reader, request))
                await self._written(partial(self._store.errand, answer))
        if now >= self._next_purge:
            self._next_purge = now + DAY
            await self._purge_daily()

    async def _keep(self) -> None:
        """Keep the policies that came into force, unless that was done."""
        for named in tuple(dict.fromkeys(self._unkept)):
            await self._keep_one(named)
            self._unkept = [other for other in self._unkept if other != named]

    async def _keep_one(self, named: str) -> None:
        try:
            found = await aside(parts, self._config)
        except OSError as error:
            LOG.warning("the policy %s is not kept with the log: %s", named, error)
            return
        while_passed = enforcing(found)
        if named == digest(while_passed):
            found = while_passed
        if digest(found) != named:  # the reload that follows keeps what stands there now
            LOG.warning("the policy %s is not kept with the log: its files have changed meanwhile", named)
            return
        work = await aside(keep, named, self._clock.wall(), found)
        await self._written(partial(self._store.errand, work))

    async def _purge_daily(self) -> None:
        offset = self._clock.wall() - self._clock.now()
        jump, self._offset = offset - self._offset, offset
        if abs(jump) > BACK:
            LOG.warning("the clock was set by %d h: nothing is purged today", jump // HOUR)
            return
        async with reading(self._store) as reader:
            calls, entries = await self._purge(reader)
        if entries:
            LOG.info("erased what %d calls said that are older than %d days", calls, self._days)
        days = self._config.file.store.incident_days
        if self._store.path != MEMORY:
            written, letters = await aside(purge_books, self._store.path, self._config.zone, self._clock.wall(), days)
            if written:
                LOG.info("erased %d entries and %d letters of the books, older than %d days", written, letters, days)

    @property
    def _days(self) -> int:
        return self._config.file.store.retention_days

    async def _answer(self, reader: SqliteReader, request: requests.Request) -> requests.Answer:
        try:
            if request.kind == "purge":
                calls, entries = await self._purge(reader)
            elif request.kind == "erase":
                calls, entries = await self._forget(reader, request.argument)
            else:
                return requests.Answer(error=f'this guard cannot "{request.kind}": it is older than the command')
        except (StoreError, ValueError) as error:
            return requests.Answer(error=str(error))
        return requests.Answer(calls=calls, entries=entries)

    async def _purge(self, reader: SqliteReader) -> tuple[int, int]:
        """Erase what is too old; how many calls and entries."""
        wanted = await aside(retention.due, reader, self._clock.wall(), self._days)
        counted = await aside(retention.count, reader, wanted)
        found = retention.slices(reader, wanted)
        while (part := await aside(_next, found)) is not None:
            seqs, mark = part
            forget = wanted.forget
            await self._erased(partial(self._store.erase, seqs, "retention", self._clock.wall(), mark, forget))
        await aside(requests.settle, self._store.path)
        return counted

    async def _forget(self, reader: SqliteReader, number: str) -> tuple[int, int]:
        """Erase the calls of a number; how many calls and entries."""
        await self._written(partial(self._store.errand, lambda _: None))  # what is still queued, too
        calls, seqs = await aside(_entries, reader, number)
        for start in range(0, max(len(seqs), 1), ERASE_LIMIT):
            part = seqs[start : start + ERASE_LIMIT]
            await self._erased(partial(self._store.erase, part, "request", self._clock.wall(), 0, ""))
        await aside(requests.settle, self._store.path)
        return calls, len(seqs)

    async def _erased(self, hand_over: Callable[[Done], None]) -> None:
        await self._written(hand_over)
        await asyncio.sleep(BREATH)

    async def _written(self, hand_over: Callable[[Done], None]) -> None:
        """Hand something to the log's thread and wait until it is on disk. StoreError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def told(error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(StoreError(str(error)))

        def done(error: BaseException | None) -> None:
            loop.call_soon_threadsafe(told, error)

        hand_over(done)
        await future


def purge_books(log: str, zone: tzinfo, now: int, days: int) -> tuple[int, int]:
    """Erase what the books beside a log hold of incidents closed, and penalties entered, more than so many days ago:
    how many entries and letters. Blocks: not for the loop."""
    with Books(log, zone) as books:
        incidents, entries = books.old(now - days * DAY)
        return books.erase(incidents, entries, "retention", now) if incidents or entries else (0, 0)


def settle_books(log: str, zone: tzinfo, last: checkpoint.Checkpoint) -> int:
    """Finish a deletion of letters that a crash broke off, as `Books.settle` says; how many. Blocks."""
    with Books(log, zone) as books:
        return books.settle(last.books, last.books_hash)


def _next(found: Iterator[T]) -> T | None:
    return next(found, None)


def _entries(reader: SqliteReader, number: str) -> tuple[int, tuple[int, ...]]:
    found = list(retention.about(reader, number, lambda _done, _of: None))
    return len(found), tuple(sorted(seq for one in found for seq in one.seqs))


def _last(reader: SqliteReader) -> tuple[checkpoint.Checkpoint, bool] | None:
    """The last checkpoint, and whether the log still holds the entry that it names."""
    rows = signatures(reader)
    if not rows:
        return None
    kept = signed(tuple(rows[-1][1:]))
    if kept is None:
        return None  # `guard log --verify` names it
    found = checkpoint.decode(kept.message)
    there = reader.fetch("SELECT hash FROM entries WHERE seq = ?", (found.seq,))
    return found, not found.seq or bool(there and there[0][0].hex() == found.hash)
