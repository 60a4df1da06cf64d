"""Three whole guards in front of one trunk, on a real Redis: no second of the trunk has an eleventh call in it.

Instants are those at which the kernel took each INVITE in at the operator's sockets, so a slow machine proves nothing
less. Redis hangs, dies, and comes back with nothing while calls come in.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from guard.model import SECOND
from guard.net.clock import SystemClock
from guard.net.redislink import RedisLink
from guard.sip.message import parse
from tests.apprig import Rig, guard, run
from tests.state.server import Server, serving

LIMIT: Final = 10  # the contract's
SECOND_NS: Final = 1_000_000_000
TIMESTAMPNS: Final = 35  # SO_TIMESTAMPNS of Linux
PATIENCE: Final = 10.0
HUNG: Final = 1.8  # s that Redis hangs: beyond the deadline, and long enough that guards begin to count alone


class Trunk:
    """Takes what arrives at the operator's sockets of all guards: when each call's first INVITE did."""

    def __init__(self, rigs: list[Rig]) -> None:
        self.rigs = rigs
        self.cut: Callable[[], None] | None = None  # takes the first guard's way to Redis away
        self.arrived: dict[tuple[int, bytes], int] = {}
        self.refused: dict[tuple[int, bytes], int] = {}
        loop = asyncio.get_running_loop()
        for n, rig in enumerate(rigs):
            sock = rig.operator.sock
            sock.setsockopt(socket.SOL_SOCKET, TIMESTAMPNS, 1)
            loop.add_reader(sock, self._operator, n, sock)
            loop.add_reader(rig.pbx.sock, self._caller, n, rig.pbx.sock)

    def _operator(self, n: int, sock: socket.socket) -> None:
        data, more, _, _ = sock.recvmsg(65_535, 128)
        m = parse(data)
        if m.is_request and m.method == b"INVITE":
            seconds, nanos = struct.unpack("ll", more[0][2])
            self.arrived.setdefault((n, m.call_id()), seconds * SECOND_NS + nanos)
            self.rigs[n].answer(m, 486)

    def _caller(self, n: int, sock: socket.socket) -> None:
        m = parse(sock.recv(65_535))
        if not m.is_request and m.status == 480:
            self.refused[(n, m.call_id())] = m.status

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for rig in self.rigs:
            loop.remove_reader(rig.operator.sock)
            loop.remove_reader(rig.pbx.sock)

    @property
    def over(self) -> int:
        return len(self.arrived.keys() | self.refused.keys())

    def most(self) -> int:
        """The most calls in any second: one that begins with a call has the most."""
        at = sorted(self.arrived.values())
        return max(sum(begin <= one < begin + SECOND_NS for one in at) for begin in at)


class Ahead(SystemClock):
    """A machine whose wall clock is an hour ahead."""

    @staticmethod
    def wall() -> int:
        return SystemClock.wall() + 3_600_000_000


@asynccontextmanager
async def three(folder: Path, server: Server, deadline: int, first: str) -> AsyncIterator[list[Rig]]:
    """Guards that are served; the first of them by the socket `first`. The last one's clock is an hour ahead."""
    async with AsyncExitStack() as stack:
        rigs = []
        for n in range(3):
            (folder / str(n)).mkdir()
            url = f"unix://{first}" if first and n == 0 else server.url
            state = f'[state]\nurl = "{url}"\ndeadline_ms = {deadline}\n'
            with pytest.MonkeyPatch.context() as patch:
                if n == 2:
                    patch.setattr("guard.app.SystemClock", Ahead)
                rigs.append(await stack.enter_async_context(guard(folder / str(n), more=state)))
        await until(lambda: all(serves(r) for r in rigs))
        yield rigs


def link(rig: Rig) -> RedisLink:
    found = rig.app._link
    assert found is not None
    return found


def serves(rig: Rig) -> bool:
    return link(rig)._serving


@asynccontextmanager
async def relay(path: str, to: str) -> AsyncIterator[Callable[[], None]]:
    """A way to Redis that can be cut."""
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(to)
        writers.extend((writer, back))
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    server = await asyncio.start_unix_server(serve, path)

    def cut() -> None:
        server.close()
        Path(path).unlink()
        for writer in writers:
            writer.close()

    yield cut
    server.close()


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():
            await asyncio.sleep(0.01)


async def load(trunk: Trunk, calls: int, each: float, then: Callable[[int], None] = lambda n: None) -> None:
    """Place so many calls at each guard, one every `each` seconds, and see all of them through."""
    for n in range(1, calls + 1):
        for rig in trunk.rigs:
            rig.pbx.invite(n)
        then(n)
        await asyncio.sleep(each)
    await until(lambda: trunk.over == len(trunk.rigs) * calls)


def scene(
    folder: Path, server: Server, play: Callable[[Trunk], Awaitable[None]], deadline: int = 50, first: str = ""
) -> tuple[Trunk, list[Rig]]:
    """Three guards and their trunk, for as long as it plays."""
    kept: list[tuple[Trunk, list[Rig]]] = []

    async def whole() -> None:
        async with AsyncExitStack() as stack:
            cut = await stack.enter_async_context(relay(first, str(server.socket))) if first else None
            rigs = await stack.enter_async_context(three(folder, server, deadline, first))
            trunk = Trunk(rigs)
            stack.callback(trunk.close)
            trunk.cut = cut
            kept.append((trunk, rigs))
            await play(trunk)

    run(whole)
    return kept[0]


def said(rigs: list[Rig]) -> set[str]:
    """Why guards counted alone, as their records say."""
    found = [f for rig in rigs for d in rig.log() for f in d.record.findings if f.rule == "fault.state"]
    return {str(f.facts["error"]) for f in found}


def test_no_second_of_the_trunk_has_an_eleventh_call(tmp_path: Path) -> None:
    with serving() as server:
        trunk, rigs = scene(tmp_path, server, lambda t: load(t, 18, 0.1), deadline=1000)
    assert trunk.most() <= LIMIT
    assert len(trunk.arrived) >= 2 * LIMIT, "the trunk is used, not only guarded"
    assert said(rigs) == set()
    hours = [rig.log()[0].body.at // 3_600_000_000 for rig in rigs]
    assert hours[2] - hours[0] == 1, "one of them has another hour"
    by_guard = [sum(n == k for n, _ in trunk.arrived) for k in range(3)]
    assert min(by_guard) >= 3, "none of them starves"


def test_nor_while_redis_hangs_and_comes_back(tmp_path: Path) -> None:
    with serving() as server:

        def hang(n: int) -> None:
            if n == 5:
                server.pause()
                asyncio.get_running_loop().call_later(HUNG, server.go_on)

        async def play(trunk: Trunk) -> None:
            await load(trunk, 36, 0.1, hang)
            await until(lambda: all(serves(r) for r in trunk.rigs))

        trunk, rigs = scene(tmp_path, server, play)
    assert trunk.most() <= LIMIT
    assert said(rigs) == {"late"}
    assert all(r.counters["exceptions"] == 0 for r in rigs)


def test_nor_while_redis_dies_and_comes_back_with_nothing(tmp_path: Path) -> None:
    with serving() as server:

        def die(n: int) -> None:
            if n == 5:
                server.kill()
            elif n == 24:
                server.start()

        async def play(trunk: Trunk) -> None:
            await load(trunk, 40, 0.1, die)
            await until(lambda: all(serves(r) for r in trunk.rigs))

        trunk, rigs = scene(tmp_path, server, play, deadline=500)
    assert trunk.most() <= LIMIT
    assert said(rigs) == {"gone"}
    assert [link(r).counters["state_greeted"] for r in rigs] == [2, 2, 2]


def test_nor_while_redis_is_full_under_load_and_has_room_again(tmp_path: Path) -> None:
    with serving("--maxmemory-policy", "noeviction") as server, server.client() as client:

        def fill(n: int) -> None:
            if n in {5, 20}:
                client.config_set("maxmemory", 1 if n == 5 else 0)

        async def play(trunk: Trunk) -> None:
            await load(trunk, 34, 0.1, fill)
            await until(lambda: all(serves(r) for r in trunk.rigs))

        trunk, rigs = scene(tmp_path, server, play, deadline=200)
    assert trunk.most() <= LIMIT
    assert said(rigs) == {"full"}


def test_nor_while_one_guard_is_cut_off_from_redis(tmp_path: Path) -> None:
    """It goes on within its part; the others keep that part free."""
    with serving() as server:
        way = str(server.folder / "way.sock")

        async def play(trunk: Trunk) -> None:
            def at(n: int) -> None:
                if n == 5 and trunk.cut is not None:
                    trunk.cut()

            await load(trunk, 38, 0.1, at)

        trunk, rigs = scene(tmp_path, server, play, deadline=200, first=way)
    assert trunk.most() <= LIMIT
    assert said(rigs[:1]) == {"gone"}
    assert said(rigs[1:]) == set()


def test_a_redis_that_comes_and_goes_costs_the_only_guard_no_call(tmp_path: Path) -> None:
    """It hangs for a fifth of a second at every fourth call: none is refused, and none has to wait for a place."""
    kept: list[tuple[Trunk, Rig]] = []

    async def whole() -> None:
        async with guard(tmp_path, more=f'\n[state]\nurl = "{server.url}"\n') as rig:
            own = link(rig)._shared.own
            await until(lambda: own._sole is not None and SystemClock.now() > own._sole + SECOND)
            trunk = Trunk([rig])
            kept.append((trunk, rig))

            def hang(n: int) -> None:
                if n % 4 == 0:
                    server.pause()
                    asyncio.get_running_loop().call_later(0.2, server.go_on)

            try:
                await load(trunk, 24, 0.15, hang)
            finally:
                trunk.close()

    with serving() as server:
        run(whole)
    ((trunk, rig),) = kept
    assert (len(trunk.arrived), trunk.refused) == (24, {})
    assert rig.counters["held"] == 0
    assert link(rig).counters["state_lost"] >= 2
