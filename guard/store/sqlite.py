"""The log in one SQLite file: one writer thread, entries committed in groups.

The network's thread only numbers an entry and queues it; the writer's thread encodes, hashes and commits all that is
there at once: straight away when somebody waits for an entry, else within a second. What the disk refuses stays
queued, in order, up to a bound, and is tried again; those who wait are told.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Literal

from guard.ledger.chain import GENESIS
from guard.ledger.penalties import Figures
from guard.ledger.record import LostBody
from guard.model import CallAttempt, CallEnded, Decision
from guard.store.aside import mark
from guard.store.bookfile import tip_of
from guard.store.entries import Decided, Done, Ended, Entry, Erase, Errand, Lost, Mark, Sign
from guard.store.errors import StoreError, StoreFull
from guard.store.lock import Lock
from guard.store.reader import SqliteReader
from guard.store.rows import Builder, behind, commit
from guard.store.schema import MEMORY, Durability, damaging, explained, open_writer
from guard.store.signing import Signer
from guard.store.tables import Pace

QUEUE_LIMIT = 50_000  # entries that wait for the disk: some 100 MB, and 100 s of a stopped disk at 500 entries a second
BATCH = 1_000  # entries in one transaction: what waits behind it waits some 20 ms
LAZY = 0.5  # seconds an entry that nobody waits for may wait to be committed with others (contract: one second)
RETRY = 0.5  # seconds between tries while the disk refuses; somebody who waits makes it try at once
CLOSE_PATIENCE = 5.0  # seconds that closing goes on trying while the disk refuses
ERASE_LIMIT = 250  # entries erased in one transaction: what waits behind it waits some 10 ms
FLUSH_PATIENCE = 60.0  # seconds: a full queue on a slow disk takes a few


class SqliteWriter:
    """The one writer of the log at `path` (":memory:" for one that lives no longer than this object).

    `decided` and `ended` are called from one thread. `money` is the penalties of each trunk, by its name. With
    `overflow` "drop" an entry beyond `queue_limit` is not kept: its `done` hears StoreFull, its seq is 0, it is
    counted in `lost` and the next entry that is kept is preceded by a note of it in the log; with "wait" (replay)
    the caller waits instead. `salts` gives so many random octets: a log that nobody keeps (replay) may have them all
    alike, so that the same calls make the same hashes. With a `signer`, `sign` and `close` leave checkpoints.
    `faults` counts commits that failed and were tried again.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        site: str,
        durability: Durability = "process",
        money: Mapping[str, Figures] | None = None,
        queue_limit: int = QUEUE_LIMIT,
        overflow: Literal["drop", "wait"] = "drop",
        salts: Callable[[int], bytes] = os.urandom,
        signer: Signer | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.faults = 0
        self.lost = 0
        self.last_error: BaseException | None = None
        self.replaces: dict[str, str] = {}  # files, it and those beside it, begun anew: where the damaged ones are kept
        self._overflow = overflow
        self._limit = queue_limit
        self._queue: deque[Entry] = deque()
        self._signals: SimpleQueue[bool | Callable[[], None]] = SimpleQueue()
        self._urgent = False
        self._taken = self._written = 0
        self._dropped = self._dropped_at = 0
        self._closing = self._closed = False
        self._lock = None if self.path == MEMORY else Lock(self.path)
        try:
            self._db = open_writer(self.path, durability)
            try:
                self._seq, self._tip = _last(self._db)
            except sqlite3.Error as error:
                self._db.close()
                raise explained(self.path, error) from error
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise
        self._reading = threading.Lock()  # a log in memory has one connection for its writer and its readers
        self._signer = signer
        books = partial(tip_of, self.path) if self.path != MEMORY else lambda: None
        self._builder = Builder(self._db, site, money or {}, salts, signer, books)
        self._backlog: deque[Entry] = deque()  # the thread's own: taken from the queue, not yet on disk
        self._size = BATCH
        self._worker: threading.Thread | None = None
        self._begin()

    def _begin(self) -> None:
        self._worker = threading.Thread(target=self._run, name="guard-log", daemon=True)
        self._worker.start()

    def _finish(self) -> None:
        """Commit what is left, as far as the disk takes it."""
        self._signals.put(True)
        if self._worker is not None:
            self._worker.join()

    # The caller's thread

    def decided(self, call: CallAttempt, decision: Decision, done: Done | None) -> int:
        """See `contract.Writer`. 0 when the queue is full: then there is no such record."""
        if self._taken - self._written >= self._limit and not self._make_room():
            self._drop(call.at, done)
            return 0
        if self._dropped:
            self._tell_lost()
        self._seq = seq = self._seq + 1
        self._hand_over(Decided(seq=seq, call=call, decision=decision, done=done), urgent=done is not None)
        return seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        """See `contract.Writer`. The end of a call that has no record (seq 0) is let go."""
        if seq <= 0:
            return
        if self._taken - self._written >= self._limit and not self._make_room():
            self._drop(ended.at, None)
            return
        if self._dropped:
            self._tell_lost()
        self._seq = own = self._seq + 1
        self._hand_over(Ended(seq=own, call=seq, ended=ended), urgent=False)

    def sign(self, at: int, done: Done | None = None) -> None:
        """Leave a checkpoint over all that was taken so far; `at` is Unix time in microseconds. Nothing without a
        signer."""
        self._hand_over(Sign(seq=self._seq, at=at, done=done), urgent=done is not None)

    def erase(
        self,
        seqs: tuple[int, ...],
        reason: Literal["retention", "request"],
        at: int,
        mark: int = 0,
        forget: str = "",
        done: Done | None = None,
    ) -> None:
        """Erase what these entries said (at most ERASE_LIMIT), and leave a note of it, in one transaction.

        `mark`: retention has dealt with all up to there. `forget`: of months before that one (`2026-11`), the keys go
        that tell an erased number's penalties apart.
        """
        if len(seqs) > ERASE_LIMIT:
            raise ValueError(f"{len(seqs)} entries to erase at once: {ERASE_LIMIT} is the limit")
        self._seq = own = self._seq + 1
        entry = Erase(seq=own, seqs=seqs, reason=reason, at=at, mark=mark, forget=forget, done=done)
        self._hand_over(entry, urgent=done is not None)

    def errand(self, work: Callable[[sqlite3.Connection], None], done: Done | None = None) -> None:
        """Have something written that is no entry of the log. `work` runs in the writer's thread, in a transaction,
        and anew when that was rolled back."""
        self._hand_over(Errand(work=work, done=done), urgent=done is not None)

    def adopt(self, money: Mapping[str, Figures]) -> None:
        """Other penalties from now on: those of entries that the thread has yet to write."""
        self._builder.money = money

    def flush(self, timeout: float = FLUSH_PATIENCE) -> None:
        """Wait until all that was taken is on disk. StoreError when the disk refuses it or takes too long."""
        answer: SimpleQueue[BaseException | None] = SimpleQueue()
        self._hand_over(Mark(done=answer.put), urgent=True)
        try:
            error = answer.get(timeout=timeout)
        except Empty:
            raise StoreError(f"{self.path}: still not written after {timeout:g} s") from None
        if error is not None:
            raise StoreError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Commit all that was taken, and stop. StoreError when entries could not be written, naming how many."""
        if self._closed:
            return
        if self._dropped:
            self._tell_lost()
        if self._signer is not None:
            self.sign(time.time_ns() // 1000)
        self._closing = self._closed = True
        self._finish()
        left = len(self._backlog)
        self._db.close()
        if self._lock is not None:
            self._lock.release()
        if left:
            raise StoreError(f"{self.path}: {left} entries could not be written: {self.last_error}")

    @property
    def public(self) -> bytes:
        """The public key of the checkpoints; empty where there are none."""
        return self._signer.public if self._signer is not None else b""

    @property
    def pending(self) -> int:
        """Entries taken and not yet on disk."""
        return self._taken - self._written

    @property
    def written(self) -> int:
        """Entries on disk, of those taken in this life."""
        return self._written

    def reader(self, timezone: str = "Europe/Paris") -> SqliteReader:
        """A reader of this log; of one in memory, in this process only."""
        if self.path == MEMORY:
            return SqliteReader(self.path, timezone=timezone, shared=(self._db, self._reading))
        return SqliteReader(self.path, timezone=timezone)

    def _hand_over(self, entry: Entry, *, urgent: bool) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: the log is closed")
        self._taken += 1
        queue = self._queue
        queue.append(entry)
        # The first of a group wakes the thread, and the first that somebody waits for makes it hurry. Appended before
        # asking: if the thread takes the entry in between, an idle wake-up is all that comes of it.
        if urgent:
            if not self._urgent:
                self._urgent = True
                self._signals.put(True)
        elif len(queue) == 1:
            self._signals.put(False)

    def _make_room(self) -> bool:
        if self._overflow == "drop":
            return False
        self.flush()
        return True

    def _drop(self, at: int, done: Done | None) -> None:
        self.lost += 1
        self._dropped += 1
        self._dropped_at = self._dropped_at or at
        if done is not None:
            error = StoreFull(f"{self.path}: {self._limit} entries wait for the disk already: {self.last_error}")
            self._signals.put(partial(done, error))

    def _tell_lost(self) -> None:
        body = LostBody(entries=self._dropped, reason="the queue was full", at=self._dropped_at)
        self._dropped = self._dropped_at = 0
        self._seq += 1
        self._hand_over(Lost(seq=self._seq, body=body), urgent=False)

    # The writer's thread

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # where that is forbidden, messages wait for the log at times, as before
            # So that it does not push the loop off their core whenever the loop lets go of the interpreter for a system
            # call: datagrams waited up to 5 ms for a group commit.
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        give_up = 0.0
        while True:
            self._wait()
            self._urgent = False
            self._drain()
            while self._backlog and self._commit():
                self._drain()
            if not self._closing:
                continue
            self._drain()
            give_up = give_up or time.monotonic() + CLOSE_PATIENCE
            if not self._backlog or time.monotonic() >= give_up:
                break
        while not self._signals.empty():
            self._take_signal(0)

    def _drain(self) -> None:
        queue, backlog = self._queue, self._backlog
        while queue:
            backlog.append(queue.popleft())

    def _wait(self) -> None:
        """Until it is time to commit: somebody waits, or the oldest entry has waited long enough."""
        if self._backlog:  # the disk refused them
            self._signalled(time.monotonic() + RETRY)
        elif not self._closing and not self._take_signal(None):
            self._signalled(time.monotonic() + LAZY)

    def _signalled(self, until: float) -> None:
        while not self._closing:
            left = until - time.monotonic()
            try:
                if left <= 0 or self._take_signal(left):
                    return
            except Empty:
                return
        if self._backlog:
            time.sleep(RETRY / 10)  # closing while the disk refuses: no signal will come any more

    def _take_signal(self, timeout: float | None) -> bool:
        signal = self._signals.get(timeout=timeout)
        if isinstance(signal, bool):
            return signal
        self._call(signal)
        return False

    def _commit(self) -> bool:
        """Put the oldest entries on disk in one transaction; False when they stay."""
        batch = list(islice(self._backlog, self._size))
        try:
            with self._reading:
                self._transaction(batch)
        except sqlite3.Error as error:
            self._refused(error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever one entry holds, the log goes on, and says so
            self._unwritable(batch, error)
            return True
        for _ in batch:
            self._backlog.popleft()
        self._written += len(batch)
        self._size = BATCH
        for entry in batch:
            self._tell(entry, None)
        return True

    def _transaction(self, batch: list[Entry]) -> None:
        # Who waits for the disk itself has no calls to carry meanwhile.
        pace: Pace = "alone" if self._overflow == "wait" else "behind" if behind(batch) else "polite"
        self._tip = commit(self._db, self._builder, batch, self._tip, pace)

    def _refused(self, error: sqlite3.Error) -> None:
        """The disk said no: all who wait hear it, also those behind this batch; the entries stay."""
        self.faults += 1
        self.last_error = error
        if damaging(error) and self.path != MEMORY:
            with contextlib.suppress(OSError):  # a disk that takes no mark: the next start looks for itself
                mark(self.path)
        self._drain()
        for entry in self._backlog:
            self._tell(entry, error)

    def _unwritable(self, batch: list[Entry], error: Exception) -> None:
        """Something in the batch cannot be encoded: find it alone, and leave a note in its place."""
        self.faults += 1
        self.last_error = error
        if len(batch) > 1:
            self._size = 1
            return
        entry = batch[0]
        self._tell(entry, error)
        if isinstance(entry, Mark | Sign | Errand):
            self._backlog.popleft()
            self._written += 1
            self._size = BATCH
            return
        self.lost += 1
        reason = f"cannot be written: {type(error).__name__}"
        self._backlog[0] = Lost(seq=entry.seq, body=LostBody(entries=1, reason=reason))

    def _tell(self, entry: Entry, error: BaseException | None) -> None:
        if entry.done is not None:
            done, entry.done = entry.done, None
            self._call(partial(done, error))

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - another's fault must not end the log's thread; it is counted
            self.faults += 1
            self.last_error = error


def _last(db: sqlite3.Connection) -> tuple[int, bytes]:
    """Seq and hash of the last entry. Where rows were cut off, the head still tells: `verify` will show the gap."""
    head = db.execute("SELECT seq, hash FROM head").fetchone() or (0, GENESIS)
    last = db.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone() or (0, GENESIS)
    return max(head, last)
