"""The request half of the core (RFC 3261 16.3 to 16.6): who sent it, what it belongs to, where it goes.

First INVITEs are dealt with here; ACK and CANCEL in ofinvite.py, whatever else in others.py."""

from __future__ import annotations

from typing import Final

from guard.model import Decision
from guard.numbering.number import EMERGENCY
from guard.proxy import facts
from guard.proxy.call import Call, key_of
from guard.proxy.calls import MAX_TARGETS
from guard.proxy.context import Context
from guard.proxy.door import Door
from guard.proxy.effects import Decide, Flow
from guard.proxy.hangup import Hangup
from guard.proxy.hunt import Hunter
from guard.proxy.keys import INVITE, NO_VIA, reply_flow, server_key, tag_of
from guard.proxy.nexthop import NextHop, hints_of
from guard.proxy.ofinvite import OfInvite
from guard.proxy.others import Others
from guard.proxy.pings import Pings
from guard.proxy.refuse import BUSY_RETRY_AFTER, FAILED, FULL, INSECURE, reason, refusal, spoken
from guard.proxy.rewrite import mask_of
from guard.proxy.routing import secure
from guard.proxy.shapes import Trunk
from guard.proxy.tables import C, I
from guard.proxy.timers import DECISION
from guard.proxy.transactions import ClientTx, ServerTx
from guard.sip.headers import BadHeader
from guard.sip.message import Message
from guard.sources import Source

DECISION_WAIT: Final = 32_000_000  # µs; a decision that takes longer than its transaction would live is of no use
LATE: Final = "no decision in time"
GONE: Final = "the connection that it registered over is gone"


class Requests:
    """Requests, and the decisions that they wait for."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self.door = Door(context)
        self.hop = NextHop(context)
        self.hangup = Hangup(context, self.hop)
        self.of_invite = OfInvite(context, self.hop, self.door)
        self.hunter = Hunter(context, self.of_invite)
        self.pings = Pings(context)
        self._others = Others(context, self.hop, self.hangup, self.hunter)
        self._again: dict[int, tuple[Call, ServerTx]] = {}  # other targets of a call, waiting to be judged

    def handle(self, m: Message, arrived: Flow, now: int) -> None:
        """One request from the wire."""
        c = self._c
        c.counters["requests"] += 1
        method = m.method
        source = c.sources.find(arrived.peer[0])
        trunk = c.trunks.by_address.get(arrived.peer[0]) if source is None else None
        urgent = self.door.urgent(m, source, arrived) if method == INVITE and trunk is None else ""
        try:
            via = m.via()
        except BadHeader:
            if not urgent:
                raise
            via = NO_VIA
        flow = reply_flow(arrived, via)
        if method == b"ACK" or method == b"CANCEL":
            invite = c.layer.servers.get(server_key(m, via, arrived, INVITE))
            if method == b"ACK":
                self.of_invite.ack(m, invite, arrived, source, trunk, now)
            else:
                self.of_invite.cancel(m, server_key(m, via, arrived, method), invite, flow, now)
            return
        key = server_key(m, via, arrived, method)
        known = c.layer.servers.get(key)
        if known is not None:
            c.counters["retransmissions"] += 1
            c.layer.step_server(known, I.REQUEST, now)
            return
        found = self.hop.dialog_of(m)
        if source is None and trunk is None and not urgent and found is None:
            self.door.stranger(m, arrived, now)
            return
        new = method == INVITE and not urgent and found is None
        if new and (c.shedding or c.succeeded) and self._turned_away(m, flow, source, trunk):
            return
        lenient = bool(urgent) or (found is not None and found[0].attempt.emergency != "")
        if not self.door.acceptable(m, flow, now, urgent=lenient):
            return
        asked = arrived.unproven or secure(m.uri) or (source is not None and source.tls_name != "")
        if asked and not lenient and not self.door.secured(m, source, arrived, flow):
            return
        tx = ServerTx(key, m, flow, invite=method == INVITE)
        tx.lenient = lenient
        c.layer.servers[key] = tx
        if found is not None:
            self._others.in_dialog(tx, m, found[0], found[1], now)
        elif tag_of(m, to=True) and not urgent:
            self._others.lost(tx, m, source, trunk, now)
        elif method == INVITE:
            self.first(tx, m, arrived, source, trunk, urgent, now)
        else:
            self._others.outside(tx, m, source, trunk, now)

    def _turned_away(self, m: Message, flow: Flow, source: Source | None, trunk: Trunk | None) -> bool:
        """Whether a new set-up is shed, or left to the successor that has our sockets."""
        c = self._c
        if not self._sheds(m, source, trunk):
            return False
        if c.shedding:
            c.shed(m, flow)
            return True
        if flow.transport == "udp":
            c.count("left")
            return True
        return False

    def _sheds(self, m: Message, source: Source | None, trunk: Trunk | None) -> bool:
        """Whether an INVITE of no dialog begins a call: neither a repetition nor a fork of one that is being set up."""
        if tag_of(m, to=True):
            return False
        name = "\0" + trunk.name if trunk is not None else source.name if source is not None else ""
        key = key_of(name, m.first(b"call-id") or b"", tag_of(m, to=False), urgent=False)
        return not self._c.calls.joins(key)

    def urgent(self, m: Message, arrived: Flow) -> bool:
        """Whether what is no good message is an emergency call all the same: then it is carried as it is."""
        source = self._c.sources.find(arrived.peer[0])
        return (
            m.method == INVITE
            and arrived.peer[0] not in self._c.trunks.by_address
            and bool(self.door.urgent(m, source, arrived))
        )

    # ---- first INVITEs ---------------------------------------------------------------------------------------------

    def first(
        self,
        tx: ServerTx,
        m: Message,
        arrived: Flow,
        source: Source | None,
        trunk: Trunk | None,
        urgent: str,
        now: int,
        error: str = "",
    ) -> None:
        """A first INVITE. With `error` (see `Decide`) it is the second try, after a fault of ours."""
        c = self._c
        if not tx.sent:
            c.answer(tx, 100, now)
        if trunk is not None:
            self._inbound(tx, m, arrived, trunk, now, error)
            return
        name = source.name if source is not None else ""
        key = key_of(name, m.first(b"call-id") or b"", tag_of(m, to=False), urgent=bool(urgent))
        out = c.trunks.get(source.trunk if source is not None else "")
        if urgent and tx.client is None:
            # On its way before anything else is looked at: whatever fails below, the call is out.
            c.count("emergency_calls")
            self.hunter.send(tx, m, out, None, now, urgent=True)
        call = c.calls.join(key, now)
        if call is not None:
            tx.call = call
            if urgent:
                return
            if call.state is C.DECIDING:
                call.waiting.append(tx)
            else:
                self.joined(call, tx, m, now)
            return
        if c.draining and not urgent:
            c.parting(tx, now)
            return
        if c.calls.full(emergency=bool(urgent)):
            c.count("full")
            if not urgent:
                c.answer(tx, 480, now, (BUSY_RETRY_AFTER, reason(480, FULL)))
            return
        at = now + c.wall_offset
        if error:
            sos = urgent if urgent in EMERGENCY else ""
            attempt = facts.plain(m, source, arrived.peer[0], at, trunk=out.name, emergency=sos)
        else:
            attempt = c.odd.met(facts.attempt(m, source, arrived.peer[0], at, trunk=out.name), now)
        tx.target = facts.fingerprint(m)
        call = c.calls.open(key, attempt, tx.target, now, passed=bool(urgent), error=error)
        call.caller_flow = arrived
        tx.call = call
        if urgent:
            call.callee_flow = tx.client.flow if tx.client is not None else None
            if tx.request is None:  # no hop of any trunk has an address
                c.calls.failed(call, 480, now, by="guard")
        else:
            call.waiting.append(tx)
            c.timers.after(call, DECISION, now, DECISION_WAIT)

    def joined(self, call: Call, tx: ServerTx, m: Message, now: int, error: str = "") -> None:
        """Another INVITE of a decided attempt: with credentials, as a fork, or after a 3xx. Each target is asked about
        once, and goes by what was said of it. `error` as in `first`."""
        c = self._c
        target = tx.target = tx.target or facts.fingerprint(m)
        said = call.targets.get(target)
        if said is not None:
            self._apply(call, tx, m, said[0], said[1], now)
        elif target not in call.targets and len(call.targets) >= MAX_TARGETS:
            c.answer(tx, 480, now, (reason(480, "too many targets for one call"),))
            c.calls.failed(call, 480, now, by="guard")
        else:
            source = c.sources.by_name.get(call.attempt.source)
            read = facts.plain if error else facts.attempt
            known = call.attempt
            at = now + c.wall_offset
            attempt = read(m, source, tx.flow.peer[0], at, trunk=known.trunk, direction=known.direction)
            call.targets[target] = None
            tx.ticket = c.calls.next_ticket()
            self._again[tx.ticket] = (call, tx)
            c.timers.after(tx, DECISION, now, DECISION_WAIT)
            c.effects.append(Decide(tx.ticket, attempt, again=True, error=error))

    def decided(self, ticket: int, decision: Decision, seq: int, now: int) -> None:
        """The decision on a call, or on another target of one."""
        again = self._again.pop(ticket, None)
        if again is not None:
            call, tx = again
            tx.armed[DECISION] = 0
            if tx.request is not None:
                decision = spoken(decision, tx.request, self._c.refusals)
                try:
                    call.targets[tx.target] = decision, seq
                    self._apply(call, tx, tx.request, decision, seq, now)
                except Exception:
                    self._stuck(call, [tx], now)
                    raise
            return
        found = self._c.calls.get(ticket)
        if found is not None and found.waiting:
            decision = spoken(decision, found.waiting[0].request, self._c.refusals)
        if found is None or not self._c.calls.decided(found, decision, seq, now):
            return
        found.armed[DECISION] = 0
        waiting, found.waiting = found.waiting, []
        try:
            for tx in waiting:
                if tx.request is None:
                    continue
                if found.state is C.ENDED:  # refused: whatever else of it waits is refused with it
                    self._apply(found, tx, tx.request, decision, seq, now)
                else:
                    self.joined(found, tx, tx.request, now)
        except Exception:
            self._stuck(found, waiting, now)
            raise

    def pending(self, tx: ServerTx) -> bool:
        """Whether a decision will come that this transaction waits for."""
        return tx.ticket in self._again or (tx.call is not None and tx in tx.call.waiting)

    def _stuck(self, call: Call, waiting: list[ServerTx], now: int) -> None:
        """A fault of ours while a decision was applied (it is on its way to the driver): whoever has no answer and is
        not on its way gets one, so that its IPBX can go on."""
        for tx in waiting:
            if tx.request is not None and tx.client is None and not self.pending(tx):
                self._c.answer(tx, 480, now, FAILED)
                self._c.calls.failed(call, 480, now, by="guard")

    def late_target(self, tx: ServerTx, now: int) -> None:
        """No decision came on another target of a call."""
        found = self._again.pop(tx.ticket, None)
        if found is not None and tx.request is not None:
            self._c.count("decisions_late")
            self._c.answer(tx, 480, now, (reason(480, LATE),))
            self._c.calls.failed(found[0], 480, now, by="guard")

    def late(self, call: Call, now: int) -> None:
        """No decision came in the life of the transaction: the caller is told, so that its IPBX goes on."""
        self._c.count("decisions_late")
        for tx in call.waiting:
            self._c.answer(tx, 480, now, (reason(480, LATE),))
        call.waiting = []
        self._c.calls.withdraw(call, now, 480)

    def _apply(self, call: Call, tx: ServerTx, m: Message, decision: Decision, seq: int, now: int) -> None:
        """Let one INVITE of a decided call go, masked or not, or refuse it."""
        c = self._c
        if decision.verdict == "blocked":
            lines = refusal(decision, seq, c.settings.site, c.refusals, now + c.wall_offset)
            c.answer(tx, decision.status, now, tuple(lines))
            c.calls.failed(call, decision.status, now, by="guard")
            return
        if call.state is C.ENDED:  # its caller hung up while another of its targets was looked at
            c.answer(tx, 487, now)
            return
        if decision.masked:
            mask = mask_of(m, decision, c.sources.by_name.get(call.attempt.source))
            call.mask = mask if call.mask is None else call.mask.also(mask)
        if call.attempt.direction == "inbound":
            self._carry(tx, m, call, now)
            return
        self.hunter.send(tx, m, c.trunks.get(call.attempt.trunk), call, now)
        if decision.max_talk_us:
            self.hangup.watch(call, tx, m, decision)

    def _inbound(self, tx: ServerTx, m: Message, arrived: Flow, trunk: Trunk, now: int, error: str) -> None:
        """A call from the operator: carried to the IPBX at once, and recorded. Only where a rule of the site may refuse
        such calls does it wait for what is said of it."""
        c = self._c
        found = self.hop.to_source(m, trunk)
        if found is None:
            c.answer(tx, 404, now, (reason(404, "no source of this trunk takes calls"),))
            return
        source, flow = found.source, found.flow
        if flow is not None and flow.transport != "tls" and secure(m.uri):
            c.answer(tx, 480, now, INSECURE)
            return
        key = key_of("\0" + trunk.name, m.first(b"call-id") or b"", tag_of(m, to=False), urgent=False)
        call = c.calls.join(key, now)
        if call is None:
            if c.draining:
                c.parting(tx, now)
                return
            if c.calls.full():
                c.count("full")
                c.answer(tx, 480, now, (BUSY_RETRY_AFTER, reason(480, FULL)))
                return
            read = facts.plain if error else facts.attempt
            attempt = read(m, source, arrived.peer[0], now + c.wall_offset, direction="inbound")
            tx.target = facts.fingerprint(m)
            passed = not c.settings.screens_inbound
            call = c.calls.open(key, attempt, tx.target, now, passed=passed, error=error)
            if not passed:
                c.timers.after(call, DECISION, now, DECISION_WAIT)
        tx.call = call
        call.caller_flow, call.callee_flow, call.hints = arrived, flow, hints_of(m)
        if call.state is C.DECIDING:
            call.waiting.append(tx)
        elif call.judged:
            self.joined(call, tx, m, now)
        else:
            self._carry(tx, m, call, now)

    def _carry(self, tx: ServerTx, m: Message, call: Call, now: int, *, connected: bool = True) -> None:
        """Send a call from the operator on to its source. Without `connected` not over the connection that it
        registered over, but where its contact says."""
        c = self._c
        found = self.hop.to_source(m, c.trunks.get(call.attempt.trunk), connected=connected)
        # Without one it was taken out of the configuration while the decision was awaited, or hung up its connection.
        status = 404 if found is None else found.status
        if found is None or found.flow is None:
            c.answer(tx, status, now, (reason(status, GONE),) if found is not None else ())
            c.calls.failed(call, status, now, by="guard")
            return
        call.callee_flow = found.flow
        c.relay(tx, m, found.flow, call, now, found.changes)

    def disconnected(self, client: ClientTx, now: int) -> bool:
        """A call from the operator found the connection gone that its callee had registered over. True: it goes where
        the contact says instead."""
        tx = client.server
        if tx is None or tx.call is None or tx.request is None or tx.again or tx.cancelled or not client.flow.conn:
            return False
        if tx.call.attempt.direction != "inbound" or client.flow is not tx.call.callee_flow:
            return False
        self._c.count("flows_gone")
        self._carry(tx, tx.request, tx.call, now, connected=False)
        return True
