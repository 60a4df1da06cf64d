"""Mirrored traffic through the same decisions as captured traffic, on the messages' own time and a live clock.

A message counts at the instant that its agent wrote, and waits `SETTLE` for those that another agent, or another
thread of the same one, saw before it: the order of arrival is not the order of the call. What is due between messages
happens by the wall clock, so that a call held for its rate, or ended by silence, is told when it is so. An agent whose
clock is wrong is believed no instant: its messages count when they arrive.
"""

from __future__ import annotations

from heapq import heappop, heappush
from hmac import compare_digest
from typing import Final

from guard.capture.replay import Replay
from guard.capture.start import is_sip
from guard.capture.tally import Tally
from guard.hep.packet import SIP, TCP, TLS, BadPacket, Packet, decode
from guard.proxy.effects import Flow, Transport

SETTLE: Final = 300_000  # µs that a message waits for earlier ones: agents send within a few ms, lists of them sooner
MAX_AHEAD: Final = 1_000_000  # µs: a message of the future waits that long at most
MAX_BEHIND: Final = 5_000_000  # µs; what comes later still says nothing of when it was (or the clock is wrong)
MAX_WAITING: Final = 20_000  # messages that wait: a second at a rate that no guard follows
MAX_BYTES: Final = 64 * 1024 * 1024  # and their octets

_TRANSPORTS: Final[dict[int, Transport]] = {TCP: "tcp", TLS: "tls"}  # all else is one message in one packet, as UDP is

COUNTERS: Final = (
    "hep_packets", "hep_unreadable", "hep_unauthorised", "hep_other_types", "hep_not_sip", "hep_skewed", "hep_late",
    "hep_crowded",
)  # fmt: skip


class Watch:
    """Feeds what HEPv3 packets mirror to a replay. With a `key`, only packets that carry it count.

    `wall` is Unix time in µs throughout. `counters` count by name (`COUNTERS`), `tally` as the reading of a capture
    does, and keeps a sentence for each thing that is wrong with an agent.
    """

    def __init__(self, replay: Replay, key: bytes = b"") -> None:
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.tally = Tally()
        self._replay = replay
        self._key = key
        self._waiting: list[tuple[int, int, bytes, Flow]] = []
        self._bytes = 0

    @property
    def waiting(self) -> int:
        """How many messages wait for earlier ones."""
        return len(self._waiting)

    def packet(self, data: bytes, wall: int, sender: str = "") -> None:
        """One packet, that came at `wall` from the agent at `sender`."""
        counters, tally = self.counters, self.tally
        counters["hep_packets"] += 1
        tally.frames += 1
        tally.bytes += len(data)
        try:
            found = decode(data)
        except BadPacket as bad:
            counters["hep_unreadable"] += 1
            tally.malformed += 1
            tally.warn(f"agent {sender}: {bad}")
            return
        if self._key and not compare_digest(found.key, self._key):
            counters["hep_unauthorised"] += 1
            tally.warn(f"agent {sender}: its packets carry another password than [hep] says")
        elif found.type != SIP:
            counters["hep_other_types"] += 1
        elif not is_sip(found.payload):
            counters["hep_not_sip"] += 1
            tally.not_sip += 1
        else:
            tally.sip += 1
            self._wait(found, self._instant(found, wall, sender))

    def unreadable(self, sender: str, why: str) -> None:
        """A stream of an agent that is none of packets."""
        self.counters["hep_unreadable"] += 1
        self.tally.malformed += 1
        self.tally.warn(f"agent {sender}: {why}")

    def until(self, wall: int) -> None:
        """Let the clock run: all that can have no message before it any more is judged, and what is due happens."""
        waiting, settled = self._waiting, wall - SETTLE
        while waiting and waiting[0][0] <= settled:
            self._feed()
        if settled > self._replay.now:
            self._replay.until(settled)

    def finish(self) -> None:
        """No message comes any more. Held calls get their decision; what is still up has no end."""
        while self._waiting:
            self._feed()
        self._replay.finish()

    def _instant(self, found: Packet, wall: int, sender: str) -> int:
        """When a message was, as far as its agent can be believed."""
        at = found.at
        if wall - MAX_BEHIND <= at <= wall + MAX_AHEAD:
            return at
        self.counters["hep_skewed"] += 1
        way = f"{MAX_AHEAD // 1_000_000} s ahead" if at > wall else f"{MAX_BEHIND // 1_000_000} s behind"
        self.tally.warn(f"agent {sender}: its clock is more than {way}: its messages count when they come")
        return wall

    def _wait(self, found: Packet, at: int) -> None:
        tally = self.tally
        if tally.first is None or at < tally.first:
            tally.first = at
        tally.last = max(tally.last or at, at)
        flow = Flow(_TRANSPORTS.get(found.protocol, "udp"), found.dst, found.src)
        heappush(self._waiting, (at, self.counters["hep_packets"], found.payload, flow))
        self._bytes += len(found.payload)
        while len(self._waiting) > MAX_WAITING or self._bytes > MAX_BYTES:
            self.counters["hep_crowded"] += 1
            self._feed()

    def _feed(self) -> None:
        at, _, data, flow = heappop(self._waiting)
        self._bytes -= len(data)
        now = self._replay.now
        if at < now:
            self.counters["hep_late"] += 1
            at = now
        self._replay.feed(data, flow, at)
