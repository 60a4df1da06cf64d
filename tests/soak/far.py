"""Both sides of the guard in virtual time: every exchange and every operator of a world, who do with each call what its
plan says. They keep nothing of a call that is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from guard.model import SECOND
from guard.proxy.effects import Address, Flow
from sim.labelled.words import IPBX_HOST, Placed
from sim.wire import Headers, Sip, build, respond, uri_of

LAG: Final = 0.001  # s that a message is on its way
FORGET: Final = 64.0  # s after its end in which a call may still be repeated (RFC 3261, timers of 32 s on both sides)


class Leg(Struct):
    """One call as both ends see it. `final` is what its caller heard, `arrived` the INVITE that reached the callee."""

    placed: Placed
    invite: Sip
    caller: Address
    callee: Address = ("", 0)
    arrived: Sip | None = None
    answer: Sip | None = None
    final: int = 0
    rings: bool = False
    over: bool = False


class VirtualSocket:
    """The guard's one UDP socket, as its driver uses it (guard/net/udp.py)."""

    def __init__(self, local: Address, heard: Callable[[bytes, Address], None]) -> None:
        self.local = local
        self._heard = heard
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flows: dict[Address, Flow] = {}

    def start(
        self, loop: asyncio.AbstractEventLoop, feed: Callable[[bytes, Flow], object], crowded: Callable[[], None]
    ) -> None:
        """See `UdpSocket`."""
        del crowded
        self._loop, self._feed = loop, feed

    def close(self) -> None:
        """Nothing arrives any more."""
        self._loop = None

    def send(self, data: bytes, peer: Address) -> bool:
        """From the guard."""
        if self._loop is not None:
            self._loop.call_later(LAG, self._heard, data, peer)
        return True

    def put(self, data: bytes, peer: Address) -> None:
        """To the guard."""
        if self._loop is not None:
            self._loop.call_later(LAG, self._arrive, data, peer)

    def _arrive(self, data: bytes, peer: Address) -> None:
        if self._loop is not None:
            self._feed(data, self._flows.setdefault(peer, Flow("udp", self.local, peer)))


class Far:
    """`place` a call at its time. `statuses` counts finals that callers heard by label and status, `planned` those that
    they hear where nobody is refused. `subjects` are the lines and numbers that have called."""

    def __init__(self, guard: Address, port: int) -> None:
        self.socket = VirtualSocket(guard, self.heard)
        self.legs: dict[str, Leg] = {}
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.planned: Counter[tuple[str, int]] = Counter()
        self.subjects: set[str] = set()
        self._guard = guard
        self._port = port
        self._branch = 0
        self._loop = asyncio.get_running_loop()

    def place(self, placed: Placed) -> None:
        """The INVITE of a call."""
        call = placed.call
        host, at = call.source_address, f"{self._guard[0]}:{self._guard[1]}"
        if call.direction == "inbound":
            at = f"{host.rpartition('.')[0]}.{IPBX_HOST}:{self._port}"
        headers: Headers = [
            ("Via", self._via(host)),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{call.caller.raw}@{host}>;tag={call.from_tag}"),
            ("To", f"<sip:{call.callee.raw}@{self._guard[0]}>"),
            ("Call-ID", call.call_id),
            ("CSeq", "1 INVITE"),
            ("Contact", f"<sip:{host}:{self._port}>"),
        ]
        if call.line:
            headers.append(("X-Line", call.line))
        if call.user_agent:
            headers.append(("User-Agent", call.user_agent))
        data = build(f"INVITE sip:{call.callee.raw}@{at} SIP/2.0", headers)
        status = placed.ended.final_status
        # A proxy says no 503 of its next hop to a caller who would then leave it alone (RFC 3261 16.7, 6).
        self.planned[placed.label, 480 if status == 503 and call.direction == "outbound" else status] += 1
        if call.direction == "outbound":
            self.subjects |= {call.caller.value, f"{call.source}/{call.line}"}
        leg = self.legs[call.call_id] = Leg(placed, Sip(data), (host, self._port))
        self.socket.put(data, leg.caller)
        if placed.ended.outcome == "cancelled":
            self._later((placed.ended.at - call.at) / SECOND, self._give_up, leg)

    def heard(self, data: bytes, at: Address) -> None:
        """Something that the guard sent to an address."""
        m = Sip(data)
        leg = self.legs.get(m.call_id)
        if not m.is_request:
            if leg is not None and m.method == "INVITE" and m.status >= 200:
                self._finally(leg, m)
        elif leg is None:
            if m.method != "ACK":
                self.socket.put(respond(m, 481), at)
        elif m.method == "INVITE":
            self._arrives(leg, m, at)
        elif m.method == "ACK":
            self._connected(leg)
        else:
            self.socket.put(respond(m, 200), at)
            if m.method == "CANCEL":
                self._answer(leg, 487)
            elif m.method == "BYE":
                self._ends(leg)

    # ---- the caller ------------------------------------------------------------------------------------------------

    def _give_up(self, leg: Leg) -> None:
        if not leg.final:
            self.socket.put(self._of_invite(leg, "CANCEL", leg.invite.get("to")), leg.caller)

    def _finally(self, leg: Leg, m: Sip) -> None:
        first = not leg.final
        if first:
            leg.final = m.status
            self.statuses[leg.placed.label, m.status] += 1
        if m.status >= 300:
            self.socket.put(self._of_invite(leg, "ACK", m.get("to")), leg.caller)
            self._ends(leg)
            return
        leg.answer = m
        self.socket.put(self._within(leg, "ACK", 1, by_caller=True), leg.caller)
        if first and leg.placed.ended.by != "callee":
            self._later(leg.placed.ended.talk_us / SECOND, self._bye, leg, True)

    # ---- the callee ------------------------------------------------------------------------------------------------

    def _arrives(self, leg: Leg, m: Sip, at: Address) -> None:
        if leg.arrived is not None:
            return  # again, or another way: what was said is on its way
        leg.arrived, leg.callee = m, at
        ended = leg.placed.ended
        delay = (ended.at - leg.placed.call.at - ended.ring_us - ended.talk_us) / SECOND
        self.socket.put(respond(m, 100), at)
        if ended.outcome == "failed":
            self._later(delay, self._answer, leg, ended.final_status)
            return
        self._later(delay, self._ring, leg)
        if ended.outcome == "answered":
            self._later(delay + ended.ring_us / SECOND, self._answer, leg, 200)

    def _ring(self, leg: Leg) -> None:
        if leg.arrived is not None and not leg.over:
            self.socket.put(self._said(leg, leg.arrived, 180), leg.callee)

    def _answer(self, leg: Leg, status: int) -> None:
        if leg.arrived is not None and not leg.over:
            self.socket.put(self._said(leg, leg.arrived, status), leg.callee)

    def _connected(self, leg: Leg) -> None:
        if leg.answer is not None and not leg.rings and leg.placed.ended.by == "callee":
            leg.rings = True
            self._later(leg.placed.ended.talk_us / SECOND, self._bye, leg, False)

    # ---- both ------------------------------------------------------------------------------------------------------

    def _bye(self, leg: Leg, by_caller: bool) -> None:
        if not leg.over:
            self._ends(leg)
            self.socket.put(self._within(leg, "BYE", 2, by_caller=by_caller), leg.caller if by_caller else leg.callee)

    def _ends(self, leg: Leg) -> None:
        if not leg.over:
            leg.over = True
            self._later(FORGET, self.legs.pop, leg.placed.call.call_id, None)

    def _said(self, leg: Leg, m: Sip, status: int) -> bytes:
        return respond(
            m,
            status,
            to_tag=f"z{leg.placed.call.from_tag}",
            headers=[("Contact", f"<sip:{leg.callee[0]}:{self._port}>")],
        )

    def _of_invite(self, leg: Leg, method: str, to: str) -> bytes:
        """CANCEL, or the ACK of a refusal (RFC 3261 9.1, 17.1.1.3)."""
        m = leg.invite
        headers = [("Via", m.get("via")), ("Max-Forwards", "70"), ("From", m.get("from")), ("To", to)]
        return build(f"{method} {m.uri} SIP/2.0", [*headers, ("Call-ID", m.call_id), ("CSeq", f"1 {method}")])

    def _within(self, leg: Leg, method: str, cseq: int, *, by_caller: bool) -> bytes:
        """A request of the dialog, of either side (RFC 3261 12.2.1.1)."""
        answer, arrived = leg.answer, leg.arrived
        assert answer is not None
        assert arrived is not None
        ours, theirs = answer.get("from"), answer.get("to")
        target, route = answer, answer.all("record-route")[::-1]
        if not by_caller:
            ours, theirs = theirs, arrived.get("from")
            target, route = arrived, arrived.all("record-route")
        host = leg.caller[0] if by_caller else leg.callee[0]
        headers = [("Via", self._via(host)), ("Max-Forwards", "70"), *(("Route", r) for r in route)]
        headers += [("From", ours), ("To", theirs), ("Call-ID", arrived.call_id), ("CSeq", f"{cseq} {method}")]
        return build(f"{method} {uri_of(target.get('contact'))} SIP/2.0", headers)

    def _via(self, host: str) -> str:
        self._branch += 1
        return f"SIP/2.0/UDP {host}:{self._port};branch=z9hG4bKf{self._branch}"

    def _later(self, seconds: float, what: Callable[..., object], *args: object) -> None:
        self._loop.call_later(max(seconds, LAG), what, *args)
