"""A copy of each message, and of each verdict, for a Homer server: HEPv3 over UDP or TCP (docs/homer.md).

No call waits for it. What a message costs here is a place in a queue; packets are made and sent a hundredth of a second
later, some at a time. What finds no room is not mirrored: counted, and told.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

import msgspec
from msgspec import Struct

from guard.hep.packet import LOG, MAX_DATAGRAM, MAX_PACKET, SIP, TCP, TLS, UDP, Packet, encode
from guard.model import CallAttempt, CallEnded, Decision
from guard.net.say import Voice
from guard.proxy.effects import Address, Flow
from guard.store.contract import Writer

MAX_QUEUE: Final = 4_096  # messages: over a second at the rate that a guard carries
MAX_BYTES: Final = 16 * 1024 * 1024  # and their octets
PAUSE: Final = 0.01  # s that messages wait for others, and for room in the kernel
BATCH: Final = 64  # packets in a turn of the loop: half a millisecond
AGAIN: Final = 5.0  # s until a server is tried again that could not be reached
CONNECT_TIME: Final = 4.0  # s
PARTING: Final = 1.0  # s that stopping waits for what a TCP connection still has to send
HIGH_WATER: Final = 256 * 1024  # octets that a TCP connection may hold back

COUNTERS: Final = ("hep_sent", "hep_dropped", "hep_cut")
_PROTOCOLS: Final = {"udp": UDP, "tcp": TCP, "tls": TLS}


class Collector(Protocol):
    """Where to, as the configuration says (guard/confighep.py)."""

    @property
    def transport(self) -> str:
        """udp or tcp."""

    @property
    def host(self) -> str:
        """An address, or a name."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def agent(self) -> int:
        """The number of this guard among the agents of the server."""

    @property
    def key(self) -> bytes:
        """The password."""


class Verdict(Struct, frozen=True):
    """What a log entry of Homer says of one decision."""

    site: str
    verdict: str
    rule: str
    reason: str
    response: int | None
    record: int | None
    direction: str
    source: str
    trunk: str
    caller: str
    callee: str
    held_ms: int
    policy: str


Message = tuple[bytes, Address, Address, str, int]  # data, who sent it to whom, transport, instant
Told = tuple[CallAttempt, Decision, int, int]  # and the record's number, and the instant


class Mirror:
    """Mirrors to one server. Made on a running loop; `start`, and `stop` at the end. `counters` count by name."""

    def __init__(self, server: Collector, site: str, here: Address, voice: Voice) -> None:
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._server = server
        self._site = site
        self._here = here  # an address of ours, for verdicts
        self._voice = voice
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Message | Told] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._way: Datagrams | Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._limit = MAX_DATAGRAM if server.transport == "udp" else MAX_PACKET

    def start(self) -> None:
        """Find the server, now and whenever it is lost."""
        self._task = self._loop.create_task(self._keep())

    async def stop(self) -> None:
        """Send what is queued, as far as that goes at once, and give up."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._timer = None
        while self._queue and self._send_some():
            pass
        self.counters["hep_dropped"] += len(self._queue)
        self._queue.clear()
        if self._way is not None:
            await self._way.close()

    # ---- what is mirrored ------------------------------------------------------------------------------------------

    def received(self, data: bytes, flow: Flow, wall: int) -> None:
        """A message that came at `wall` (Unix time, µs)."""
        self._push((data, flow.peer, flow.local, flow.transport, wall), len(data))

    def sent(self, data: bytes, flow: Flow, wall: int) -> None:
        """A message that left."""
        self._push((data, flow.local, flow.peer, flow.transport, wall), len(data))

    def decided(self, call: CallAttempt, decision: Decision, seq: int, wall: int) -> None:
        """A decision, and the number of its record."""
        self._push((call, decision, seq, wall), 0)

    def _push(self, what: Message | Told, size: int) -> None:
        if len(self._queue) >= MAX_QUEUE or self._bytes + size > MAX_BYTES:
            self._drop(f"{self._server.transport} {self._server.host} port {self._server.port} takes them too slowly")
            return
        self._queue.append(what)
        self._bytes += size
        if self._timer is None and self._way is not None:
            self._timer = self._loop.call_later(PAUSE, self._flush)

    def _drop(self, why: str) -> None:
        self.counters["hep_dropped"] += 1
        self._voice.warn("homer", f"a message was not mirrored: {why}")

    # ---- sending ---------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Send some; the rest in the next turn, or when there is room again."""
        self._timer = None
        if self._send_some():
            if self._queue:
                self._timer = self._loop.call_later(0, self._flush)
        elif isinstance(self._way, Datagrams):
            self._timer = self._loop.call_later(PAUSE, self._flush)

    def _send_some(self) -> bool:
        """A batch. False where there is no room, or no way, for more."""
        queue, way = self._queue, self._way
        for _ in range(min(len(queue), BATCH)):
            if way is None or not way.ready:
                return False
            what = queue.popleft()
            size = len(what[0]) if isinstance(what[0], bytes) else 0
            self._bytes -= size
            try:
                if not way.send(self._packed(what)):
                    queue.appendleft(what)
                    self._bytes += size
                    return False
                self.counters["hep_sent"] += 1
            except (OSError, ValueError) as error:
                self._drop(str(error))
        return True

    def _packed(self, what: Message | Told) -> bytes:
        """The packet of one message or verdict. Raises ValueError for what cannot be one."""
        if isinstance(what[0], bytes):
            data, src, dst, transport, wall = what
            packet = Packet(
                src=src, dst=dst, at=wall, payload=data, type=SIP, protocol=_PROTOCOLS[transport],
                agent=self._server.agent, key=self._server.key,
            )  # fmt: skip
            out = encode(packet, self._limit)
            self.counters["hep_cut"] += len(out) == self._limit and not out.endswith(data)
            return out
        return encode(self._verdict(*what), self._limit)

    def _verdict(self, call: CallAttempt, decision: Decision, seq: int, wall: int) -> Packet:
        """A decision as a log entry that belongs to the Call-ID."""
        finding = next((f for f in decision.findings if f.rule == decision.rule), None)
        said = Verdict(
            site=self._site, verdict=decision.verdict, rule=decision.rule,
            reason=finding.text.en if finding is not None else "",
            response=decision.status or None, record=seq if seq > 0 else None, direction=call.direction,
            source=call.source, trunk=call.trunk, caller=call.caller.value or call.caller.raw,
            callee=call.callee.value or call.callee.raw, held_ms=decision.held_us // 1000, policy=decision.policy,
        )  # fmt: skip
        src = call.source_address or self._here[0], 0
        six = ":" in src[0]
        here = self._here if (":" in self._here[0]) == six else src
        return Packet(
            src=src, dst=here, at=wall, payload=msgspec.json.encode(said), type=LOG, agent=self._server.agent,
            key=self._server.key, correlation=call.call_id.encode("utf-8", "replace"),
        )  # fmt: skip

    # ---- the way there ---------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Open a way to the server, and another one when it is lost."""
        server = self._server
        while True:
            try:
                async with asyncio.timeout(CONNECT_TIME):
                    self._way = await self._opened()
                self.resume()
                await self._way.lost()
            except OSError as error:  # TimeoutError is one
                why = error.strerror or "no answer"
                self._voice.warn("homer", f"{server.transport} {server.host} port {server.port}: {why}")
            self._way = None
            await asyncio.sleep(AGAIN)

    async def _opened(self) -> Datagrams | Connection:
        """A socket connected to the server. Raises OSError."""
        server = self._server
        if server.transport == "tcp":
            _, link = await self._loop.create_connection(lambda: Connection(self.resume), server.host, server.port)
            return link
        found = await self._loop.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
        family, kind, proto, _, address = found[0]
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, proto)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return Datagrams(sock)

    def resume(self) -> None:
        """There is room again."""
        if self._timer is None and self._queue:
            self._timer = self._loop.call_later(0, self._flush)


class Datagrams:
    """A UDP socket connected to the server. It stays: whether somebody hears is not known."""

    ready = True

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: bytes) -> bool:
        """Whether there was room. Raises OSError: nobody listens there, it seems."""
        try:
            self._sock.send(data)
        except BlockingIOError:
            return False
        return True

    async def lost(self) -> None:
        """Never."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Give the socket back."""
        self._sock.close()


class Connection(asyncio.Protocol):
    """A TCP connection to the server. `resume` is called when there is room again."""

    def __init__(self, resume: Callable[[], None]) -> None:
        self.ready = False
        self._resume = resume
        self._transport: asyncio.Transport | None = None
        self._over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(HIGH_WATER)
        self.ready = True

    def pause_writing(self) -> None:
        """The server reads too slowly."""
        self.ready = False

    def resume_writing(self) -> None:
        """It has read."""
        self.ready = True
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self.ready = False
        self._over.set()

    def send(self, data: bytes) -> bool:
        """Whether there was room: there is while `ready`."""
        if self._transport is not None:
            self._transport.write(data)
        return True

    async def lost(self) -> None:
        """When it is closed. Raises ConnectionError then."""
        await self._over.wait()
        raise ConnectionResetError(0, "the server closed the connection")

    async def close(self) -> None:
        """Send what is left, within `PARTING`, and close."""
        if self._transport is None:
            return
        self._transport.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), PARTING)
        self._transport.abort()


class MirroredLog:
    """A log whose decisions are mirrored as they are taken. `wall` gives Unix time, µs."""

    def __init__(self, log: Writer, mirror: Mirror, wall: Callable[[], int]) -> None:
        self._log = log
        self._mirror = mirror
        self._wall = wall

    def decided(
        self, call: CallAttempt, decision: Decision, done: Callable[[BaseException | None], None] | None
    ) -> int:
        """See `store.contract.Writer`."""
        seq = self._log.decided(call, decision, done)
        self._mirror.decided(call, decision, seq, self._wall())
        return seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        """See `store.contract.Writer`."""
        self._log.ended(seq, ended)

    def close(self) -> None:
        """See `store.contract.Writer`."""
        self._log.close()
