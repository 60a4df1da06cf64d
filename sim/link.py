"""The sockets of a simulated peer: UDP and TCP on one address and port, each message with the instant it came.

UDP datagrams carry the kernel's own receive timestamp (SO_TIMESTAMPNS), so that a rate can be measured on the wire and
not in a busy event loop. Segments of TCP carry the loop's.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable

from msgspec import Struct

from sim.wire import Sip, WireError, split_stream

SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; the socket module has no name for it
TIMESPEC = struct.Struct("@ll")
RECEIVE_BUFFER = 4 << 20  # bytes: a whole second of a flood may wait while the loop is busy
DATAGRAM = 65_535
TRIES = 20  # ports tried until one is free for both
PER_WAKE = 64  # datagrams read before the loop may do something else


class Peer(Struct, frozen=True):
    """The other end of a message."""

    transport: str
    host: str
    port: int


# Hears every message that goes or comes: its bytes, source, destination and instant (ns), what a capture holds.
Tap = Callable[[bytes, Peer, Peer, int], None]


class Arrival(Struct, frozen=True):
    """A message that came in. `at` is Unix time in nanoseconds."""

    message: Sip
    peer: Peer
    at: int


def pair(host: str, port: int = 0) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket bound to one address and port, a free one when it is 0. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in range(TRIES):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        try:
            udp.setblocking(False)
            tcp.setblocking(False)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind((host, port))
            tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
            if port or attempt == TRIES - 1:
                raise
        else:
            return udp, tcp
    raise AssertionError("unreachable")


class Link:
    """Both sockets of a peer. `on_message` hears every message, `on_garbage` what is none."""

    def __init__(self, host: str, on_message: Callable[[Arrival], None]) -> None:
        self.host = host
        self.port = 0
        self._on_message = on_message
        self.garbage: list[bytes] = []
        self.tap: Tap | None = None
        self._udp: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._streams: dict[tuple[str, int], _Stream] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        """Open UDP and TCP on the same port, a free one when it is 0."""
        loop = asyncio.get_running_loop()
        udp, tcp = pair(self.host, port)
        udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._udp = udp
        self.port = udp.getsockname()[1]
        loop.add_reader(udp, self._readable)
        self._server = await loop.create_server(lambda: _Stream(self), sock=tcp)

    async def stop(self) -> None:
        """Close everything."""
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
            self._udp = None
        for stream in list(self._streams.values()):
            stream.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        await asyncio.sleep(0)  # closed transports tell their protocols in the next turn

    def send(self, data: bytes, peer: Peer) -> None:
        """Send to a peer; a TCP connection is opened when there is none."""
        if self.tap is not None:
            self.tap(data, Peer(peer.transport, self.host, self.port), peer, time.time_ns())
        if peer.transport == "udp":
            if self._udp is not None:
                self._udp.sendto(data, (peer.host, peer.port))
            return
        stream = self._streams.get((peer.host, peer.port))
        if stream is not None:
            stream.write(data)
            return
        task = asyncio.get_running_loop().create_task(self._connect(data, peer))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, data: bytes, peer: Peer) -> None:
        key = (peer.host, peer.port)
        stream = self._streams.get(key)
        if stream is None:
            loop = asyncio.get_running_loop()
            stream = self._streams[key] = _Stream(self, key)
            try:
                await loop.create_connection(lambda: stream, *key, local_addr=(self.host, 0))
            except OSError:
                del self._streams[key]  # the transaction's own timer tells that nobody answers
                return
        stream.write(data)

    def _readable(self) -> None:
        udp = self._udp
        for _ in range(PER_WAKE):
            if udp is None:
                return
            try:
                data, extra, _, (host, port) = udp.recvmsg(DATAGRAM, 64)
            except BlockingIOError:
                return
            at = time.time_ns()
            for level, kind, value in extra:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanos = TIMESPEC.unpack(value[: TIMESPEC.size])
                    at = seconds * 1_000_000_000 + nanos
            self._take(data, Peer("udp", host, port), at)

    def _take(self, data: bytes, peer: Peer, at: int) -> None:
        if self.tap is not None:
            self.tap(data, peer, Peer(peer.transport, self.host, self.port), at)
        try:
            message = Sip(data)
        except (WireError, ValueError):
            self.garbage.append(data)
            return
        self._on_message(Arrival(message, peer, at))

    def _heard(self, stream: _Stream, data: bytes) -> None:
        self._take(data, Peer("tcp", *stream.peer), time.time_ns())

    def _opened(self, stream: _Stream) -> None:
        self._streams[stream.peer] = stream

    def _closed(self, stream: _Stream) -> None:
        if self._streams.get(stream.peer) is stream:
            del self._streams[stream.peer]


class _Stream(asyncio.Protocol):
    """One TCP connection, ours or theirs."""

    def __init__(self, link: Link, peer: tuple[str, int] = ("", 0)) -> None:
        self._link = link
        self.peer = peer
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []  # sent before the connection stood

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self.peer[1]:
            self.peer = transport.get_extra_info("peername")[:2]
        self._link._opened(self)
        for data in self._waiting:
            transport.write(data)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for message in split_stream(self._buffer):
            self._link._heard(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link._closed(self)

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._waiting.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
