"""One connection, TCP or TLS, whoever opened it: framed, kept alive, and given up when its time is up."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final, Literal, cast

from msgspec.structs import replace

from guard.net.session import Session, Untrusted
from guard.proxy.effects import Address, Flow
from guard.sip.framing import PING, KeepAlive, StreamFramer, Unframeable

if TYPE_CHECKING:
    from guard.net.stream import Streams

MAX_UNSENT: Final = 512 * 1024  # bytes a peer may leave unread before its connection is given up
UNKNOWN_TIME: Final = 10_000_000  # µs that an unlisted peer has to send what is answered
HANDSHAKE_TIME: Final = 5_000_000  # µs for a TLS handshake; a slow phone on a bad line takes one
MESSAGE_TIME: Final = 20_000_000  # µs from the first byte of a message to its last
IDLE_TIME: Final = 3 * 3600 * 1_000_000  # µs; longer than any call may last (120 min), so that its BYE finds a way back
PONG_TIME: Final = 10_000_000  # µs for the answer to a ping (RFC 5626 4.4.1)
ANSWER_TIME: Final = 32_000_000  # µs after which a request that was sent waits for no answer any more (64 x T1)
MAX_AWAITED: Final = 8_192  # requests sent over one connection that are remembered: those of 250 a second
KEEP_ALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))  # s, s, probes
USER_TIMEOUT: Final = (
    30_000  # ms that sent bytes may stay unacknowledged: a peer that vanished is noticed in a call's time
)
PARTIAL: Final = 4  # bytes; less may be half a ping, and a message never
PONG: Final = b"\r\n"
UNPROVEN: Final = "tls, whoever answers"  # the kind of a connection that only an emergency call goes over

Stream = Literal["tcp", "tls"]


class Connection(asyncio.Protocol):
    """One connection; to an `unproven` peer that we call it is opened whatever certificate it shows."""

    def __init__(
        self,
        streams: Streams,
        transport: Stream,
        local: Address,
        number: int,
        *,
        ours: bool,
        peer: Address = ("", 0),
        unproven: bool = False,
    ) -> None:
        self._streams = streams
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._local = local
        self._session: Session | None = None
        self._awaited: dict[str, int] = {}  # keys of requests that were sent, and when
        self.number = number
        self.ours = ours
        self.stream: Stream = transport
        self.unproven = unproven
        self.kind = UNPROVEN if unproven else transport  # what may be sent over it: see `Streams`
        self.flow = Flow(transport, local, peer, number, unproven=unproven)
        self.known = ours  # listed, or answered since
        self.ready = transport == "tcp"  # messages may be sent: a TLS handshake is done
        self.closing = False
        self.opened = self.heard = streams.driver.now()
        self.begun = 0  # when the first bytes of an unfinished message came
        self.pinged = 0  # when a ping was sent that has no answer
        self.pongs = False  # it has answered one
        self.settled = asyncio.Event()  # it is ready, or it never will be

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        # uvloop's transports are no subclass of asyncio's: a test of the type would refuse every connection.
        self._transport = transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if peer is None:  # gone before we looked
            transport.abort()
            return
        self.flow = replace(self.flow, peer=(peer[0], peer[1]))
        _harden(transport)
        if not self._streams.admit(self):
            self.abort()
        elif self.ready:
            self.settled.set()
        else:
            self._secure()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.closing:
            return
        if self._session is None:
            self._read(data)
            return
        text = self._decrypted(self._session, data)
        if text:
            self._read(text)
        if self._session.ended and not self.closing:
            self.close()

    def _read(self, data: bytes) -> None:
        """Text came: messages, pings and pongs."""
        streams = self._streams
        self.heard = now = streams.driver.now()
        broken: Unframeable | None = None
        try:
            items = self._framer.feed(data)
        except Unframeable as error:
            items, broken = error.items, error
        if self.pinged and (items or self._framer.pong()):
            self.pongs = self.pongs or not items
            self.pinged = 0
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
        streams = self._streams
        for item in items:
            if self.closing:
                return False
            if isinstance(item, KeepAlive):
                streams.counters["tcp_keepalives"] += 1
                if self.known:
                    self.write(PONG)  # RFC 5626 4.4.1
            else:
                if self.flow.names and not self.ours:
                    streams.alias(self, item)
                streams.driver.receive(item, self.flow)
        return not self.closing

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self._transport = None
        self.closing = True
        self.settled.set()
        self._streams.lost(self, self._unanswered())

    # ---- TLS -------------------------------------------------------------------------------------------------------

    def _secure(self) -> None:
        """Begin a handshake."""
        try:
            self._session = self._streams.session(self)
            if self.ours:
                self._session.begin()
                self._flush(self._session)
        except Untrusted as error:
            self._distrust(str(error))

    def _decrypted(self, session: Session, data: bytes) -> bytes:
        """The text in bytes of the wire; the handshake goes on as far as they go."""
        text = b""
        try:
            text = session.receive(data)
        except Untrusted as error:
            self._flush(session)  # OpenSSL's word to the other side on what is wrong
            self._distrust(str(error))
            return b""
        self._flush(session)
        if session.established and not self.ready and not self.closing:
            self.ready = True
            unproven = self.unproven or (not self.ours and not session.names and self._streams.expects)
            self.flow = replace(self.flow, names=session.names, unproven=unproven)
            self._streams.secured(self)
            self.settled.set()
        return text

    def _flush(self, session: Session) -> None:
        out = session.outgoing()
        if out and self._transport is not None:
            self._transport.write(out)
            self._bounded()

    def _distrust(self, why: str) -> None:
        """Give the connection up, once what it was told has gone out."""
        self._streams.distrusted(self, why)
        self.closing = True
        self.settled.set()
        if self._transport is not None:
            self._transport.close()

    # ---- sending ---------------------------------------------------------------------------------------------------

    def write(self, data: bytes, key: str = "") -> bool:
        """Send bytes. False when the connection is closing, or is closed now because its peer does not read.

        `key` is remembered: if the connection is lost before an answer can have come, the driver is told."""
        transport = self._transport
        if transport is None or self.closing or not self.ready:
            return False
        if self._session is None:
            transport.write(data)
        else:
            try:
                self._session.write(data)
            except Untrusted as error:
                self._distrust(str(error))
                return False
            transport.write(self._session.outgoing())
        if key:
            self._await(key)
        return self._bounded()

    def _bounded(self) -> bool:
        """Whether the peer reads what it is sent; else the connection is closed."""
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() > MAX_UNSENT:
            self._streams.counters["tcp_slow_readers"] += 1
            self.abort()
            return False
        return True

    def _await(self, key: str) -> None:
        """Remember a request. Those that cannot be answered any more are forgotten, oldest first."""
        now = self._streams.driver.now()
        awaited = self._awaited
        awaited[key] = now
        while len(awaited) > MAX_AWAITED or now - awaited[next(iter(awaited))] > ANSWER_TIME:
            del awaited[next(iter(awaited))]

    def _unanswered(self) -> tuple[str, ...]:
        """Keys of requests that may have had no answer."""
        now = self._streams.driver.now()
        keys = tuple(key for key, at in self._awaited.items() if now - at <= ANSWER_TIME)
        self._awaited.clear()
        return keys

    def ping(self, now: int) -> None:
        """Keep the connection, and find out whether it is one still (RFC 5626 4.4.1)."""
        if self.write(PING):
            self.pinged = now
            self._streams.counters["tcp_pings"] += 1

    def close(self) -> None:
        """Close it once what was written has gone out. `Streams` gives up on a peer that does not let it."""
        if self._transport is not None and not self.closing:
            self.closing = True
            self.heard = self._streams.driver.now()
            if self._session is not None:
                self._session.close()
                self._flush(self._session)
            if self._transport is not None:
                self._transport.close()

    def abort(self) -> None:
        """Close it now."""
        self.closing = True
        self.settled.set()
        if self._transport is not None:
            self._transport.abort()

    def overdue(self, now: int) -> str:
        """The counter of the reason why its time is up, "" while it is not."""
        if self.closing:
            return "tcp_slow_readers" if now - self.heard > MESSAGE_TIME else ""
        if not self.ready:
            return "tls_stalled" if now - self.opened > HANDSHAKE_TIME else ""
        if self.begun and now - self.begun > MESSAGE_TIME:
            return "tcp_stalled"
        if not self.known and now - self.opened > UNKNOWN_TIME:
            return "tcp_idle"
        if self.pinged and self.pongs and now - self.pinged > PONG_TIME:
            return "tcp_silent"
        return "tcp_idle" if now - self.heard > IDLE_TIME else ""


def _harden(transport: asyncio.Transport) -> None:
    """Notice a peer that vanished, and wait for nothing when sending."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEP_ALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
