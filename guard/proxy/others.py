"""Requests that set no call up: those within a dialog, those of a dialog that is over, those outside of calls."""

from __future__ import annotations

from typing import Final

from guard.proxy.bindings import BadBinding
from guard.proxy.calls import Call
from guard.proxy.context import Context
from guard.proxy.effects import Flow
from guard.proxy.forward import Changes
from guard.proxy.hangup import OVER, Hangup
from guard.proxy.keys import INVITE
from guard.proxy.nexthop import NextHop
from guard.proxy.refuse import BUSY_RETRY_AFTER, INSECURE, reason
from guard.proxy.routing import Trunk, secure
from guard.proxy.tables import C
from guard.proxy.transactions import ServerTx
from guard.sip.message import Message
from guard.sources import Source

ALLOW: Final = (
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, NOTIFY, SUBSCRIBE, MESSAGE\r\n"
)


class Others:
    """Carries them on, or answers what has nowhere to go."""

    def __init__(self, context: Context, hop: NextHop, hangup: Hangup) -> None:
        self._c = context
        self._hop = hop
        self._hangup = hangup

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
        if m.method == b"BYE":
            c.calls.closing(call, now)
        c.relay(tx, m, self._hop.within(call, m, from_caller=from_caller), call, now)

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
            if c.draining:
                c.parting(tx, now)  # who asks whether the guard is there shall go elsewhere
            else:
                c.answer(tx, 200, now, (ALLOW,))
            return
        found = self._hop.outside(m, source, trunk, now)
        if found is None:
            c.answer(tx, self._hop.missing(m, trunk), now)
            return
        flow, changes = found
        if flow.transport != "tls" and secure(m.uri):
            c.answer(tx, 480, now, INSECURE)
        elif m.method == b"REGISTER" and source is not None:
            self._register(tx, m, source, flow, now)
        else:
            c.relay(tx, m, flow, None, now, changes)

    def _register(self, tx: ServerTx, m: Message, source: Source, flow: Flow, now: int) -> None:
        """A registration goes to the operator with Contacts that lead to the guard. The rest is the registrar's."""
        c = self._c
        if not c.bindings.admit(source, now):
            c.count("registers_refused")
            c.layer.servers.pop(tx.key, None)
            c.answer_stateless(m, tx.flow, 480, (BUSY_RETRY_AFTER, reason(480, "too many REGISTERs at once")))
            return
        try:
            slices = c.bindings.outward(m, source, c.sources, tx.flow, flow)
        except BadBinding as bad:
            c.answer(tx, bad.status, now, (reason(bad.status, bad.why),))
            return
        c.count("registers")
        c.relay(tx, m, flow, None, now, Changes(slices=slices, path=b"path" in m.index))


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
