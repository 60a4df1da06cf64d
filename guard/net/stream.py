"""TCP and TLS: listeners, connections of our own, and the limits that keep any peer from holding more than its share.

A message for a peer goes over a connection that is there already, whoever opened it, else over a new one (RFC 3261 18).
Over TLS only those serve whose other end has proved who it is: those that we opened, and those that RFC 5923 lets be
used backwards. Peers that no `[[source]]` or `[[trunk]]` names get few connections and little time, until the core
answers them; so many of them may begin a TLS handshake in a second and no more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from guard.net.connection import UNPROVEN, Connection, Stream
from guard.net.reach import alias_of, reply_address
from guard.net.session import Session, Untrusted
from guard.net.tls import Tls
from guard.net.udp import target
from guard.proxy.effects import Address, Flow
from guard.proxy.routing import is_private

MAX_CONNECTIONS: Final = 4096  # at up to 1 MiB each of unread and unsent bytes; a guard has a handful of peers
MAX_PER_PEER: Final = 512  # connections of one listed address: an IPBX that opens one a call, at rest
MAX_UNKNOWN: Final = 64  # connections of peers that were not answered; the oldest goes when another one comes
MAX_WAITING: Final = 256 * 1024  # bytes that wait for one connection to open
MAX_ALIASES: Final = 64  # ports of one peer that lead back over a connection of its own (RFC 5923)
HANDSHAKES: Final = 25  # TLS handshakes a second of strangers: some 2 ms of the processor each
CONNECT_TIME: Final = 4_000_000  # µs; leaves time for another hop before the caller's own patience ends
SWEEP: Final = 1.0  # s between looks at all of these times
BACKLOG: Final = 1024

COUNTERS: Final = (
    "tcp_accepted", "tcp_opened", "tcp_refused", "tcp_evicted", "tcp_slow_readers", "tcp_idle", "tcp_stalled",
    "tcp_unframeable", "tcp_keepalives", "tcp_unreachable", "tcp_pings", "tcp_silent", "tls_sessions", "tls_stalled",
    "tls_refused", "tls_untrusted", "tls_aliases",
)  # fmt: skip

Place = tuple[str, Address]  # kind of connection (its transport, or UNPROVEN) and peer


class Driver(Protocol):
    """What the streams tell the driver."""

    def receive(self, data: bytes, flow: Flow) -> object:
        """One framed message."""

    def send_failed(self, key: str) -> None:
        """A message could not be sent."""

    def flow_closed(self, flow: Flow, unanswered: tuple[str, ...]) -> None:
        """A connection closed; the keys of requests that went over it and may have had no answer."""

    def distrusted(self, flow: Flow, why: str) -> None:
        """A TLS peer is not who it has to be."""

    def fault(self, error: Exception) -> None:
        """An exception of ours."""

    def now(self) -> int:
        """The timeline, µs."""


class Opening:
    """A connection being opened, and what waits for it."""

    __slots__ = ("bytes", "waiting")

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, str]] = []
        self.bytes = 0


class Budget:
    """So many handshakes of strangers a second, and as many at once after a quiet one."""

    def __init__(self, now: int) -> None:
        self._left = float(HANDSHAKES)
        self._at = now

    def take(self, now: int) -> bool:
        """One more, if there is one."""
        self._left = min(self._left + (now - self._at) * HANDSHAKES / 1_000_000, float(HANDSHAKES))
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Streams:
    """All TCP and TLS connections. `listed` tells whether an address is a source's or a trunk's; without `tls` nothing
    of it is served. A connection of ours that was quiet for `ping` µs is pinged (0: none is)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        driver: Driver,
        counters: dict[str, int],
        listed: Callable[[str], bool],
        tls: Tls | None = None,
        ping: int = 0,
    ) -> None:
        self.driver = driver
        self.counters = counters
        self._loop = loop
        self._listed = listed
        self._tls = tls
        self._ping = ping
        self._servers: list[asyncio.Server] = []
        self._number = 0
        self._by_number: dict[int, Connection] = {}
        self._by_peer: dict[Place, Connection] = {}  # also by the aliases of RFC 5923
        self._aliases: dict[int, list[Place]] = {}  # by connection
        self._per_host: dict[str, int] = {}
        self._unknown: dict[int, Connection] = {}  # unanswered, oldest first
        self._opening: dict[Place, Opening] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Apart, so that a flood from the internet leaves the phones of the house their way to an emergency call.
        self._budgets = {near: Budget(driver.now()) for near in (True, False)}
        self._sweep = loop.call_later(SWEEP, self._look)

    def __len__(self) -> int:
        return len(self._by_number)

    async def listen(self, sock: socket.socket, transport: Stream = "tcp") -> None:
        """Take connections on a bound socket."""
        name = sock.getsockname()
        local = (name[0], name[1])
        server = await self._loop.create_server(lambda: self._new(transport, local), sock=sock, backlog=BACKLOG)
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

    def _new(
        self, transport: Stream, local: Address, peer: Address | None = None, *, unproven: bool = False
    ) -> Connection:
        """A connection; with `peer` one of ours."""
        self._number += 1
        ours = peer is not None
        return Connection(self, transport, local, self._number, ours=ours, peer=peer or ("", 0), unproven=unproven)

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for a connection that was just opened."""
        host = connection.flow.peer[0]
        of_host = self._per_host.get(host, 0)
        if len(self._by_number) >= MAX_CONNECTIONS or of_host >= MAX_PER_PEER:
            self.counters["tcp_refused"] += 1
            return False
        connection.known = connection.ours or self._listed(host)
        if not connection.known:
            if connection.stream == "tls" and not self._budgets[is_private(host)].take(self.driver.now()):
                self.counters["tls_refused"] += 1
                return False
            self._unknown[connection.number] = connection
            if len(self._unknown) > MAX_UNKNOWN:
                # The oldest, not the newest: whoever sits on all the places must not keep out an emergency call.
                self.counters["tcp_evicted"] += 1
                next(iter(self._unknown.values())).abort()
                self._unknown.pop(next(iter(self._unknown)))
        self.counters["tcp_opened" if connection.ours else "tcp_accepted"] += 1
        self._by_number[connection.number] = connection
        if connection.stream == "tcp":
            self._by_peer["tcp", connection.flow.peer] = connection
        self._per_host[host] = of_host + 1
        return True

    @property
    def expects(self) -> bool:
        """Whether a peer that shows no certificate may make emergency calls only."""
        return self._tls is not None and self._tls.expects

    def session(self, connection: Connection) -> Session:
        """The TLS session of a connection that begins. Raises Untrusted where there is none to be had."""
        if self._tls is None:
            raise Untrusted("no TLS is configured")
        if connection.ours:
            return Session(*self._tls.client(*connection.flow.peer, unproven=connection.unproven))
        context = self._tls.server()
        if context is None:
            raise Untrusted("the guard has no certificate")
        return Session(context)

    def secured(self, connection: Connection) -> None:
        """A handshake is done."""
        self.counters["tls_sessions"] += 1
        if connection.ours:
            self._by_peer[connection.kind, connection.flow.peer] = connection

    def distrusted(self, connection: Connection, why: str) -> None:
        """A handshake has failed. Those of strangers are only counted: the internet is full of them."""
        self.counters["tls_untrusted"] += 1
        if connection.known:
            self.driver.distrusted(connection.flow, why)

    def alias(self, connection: Connection, data: bytes) -> None:
        """A request came over a connection whose other end has proved who it is: it may want to be asked over it as
        well (RFC 5923)."""
        places = self._aliases.setdefault(connection.number, [])
        port = alias_of(data, connection.flow.peer[0], connection.flow.names) if len(places) < MAX_ALIASES else 0
        place = "tls", (connection.flow.peer[0], port)
        if port and place not in places:
            self.counters["tls_aliases"] += 1
            places.append(place)
            self._by_peer[place] = connection

    def lost(self, connection: Connection, unanswered: tuple[str, ...]) -> None:
        """A connection is gone, and with it requests that may have had no answer."""
        if self._by_number.pop(connection.number, None) is None:
            return  # it was never admitted
        self._unknown.pop(connection.number, None)
        peer = connection.flow.peer
        for place in ((connection.kind, peer), *self._aliases.pop(connection.number, ())):
            if self._by_peer.get(place) is connection:
                del self._by_peer[place]
        left = self._per_host.pop(peer[0]) - 1
        if left:
            self._per_host[peer[0]] = left
        self.driver.flow_closed(connection.flow, unanswered)

    def _look(self) -> None:
        """Close every connection whose time is up, and ping those of ours that are quiet."""
        now = self.driver.now()
        for connection in tuple(self._by_number.values()):
            why = connection.overdue(now)
            if why:
                self.counters[why] += 1
                connection.abort()
            elif self._ping and connection.ours and now - max(connection.heard, connection.pinged) >= self._ping:
                connection.ping(now)
        self._sweep = self._loop.call_later(SWEEP, self._look)

    # ---- sending ---------------------------------------------------------------------------------------------------

    def send(self, flow: Flow, data: bytes, key: str) -> bool:
        """Send over the flow's connection, or over another to its peer, opened if need be. False: it cannot be done;
        what fails later is told to the driver by `key`."""
        stream: Stream = "tls" if flow.transport == "tls" else "tcp"
        kind = UNPROVEN if flow.unproven else stream
        peer = flow.peer
        connection = self._by_number.get(flow.conn) if flow.conn else None
        if connection is None or connection.closing:
            connection = self._by_peer.get((kind, peer))
        if flow.conn and (connection is None or connection.closing):
            peer = reply_address(data, peer, stream)
            connection = self._by_peer.get((kind, peer))
        if connection is not None and not connection.closing:
            if not connection.known:
                connection.known = True  # the core talks to it: an emergency call of a stranger
                self._unknown.pop(connection.number, None)
            return connection.write(data, key)
        return self._open(kind, peer, flow.local, data, key)

    def alive(self, flow: Flow) -> bool:
        """Whether the connection that a message came over is still there."""
        connection = self._by_number.get(flow.conn)
        return connection is not None and not connection.closing

    def close_flow(self, flow: Flow) -> None:
        """Close one connection after what was sent on it."""
        connection = self._by_number.get(flow.conn)
        if connection is not None:
            connection.close()

    def _open(self, kind: str, peer: Address, local: Address, data: bytes, key: str) -> bool:
        opening = self._opening.get((kind, peer))
        if opening is None:
            if len(self._by_number) + len(self._opening) >= MAX_CONNECTIONS:
                self.counters["tcp_refused"] += 1
                return False
            opening = self._opening[kind, peer] = Opening()
            task = self._loop.create_task(self._connect(kind, peer, local, opening))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if opening.bytes + len(data) > MAX_WAITING:
            return False
        opening.bytes += len(data)
        opening.waiting.append((data, key))
        return True

    async def _connect(self, kind: str, peer: Address, local: Address, opening: Opening) -> None:
        """Open a connection for all that waits for it; tell the driver of each message that cannot go."""
        connection: Connection | None = None
        stream: Stream = "tcp" if kind == "tcp" else "tls"
        make = partial(self._new, stream, local, peer, unproven=kind == UNPROVEN)
        try:
            async with asyncio.timeout(CONNECT_TIME / 1_000_000):
                sock = await self._connected(peer, local)
                _, connection = await self._loop.create_connection(make, sock=sock)
                await connection.settled.wait()
        except (OSError, OverflowError):  # TimeoutError is an OSError; OverflowError: a port that is none
            self.counters["tcp_unreachable"] += 1
            if connection is not None:
                connection.abort()
        except Exception as error:  # noqa: BLE001 - told by the driver; those who wait for the connection are told too
            self.driver.fault(error)
        finally:
            del self._opening[kind, peer]
        for data, key in opening.waiting:
            if (connection is None or not connection.write(data, key)) and key:
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
