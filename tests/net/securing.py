"""The guard's streams with TLS between real loopback sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from guard.configtls import Client, Files
from guard.net.stream import Streams, bound
from guard.net.tls import Tls, contexts
from guard.proxy.effects import Address, Flow
from guard.proxy.shapes import Identity
from tests.certs import Authority, Issued, authority, side
from tests.net.fakes import PATIENCE
from tests.net.streaming import GUARD, PBX, STRANGER, Scene

NAME = "guard.example"
TRUNK = "trunk.example"
CA = authority()


class Secured:
    """The other end of one TLS connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.name: Address = writer.get_extra_info("sockname")[:2]

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self, size: int) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(size), PATIENCE)

    async def ended(self) -> bool:
        """Wait for the other side's end."""
        try:
            return await asyncio.wait_for(self._reader.read(1), PATIENCE) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    @property
    def session(self) -> ssl.SSLObject:
        found = self._writer.get_extra_info("ssl_object")
        assert found is not None
        return found  # type: ignore[no-any-return]

    def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()


class Operator:
    """A TLS server of a test: what connects waits in `calls`, what fails in its handshake counts."""

    def __init__(self, server: asyncio.Server, calls: asyncio.Queue[Secured]) -> None:
        self._server = server
        self.calls = calls
        self.name: Address = server.sockets[0].getsockname()[:2]

    async def accept(self) -> Secured:
        return await asyncio.wait_for(self.calls.get(), PATIENCE)

    def close(self) -> None:
        self._server.close()


class SecureScene(Scene):
    """The guard's streams on a TLS socket, in a folder with its certificate."""

    def __init__(self, folder: Path, *, client: Client = "none", verify: bool = True, ping: int = 0) -> None:
        super().__init__()
        self.folder = folder
        self.guard = CA.issue(NAME)
        path = self.guard.write(folder, "guard")
        self.files = Files(certificate=path, ca=CA.write(folder), client=client, verify=verify)
        self.expected: dict[str, Identity] = {}
        self.tls = Tls(contexts(self.files), lambda host, port: self.expected.get(host))
        self.streams._sweep.cancel()
        loop = asyncio.get_running_loop()
        self.streams = Streams(loop, self.driver, self.counters, lambda host: host != STRANGER, self.tls, ping)
        self.ends: list[Secured | Operator] = []

    async def start(self) -> None:
        sock = bound(GUARD, 0)
        self.local = sock.getsockname()
        await self.streams.listen(sock, "tls")

    async def call(self, host: str = PBX, *, issued: Issued | None = None) -> Secured:
        """A peer that connects, checks the guard's certificate, and shows `issued` if it is asked."""
        context = side(self.folder, server=False, issued=issued, ca=CA)
        reader, writer = await asyncio.open_connection(
            *self.local, local_addr=(host, 0), ssl=context, server_hostname=NAME
        )
        peer = Secured(reader, writer)
        self.ends.append(peer)
        return peer

    async def operator(self, issued: Issued | None, *, ca: Authority | None = None, host: str = PBX) -> Operator:
        """A TLS server that shows `issued`; with `ca` the guard has to show one of those."""
        calls: asyncio.Queue[Secured] = asyncio.Queue()

        def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = Secured(reader, writer)
            self.ends.append(peer)
            calls.put_nowait(peer)

        context = side(self.folder, server=True, issued=issued, ca=ca)
        operator = Operator(await asyncio.start_server(taken, host, 0, ssl=context), calls)
        self.expected.setdefault(host, Identity((TRUNK,)))
        self.ends.append(operator)
        return operator

    def to(self, peer: Address) -> Flow:
        return Flow("tls", self.local, peer)

    async def stop(self) -> None:
        await super().stop()
        for end in self.ends:
            end.close()
        await asyncio.sleep(0.01)  # closed transports tell their protocols in a later turn


def run(folder: Path, scene: Callable[[SecureScene], Awaitable[None]], **how: object) -> None:
    async def bounded() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: None)  # what a test's own server says of broken handshakes
        s = SecureScene(folder, **how)  # type: ignore[arg-type]  # the test names its settings
        await s.start()
        try:
            async with asyncio.timeout(3 * PATIENCE):
                await scene(s)
        finally:
            await s.stop()
        assert s.driver.faults == []

    uvloop.run(bounded())
