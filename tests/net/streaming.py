"""The guard's streams between real loopback sockets: peers that call it, and peers that it calls."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import uvloop

from guard.net.stream import COUNTERS, Streams, bound
from guard.proxy.effects import Address, Flow
from tests.net.fakes import PATIENCE, FakeDriver

GUARD = "127.0.0.5"  # not what the kernel would choose by itself
PBX = "127.0.0.2"  # listed
STRANGER = "127.0.0.9"


def message(method: str = "OPTIONS", *, body: str = "", via: str = "127.0.0.2:5060") -> bytes:
    return (
        f"{method} sip:x SIP/2.0\r\nVia: SIP/2.0/TCP {via};branch=z9hG4bK1\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def answer(via: str = "127.0.0.2:5060") -> bytes:
    return (
        f"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP {via};branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>;tag=2\r\n"
        "Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Peer:
    """The other end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.setblocking(False)
        self.loop = asyncio.get_running_loop()
        self.name: Address = sock.getsockname()

    @classmethod
    async def dial(cls, to: Address, host: str = PBX, *, receive: int = 0) -> Peer:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.bind((host, 0))
        try:
            await asyncio.get_running_loop().sock_connect(sock, to)
        except OSError:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, data)

    async def receive(self, size: int) -> bytes:
        """So many bytes, or less if the connection ends."""
        data = b""
        while len(data) < size:
            more = await asyncio.wait_for(self.loop.sock_recv(self.sock, size - len(data)), PATIENCE)
            if not more:
                break
            data += more
        return data

    async def ended(self) -> bool:
        """Wait for the other side's end, by FIN or by RST."""
        try:
            return await self.receive(1) == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Vanish with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Doorstep:
    """A listening peer, such as an operator."""

    def __init__(self, host: str = PBX, port: int = 0, *, receive: int = 0) -> None:
        self.sock = socket.create_server((host, port))
        if receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.sock.setblocking(False)
        self.name: Address = self.sock.getsockname()

    async def accept(self) -> Peer:
        loop = asyncio.get_running_loop()
        sock, _ = await asyncio.wait_for(loop.sock_accept(self.sock), PATIENCE)
        return Peer(sock)


class Scene:
    """The guard's streams on a listening socket."""

    def __init__(self) -> None:
        self.driver = FakeDriver()
        self.counters = dict.fromkeys(COUNTERS, 0)
        loop = asyncio.get_running_loop()
        self.streams = Streams(loop, self.driver, self.counters, lambda host: host != STRANGER)
        self.local: Address = (GUARD, 0)
        self.open: list[Peer | Doorstep] = []

    async def start(self) -> None:
        sock = bound(GUARD, 0)
        self.local = sock.getsockname()
        await self.streams.listen(sock)

    async def dial(self, host: str = PBX, *, receive: int = 0) -> Peer:
        peer = await Peer.dial(self.local, host, receive=receive)
        self.open.append(peer)
        return peer

    async def greeted(self, host: str = PBX) -> tuple[Peer, Flow]:
        """A connection over which one message came."""
        peer = await self.dial(host)
        await peer.send(message())
        return peer, (await self.heard())[1]

    def doorstep(self, host: str = PBX, port: int = 0, *, receive: int = 0) -> Doorstep:
        step = Doorstep(host, port, receive=receive)
        self.open.append(step)
        return step

    async def accept(self, step: Doorstep) -> Peer:
        peer = await step.accept()
        self.open.append(peer)
        return peer

    async def heard(self) -> tuple[bytes, Flow]:
        return await asyncio.wait_for(self.driver.messages.get(), PATIENCE)

    async def closed(self) -> Flow:
        return await asyncio.wait_for(self.driver.closed.get(), PATIENCE)

    async def failed(self) -> str:
        return await asyncio.wait_for(self.driver.failed.get(), PATIENCE)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not what():
                await asyncio.sleep(0.001)

    def to(self, peer: Address) -> Flow:
        return Flow("tcp", self.local, peer)

    def counted(self) -> dict[str, int]:
        return {k: v for k, v in self.counters.items() if v}

    async def stop(self) -> None:
        await self.streams.close()
        for peer in self.open:
            peer.sock.close()


def run(scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def bounded() -> None:
        s = Scene()
        await s.start()
        try:
            async with asyncio.timeout(3 * PATIENCE):
                await scene(s)
        finally:
            await s.stop()
        assert s.driver.faults == []

    uvloop.run(bounded())
