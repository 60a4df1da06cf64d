"""Requests that set no call up: those within a dialog, those of a dialog that is over, those outside of calls."""

from __future__ import annotations

from typing import Final

from guard.proxy.bindings import BadBinding
from guard.proxy.call import Call
from guard.proxy.context import Context
from guard.proxy.effects import Address, Flow, Transport
from guard.proxy.hangup import OVER, Hangup
from guard.proxy.health import HopState
from guard.proxy.hunt import NOTHING, Hunter
from guard.proxy.keys import INVITE
from guard.proxy.nexthop import NextHop
from guard.proxy.refuse import BUSY_RETRY_AFTER, INSECURE, reason
from guard.proxy.routing import secure
from guard.proxy.shapes import Changes, Place, Trunk
from guard.proxy.tables import C
from guard.proxy.transactions import ServerTx
from guard.sip.message import Message
from guard.sources import Source

ALLOW: Final = (
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, NOTIFY, SUBSCRIBE, MESSAGE\r\n"
)


class Others:
    """Carries them on, or answers what has nowhere to go."""

    def __init__(self, context: Context, hop: NextHop, hangup: Hangup, hunter: Hunter) -> None:
        self._c = context
        self._hop = hop
        self._hangup = hangup
        self._hunter = hunter

    def in_dialog(self, tx: ServerTx, m: Message, call: Call, from_caller: bool, now: int) -> None:
        """Within a call: also a second INVITE, which is not judged again."""
        c = self._c
        if call.watch is not None and self._hangup.over(call, tx, m, now, from_caller=from_caller):
            return
        if m.method == INVITE:
            if call.state is C.ENDED:
                c.answer(tx, 481, now, (reason(481, OVER),))
                return
            c.answer(tx, 100, now)
        tx.call, tx.from_caller, tx.again = call, from_caller, True
        if tx.flow.conn:
            _follow(call, tx.flow, from_caller=from_caller)
        c.calls.alive(call, now)
        call.asked(m.method, now, from_caller=from_caller)
        if m.method == b"BYE":
            c.calls.closing(call, now)
        flow, changes = self._hop.within(call, m, from_caller=from_caller)
        c.relay(tx, m, flow, call, now, changes)

    def lost(self, tx: ServerTx, m: Message, source: Source | None, trunk: Trunk | None, now: int) -> None:
        """Of a dialog that is over, or was before our time. No set-up must slip through as the middle of one."""
        c = self._c
        found = None if m.method == INVITE else self._hop.outside(m, source, trunk, now)
        if found is None:
            c.answer(tx, 481, now, (reason(481, "no such dialog here"),))
        else:
            c.relay(tx, m, found[0], None, now, found[1])

    def outside(self, tx: ServerTx, m: Message, source: Source | None, trunk: Trunk | None, now: int) -> None:
        """Requests outside of calls: REGISTER, OPTIONS, MESSAGE, SUBSCRIBE and whatever else there is."""
        c = self._c
        if m.method == b"OPTIONS" and c.forwarder.for_us(m) and c.bindings.read(m.uri) is None:
            if c.draining and not c.succeeded:
                c.parting(tx, now)  # who asks whether the guard is there shall go elsewhere
            else:
                c.answer(tx, 200, now, (ALLOW,))
            return
        if source is not None:
            self._to_trunk(tx, m, source, now)
            return
        found = self._hop.outside(m, source, trunk, now)
        if found is None:
            c.answer(tx, self._hop.missing(m, trunk), now)
        elif found[0].transport != "tls" and secure(m.uri):
            c.answer(tx, 480, now, INSECURE)
        else:
            c.relay(tx, m, found[0], None, now, found[1])

    def _to_trunk(self, tx: ServerTx, m: Message, source: Source, now: int) -> None:
        """What a source sends goes to one hop of its trunk after the other: to the one that it names itself first."""
        c = self._c
        out = c.trunks.get(source.trunk)
        if m.method == b"REGISTER" and not self._admitted(tx, m, source, now):
            return
        hops = c.health.order(out, m.first(b"call-id") or b"", now)
        target = c.forwarder.next_target(m)
        if target is not None and c.trunks.by_address.get(target[1]) is out:
            hops = c.health.preferred(out, target, hops, now)
        if secure(m.uri):
            hops = [s for s in hops if s.flow.transport == "tls"]
            if not hops:
                c.answer(tx, 480, now, INSECURE)
                return
        if m.method == b"REGISTER":
            self._register(tx, m, source, out, hops, now)
        else:
            self._hunter.carry(tx, m, out, hops, NOTHING, now)

    def _admitted(self, tx: ServerTx, m: Message, source: Source, now: int) -> bool:
        """Whether a source may register once more just now; if not it was answered."""
        c = self._c
        if c.bindings.admit(source, now):
            return True
        c.count("registers_refused")
        c.layer.servers.pop(tx.key, None)
        c.answer_stateless(m, tx.flow, 480, (BUSY_RETRY_AFTER, reason(480, "too many REGISTERs at once")))
        return False

    def _register(self, tx: ServerTx, m: Message, source: Source, trunk: Trunk, hops: list[HopState], now: int) -> None:
        """A registration goes to the operator with Contacts that lead to the guard. The rest is the registrar's."""
        c = self._c
        written: dict[tuple[Transport, Address], Changes | BadBinding] = {}  # hops that are reached alike get the same
        saying: dict[Place, Changes] = {}
        bad: BadBinding | None = None
        for state in hops:
            way = state.flow.transport, state.flow.local
            if way not in written:
                written[way] = self._contacts(tx, m, source, state.flow)
            said = written[way]
            if isinstance(said, BadBinding):
                bad = said
            else:
                saying[state.place] = said
        if bad is not None and not saying:
            c.answer(tx, bad.status, now, (reason(bad.status, bad.why),))
            return
        c.count("registers")
        self._hunter.carry(tx, m, trunk, [s for s in hops if s.place in saying], saying, now)

    def _contacts(self, tx: ServerTx, m: Message, source: Source, flow: Flow) -> Changes | BadBinding:
        """What a REGISTER says to a hop, or why it cannot go there."""
        c = self._c
        try:
            slices = c.bindings.outward(m, source, c.sources, tx.flow, flow)
        except BadBinding as bad:
            return bad
        return Changes(slices=slices, path=b"path" in m.index)


def _follow(call: Call, flow: Flow, *, from_caller: bool) -> None:
    """Who speaks over another connection than before is asked over that from now on: his old one may be gone. Only the
    same host, as the connections of one phone are."""
    known = call.caller_flow if from_caller else call.callee_flow
    if known is None or known.conn == flow.conn or not known.conn:
        return
    if known.transport != flow.transport or known.peer[0] != flow.peer[0] or known.names != flow.names:
        return
    if from_caller:
        call.caller_flow = flow
    else:
        call.callee_flow = flow
