"""The request half of the core (RFC 3261 16.3 to 16.6, 16.10): who sent it, what it belongs to, where it goes."""

from __future__ import annotations

from typing import Final

from guard.model import Decision
from guard.proxy import facts
from guard.proxy.calls import MAX_TARGETS, Call
from guard.proxy.context import Context
from guard.proxy.effects import Decide, Flow, Send, Stranger
from guard.proxy.nexthop import NextHop
from guard.proxy.refuse import reason, refusal
from guard.proxy.rewrite import mask_of
from guard.proxy.routing import DEFAULT_PORT, Trunk, is_private
from guard.proxy.tables import C, I, S
from guard.proxy.timers import DECISION, TIMER_C
from guard.proxy.transactions import GIVE_UP, ClientTx, ServerKey, ServerTx
from guard.sip.check import check_request
from guard.sip.headers import BadHeader, Via
from guard.sip.message import BadMessage, Message
from guard.sources import Source

DECISION_WAIT: Final = 32_000_000  # µs; a decision that takes longer than its transaction would live is of no use
BUSY_RETRY_AFTER: Final = b"Retry-After: 5\r\n"  # seconds until a full guard is asked again
ALLOW: Final = (
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, NOTIFY, SUBSCRIBE, MESSAGE\r\n"
)
INVITE: Final = b"INVITE"


def tag_of(m: Message, *, to: bool) -> bytes:
    """The tag of To or From, b"" where there is none or it cannot be read."""
    try:
        return (m.to() if to else m.from_()).tag or b""
    except BadHeader:
        return b""


def reply_flow(flow: Flow, via: Via) -> Flow:
    """Where answers to a request go: back over its stream, or to the Via's port, with rport to where it came from
    (RFC 3261 18.2.2, RFC 3581 4)."""
    if flow.transport != "udp" or via.rport is not None:
        return flow
    port = via.port or DEFAULT_PORT
    return flow if port == flow.peer[1] else Flow("udp", flow.local, (flow.peer[0], port))


def server_key(m: Message, via: Via, flow: Flow, method: bytes) -> ServerKey:
    """What makes a request the same transaction (RFC 3261 17.2.3); without a magic cookie, by RFC 2543's fields."""
    branch = via.branch or b""
    if branch[:7].lower() == b"z9hg4bk" and len(branch) > 7:
        return branch, via.sent_by, method, flow.peer[0]
    number = (m.first(b"cseq") or b"").split(b" ", 1)[0]
    old = b"|".join((m.uri, m.first(b"call-id") or b"", tag_of(m, to=False), number, m.first(b"via") or b""))
    return old, b"2543", method, flow.peer[0]


class Requests:
    """Requests, and the decisions that they wait for."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._hop = NextHop(context)
        self._again: dict[int, tuple[Call, ServerTx]] = {}  # other targets of a call, waiting to be judged

    def handle(self, m: Message, arrived: Flow, now: int) -> None:
        """One request from the wire."""
        c = self._c
        c.counters["requests"] += 1
        via = m.via()
        method = m.method
        flow = reply_flow(arrived, via)
        source = c.sources.find(arrived.peer[0])
        trunk = c.trunks.by_address.get(arrived.peer[0]) if source is None else None
        if method == b"ACK" or method == b"CANCEL":
            invite = c.layer.servers.get(server_key(m, via, arrived, INVITE))
            if method == b"ACK":
                self._ack(m, invite, arrived, source, trunk, now)
            else:
                self._cancel(m, server_key(m, via, arrived, method), invite, flow, now)
            return
        key = server_key(m, via, arrived, method)
        known = c.layer.servers.get(key)
        if known is not None:
            c.counters["retransmissions"] += 1
            c.layer.step_server(known, I.REQUEST, now)
            return
        urgent = self._urgent(m, source, arrived) if method == INVITE and trunk is None else ""
        if source is None and trunk is None and not urgent and not self._in_dialog_of(m):
            self._stranger(m, arrived, now)
            return
        if not self._acceptable(m, flow, urgent=bool(urgent)):
            return
        tx = ServerTx(key, m, flow, invite=method == INVITE)
        c.layer.servers[key] = tx
        to_tag = tag_of(m, to=True)
        if to_tag and not (urgent and self._in_dialog_of(m) is None):
            self._in_dialog(tx, m, source, trunk, to_tag, now)
        elif method == INVITE:
            self._first(tx, m, arrived, source, trunk, urgent, now)
        else:
            self._other(tx, m, source, trunk, now)

    # ---- before anything is kept -----------------------------------------------------------------------------------

    def _urgent(self, m: Message, source: Source | None, arrived: Flow) -> str:
        """The emergency number called, if this caller may be carried there (whoever is listed may)."""
        if source is not None:
            return facts.emergency(m.uri, source.dial)
        who = self._c.settings.emergency_from_unknown
        if who == "any" or (who == "private" and is_private(arrived.peer[0])):
            return facts.emergency(m.uri, facts.PLAIN_DIAL)
        return ""

    def _in_dialog_of(self, m: Message) -> tuple[Call, bool] | None:
        to_tag = tag_of(m, to=True)
        return self._c.calls.dialog(m.first(b"call-id") or b"", tag_of(m, to=False), to_tag) if to_tag else None

    def _stranger(self, m: Message, arrived: Flow, now: int) -> None:
        c = self._c
        c.count("strangers")
        call = None
        if m.method == INVITE:
            call = facts.attempt(m, None, arrived.peer[0], now + c.wall_offset)
        c.effects.append(Stranger(arrived, facts.text(m.method), facts.text(m.uri), call))

    def _acceptable(self, m: Message, flow: Flow, *, urgent: bool) -> bool:
        """Whether the request may go on; if not it was answered. An emergency call is let through whatever is wrong
        with it, unless it has gone round in circles."""
        c = self._c
        try:
            check_request(m)
        except BadMessage as error:
            if not urgent or error.status == 483:
                if not error.fatal:
                    c.answer_stateless(m, flow, error.status, (*error.headers, reason(error.status, error.reason)))
                return False
        if c.forwarder.looped(m):
            c.count("loops")
            c.answer_stateless(m, flow, 482)
            return False
        if c.layer.full() and not urgent:
            c.count("full")
            if m.method == INVITE:
                c.answer_stateless(m, flow, 480, (BUSY_RETRY_AFTER, reason(480, "guard is full")))
            return False
        return True

    # ---- first INVITEs ---------------------------------------------------------------------------------------------

    def _first(
        self, tx: ServerTx, m: Message, arrived: Flow, source: Source | None, trunk: Trunk | None, urgent: str, now: int
    ) -> None:
        c = self._c
        c.answer(tx, 100, now)
        if trunk is not None:
            self._inbound(tx, m, arrived, trunk, now)
            return
        name = source.name if source is not None else ""
        key = (name, m.first(b"call-id") or b"", tag_of(m, to=False))
        out = c.trunks.get(source.trunk if source is not None else "")
        call = c.calls.join(key)
        if call is not None:
            self._joined(call, tx, m, source, arrived, urgent, now)
            return
        if urgent:
            # On its way before anything else is looked at: whatever fails below, the call is out.
            c.count("emergency_calls")
            self._send_out(tx, m, out, None, now)
        if c.calls.full(emergency=bool(urgent)):
            c.count("full")
            if not urgent:
                c.answer(tx, 480, now, (BUSY_RETRY_AFTER, reason(480, "guard is full")))
            return
        attempt = facts.attempt(m, source, arrived.peer[0], now + c.wall_offset, trunk=out.name)
        call = c.calls.open(key, attempt, facts.fingerprint(m), now, passed=bool(urgent))
        call.caller_flow = arrived
        tx.call = call
        if urgent:
            call.callee_flow = tx.client.flow if tx.client is not None else None
        else:
            call.waiting.append(tx)
            c.timers.arm(call, DECISION, now + DECISION_WAIT)

    def _joined(
        self, call: Call, tx: ServerTx, m: Message, source: Source | None, arrived: Flow, urgent: str, now: int
    ) -> None:
        """Another INVITE of an attempt that was counted: with credentials, as a fork, or after a 3xx."""
        c = self._c
        tx.call = call
        target = facts.fingerprint(m)
        if urgent:
            self._send_out(tx, m, c.trunks.get(call.attempt.trunk), call, now)
        elif target in call.targets:
            if call.state is C.DECIDING:
                call.waiting.append(tx)
            else:
                self._apply(call, tx, m, call.decision, call.seq, now)
        elif len(call.targets) >= MAX_TARGETS:
            c.answer(tx, 480, now, (reason(480, "too many targets for one call"),))
            c.calls.failed(call, 480, now)
        else:
            call.targets.append(target)
            ticket = c.calls.next_ticket()
            self._again[ticket] = (call, tx)
            attempt = facts.attempt(m, source, arrived.peer[0], now + c.wall_offset, trunk=call.attempt.trunk)
            c.effects.append(Decide(ticket, attempt, again=True))

    def decided(self, ticket: int, decision: Decision, seq: int, now: int) -> None:
        """The decision on a call, or on another target of one."""
        again = self._again.pop(ticket, None)
        if again is not None:
            call, tx = again
            if tx.request is not None:
                self._apply(call, tx, tx.request, decision, seq, now)
            return
        found = self._c.calls.get(ticket)
        if found is None or not self._c.calls.decided(found, decision, seq, now):
            return
        found.armed[DECISION] = 0
        waiting, found.waiting = found.waiting, []
        for tx in waiting:
            if tx.request is not None:
                self._apply(found, tx, tx.request, decision, seq, now)

    def late(self, call: Call, now: int) -> None:
        """No decision came in the life of the transaction: the caller is told, so that its IPBX goes on."""
        self._c.count("decisions_late")
        for tx in call.waiting:
            self._c.answer(tx, 480, now, (reason(480, "no decision in time"),))
        call.waiting = []
        self._c.calls.withdraw(call, now, 480)

    def _apply(self, call: Call, tx: ServerTx, m: Message, decision: Decision | None, seq: int, now: int) -> None:
        """Let one INVITE of a decided call go, masked or not, or refuse it."""
        c = self._c
        if decision is not None and decision.verdict == "blocked":
            c.answer(tx, decision.status, now, tuple(refusal(decision, seq, c.settings.site)))
            if call.state is not C.ENDED:
                c.calls.failed(call, decision.status, now)
            return
        if decision is not None and decision.masked and call.mask is None:
            call.mask = mask_of(m, decision, c.sources.by_name.get(call.attempt.source))
        self._send_out(tx, m, c.trunks.get(call.attempt.trunk), call, now)

    def _send_out(self, tx: ServerTx, m: Message, trunk: Trunk, call: Call | None, now: int) -> None:
        hop = trunk.hops[0]
        flow = self._c.here.flow_to(hop.transport, hop.host, hop.port)
        if call is not None:
            call.callee_flow = flow
        self._forward(tx, m, flow, call, now)

    def _inbound(self, tx: ServerTx, m: Message, arrived: Flow, trunk: Trunk, now: int) -> None:
        """A call from the operator: carried to the IPBX, recorded, never refused."""
        c = self._c
        found = self._hop.to_source(m, trunk)
        if found is None:
            c.answer(tx, 404, now, (reason(404, "no source of this trunk takes calls"),))
            return
        source, flow = found
        key = ("\0" + trunk.name, m.first(b"call-id") or b"", tag_of(m, to=False))
        call = c.calls.join(key)
        if call is None:
            if c.calls.full():
                c.count("full")
                c.answer(tx, 480, now, (BUSY_RETRY_AFTER, reason(480, "guard is full")))
                return
            attempt = facts.attempt(m, source, arrived.peer[0], now + c.wall_offset, direction="inbound")
            call = c.calls.open(key, attempt, m.uri, now, passed=True)
        tx.call = call
        call.caller_flow, call.callee_flow = arrived, flow
        self._forward(tx, m, flow, call, now)

    # ---- all the rest ----------------------------------------------------------------------------------------------

    def _in_dialog(
        self, tx: ServerTx, m: Message, source: Source | None, trunk: Trunk | None, to_tag: bytes, now: int
    ) -> None:
        c = self._c
        found = c.calls.dialog(m.first(b"call-id") or b"", tag_of(m, to=False), to_tag)
        if found is None:
            # Its call is over, or was before our time. A set-up must not slip through as the middle of a dialog.
            flow = None if m.method == INVITE else self._hop.outside(m, source, trunk)
            if flow is None:
                c.answer(tx, 481, now, (reason(481, "no such dialog here"),))
            else:
                self._forward(tx, m, flow, None, now)
            return
        call, from_caller = found
        tx.call, tx.from_caller, tx.again = call, from_caller, True
        if m.method == INVITE:
            c.answer(tx, 100, now)
        c.calls.alive(call, now)
        if m.method == b"BYE":
            c.calls.closing(call, now)
        self._forward(tx, m, self._hop.within(call, m, from_caller=from_caller), call, now)

    def _other(self, tx: ServerTx, m: Message, source: Source | None, trunk: Trunk | None, now: int) -> None:
        """Requests outside of calls: REGISTER, OPTIONS, MESSAGE, SUBSCRIBE and whatever else there is."""
        c = self._c
        if m.method == b"OPTIONS" and c.forwarder.for_us(m):
            c.answer(tx, 200, now, (ALLOW,))
            return
        flow = self._hop.outside(m, source, trunk)
        if flow is None:
            c.answer(tx, 404, now)
        else:
            self._forward(tx, m, flow, None, now)

    def _ack(
        self, m: Message, invite: ServerTx | None, arrived: Flow, source: Source | None, trunk: Trunk | None, now: int
    ) -> None:
        """An ACK ends here when the answer was no 2xx; that of a 2xx goes on, without a transaction (16.11)."""
        c = self._c
        if invite is not None and invite.state is not S.ACCEPTED:
            c.layer.step_server(invite, I.ACK, now)
            return
        found = self._in_dialog_of(m)
        if found is not None:
            call, from_caller = found
            flow: Flow | None = self._hop.within(call, m, from_caller=from_caller)
        else:
            call, from_caller = None, True
            flow = self._hop.outside(m, source, trunk) if tag_of(m, to=True) else None
        if flow is None or m.max_forwards() == 0:
            c.count("stray_acks")
            return
        mask = call.mask if call is not None else None
        data, _ = c.forwarder.request(m, arrived, flow, mask=mask, from_caller=from_caller)
        c.effects.append(Send(flow, data))

    def _cancel(self, m: Message, key: ServerKey, invite: ServerTx | None, flow: Flow, now: int) -> None:
        c = self._c
        known = c.layer.servers.get(key)
        if known is not None:
            c.layer.step_server(known, I.REQUEST, now)
            return
        if invite is None:
            c.answer_stateless(m, flow, 481)
            return
        tx = ServerTx(key, m, flow, invite=False)
        c.layer.servers[key] = tx
        c.answer(tx, 200, now)
        if invite.state is not S.PROCEEDING:
            return
        c.count("cancelled")
        call = invite.call
        if call is not None:
            call.cancelled = True
        client = invite.client
        if client is not None:
            self.cancel_client(client, now, tuple(b"Reason: " + v + b"\r\n" for v in m.all(b"reason")))
            return
        c.answer(invite, 487, now)
        if call is None:
            return
        if invite in call.waiting:
            call.waiting.remove(invite)
            if not call.waiting:
                c.calls.withdraw(call, now, 487)
        else:
            c.calls.failed(call, 487, now)

    def cancel_client(self, client: ClientTx, now: int, why: tuple[bytes, ...] = ()) -> None:
        """Cancel what was sent on: at once if a provisional answer allows it, else as soon as one comes (9.1)."""
        c = self._c
        if client.state is S.CALLING:
            client.cancel = True
        elif client.state is S.PROCEEDING:
            client.cancel = False
            data = c.forwarder.cancel(client.data, why)
            c.layer.start_client(ClientTx(client.branch, b"CANCEL", data, client.flow, None), now)
            c.timers.arm(client, TIMER_C, now + GIVE_UP)

    def _forward(self, tx: ServerTx, m: Message, flow: Flow, call: Call | None, now: int) -> None:
        c = self._c
        mask = call.mask if call is not None else None
        arrived = tx.flow
        data, branch = c.forwarder.request(m, arrived, flow, mask=mask, from_caller=tx.from_caller)
        client = ClientTx(branch, m.method, data, flow, tx)
        tx.client = client
        c.layer.start_client(client, now)
