"""Work beside the calls: it comes again whatever happens, and what happens is told."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from guard.beside import Beside, aside, reading
from guard.store.errors import StoreError
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter


def test_it_comes_again_and_tells_each_trouble_once(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []
    faults: list[Exception] = []
    what: list[Exception | None] = [StoreError("full"), StoreError("full"), StoreError("locked"), None]
    what += [StoreError("locked"), RuntimeError("ours"), None]

    async def scene() -> None:
        over = asyncio.Event()

        async def work() -> None:
            turns.append(1)
            if len(turns) > len(what):
                over.set()
                return
            error = what[len(turns) - 1]
            if error is not None:
                raise error

        beside = Beside(work, 0.0, faults.append, "not written: ")
        beside.start()
        states = [beside.goes]
        await asyncio.wait_for(over.wait(), 10)
        await beside.stop()
        states.append(beside.goes)
        assert states == [True, False]
        done = len(turns)
        await asyncio.sleep(0)
        assert len(turns) == done

    asyncio.run(scene())
    assert [r.getMessage() for r in caplog.records] == [f"not written: {t}" for t in ("full", "locked", "locked")]
    assert [str(f) for f in faults] == ["ours"]


def test_what_a_thread_does_is_waited_for_even_when_nobody_wants_it() -> None:
    """A file that is closed while the thread reads it would end the process."""
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def read() -> int:
        begun.set()
        go_on.wait(10)
        done.set()
        return 1

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(aside(read))
        await loop.run_in_executor(None, begun.wait, 10)
        task.cancel()
        loop.call_soon(go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()

    asyncio.run(scene())


def test_a_log_is_opened_read_and_closed_by_threads(tmp_path: Path) -> None:
    """On a disk that hangs each of these may take as long as it likes."""
    here = threading.get_ident()
    seen: list[str] = []

    class Reader(SqliteReader):
        def last_seq(self) -> int:
            assert threading.get_ident() != here
            seen.append("read")
            return super().last_seq()

        def close(self) -> None:
            assert threading.get_ident() != here
            seen.append("closed")
            super().close()

    class Log:
        def reader(self) -> SqliteReader:
            assert threading.get_ident() != here
            seen.append("opened")
            return Reader(tmp_path / "guard.db")

    async def scene() -> None:
        SqliteWriter(tmp_path / "guard.db", site="s").close()
        async with reading(Log()) as reader:
            assert await aside(reader.last_seq) == 0

    asyncio.run(scene())
    assert seen == ["opened", "read", "closed"]
