"""After a fault of ours: nobody who may call is left without his call, or at least without an answer.

The core comes here while an exception of ours is on its way out to the driver, which counts and tells it. A first
INVITE is tried once more with nothing read of it but what cannot fail (`facts.plain`), and what `faults.engine` says
decides; if that fails too its caller gets 480 and may go another way. Any other request that nobody answers any more
gets 500.
"""

from __future__ import annotations

from guard.proxy.context import Context
from guard.proxy.effects import Flow
from guard.proxy.keys import INVITE, NO_VIA, reply_flow, server_key, tag_of
from guard.proxy.refuse import BUSY_RETRY_AFTER, FAILED, FAULT, reason
from guard.proxy.requests import Requests
from guard.proxy.tables import C
from guard.proxy.transactions import ServerTx
from guard.sip.headers import BadHeader, Via
from guard.sip.message import Message
from guard.sources import Source

UNKNOWN = "?"  # in place of an emergency number: whether one is called could not be found out


class Rescue:
    """Gives requests their due whose handling raised."""

    def __init__(self, context: Context, requests: Requests) -> None:
        self._c = context
        self._requests = requests

    def request(self, m: Message, arrived: Flow, error: Exception, now: int) -> None:
        """`m` was being handled when `error` came. Exceptions from here leave nobody waiting either."""
        c = self._c
        source = c.sources.find(arrived.peer[0])
        trunk = c.trunks.by_address.get(arrived.peer[0]) if source is None else None
        urgent = self._urgent(m, source, arrived) if m.method == INVITE and trunk is None else ""
        first = m.method == INVITE and (
            not tag_of(m, to=True) or (urgent != "" and self._requests.hop.dialog_of(m) is None)
        )
        if m.method == b"ACK" or (source is None and trunk is None and not urgent):
            return  # nobody waits for an answer, or is owed one
        via = _via(m)
        key = server_key(m, via, arrived, m.method)
        tx = c.layer.servers.get(key)
        if tx is None:
            tx = c.layer.servers[key] = ServerTx(key, m, reply_flow(arrived, via), invite=m.method == INVITE)
        if tx.request is None or self._requests.pending(tx):
            return  # answered, or it will be
        if not first:
            if tx.client is None:
                c.answer(tx, 500, now, (BUSY_RETRY_AFTER, reason(500, FAULT)))
            return
        try:
            tx.lenient = tx.lenient or bool(urgent)
            if tx.call is None:
                self._requests.first(tx, m, arrived, source, trunk, urgent, now, type(error).__name__)
            elif tx.client is None:
                self._requests.joined(tx.call, tx, m, now, type(error).__name__)
        except Exception:
            self._refuse(tx, now)
            raise

    def _urgent(self, m: Message, source: Source | None, arrived: Flow) -> str:
        """The emergency number called. Where not even that can be told, a listed caller's call is taken for one: to
        stop an emergency call would be worse than to let another one pass."""
        try:
            return self._requests.door.urgent(m, source, arrived)
        except Exception:  # noqa: BLE001 - the same fault once more; the driver hears of the first
            return UNKNOWN if source is not None else ""

    def _refuse(self, tx: ServerTx, now: int) -> None:
        """It failed twice. The caller's IPBX shall not wait for what will not come."""
        c = self._c
        if tx.client is not None or tx.request is None:
            return
        c.answer(tx, 480, now, FAILED)
        call = tx.call
        if call is None:
            return
        if call.state is not C.DECIDING:
            c.calls.failed(call, 480, now, by="guard")
        elif tx in call.waiting:
            call.waiting.remove(tx)
            if call.waiting:
                c.calls.left(call)
            else:
                c.calls.withdraw(call, now, 480)


def _via(m: Message) -> Via:
    try:
        return m.via()
    except BadHeader:
        return NO_VIA
