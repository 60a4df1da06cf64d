"""Work beside the calls: it comes again and again, what the disk takes its time for is done in a thread, and whatever
goes wrong is told and costs no call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from guard.net.say import LOG
from guard.store.errors import StoreError
from guard.store.reader import SqliteReader

T = TypeVar("T")


class Log(Protocol):
    """A log that can be read."""

    def reader(self) -> SqliteReader:
        """Reads it. Raises StoreError."""


class Beside:
    """`work`, each `pause` seconds from `start` to `stop`. A StoreError is told with `fails` before it, once until it
    is another one or all is well again; a fault of ours goes to `fault`."""

    def __init__(
        self, work: Callable[[], Awaitable[object]], pause: float, fault: Callable[[Exception], None], fails: str
    ) -> None:
        self._work = work
        self._pause = pause
        self._fault = fault
        self._fails = fails
        self._told = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def goes(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._task is not None

    def start(self) -> None:
        """Begin, at once."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def once(self) -> None:
        """One turn of it, which raises nothing."""
        try:
            await self._work()
        except StoreError as error:
            if str(error) != self._told:
                LOG.warning("%s%s", self._fails, error)
            self._told = str(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours beside the calls is told, and costs no call
            self._fault(error)
        else:
            self._told = ""

    async def _run(self) -> None:
        while True:
            await self.once()
            await asyncio.sleep(self._pause)


async def aside(work: Callable[..., T], *args: object) -> T:
    """What a thread makes, waited for to its end even where nobody wants it any more: a file that is closed while the
    thread reads it would end the process."""
    running = asyncio.get_running_loop().run_in_executor(None, work, *args)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


@asynccontextmanager
async def reading(log: Log) -> AsyncIterator[SqliteReader]:
    """A reader of a log for what is done `aside`, opened and closed there too: to begin to read, SQLite writes into the
    log's index, and on a disk that hangs the loop would hang with it, and every call."""
    reader = await aside(log.reader)
    try:
        yield reader
    finally:
        await aside(reader.close)
