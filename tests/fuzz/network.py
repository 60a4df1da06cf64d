"""Two phones and a network that loses, doubles, delays and reorders: what test_machines.py plays with."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from guard.model import Decision
from guard.proxy.effects import Flow
from guard.proxy.facts import PLAIN_DIAL, emergency
from guard.proxy.transactions import T4
from guard.sip.message import Message, parse
from tests.proxy.world import DOWN, GUARD, PBX, UP, World, reply, request

Side = Literal["caller", "callee"]
MAX_SENT: Final = 24  # messages that one message or decision may cause: a few answers and a few CANCELs
HEALED: Final = 400  # messages that a healed network carries at most, before it has to be quiet


class Timed(World):
    """A world that knows when each message left."""

    def __init__(self) -> None:
        self.times: list[int] = []
        super().__init__(answer=None)

    def drain(self) -> None:
        super().drain()
        self.times += [self.now] * (len(self.sent) - len(self.times))


class Dialling(Struct):
    """One INVITE of the caller's, what the guard `said` of it for good and since when, and what of that was heard."""

    call_id: str
    branch: str
    uri: str
    finals: list[int]
    said: list[tuple[int, int]]
    tag: str = ""  # of whoever answered 2xx

    def request(self, method: str = "INVITE", cseq: int = 1, branch: str = "", more: str = "") -> bytes:
        """A request of the caller's for this call."""
        uri = "sip:127.0.0.3:5060" if self.tag and method in {"ACK", "BYE"} else self.uri
        return request(
            method, uri, call_id=self.call_id, branch=branch or self.branch, to_tag=self.tag, cseq=cseq, more=more,
            tag=self.call_id,
        )  # fmt: skip


class Packet(Struct):
    """A message under way: to the guard (`to` empty), or to one of the two."""

    data: bytes
    to: Side | Literal[""]
    flow: Flow


class Network:
    """The guard between two phones. Nothing arrives by itself: whoever plays says what, and when."""

    def __init__(self) -> None:
        self.w = Timed()
        self.flight: list[Packet] = []
        self.calls: dict[str, Dialling] = {}
        self.rung: dict[str, Message] = {}  # INVITEs that the callee has, by Call-ID
        self.answered: dict[str, int] = {}  # what it said of them, for good
        self.allowed: set[str] = set()
        self.decided: set[int] = set()
        self.count = 0

    # ---- the wire --------------------------------------------------------------------------------------------------

    def send(self, data: bytes, flow: Flow) -> None:
        """A phone sends something towards the guard."""
        self.flight.append(Packet(data, "", flow))

    def deliver(self, packet: Packet) -> None:
        """It arrives."""
        if packet.to == "":
            before = len(self.w.sent)
            self.w.core.receive(packet.data, packet.flow, self.w.now)
            self.w.drain()
            self.collect(before)
            return
        m = parse(packet.data)
        if m.is_request:
            self.asked(m, packet.flow, packet.to)
        elif packet.to == "caller":
            self.heard(m)

    def collect(self, before: int, *, at_once: bool = True) -> None:
        """What the guard sent goes on its way; what may not be is seen here."""
        sent = self.w.sent[before:]
        assert len(sent) <= MAX_SENT or not at_once
        for (flow, data), at in zip(sent, self.w.times[before:], strict=True):
            m = parse(data)
            side: Side = "caller" if flow.peer == PBX else "callee"
            call_id = m.call_id().decode()
            if m.method == b"INVITE" and side == "callee":
                assert call_id in self.allowed or emergency(m.uri, PLAIN_DIAL), "an INVITE left that nobody allowed"
            if side == "caller" and m.status >= 200 and m.cseq()[1] == b"INVITE":
                self.said_for_good(self.calls[call_id], m.status, at)
            self.flight.append(Packet(data, side, flow))

    @staticmethod
    def said_for_good(call: Dialling, status: int, at: int) -> None:
        """One final answer for one INVITE. A copy of it that the network kept for longer than the transaction lives is
        an INVITE of its own."""
        status = min(status, 200) if status < 300 else status
        if not call.said or call.said[-1][0] != status:
            assert all(at - first >= T4 for _, first in call.said), f"answered twice: {call.said}, {status}"
            call.said.append((status, at))

    def later(self, seconds: float) -> None:
        """Time passes, timer by timer."""
        before = len(self.w.sent)
        self.w.later(seconds)
        self.collect(before, at_once=False)

    def decide(self, ticket: int, decision: Decision) -> None:
        """The rules speak; only the first word counts."""
        asked = next(d for d in self.w.asked if d.ticket == ticket)
        if ticket not in self.decided and decision.verdict != "blocked":
            self.allowed.add(asked.call.call_id)
        self.decided.add(ticket)
        before = len(self.w.sent)
        self.w.decide(ticket, decision)
        self.collect(before)

    # ---- the phones ------------------------------------------------------------------------------------------------

    def dial(self, number: str) -> None:
        """The caller calls."""
        self.count += 1
        call = Dialling(f"c{self.count}", f"b{self.count}", f"sip:{number}@127.0.0.1", [], [])
        self.calls[call.call_id] = call
        self.send(call.request(), UP)

    def heard(self, m: Message) -> None:
        """The caller gets an answer, and acknowledges it."""
        number, method = m.cseq()
        call = self.calls.get(m.call_id().decode())
        if call is None or method != b"INVITE" or m.status < 200 or number != 1:
            return
        call.finals.append(m.status)
        call.tag = (m.to().tag or b"").decode()
        if m.status < 300:
            self.send(call.request("ACK", branch=f"{call.branch}ack", more="Route: <sip:127.0.0.1:5060;lr>\r\n"), UP)
        else:
            self.send(call.request("ACK"), UP)

    def asked(self, m: Message, flow: Flow, side: Side) -> None:
        """A phone gets a request, and answers."""
        back = Flow("udp", GUARD, flow.peer)
        call_id = m.call_id().decode()
        if m.method == b"INVITE":
            self.rung.setdefault(call_id, m)
            if call_id in self.answered:
                self.send(reply(self.rung[call_id], self.answered[call_id]), DOWN)
        elif m.method == b"CANCEL":
            self.send(reply(m, 200), back)
            if call_id in self.rung:
                self.answer(call_id, 487)
        elif m.method == b"BYE":
            self.send(reply(m, 200 if side == "caller" or self.answered.get(call_id, 0) == 200 else 481), back)

    def answer(self, call_id: str, status: int) -> None:
        """The callee answers; for good only once, and the same again when asked again."""
        if status >= 200:
            status = self.answered.setdefault(call_id, status)
        self.send(reply(self.rung[call_id], status), DOWN)

    def hang_up(self, call: Dialling, side: Side) -> None:
        """A phone that has talked says BYE."""
        self.count += 1
        branch, more = f"bye{self.count}", "Route: <sip:127.0.0.1:5060;lr>\r\n"
        if side == "caller":
            self.send(call.request("BYE", cseq=2, branch=branch, more=more), UP)
            return
        invite = self.rung[call.call_id]
        self.send(
            request(
                "BYE", invite.routes(b"contact")[0].uri.decode(), caller=invite.to().uri.decode().join("<>"), tag="z9",
                to=invite.from_().address.decode(), to_tag=call.call_id, call_id=call.call_id, cseq=1, branch=branch,
                host="127.0.0.3", more=more,
            ),
            DOWN,
        )  # fmt: skip

    # ---- the end ---------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """From now on all arrives, in order and at once."""
        for _ in range(HEALED):
            if not self.flight:
                break
            self.deliver(self.flight.pop(0))

    def over(self) -> None:
        """A day later nothing is left, and whatever was asked about ended once."""
        self.flight.clear()
        self.w.later(25 * 3600)
        self.w.later(25 * 3600)
        core = self.w.core
        assert (core.transactions, core.calls, core.next_timer()) == (0, 0, None)
        ended = [t for t, _ in self.w.ended] + [t for t, _ in self.w.withdrawn]
        assert len(ended) == len(set(ended)), "a call ended twice"
        assert set(ended) == {d.ticket for d in self.w.asked if not d.again}, "a call never ended"
