"""ACK and CANCEL, which speak of an INVITE that came before them (RFC 3261 9, 16.10, 17.1.1.3)."""

from __future__ import annotations

from guard.proxy.context import Context
from guard.proxy.door import Door
from guard.proxy.effects import Flow, Send
from guard.proxy.keys import tag_of
from guard.proxy.nexthop import NextHop
from guard.proxy.shapes import Changes, Trunk
from guard.proxy.tables import I, S
from guard.proxy.timers import TIMER_C
from guard.proxy.transactions import GIVE_UP, ClientTx, ServerKey, ServerTx
from guard.sip.message import Message
from guard.sources import Source


class OfInvite:
    """What becomes of an INVITE that is on its way: acknowledged, or given up."""

    def __init__(self, context: Context, hop: NextHop, door: Door) -> None:
        self._c = context
        self._hop = hop
        self._door = door

    def ack(
        self, m: Message, invite: ServerTx | None, arrived: Flow, source: Source | None, trunk: Trunk | None, now: int
    ) -> None:
        """An ACK ends here when the answer was no 2xx; that of a 2xx goes on, without a transaction (16.11)."""
        c = self._c
        if invite is not None and invite.state is not S.ACCEPTED:
            c.layer.step_server(invite, I.ACK, now)
            return
        if c.forwarder.own_tag(tag_of(m, to=True)):
            return  # of an answer of ours that left no transaction behind
        found = self._hop.dialog_of(m)
        if found is not None:
            call, from_caller = found
            way: tuple[Flow, Changes] | None = self._hop.within(call, m, from_caller=from_caller)
        else:
            call, from_caller = None, True
            way = self._hop.outside(m, source, trunk, now) if tag_of(m, to=True) else None
        if way is None or m.max_forwards() == 0:
            c.count("stray_acks")
            return
        flow, changes = way
        mask = call.mask if call is not None else None
        data, _ = c.forwarder.request(
            m, arrived, flow, mask=mask, from_caller=from_caller, within=call is not None, changes=changes
        )
        c.effects.append(Send(flow, data))

    def cancel(self, m: Message, key: ServerKey, invite: ServerTx | None, flow: Flow, now: int) -> None:
        """A CANCEL is answered here, and one of our own goes the way of the INVITE (16.10)."""
        c = self._c
        known = c.layer.servers.get(key)
        if known is not None:
            c.layer.step_server(known, I.REQUEST, now)
            return
        if invite is None:
            peer = flow.peer[0]
            if c.sources.find(peer) is not None or peer in c.trunks.by_address:
                c.answer_stateless(m, flow, 481)
            else:
                self._door.stranger(m, flow, now)
            return
        tx = ServerTx(key, m, flow, invite=False)
        c.layer.servers[key] = tx
        c.answer(tx, 200, now)
        if invite.state is not S.PROCEEDING:
            return
        c.count("cancelled")
        invite.cancelled = True
        call = invite.call
        if call is not None:
            call.asked(b"CANCEL", now, from_caller=invite.from_caller)
        client = invite.client
        if client is not None:
            self.give_up(client, now, tuple(b"Reason: " + v + b"\r\n" for v in m.all(b"reason")))
            return
        c.answer(invite, 487, now)
        if call is None:
            return
        if invite in call.waiting:
            call.waiting.remove(invite)
            if call.waiting:
                c.calls.left(call)
            else:
                c.calls.withdraw(call, now, 487)
        else:
            c.calls.failed(call, 487, now, by="guard", cancelled=True)

    def give_up(self, client: ClientTx, now: int, why: tuple[bytes, ...] = ()) -> None:
        """Cancel what was sent on: at once if a provisional answer allows it, else as soon as one comes (9.1)."""
        c = self._c
        if client.state is S.CALLING:
            client.cancel = True
        elif client.state is S.PROCEEDING:
            client.cancel, client.given_up = False, True
            data = c.forwarder.cancel(client.data, why)
            c.layer.start_client(ClientTx(client.branch, b"CANCEL", data, client.flow, None), now)
            c.timers.arm(client, TIMER_C, now + GIVE_UP)
