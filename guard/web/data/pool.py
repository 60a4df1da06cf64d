"""Readers of the log, a few and kept open, each used by one thread at a time: the web's loop never waits for a disk."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from guard.store.errors import StoreError
from guard.store.reader import SqliteReader

READERS: Final = 4  # at once: what they wait for is the disk; more would only take the processor from calls
WAITING: Final = 64  # requests that may wait for a reader: beyond them the honest answer is "later"
CACHE_KIB: Final = 32 << 10  # of pages of the log a reader: the upper parts of the indexes of ten million calls

T = TypeVar("T")


class Busy(Exception):
    """Too many requests wait for the log."""


class Pool:
    """Lends readers of the log at `path`. A log that was replaced is opened anew; StoreError while there is none."""

    def __init__(self, path: str, timezone: str) -> None:
        self._path = path
        self._timezone = timezone
        self._idle: list[tuple[tuple[int, int], SqliteReader]] = []
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="log")
        self._waiting = 0
        self._closed = False

    async def run(self, work: Callable[[SqliteReader], T]) -> T:
        """What `work` makes of a reader, in a thread. Raises Busy, StoreError and whatever `work` raises."""
        if self._waiting >= READERS + WAITING:
            raise Busy
        self._waiting += 1
        # A request that was given up still runs to its end: until then it counts.
        future = asyncio.get_running_loop().run_in_executor(self._threads, self.now, work)
        future.add_done_callback(self._done)
        return await future

    def now(self, work: Callable[[SqliteReader], T]) -> T:
        """The same in this thread."""
        identity, reader = self._take()
        try:
            made = work(reader)
        except StoreError:
            reader.close()  # the next one is opened anew: the file may have been repaired, or moved away
            raise
        except BaseException:
            self._give(identity, reader)
            raise
        self._give(identity, reader)
        return made

    def close(self) -> None:
        """Let go of the file. What still runs ends first."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, reader in idle:
            reader.close()

    def _done(self, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # told to whoever waits; nobody may any more

    def _take(self) -> tuple[tuple[int, int], SqliteReader]:
        identity = self._identity()
        while True:
            with self._lock:
                if not self._idle:
                    break
                found, reader = self._idle.pop()
            if found == identity:
                return found, reader
            reader.close()
        reader = SqliteReader(self._path, timezone=self._timezone)
        reader.fetch(f"PRAGMA cache_size = -{CACHE_KIB}", made=False)
        return identity, reader

    def _give(self, identity: tuple[int, int], reader: SqliteReader) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append((identity, reader))
                return
        reader.close()

    def _identity(self) -> tuple[int, int]:
        """Which file it is: a log that was moved away and begun anew has the same name."""
        try:
            there = os.stat(self._path)
        except OSError:
            return 0, 0  # opening it says what is wrong
        return there.st_dev, there.st_ino
