"""Where agents send HEPv3 to: datagrams and streams, whole and in pieces, and no more connections than there may be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from guard.net import collector
from guard.net.collector import Collector
from sim.ports import free_port
from tests.hep.other import packet

HOSTS = ("127.0.0.1", "::1")
PATIENCE = 15.0


class Ear:
    """What a collector heard."""

    def __init__(self) -> None:
        self.packets: list[tuple[bytes, str]] = []
        self.complaints: list[tuple[str, str]] = []
        self.collector = Collector(
            lambda data, host: self.packets.append((data, host)), lambda host, why: self.complaints.append((host, why))
        )

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not what():
                await asyncio.sleep(0.005)


def run(scene: Callable[[Ear], Awaitable[None]]) -> None:
    async def whole() -> None:
        ear = Ear()
        try:
            await scene(ear)
        finally:
            ear.collector.close()
            await asyncio.sleep(0)

    uvloop.run(whole())


@pytest.mark.parametrize("host", HOSTS)
def test_datagrams(host: str) -> None:
    async def scene(ear: Ear) -> None:
        port = free_port(host)
        await ear.collector.listen("udp", host, port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as agent:
            for data in (b"one", b"", b"two"):
                agent.sendto(data, (host, port))
            await ear.until(lambda: len(ear.packets) == 2)
        assert ear.packets == [(b"one", host), (b"two", host)]

    run(scene)


@pytest.mark.parametrize("host", HOSTS)
def test_a_stream_in_pieces(host: str) -> None:
    async def scene(ear: Ear) -> None:
        port = free_port(host)
        await ear.collector.listen("tcp", host, port)
        _, writer = await asyncio.open_connection(host, port)
        writer.write(packet(b"a" * 9) + packet(b"b")[:3])
        await ear.until(lambda: len(ear.packets) == 1)
        writer.write(packet(b"b")[3:])
        await ear.until(lambda: len(ear.packets) == 2)
        assert ear.packets == [(packet(b"a" * 9), host), (packet(b"b"), host)]
        assert ear.complaints == []
        writer.close()

    run(scene)


def test_one_connection_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_AGENTS", 2)

    async def scene(ear: Ear) -> None:
        port = free_port("127.0.0.1")
        await ear.collector.listen("tcp", "127.0.0.1", port)
        ends = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await ends[2][0].read() == b""
        assert ear.complaints == [("127.0.0.1", "more than 2 connections of agents")]
        ends[1][1].write(packet(b"x"))
        await ear.until(lambda: len(ear.packets) == 1)
        ends[0][1].close()
        ends[1][1].write(b"no HEP3")
        assert await ends[1][0].read() == b""
        # Both places are free again.
        again = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in again:
            writer.write(packet(b"y"))
        await ear.until(lambda: len(ear.packets) == 3)
        for _, writer in (*ends, *again):
            writer.close()

    run(scene)
