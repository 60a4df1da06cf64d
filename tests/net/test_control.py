"""The control socket, over real connections: bounded in everything, and nobody who misbehaves is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from guard.control import MAX_LINE, Answer, Ask
from guard.net.control import MAX_CLIENTS, MAX_PATH, MAX_UNSENT, MAX_WAITING, Control, Reply, bound
from tests.net.fakes import Broken
from tests.web.some_figures import SOME

PATIENCE = 10.0


class Answerer:
    """Answers figures at once, or keeps whoever asks."""

    def __init__(self) -> None:
        self.keeps = False
        self.raises = False
        self.kept: list[Reply] = []
        self.asked: list[Ask] = []

    def ask(self, ask: Ask, reply: Reply) -> None:
        self.asked.append(ask)
        if self.raises:
            raise Broken("no")
        if self.keeps:
            self.kept.append(reply)
        else:
            reply(Answer(figures=SOME))


class Served:
    """A control socket that is served, and connections to it."""

    def __init__(self, path: Path) -> None:
        self.answerer = Answerer()
        self.faults: list[Exception] = []
        self.control = Control(path, self.answerer, self.faults.append)
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.control.path, limit=64 << 20)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        await self.control.stop()


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    it = Served(folder / "guard.sock")
    await it.control.start()
    try:
        yield it
    finally:
        await it.close()


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await scene()

    uvloop.run(bounded())


async def heard(reader: asyncio.StreamReader) -> dict[str, object]:
    found: dict[str, object] = json.loads(await reader.readline())
    return found


def test_an_ask_is_answered_with_its_own_id(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            reader, writer = await it.connect()
            writer.write(b'{"ask":"figures","id":7}\n\n{"ask":"figu')
            assert (await heard(reader))["id"] == 7
            writer.write(b'res","id":8}\n')
            answer = await heard(reader)
            assert answer["id"] == 8
            assert answer["figures"]["site"] == "hq"  # type: ignore[index]  # of an object

    run(scene)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "truncated"),
        (b"nonsense", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"x":' + b"[" * 20_000, "recursion"),
        (b'{"ask":"reboot"}', "reboot"),
        (b'{"ask":"decide"}', "callee"),
        (b'{"ask":"decide","callee":""}', "callee"),
        (b'{"ask":"decide","callee":"1","lease_s":-1}', "lease_s"),
        (b'{"ask":"decide","callee":"1","colour":"red"}', "colour"),
        (b'{"ask":"decide","callee":"1","usage":["king"]}', "king"),
        (b'{"ask":"ended","ticket":"x","outcome":"blocked"}', "blocked"),
        (b'{"ask":"decide","callee":"' + b"1" * 513 + b'"}', "callee"),
    ],
)
def test_what_is_no_ask_is_told_and_the_next_one_answered(tmp_path: Path, line: bytes, says: str) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            reader, writer = await it.connect()
            writer.write(line + b'\n{"ask":"figures","id":2}\n')
            error = (await heard(reader))["error"]
            assert error["code"] == "bad-ask"  # type: ignore[index]  # of an object
            assert says in error["text"].lower()  # type: ignore[index]  # of an object
            assert (await heard(reader))["id"] == 2
            assert (it.control.counters["control_bad"], it.faults) == (1, [])

    run(scene)


def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            reader, writer = await it.connect()
            writer.write(b"x" * (MAX_LINE + 1))
            error = (await heard(reader))["error"]
            assert str(MAX_LINE) in error["text"]  # type: ignore[index]  # of an object
            assert await reader.read() == b""
            assert it.answerer.asked == []

    run(scene)


def test_one_client_too_many_is_told_so(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            for _ in range(MAX_CLIENTS):
                reader, writer = await it.connect()
                writer.write(b'{"ask":"figures"}\n')
                await heard(reader)
            more, _ = await it.connect()
            assert (await heard(more))["error"]["code"] == "busy"  # type: ignore[index]  # of an object
            assert await more.read() == b""
            writer.close()
            await writer.wait_closed()
            while len(it.control._clients) == MAX_CLIENTS:
                await asyncio.sleep(0)
            reader, writer = await it.connect()
            writer.write(b'{"ask":"figures","id":1}\n')
            assert (await heard(reader))["id"] == 1

    run(scene)


def test_asks_that_wait_are_bounded(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            it.answerer.keeps = True
            reader, writer = await it.connect()
            for i in range(1, MAX_WAITING + 2):
                writer.write(b'{"ask":"figures","id":%d}\n' % i)
            answer = await heard(reader)
            assert (answer["id"], answer["error"]["code"]) == (MAX_WAITING + 1, "busy")  # type: ignore[index]
            it.answerer.kept[5](Answer(figures=SOME))
            assert (await heard(reader))["id"] == 6

    run(scene)


def test_who_does_not_read_is_let_go_and_others_are_served(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            loop = asyncio.get_running_loop()
            reader, writer = await it.connect()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as slow:
                await loop.sock_connect(slow, os.fspath(it.control.path))
                with contextlib.suppress(ConnectionError):
                    while not it.control.counters["control_slow"]:
                        await loop.sock_sendall(slow, b'{"ask":"figures"}\n' * 1000)
            assert it.control.counters["control_slow"] == 1
            writer.write(b'{"ask":"figures","id":3}\n')
            assert (await heard(reader))["id"] == 3
            assert it.control.counters["control_asks"] < MAX_UNSENT // 100

    run(scene)


def test_the_loop_is_free_between_a_few_asks(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            reader, writer = await it.connect()
            writer.write(b'{"ask":"figures"}\n' * 200)
            most, before = 0, 0
            while before < 200:
                await asyncio.sleep(0)
                now = len(it.answerer.asked)
                most, before = max(most, now - before), now
            assert most <= 16, "two passes at most between two looks"
            await heard(reader)

    run(scene)


def test_a_fault_costs_its_own_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            it.answerer.raises = True
            reader, writer = await it.connect()
            writer.write(b'{"ask":"figures","id":4}\n')
            answer = await heard(reader)
            assert (answer["id"], answer["error"]["code"]) == (4, "failed")  # type: ignore[index]  # of an object
            assert isinstance(it.faults[0], Broken)
            it.answerer.raises = False
            writer.write(b'{"ask":"figures","id":5}\n')
            assert (await heard(reader))["id"] == 5

    run(scene)


def test_whoever_waits_for_a_client_that_goes_hears_of_it(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            it.answerer.keeps = True
            _, writer = await it.connect()
            writer.write(b'{"ask":"figures","id":4}\n')
            while not it.answerer.kept:
                await asyncio.sleep(0)
            gone = asyncio.Event()
            it.answerer.kept[0].gone = gone.set
            writer.close()
            await gone.wait()
            assert not it.answerer.kept[0].alive
            it.answerer.kept[0](Answer(figures=SOME))  # nobody hears it, and nothing breaks

    run(scene)


# ---- the file --------------------------------------------------------------------------------------------------------


def test_nobody_but_its_owner_may_open_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with bound(tmp_path / "s"):
            assert stat.S_IMODE(os.stat(tmp_path / "s").st_mode) == 0o600
    finally:
        os.umask(before)


def test_one_that_a_killed_guard_left_is_taken_over(tmp_path: Path) -> None:
    bound(tmp_path / "s").close()
    bound(tmp_path / "s").close()


def test_one_that_is_served_stays(tmp_path: Path) -> None:
    with bound(tmp_path / "s"), pytest.raises(OSError, match="another guard"):
        bound(tmp_path / "s")


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(OSError, match="no socket"):
        bound(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "mine"


def test_a_path_that_no_socket_may_have_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / ("x" * MAX_PATH)

    async def scene() -> None:
        control = Control(path, Answerer(), lambda _: None)
        await control.start()
        await control.stop()

    run(scene)
    assert "guard web has no live figures" in caplog.text
    assert str(MAX_PATH) in caplog.text


def test_a_socket_that_another_guard_made_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(tmp_path) as it:
            it.control.path.unlink()
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(os.fspath(it.control.path))
                await it.control.stop()
                assert it.control.path.exists()

    run(scene)
