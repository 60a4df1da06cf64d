"""UDP: one socket for each listening address, read and written without an await.

The socket is our own, watched by the loop, and not an asyncio transport: it costs the same (8 to 11 µs a datagram in
and out, mostly the kernel's), a datagram has really left when `send` returns, and errors come with their number.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from guard.proxy.effects import Address, Flow

MAX_DATAGRAM: Final = 65_535  # no UDP payload is longer
KEEP_ALIVE: Final = 4  # bytes; CRLFCRLF, NULs or nothing at all keep a NAT open: no SIP message is that short
BATCH: Final = 8  # datagrams served before all that wait are told apart: an emergency call may be among them
MOST: Final = 2_048  # datagrams read before them, where they are only read and put aside: some 10 ms
MAX_FLOWS: Final = 16_384  # peers whose Flow is kept ready; spoofed addresses only empty the table
BUFFER: Final = 4 * 1024 * 1024  # bytes asked of the kernel for each direction: a second of 5 000 messages
ZONED: Final = 4  # items of an IPv6 address: host, port, flow, zone

# The datagram was lost on our side for want of room: as good as lost on the way, SIP sends it again.
_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})

COUNTERS: Final = ("udp_keepalives", "udp_errors", "udp_full", "udp_too_long")
SO_RCVBUFFORCE: Final = 33  # Linux; past rmem_max, for who may (CAP_NET_ADMIN)
SO_SNDBUFFORCE: Final = 32


def bound(host: str, port: int) -> socket.socket:
    """A UDP socket bound to a numeric address, with big buffers. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the file names IPv4 addresses by themselves
        for forced, asked in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
            except PermissionError:
                sock.setsockopt(socket.SOL_SOCKET, asked, BUFFER)
        sock.bind(target(host, port))
    except OSError:
        sock.close()
        raise
    return sock


def target(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """A peer as the kernel wants it: the zone of a link-local IPv6 address apart (RFC 4007 11)."""
    address, _, zone = host.partition("%")
    if not zone:
        return host, port
    return address, port, 0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone)


def _nobody() -> None:
    """Nobody wants to know."""


class Watching(Protocol):
    """A loop, as far as it tells when a socket can be read. What else it answers is not the same in all of them."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object:
        """Call back whenever something is there to read."""

    def remove_reader(self, fd: int, /) -> object:
        """Not any more."""


class Poll(Protocol):
    """`select.poll`, as used here."""

    def register(self, fd: int, eventmask: int, /) -> object:
        """Watch a socket."""

    def poll(self, timeout: float, /) -> Sequence[tuple[int, int]]:
        """What can be read by now, where `timeout` is 0."""


class UdpSocket:
    """One bound socket. `feed` gets each datagram; `counters` is shared with the driver. `poll` tells whether more is
    there: an exception that says no takes five times as long."""

    def __init__(self, sock: socket.socket, counters: dict[str, int], poll: Callable[[], Poll] = select.poll) -> None:
        self._sock = sock
        self._poll = poll()
        self._counters = counters
        self._flows: dict[tuple[str | int, ...], Flow] = {}
        self._loop: Watching | None = None
        name = sock.getsockname()
        self.local: Address = (name[0], name[1])

    def start(
        self,
        loop: Watching,
        feed: Callable[[bytes, Flow], object],
        crowded: Callable[[], None] = _nobody,
    ) -> None:
        """Begin to read. `feed` returns whether it has only put a datagram aside (True); `crowded` hears when a whole
        batch was served and more may be there."""
        self._loop = loop
        self._feed = feed
        self._crowded = crowded
        self._poll.register(self._sock.fileno(), select.POLLIN)
        loop.add_reader(self._sock.fileno(), self._readable)

    def close(self) -> None:
        """Stop reading, and give the port back."""
        if self._loop is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._loop = None
        self._sock.close()

    def _readable(self) -> None:
        receive, flows, feed, left, more = self._sock.recvfrom, self._flows, self._feed, BATCH, self._poll.poll
        try:
            for n in range(MOST):
                if n and not more(0):
                    return
                data, peer = receive(MAX_DATAGRAM)
                if len(data) <= KEEP_ALIVE:
                    self._counters["udp_keepalives"] += 1
                    continue
                flow = flows.get(peer)
                if not feed(data, flow if flow is not None else self._flow(peer)):
                    left -= 1
                    if left == 0:
                        self._crowded()  # from now on they are put aside
                    elif left < 0:
                        return
        except BlockingIOError:
            return
        except OSError:
            self._counters["udp_errors"] += 1  # of a datagram sent before, or of the socket (`ss --kill`)
            if self._loop is not None:  # libuv watches a socket no longer that had an error
                self._loop.remove_reader(self._sock.fileno())
                self._loop.add_reader(self._sock.fileno(), self._readable)

    def _flow(self, peer: tuple[str | int, ...]) -> Flow:
        if len(self._flows) >= MAX_FLOWS:
            self._flows.clear()
        host, port = str(peer[0]), int(peer[1])
        if len(peer) == ZONED and peer[3]:
            host = f"{host.partition('%')[0]}%{peer[3]}"
        flow = self._flows[peer] = Flow("udp", self.local, (host, port))
        return flow

    def send(self, data: bytes, peer: Address) -> bool:
        """Send one datagram. False when this peer cannot be reached from here; what is merely lost counts as sent."""
        try:
            self._sock.sendto(data, peer if "%" not in peer[0] else target(*peer))
        except (OSError, OverflowError) as error:  # OverflowError: a port that is none
            return self._lost(error)
        return True

    def _lost(self, error: OSError | OverflowError) -> bool:
        number = error.errno if isinstance(error, OSError) else 0
        if number in _FULL:
            self._counters["udp_full"] += 1
            return True
        if number == errno.EMSGSIZE:
            self._counters["udp_too_long"] += 1
        else:
            self._counters["udp_errors"] += 1
        return False
