"""A core without a network: messages in, effects out, a clock that the test moves."""

from __future__ import annotations

from ipaddress import ip_network

from guard.model import CallEnded, Decision, Finding, Text
from guard.proxy.core import CoreSettings, ProxyCore
from guard.proxy.effects import Decide, Effect, Ended, Flow, Send, Stranger, Withdraw
from guard.proxy.routing import Hop, Trunk, Trunks
from guard.sip.message import Message, parse
from guard.sources import Source, Sources

GUARD = ("127.0.0.1", 5060)
PBX = ("127.0.0.2", 5060)
OPERATOR = ("127.0.0.3", 5060)
STRANGER = ("192.0.2.66", 5060)
UP = Flow("udp", GUARD, PBX)
DOWN = Flow("udp", GUARD, OPERATOR)
SECOND = 1_000_000

ALLOW = Decision(verdict="allowed")
FINDING = Finding(
    rule="cli.not-authorised",
    action="block",
    article=("003 IV-3.4.4",),
    text=Text("no right to this number", "pas de droit sur ce numéro"),
    facts={},
)
BLOCK = Decision(verdict="blocked", findings=(FINDING,), rule="cli.not-authorised", status=403)


class World:
    """One core between an IPBX and an operator."""

    def __init__(self, *, mask_caller: str = "+33145678900", answer: Decision | None = ALLOW) -> None:
        source = Source(name="pbx", networks=(ip_network("127.0.0.2/32"),), trunk="operator", contact=PBX)
        trunk = Trunk(name="operator", hops=(Hop("udp", *OPERATOR),), mask_caller=mask_caller)
        settings = CoreSettings(listens=(("udp", *GUARD), ("tcp", *GUARD)), token="t0ken")
        self.core = ProxyCore(settings, Sources((source,)), Trunks((trunk,)))
        self.now = 1_000 * SECOND
        self.answer = answer  # given to every Decide at once; None: the test decides
        self.asked: list[Decide] = []
        self.ended: list[tuple[int, CallEnded]] = []
        self.withdrawn: list[tuple[int, CallEnded]] = []
        self.strangers: list[Stranger] = []
        self.sent: list[tuple[Flow, bytes]] = []
        self.seq = 0

    def __call__(self, data: bytes, flow: Flow) -> list[tuple[str, Message]]:
        """One message arrives; what leaves because of it."""
        before = len(self.sent)
        self.core.receive(data, flow, self.now)
        self.drain()
        return self.shown(before)

    def shown(self, since: int) -> list[tuple[str, Message]]:
        return [("up" if f.peer[0] == PBX[0] else "down", parse(d)) for f, d in self.sent[since:]]

    def drain(self) -> None:
        while self.core.effects:
            effects: list[Effect] = self.core.effects[:]
            self.core.effects.clear()
            for effect in effects:
                if isinstance(effect, Send):
                    self.sent.append((effect.flow, effect.data))
                elif isinstance(effect, Decide):
                    self.asked.append(effect)
                    if self.answer is not None and not effect.passed:
                        self.decide(effect.ticket, self.answer)
                elif isinstance(effect, Ended):
                    self.ended.append((effect.ticket, effect.ended))
                elif isinstance(effect, Withdraw):
                    self.withdrawn.append((effect.ticket, effect.ended))
                elif isinstance(effect, Stranger):
                    self.strangers.append(effect)

    def decide(self, ticket: int, decision: Decision) -> None:
        self.seq += 1
        self.core.decided(ticket, decision, self.seq, self.now)
        self.drain()

    def later(self, seconds: float) -> list[tuple[str, Message]]:
        """Time passes; every timer fires at its own instant."""
        before = len(self.sent)
        until = self.now + int(seconds * SECOND)
        while (at := self.core.next_timer()) is not None and at <= until:
            self.now = max(self.now, at)
            self.core.wake(self.now)
            self.drain()
        self.now = until
        return self.shown(before)


def request(
    method: str = "INVITE",
    uri: str = "sip:+33145670001@127.0.0.1",
    *,
    caller: str = "<sip:+33145678901@127.0.0.2>",
    tag: str = "a1",
    to_tag: str = "",
    call_id: str = "c1@pbx",
    cseq: int = 1,
    branch: str = "b1",
    host: str = "127.0.0.2",
    port: int = 5060,
    more: str = "",
    body: str = "",
    to: str = "<sip:+33145670001@127.0.0.1>",
) -> bytes:
    """A request as an IPBX (or, with `host`, an operator) sends it."""
    to_line = f"{to};tag={to_tag}" if to_tag else to
    number_method = "INVITE" if method == "ACK-INVITE" else method
    return (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch}\r\n"
        f"Max-Forwards: 70\r\nFrom: {caller};tag={tag}\r\nTo: {to_line}\r\n"
        f"Call-ID: {call_id}\r\nCSeq: {cseq} {number_method}\r\nContact: <sip:{host}:{port}>\r\n"
        f"{more}Content-Length: {len(body.encode())}\r\n\r\n{body}"
    ).encode()


def reply(m: Message, status: int, *, to_tag: str = "z9", more: str = "") -> bytes:
    """The answer of the other side to a message that the core sent."""
    lines = [f"SIP/2.0 {status} X\r\n".encode()]
    for name, start, _, end in m.lines:
        if name in {b"via", b"from", b"call-id", b"cseq", b"record-route"}:
            lines.append(m.data[start:end])
        elif name == b"to":
            line = m.data[start:end]
            if m.to().tag is None and status > 100:
                line = line.rstrip() + f";tag={to_tag}\r\n".encode()
            lines.append(line)
    return b"".join(lines) + f"Contact: <sip:127.0.0.3:5060>\r\n{more}Content-Length: 0\r\n\r\n".encode()
