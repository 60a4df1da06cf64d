"""Feeds the core, performs what it wants, and keeps one timer: the only place where both meet (ARCHITECTURE, net).

Everything enters through `_turn`: a datagram, a framed message, a timer, a commit, a lost connection. There, and only
there, an exception is caught: one bad message costs itself, is counted and told, and everything else goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

from guard.net import stream, udp, verdicts
from guard.net.clock import Clock, anchored
from guard.net.say import Voice
from guard.net.stream import Streams
from guard.net.udp import UdpSocket
from guard.net.verdicts import Verdicts
from guard.proxy.effects import Address, Effect, Flow

EARLIEST: Final = 1_000  # µs; the loop's timers count milliseconds, and waking early is waking twice
COUNTERS: Final = (
    *udp.COUNTERS, *stream.COUNTERS, *verdicts.COUNTERS, "exceptions", "sends", "sends_failed", "wall_clock_set",
)  # fmt: skip


class Core(verdicts.Core, Protocol):
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

    def next_timer(self) -> int | None:
        """When `wake` wants to be called."""

    def wake(self, now: int) -> None:
        """Fire what is due."""


class Driver:
    """Drives one core. `counters` are the driver's own; the core counts apart."""

    def __init__(self, core: Core, clock: Clock, voice: Voice) -> None:
        self.core = core
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.now = clock.now
        self._clock = clock
        self._voice = voice
        self._loop = asyncio.get_running_loop()
        self._udp: dict[Address, UdpSocket] = {}
        self._streams: Streams | None = None
        self._verdicts: Verdicts | None = None
        self._performing: Iterator[Effect] = iter(())
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0  # the instant it is set for
        self._stopped = False
        core.wall_offset = clock.wall() - clock.now()

    def attach(self, sockets: list[UdpSocket], streams: Streams, judge: Verdicts) -> None:
        """Everything that the driver serves; from now on it runs."""
        self._udp = {s.local: s for s in sockets}
        self._streams = streams
        self._verdicts = judge
        for sock in sockets:
            sock.start(self._loop, self.receive)

    def stop(self) -> None:
        """No timer, no datagram any more."""
        self._stopped = True
        for sock in self._udp.values():
            sock.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- what enters -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow) -> None:
        """One datagram, or one framed message of a stream."""
        now = self.now()
        core = self.core
        try:
            core.receive(data, flow, now)
        except Exception as error:  # noqa: BLE001 - see the module: told and counted in _fault
            self._fault(error, now, flow)
        self._settle(now)

    def send_failed(self, key: str) -> None:
        """A message could not be sent over a stream."""
        self.counters["sends_failed"] += 1
        self._turn(lambda now: self.core.send_failed(key, now))

    def flow_closed(self, flow: Flow) -> None:
        """A connection closed."""
        if not self._stopped:
            self._turn(lambda now: self.core.flow_closed(flow, now))

    def hurry(self) -> None:
        """From the log's thread: commits have landed."""
        self._loop.call_soon_threadsafe(self._land)

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
