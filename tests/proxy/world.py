"""A core without a network: messages in, effects out, a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Literal

from guard.model import CallEnded, Decision, Finding, Text
from guard.proxy.core import CoreSettings, ProxyCore
from guard.proxy.effects import (
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
from guard.proxy.routing import Trunks
from guard.proxy.shapes import Hop, Trunk
from guard.sip.message import BadMessage, Message, parse
from guard.sources import Source, Sources

GUARD = ("127.0.0.1", 5060)
PBX = ("127.0.0.2", 5060)
OPERATOR = ("127.0.0.3", 5060)
STRANGER = ("192.0.2.66", 5060)
UP = Flow("udp", GUARD, PBX)
DOWN = Flow("udp", GUARD, OPERATOR)
SECOND = 1_000_000
HOP = Hop("udp", *OPERATOR)
SOURCE = Source(name="pbx", networks=(ip_network("127.0.0.2/32"),), trunk="operator", contact=PBX)
LISTENS: tuple[tuple[Transport, str, int], ...] = (("udp", *GUARD), ("tcp", *GUARD))
CALLER = "<sip:+33145678901@127.0.0.2>"
Out = list[tuple[str, Message]]

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

    def __init__(
        self,
        *,
        answer: Decision | None = ALLOW,
        hop: Hop = HOP,
        source: Source = SOURCE,
        listens: Sequence[tuple[Transport, str, int]] = LISTENS,
        emergency: Literal["private", "any", "none"] = "private",
        trunks: tuple[Trunk, ...] = (),
        screens: bool = False,
    ) -> None:
        self.settings = CoreSettings(
            listens=tuple(listens),
            token="t0ken",
            site="hq",
            emergency_from_unknown=emergency,
            screens_inbound=screens,
        )
        self.sources = Sources((source,))
        self.trunks = Trunks(trunks or (Trunk(name="operator", hops=(hop,)),))
        self.core = ProxyCore(self.settings, self.sources, self.trunks)
        self.pbx = {str(n.network_address) for n in source.networks}
        self.now = 1_000 * SECOND
        self.answer = answer  # given to every Decide at once; None: the test decides
        self.asked: list[Decide] = []
        self.ended: list[tuple[int, CallEnded]] = []
        self.withdrawn: list[tuple[int, CallEnded]] = []
        self.strangers: list[Stranger] = []
        self.sent: list[tuple[Flow, bytes]] = []
        self.keys: list[str] = []
        self.closed: list[Flow] = []
        self.turned: list[tuple[str, str]] = []  # hops that went down (host, why) or came back (host, "")
        self.unproven: list[tuple[str, tuple[str, str, int]]] = []  # hops that took an emergency call: trunk, place
        self.seq = 0

    def __call__(self, data: bytes, flow: Flow) -> Out:
        """One message arrives; what leaves because of it."""
        before = len(self.sent)
        self.core.receive(data, flow, self.now)
        self.drain()
        return self.shown(before)

    def shown(self, since: int) -> Out:
        return [("up" if f.peer[0] in self.pbx else "down", read(d)) for f, d in self.sent[since:]]

    def drain(self) -> None:
        while self.core.effects:
            effects: list[Effect] = self.core.effects[:]
            self.core.effects.clear()
            for effect in effects:
                if isinstance(effect, Send):
                    self.sent.append((effect.flow, effect.data))
                    self.keys.append(effect.key)
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
                elif isinstance(effect, HopTurned):
                    self.turned.append((effect.place[1], effect.why))
                elif isinstance(effect, Unproven):
                    self.unproven.append((effect.trunk, effect.place))
                elif isinstance(effect, Close):
                    self.closed.append(effect.flow)

    def decide(self, ticket: int, decision: Decision) -> Out:
        before = len(self.sent)
        self.seq += 1
        self.core.decided(ticket, decision, self.seq, self.now)
        self.drain()
        return self.shown(before)

    def unreachable(self) -> Out:
        """The last request that left did not get there."""
        before = len(self.sent)
        self.core.send_failed(next(k for k in reversed(self.keys) if k), self.now)
        self.drain()
        return self.shown(before)

    def rest(self) -> None:
        """A day passes: nothing is left of anything."""
        self.later(25 * 3600)
        assert self.core.calls == 0
        assert self.core.transactions == 0

    def later(self, seconds: float) -> Out:
        """Time passes; every timer fires at its own instant."""
        before = len(self.sent)
        until = self.now + int(seconds * SECOND)
        while (at := self.core.next_timer()) is not None and at <= until:
            self.now = max(self.now, at)
            self.core.wake(self.now)
            self.drain()
        self.now = until
        return self.shown(before)


def arrows(out: Out) -> list[str]:
    """What left, as a call flow shows it: `up 180` towards the IPBX, `down INVITE` towards the operator."""
    return [f"{side} {m.method.decode() if m.is_request else m.status}" for side, m in out]


def read(data: bytes) -> Message:
    """What left; an emergency call may leave as it came, good or not."""
    try:
        return parse(data)
    except BadMessage as error:
        if error.message is None:
            raise
        return error.message


def request(
    method: str = "INVITE",
    uri: str = "sip:+33145670001@127.0.0.1",
    *,
    caller: str = CALLER,
    tag: str = "a1",
    to_tag: str = "",
    call_id: str = "c1@pbx",
    cseq: int = 1,
    branch: str = "b1",
    host: str = "127.0.0.2",
    port: int = 5060,
    transport: str = "UDP",
    contact: str = "",
    more: str = "",
    body: str = "",
    to: str = "<sip:+33145670001@127.0.0.1>",
) -> bytes:
    """A request as an IPBX (or, with `host`, an operator) sends it."""
    to_line = f"{to};tag={to_tag}" if to_tag else to
    return (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {host}:{port};branch=z9hG4bK{branch}\r\n"
        f"Max-Forwards: 70\r\nFrom: {caller};tag={tag}\r\nTo: {to_line}\r\n"
        f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: {contact or f'<sip:{host}:{port}>'}\r\n"
        f"{more}Content-Length: {len(body.encode())}\r\n\r\n{body}"
    ).encode()


def reply(
    m: Message, status: int, *, to_tag: str = "z9", more: str = "", contact: str = "<sip:127.0.0.3:5060>"
) -> bytes:
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
    return b"".join(lines) + f"Contact: {contact}\r\n{more}Content-Length: 0\r\n\r\n".encode()


class Leg:
    """One call from the IPBX through the guard, as its two ends see it."""

    def __init__(
        self, w: World, *, call_id: str = "c1@pbx", branch: str = "b1", caller: str = CALLER, **more: str
    ) -> None:
        self.w = w
        self.call_id, self.caller, self.branch = call_id, caller, branch
        self.cseq = 1
        self.raw = request(call_id=call_id, branch=branch, caller=caller, **more)  # type: ignore[arg-type]
        self.out = w(self.raw, UP)
        self.invite = self.out[-1][1]  # as the operator got it, if it was let through

    def answer(self, status: int, *, to_tag: str = "z9", more: str = "", contact: str = "<sip:127.0.0.3:5060>") -> Out:
        """The operator answers the INVITE."""
        return self.w(reply(self.invite, status, to_tag=to_tag, more=more, contact=contact), DOWN)

    def up(self) -> Leg:
        """The call as answered and acknowledged."""
        assert arrows(self.answer(180)) == ["up 180"]
        assert arrows(self.answer(200)) == ["up 200"]
        assert arrows(self.w(self.from_pbx("ACK"), UP)) == ["down ACK"]
        return self

    def from_pbx(
        self,
        method: str,
        *,
        branch: str = "",
        to_tag: str = "z9",
        uri: str = "sip:127.0.0.3:5060",
        more: str = "Route: <sip:127.0.0.1:5060;lr>\r\n",
    ) -> bytes:
        """A request of the caller within the dialog; ACK has the INVITE's CSeq number."""
        if method not in {"ACK", "CANCEL"}:
            self.cseq += 1
        return request(
            method,
            uri,
            caller=self.caller,
            to_tag=to_tag,
            call_id=self.call_id,
            cseq=self.cseq,
            branch=branch or f"{self.branch}{method}{self.cseq}",
            more=more,
        )

    def from_operator(self, method: str, *, cseq: int = 1, to_tag: str = "z9", more: str = "") -> bytes:
        """A request of the callee within the dialog, with the caller as the operator saw it."""
        seen = self.invite.from_()
        return request(
            method,
            self.invite.routes(b"contact")[0].uri.decode(),
            caller=self.invite.to().uri.decode().join("<>"),
            tag=to_tag,
            to=seen.address.decode(),
            to_tag=(seen.tag or b"").decode(),
            call_id=self.call_id,
            cseq=cseq,
            branch=f"{self.branch}op{method}{cseq}",
            host="127.0.0.3",
            more=f"Route: <sip:127.0.0.1:5060;lr>\r\n{more}",
        )

    def cancel(self) -> bytes:
        """The caller's CANCEL: the INVITE's own branch and CSeq."""
        return request("CANCEL", call_id=self.call_id, branch=self.branch, caller=self.caller)

    def bye(self) -> None:
        """The caller hangs up, the operator agrees."""
        out = self.w(self.from_pbx("BYE"), UP)
        assert arrows(out) == ["down BYE"]
        assert arrows(self.w(reply(out[0][1], 200), DOWN)) == ["up 200"]
