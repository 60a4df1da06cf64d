"""Feeds the core, performs what it wants, and keeps one timer: the only place where both meet (ARCHITECTURE, net).

Everything enters through `_turn`: a datagram, a framed message, a timer, a commit, a lost connection. There, and only
there, an exception is caught: one bad message costs itself, is counted and told, and everything else goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from guard.net import intake, stream, udp, verdicts
from guard.net.clock import Clock, anchored
from guard.net.hep import Mirror
from guard.net.intake import Intake
from guard.net.say import Voice
from guard.net.stream import Streams
from guard.net.verdicts import Verdicts
from guard.proxy.effects import (
    Address,
    Close,
    Decide,
    Effect,
    Ended,
    Flow,
    HopTurned,
    Send,
    Stranger,
    Transport,
    Unproven,
    Withdraw,
)
from guard.proxy.routing import host_text

EARLIEST: Final = 1_000  # µs; the loop's timers count milliseconds, and waking early is waking twice
BREATH: Final = 10_000  # µs between timers while they raise: what is broken for good must not keep the loop busy
PAUSE: Final = 1_000  # µs without a message of any stream, after which none is waiting
TIDY: Final = 64  # messages after which what they left is put aside (guard/net/garbage.py): some 250 objects
LONG: Final = 1_000  # µs that a message may take; behind one that took longer the next are told apart before they wait
COUNTERS: Final = (
    *udp.COUNTERS, *stream.COUNTERS, *verdicts.COUNTERS, *intake.COUNTERS, "exceptions", "sends",
    "sends_failed", "wall_clock_set",
)  # fmt: skip


class Datagrams(Protocol):
    """A UDP socket, as the driver uses it (guard/net/udp.py)."""

    local: Address

    def start(
        self, loop: asyncio.AbstractEventLoop, feed: Callable[[bytes, Flow], object], crowded: Callable[[], None]
    ) -> None:
        """Begin to read."""

    def send(self, data: bytes, peer: Address) -> bool:
        """Send one datagram; whether this peer can be reached."""

    def close(self) -> None:
        """Stop reading."""


class Core(verdicts.Core, intake.Core, Protocol):
    """The proxy core, as the driver uses it (guard/proxy/core.py)."""

    effects: list[Effect]
    counters: dict[str, int]

    @property
    def wall_offset(self) -> int:
        """Wall clock minus timeline, µs."""

    @wall_offset.setter
    def wall_offset(self, value: int) -> None: ...

    def receive(self, data: bytes, flow: Flow, now: int) -> None:
        """One message."""

    def send_failed(self, key: str, now: int) -> None:
        """A peer cannot be reached."""

    def flow_closed(self, flow: Flow, now: int) -> None:
        """A connection closed."""

    def lost(self, key: str, now: int) -> None:
        """The connection closed over which a request went: nobody may have got it."""

    def next_timer(self) -> int | None:
        """When `wake` wants to be called."""

    def wake(self, now: int) -> None:
        """Fire what is due."""


class Driver:
    """Drives one core. `counters` are the driver's own; the core counts apart. `received` and `sent` count messages, by
    transport."""

    def __init__(self, core: Core, clock: Clock, voice: Voice) -> None:
        self.core = core
        self.mirror: Mirror | None = None  # gets a copy of each message
        self.tidy: Callable[[], object] | None = None  # called after every `TIDY` messages, in the loop's next turn
        self._untidy = 0
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.received: dict[Transport, int] = {"udp": 0, "tcp": 0, "tls": 0}
        self.sent = dict(self.received)
        self.now = clock.now
        self._clock = clock
        self._voice = voice
        self._loop = asyncio.get_running_loop()
        self._udp: dict[Address, Datagrams] = {}
        self._streams: Streams | None = None
        self._verdicts: Verdicts | None = None
        self._performing: list[Effect] = []
        self._performed = 0  # how many of them
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0  # the instant it is set for
        self._stopped = False
        self._run = self._ran = 0  # messages of streams without a pause between them, and when the last one came
        self.intake = Intake(
            core, self._late, clock.now, self._loop.call_soon, self.counters,
            lambda: core.counters.get("shed", 0), self._tell_overload,
        )  # fmt: skip
        core.wall_offset = clock.wall() - clock.now()

    def attach(self, sockets: Sequence[Datagrams], streams: Streams, judge: Verdicts) -> None:
        """Everything that the driver serves; from now on it runs."""
        self._udp = {s.local: s for s in sockets}
        self._streams = streams
        self._verdicts = judge
        for sock in sockets:
            sock.start(self._loop, self.receive, self.intake.crowded)

    def stop(self) -> None:
        """No timer, no datagram any more."""
        self._stopped = True
        self.intake.stop()
        for sock in self._udp.values():
            sock.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- what enters -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow) -> bool:
        """One datagram, or one framed message of a stream. True: it was only put aside, as more come than can be
        served."""
        if flow.conn:
            self._pace()
        if self.intake.busy:
            return self.intake.put(data, flow)
        began = self._take(data, flow)
        if self.now() - began > LONG:
            self.intake.crowded()
        return False

    def _pace(self) -> None:
        """A message of a stream. Where they come one upon the other, there are more than can be served."""
        now = self.now()
        self._run = self._run + 1 if now - self._ran < PAUSE else 1
        self._ran = now
        if self._run > udp.BATCH:
            self.intake.crowded()

    def _late(self, data: bytes, flow: Flow) -> None:
        """A message that was put aside. What came over a connection that was closed meanwhile is as good as unread, but
        for an emergency call."""
        gone = flow.conn and self._streams is not None and not self._streams.alive(flow)
        if not gone or self.core.lot(data, flow) == "urgent":
            self._take(data, flow)

    def _take(self, data: bytes, flow: Flow) -> int:
        """One message for the core; the instant at which that began."""
        now = self.now()
        core = self.core
        self.received[flow.transport] += 1
        self._untidy += 1
        if self._untidy >= TIDY and self.tidy is not None:
            self._untidy = 0
            self._loop.call_soon(self.tidy)
        if self.mirror is not None:
            self.mirror.received(data, flow, now + core.wall_offset)
        try:
            core.receive(data, flow, now)
        except Exception as error:  # noqa: BLE001 - see the module: told and counted in _fault
            self._fault(error, now, f"message from {flow.peer[0]}")
        self._settle(now)
        return now

    def send_failed(self, key: str) -> None:
        """A message could not be sent over a stream."""
        self.counters["sends_failed"] += 1
        self._turn(lambda now: self.core.send_failed(key, now))

    def flow_closed(self, flow: Flow, unanswered: tuple[str, ...] = ()) -> None:
        """A connection closed. Requests that went over it and heard nothing yet go another way, or are answered."""
        if self._stopped:
            return
        self._turn(lambda now: self.core.flow_closed(flow, now))
        for key in unanswered:
            self._turn(lambda now, key=key: self.core.lost(key, now))  # type: ignore[misc]  # mypy: lambda defaults

    def distrusted(self, flow: Flow, why: str) -> None:
        """A peer that we know is not who it has to be."""
        self._voice.warn("tls", f"{flow.peer[0]} port {flow.peer[1]}: {why}")

    def turn(self, what: Callable[[int], None]) -> None:
        """Do something with the core at this instant, and all that comes of it."""
        self._turn(what)

    def hurry(self) -> None:
        """From the log's thread: commits have landed."""
        self._loop.call_soon_threadsafe(self._land)

    def fault(self, error: Exception) -> None:
        """Something raised outside of a turn: told and counted."""
        self.counters["exceptions"] += 1
        self._voice.warn("exception", "internal", error)

    def tick(self) -> None:
        """Once a second or so: whether the wall clock was set."""
        offset = anchored(self._clock, self.core.wall_offset)
        if offset != self.core.wall_offset:
            self.core.wall_offset = offset
            self.counters["wall_clock_set"] += 1
            self._voice.warn("wall clock", "was set; records go by the new time")

    def _land(self) -> None:
        if self._verdicts is not None:
            self._turn(self._verdicts.land)

    def _turn(self, what: Callable[[int], None]) -> None:
        """One thing that happens, at one instant."""
        now = self.now()
        self._tried(what, now)
        self._settle(now)

    def _tried(self, what: Callable[[int], None], now: int) -> bool:
        """Do it; whether it went well."""
        try:
            what(now)
        except Exception as error:  # noqa: BLE001 - see the module: told and counted in _fault
            self._fault(error, now)
            return False
        return True

    # ---- what comes of it ------------------------------------------------------------------------------------------

    def _settle(self, now: int, pause: int = 0) -> None:
        """Perform every effect, and every effect of those, then set the timer, for after `pause` (µs) at least."""
        if self._stopped:
            self.core.effects.clear()
            return
        while True:
            try:
                self._perform(now)
                break
            except Exception as error:  # noqa: BLE001 - see the module: told and counted in _fault
                self._fault(error, now)  # the effects that are left go on
        if self._verdicts is not None:
            self._verdicts.depart(self.now)
        try:
            at = self._next()
        except Exception as error:  # noqa: BLE001 - see the module
            self._fault(error, now)
            at, pause = now, BREATH
        self._arm(at, now, pause)

    def _perform(self, now: int) -> None:
        effects, performing = self.core.effects, self._performing
        while True:
            while self._performed < len(performing):  # at first: what an exception left undone
                self._performed += 1
                self._do(performing[self._performed - 1], now)
            performing.clear()
            self._performed = 0
            if not effects:
                return
            performing.extend(effects)
            effects.clear()

    def _do(self, effect: Effect, now: int) -> None:
        if isinstance(effect, Send):
            self.counters["sends"] += 1
            if self._send(effect):
                self.sent[effect.flow.transport] += 1
                if self.mirror is not None:
                    self.mirror.sent(effect.data, effect.flow, now + self.core.wall_offset)
            elif effect.key:
                self.counters["sends_failed"] += 1
                self.core.send_failed(effect.key, now)
            return
        verdicts = self._verdicts
        streams = self._streams
        if isinstance(effect, HopTurned):
            self._tell_hop(effect)
        elif isinstance(effect, Unproven):
            self._tell_unproven(effect)
        elif verdicts is None or streams is None:
            return
        elif isinstance(effect, Decide):
            verdicts.decide(effect, now)
        elif isinstance(effect, Ended):
            verdicts.ended(effect, now)
        elif isinstance(effect, Withdraw):
            verdicts.withdraw(effect, now)
        elif isinstance(effect, Close):
            streams.close_flow(effect.flow)
        elif isinstance(effect, Stranger):
            verdicts.stranger(effect, now)

    def _tell_hop(self, effect: HopTurned) -> None:
        transport, host, port = effect.place
        now = f"is down: {effect.why}" if effect.why else "is up again"
        self._voice.warn("next hop", f"{transport} {host_text(host)}:{port} of trunk {effect.trunk} {now}")

    def _tell_overload(self, refused: int, took: int) -> None:
        self._voice.warn("overload", f"{refused} new calls were refused within {took / 1_000_000:.1f} s")

    def _tell_unproven(self, effect: Unproven) -> None:
        _, host, port = effect.place
        at = f"{host_text(host)}:{port} of trunk {effect.trunk}"
        self._voice.warn(
            "tls", f"an emergency call went to {at}, whose certificate is not verified: no other hop took it"
        )

    def _send(self, effect: Send) -> bool:
        flow = effect.flow
        if flow.transport != "udp":
            return self._streams is not None and self._streams.send(flow, effect.data, effect.key)
        sock = self._udp.get(flow.local)
        if sock is None:  # no UDP listener of that address: any of the same family serves
            wanted = ":" in flow.peer[0]
            sock = next((s for s in self._udp.values() if (":" in s.local[0]) == wanted), None)
        return sock is not None and sock.send(effect.data, flow.peer)

    def _fault(self, error: Exception, now: int, where: str = "internal") -> None:
        """An exception of ours. A call whose decision raised gets the configured verdict; everybody else goes on."""
        self.counters["exceptions"] += 1
        self._voice.warn("exception", where, error)
        if self._verdicts is None:
            return
        try:
            self._verdicts.failed(error, now)
        except Exception as again:  # noqa: BLE001 - the fault's own handling failed: told, and the guard goes on
            self._voice.warn("exception", "while handling a fault", again)

    # ---- the one timer ---------------------------------------------------------------------------------------------

    def _next(self) -> int | None:
        """When the core or a held call wants to be woken."""
        at = self.core.next_timer()
        if self._verdicts is not None:
            held = self._verdicts.next_wake()
            if held is not None and (at is None or held < at):
                return held
        return at

    def _arm(self, at: int | None, now: int, pause: int) -> None:
        """One timer of the loop serves all."""
        if at is not None and pause:
            at = max(at, now + pause)
        if at is None or (self._timer is not None and self._armed <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed = at
        self._timer = self._loop.call_later((max(at - now, 0) + EARLIEST / 2) / 1_000_000, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = self.now()
        before = self.counters["exceptions"]
        self._tried(self.core.wake, now)
        if self._verdicts is not None:
            self._tried(self._verdicts.wake, now)
        self._settle(now, BREATH if self.counters["exceptions"] != before else 0)
