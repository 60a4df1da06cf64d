"""TCP: listeners, connections of our own, and the limits that keep any peer from holding more than its share.

A message for a peer goes over a connection that is there already, whoever opened it, else over a new one (RFC 3261 18).
Peers that no `[[source]]` or `[[trunk]]` names get few connections and little time, until the core answers them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol, cast

from guard.net.udp import target
from guard.proxy.effects import Address, Flow
from guard.sip.framing import KeepAlive, StreamFramer, Unframeable

MAX_CONNECTIONS: Final = 4096  # at up to 1 MiB each of unread and unsent bytes; a guard has a handful of peers
MAX_PER_PEER: Final = 512  # connections of one listed address: an IPBX that opens one a call, at rest
MAX_UNKNOWN: Final = 64  # connections of peers that were not answered; the oldest goes when another one comes
MAX_UNSENT: Final = 512 * 1024  # bytes a peer may leave unread before its connection is given up
MAX_WAITING: Final = 256 * 1024  # bytes that wait for one connection to open
CONNECT_TIME: Final = 4_000_000  # µs; leaves time for another hop before the caller's own patience ends
UNKNOWN_TIME: Final = 10_000_000  # µs that an unlisted peer has to send what is answered
MESSAGE_TIME: Final = 20_000_000  # µs from the first byte of a message to its last
IDLE_TIME: Final = 3 * 3600 * 1_000_000  # µs; longer than any call may last (120 min), so that its BYE finds a way back
SWEEP: Final = 1.0  # s between looks at all of these times
KEEP_ALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))  # s, s, probes
USER_TIMEOUT: Final = (
    30_000  # ms that sent bytes may stay unacknowledged: a peer that vanished is noticed in a call's time
)
PARTIAL: Final = 4  # bytes; less may be half a ping, and a message never
BACKLOG: Final = 1024

COUNTERS: Final = (
    "tcp_accepted", "tcp_opened", "tcp_refused", "tcp_evicted", "tcp_slow_readers", "tcp_idle", "tcp_stalled",
    "tcp_unframeable", "tcp_keepalives", "tcp_unreachable",
)  # fmt: skip


class Driver(Protocol):
    """What the streams tell the driver."""

    def receive(self, data: bytes, flow: Flow) -> None:
        """One framed message."""

    def send_failed(self, key: str) -> None:
        """A message could not be sent."""

    def flow_closed(self, flow: Flow) -> None:
        """A connection closed."""

    def fault(self, error: Exception) -> None:
        """An exception of ours."""

    def now(self) -> int:
        """The timeline, µs."""


class Connection(asyncio.Protocol):
    """One TCP connection, whoever opened it."""

    def __init__(self, streams: Streams, local: Address, number: int, *, ours: bool) -> None:
        self._streams = streams
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._local = local
        self.number = number
        self.ours = ours
        self.flow = Flow("tcp", local, ("", 0), number)
        self.known = ours  # listed, or answered since
        self.closing = False
        self.opened = self.heard = streams.driver.now()
        self.begun = 0  # when the first bytes of an unfinished message came

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        # uvloop's transports are no subclass of asyncio's: a test of the type would refuse every connection.
        self._transport = transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if peer is None:  # gone before we looked
            transport.abort()
            return
        self.flow = Flow("tcp", self._local, (peer[0], peer[1]), self.number)
        _harden(transport)
        if not self._streams.admit(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.closing:
            return
        streams = self._streams
        self.heard = now = streams.driver.now()
        broken: Unframeable | None = None
        try:
            items = self._framer.feed(data)
        except Unframeable as error:
            items, broken = error.items, error
        if not self._deliver(items):
            return
        if broken is not None:
            streams.counters["tcp_unframeable"] += 1
            if broken.head:
                streams.driver.receive(broken.head, self.flow)  # the core answers what can be answered
            self.close()
            return
        if self._framer.pending < PARTIAL:
            self.begun = 0
        elif items or not self.begun:
            self.begun = now

    def _deliver(self, items: list[bytes | KeepAlive]) -> bool:
        """Hand on what was framed; False once the connection is closing."""
        for item in items:
            if self.closing:
                return False
            if isinstance(item, KeepAlive):
                self._streams.counters["tcp_keepalives"] += 1
                if self.known:
                    self.write(b"\r\n")  # RFC 5626 4.4.1
            else:
                self._streams.driver.receive(item, self.flow)
        return not self.closing

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self._transport = None
        self._streams.lost(self)

    def write(self, data: bytes) -> bool:
        """Send bytes. False when the connection is closing, or is closed now because its peer does not read."""
        transport = self._transport
        if transport is None or self.closing:
            return False
        transport.write(data)
        if transport.get_write_buffer_size() > MAX_UNSENT:
            self._streams.counters["tcp_slow_readers"] += 1
            self.abort()
            return False
        return True

    def close(self) -> None:
        """Close it once what was written has gone out. `Streams` gives up on a peer that does not let it."""
        if self._transport is not None and not self.closing:
            self.closing = True
            self.heard = self._streams.driver.now()
            self._transport.close()

    def abort(self) -> None:
        """Close it now."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def overdue(self, now: int) -> str:
        """The counter of the reason why its time is up, "" while it is not."""
        if self.closing:
            return "tcp_slow_readers" if now - self.heard > MESSAGE_TIME else ""
        if self.begun and now - self.begun > MESSAGE_TIME:
            return "tcp_stalled"
        if not self.known and now - self.opened > UNKNOWN_TIME:
            return "tcp_idle"
        return "tcp_idle" if now - self.heard > IDLE_TIME else ""


class Opening:
    """A connection being opened, and what waits for it."""

    __slots__ = ("bytes", "waiting")

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, str]] = []
        self.bytes = 0


class Streams:
    """All TCP connections. `listed` tells whether an address is a source's or a trunk's."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, driver: Driver, counters: dict[str, int], listed: Callable[[str], bool]
    ) -> None:
        self.driver = driver
        self.counters = counters
        self._loop = loop
        self._listed = listed
        self._servers: list[asyncio.Server] = []
        self._number = 0
        self._by_number: dict[int, Connection] = {}
        self._by_peer: dict[Address, Connection] = {}
        self._per_host: dict[str, int] = {}
        self._unknown: dict[int, Connection] = {}  # unanswered, oldest first
        self._opening: dict[Address, Opening] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep = loop.call_later(SWEEP, self._look)

    def __len__(self) -> int:
        return len(self._by_number)

    async def listen(self, sock: socket.socket) -> None:
        """Take connections on a bound socket."""
        name = sock.getsockname()
        local = (name[0], name[1])
        server = await self._loop.create_server(lambda: self._new(local, ours=False), sock=sock, backlog=BACKLOG)
        self._servers.append(server)

    async def close(self) -> None:
        """Stop listening and close everything; what was written goes out first, within a second."""
        self._sweep.cancel()
        for server in self._servers:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in tuple(self._by_number.values()):
            connection.close()
        for _ in range(20):
            if not self._by_number:
                break
            await asyncio.sleep(0.05)
        for connection in tuple(self._by_number.values()):
            connection.abort()
        await asyncio.sleep(0)

    # ---- connections come and go -----------------------------------------------------------------------------------

    def _new(self, local: Address, *, ours: bool) -> Connection:
        self._number += 1
        return Connection(self, local, self._number, ours=ours)

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for a connection that was just opened."""
        host = connection.flow.peer[0]
        of_host = self._per_host.get(host, 0)
        if len(self._by_number) >= MAX_CONNECTIONS or of_host >= MAX_PER_PEER:
            self.counters["tcp_refused"] += 1
            return False
        connection.known = connection.ours or self._listed(host)
        if not connection.known:
            self._unknown[connection.number] = connection
            if len(self._unknown) > MAX_UNKNOWN:
                # The oldest, not the newest: whoever sits on all the places must not keep out an emergency call.
                self.counters["tcp_evicted"] += 1
                next(iter(self._unknown.values())).abort()
                self._unknown.pop(next(iter(self._unknown)))
        self.counters["tcp_opened" if connection.ours else "tcp_accepted"] += 1
        self._by_number[connection.number] = connection
        self._by_peer[connection.flow.peer] = connection
        self._per_host[host] = of_host + 1
        return True

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        if self._by_number.pop(connection.number, None) is None:
            return  # it was never admitted
        self._unknown.pop(connection.number, None)
        peer = connection.flow.peer
        if self._by_peer.get(peer) is connection:
            del self._by_peer[peer]
        left = self._per_host.pop(peer[0]) - 1
        if left:
            self._per_host[peer[0]] = left
        self.driver.flow_closed(connection.flow)

    def _look(self) -> None:
        """Close every connection whose time is up."""
        now = self.driver.now()
        for connection in tuple(self._by_number.values()):
            why = connection.overdue(now)
            if why:
                self.counters[why] += 1
                connection.abort()
        self._sweep = self._loop.call_later(SWEEP, self._look)

    # ---- sending ---------------------------------------------------------------------------------------------------

    def send(self, flow: Flow, data: bytes, key: str) -> bool:
        """Send over the flow's connection, or over another to its peer, opened if need be. False: it cannot be done;
        what fails later is told to the driver by `key`."""
        connection = self._by_number.get(flow.conn) if flow.conn else None
        if connection is None or connection.closing:
            connection = self._by_peer.get(flow.peer)
        if connection is not None and not connection.closing:
            if not connection.known:
                connection.known = True  # the core talks to it: an emergency call of a stranger
                self._unknown.pop(connection.number, None)
            return connection.write(data)
        peer = flow.peer if not flow.conn else reply_address(data, flow.peer)
        return self._open(peer, flow.local, data, key)

    def close_flow(self, flow: Flow) -> None:
        """Close one connection after what was sent on it."""
        connection = self._by_number.get(flow.conn)
        if connection is not None:
            connection.close()

    def _open(self, peer: Address, local: Address, data: bytes, key: str) -> bool:
        opening = self._opening.get(peer)
        if opening is None:
            if len(self._by_number) + len(self._opening) >= MAX_CONNECTIONS:
                self.counters["tcp_refused"] += 1
                return False
            opening = self._opening[peer] = Opening()
            task = self._loop.create_task(self._connect(peer, local, opening))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if opening.bytes + len(data) > MAX_WAITING:
            return False
        opening.bytes += len(data)
        opening.waiting.append((data, key))
        return True

    async def _connect(self, peer: Address, local: Address, opening: Opening) -> None:
        """Open a connection for all that waits for it; tell the driver of each message that cannot go."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(CONNECT_TIME / 1_000_000):
                sock = await self._connected(peer, local)
                _, connection = await self._loop.create_connection(lambda: self._new(local, ours=True), sock=sock)
        except (OSError, OverflowError):  # TimeoutError is an OSError; OverflowError: a port that is none
            self.counters["tcp_unreachable"] += 1
        except Exception as error:  # noqa: BLE001 - told by the driver; those who wait for the connection are told too
            self.driver.fault(error)
        finally:
            del self._opening[peer]
        for data, key in opening.waiting:
            if (connection is None or not connection.write(data)) and key:
                self.driver.send_failed(key)

    async def _connected(self, peer: Address, local: Address) -> socket.socket:
        """A socket connected from our listening host, so that the peer sees the address that it was told."""
        family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if local[0] and (":" in local[0]) == (family == socket.AF_INET6):
                sock.bind(target(local[0], 0))
            await self._loop.sock_connect(sock, target(*peer))
        except BaseException:
            sock.close()
            raise
        return sock


def reply_address(data: bytes, peer: Address) -> Address:
    """Where an answer goes whose connection has closed: the port that the request's Via named, at the address that it
    came from (RFC 3261 18.2.2). Requests go to the peer itself."""
    from guard.sip.headers import BadHeader
    from guard.sip.message import BadMessage, parse

    if not data.startswith(b"SIP/2.0 "):
        return peer
    try:
        return peer[0], parse(data, stream=True).via().port or 5060
    except (BadMessage, BadHeader):
        return peer


def _harden(transport: asyncio.Transport) -> None:
    """Notice a peer that vanished, and wait for nothing when sending."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEP_ALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)


def bound(host: str, port: int) -> socket.socket:
    """A TCP socket bound to a numeric address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart does not wait for old connections
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(target(host, port))
    except OSError:
        sock.close()
        raise
    return sock
