"""The response half of the core (RFC 3261 16.7 to 16.9): answers go back as they came, and calls learn from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.proxy.call import By, Call
from guard.proxy.context import Context
from guard.proxy.keys import session_of, tag_of
from guard.proxy.nexthop import hints_of
from guard.proxy.refuse import NO_FINAL, reason
from guard.proxy.tables import I, S
from guard.proxy.timers import LINGER, RETRY, SILENCE, TIMEOUT, TIMER_C, TIMER_C_WAIT
from guard.proxy.transactions import ClientTx, ServerTx
from guard.sip.check import check_response
from guard.sip.edit import Slice
from guard.sip.message import BadMessage, Message

if TYPE_CHECKING:
    from guard.proxy.requests import Requests

NO_ANSWER: Final = "no answer from the trunk"
UNREACHABLE: Final = "the trunk cannot be reached"
NOT_THERE: Final = {480: "the IPBX cannot be reached", 408: "no answer from the IPBX"}  # of a call that comes in
_INPUTS: Final = {RETRY: I.RETRY, TIMEOUT: I.TIMEOUT, LINGER: I.LINGER}  # what a timer is to a machine
_P: Final = I.P
_OK: Final = I.OK
_NO: Final = I.NO
_PROCEEDING: Final = S.PROCEEDING


class Responses:
    """Responses and the timers of transactions."""

    def __init__(self, context: Context, requests: Requests) -> None:
        self._c = context
        self._requests = requests

    def handle(self, m: Message, now: int) -> None:
        """One response from the wire: its top Via has to be ours, and name a transaction of ours."""
        c = self._c
        c.counters["responses"] += 1
        via = m.via()
        client = c.layer.clients.get((via.branch or b"", m.cseq()[1]))
        if client is None or not c.here.is_us(via.host, via.port):
            c.count("stray_responses")
            return
        if client.server is None or not client.server.lenient:
            try:
                check_response(m)
            except BadMessage:
                c.count("unreadable")
                return
        status = m.status
        c.layer.step_client(client, _P if status < 200 else _OK if status < 300 else _NO, now, m)

    def passed(self, tx: ClientTx, response: Message, now: int) -> None:
        """A response that its transaction passes up: the call learns, and the caller gets it."""
        c = self._c
        status = response.status
        server = tx.server
        if (tx.left or tx.hop is not None) and self._of_hop(tx, response, now):
            return
        if tx.invite:
            self._patience(tx, status, now)
        if server is None:  # the answer to a request of our own
            if status >= 200:
                self._requests.hangup.done(tx, status, now)
            return
        if status == 100:
            return  # it is for one hop
        call = server.call
        if call is not None:
            if server.again and status >= 200 and server.request is not None:
                call.told(status, tx.key[1], now, to_caller=server.from_caller)
            if tx.invite:
                self._set_up(server, response, now)
            elif tx.key[1] == b"UPDATE" and 200 <= status < 300:
                c.calls.agreed(call, session_of(response))
            elif tx.key[1] == b"BYE" and status >= 200 and status not in {401, 407}:
                callee_tag = tag_of(response, to=server.from_caller)
                c.calls.closed(call, callee_tag, "caller" if server.from_caller else "callee", now)
        mask = call.mask if call is not None else None
        own = self._registered(tx, server, response) if tx.key[1] == b"REGISTER" else ()
        data = c.forwarder.response(response, server.flow, mask=mask, to_caller=server.from_caller, slices=own)
        request = server.request
        c.layer.respond(server, status, data, now)
        if call is not None and call.watch is not None and 200 <= status < 300:
            self._requests.hangup.answered(call, server, request, response, data, now)

    def _registered(self, tx: ClientTx, server: ServerTx, response: Message) -> tuple[Slice, ...]:
        """The Contacts of the source that registered, as it wrote them; its connection is known from now on."""
        c = self._c
        if server.flow.conn and 200 <= response.status < 300:
            c.bindings.registered(tx.data, server.flow)
        source = c.sources.find(server.flow.peer[0])
        return c.bindings.inward(response, source, c.sources) if source is not None else ()

    def _of_hop(self, tx: ClientTx, response: Message, now: int) -> bool:
        """A hop of a trunk said something, to an INVITE or to an OPTIONS of ours; True where that is all."""
        requests = self._requests
        if tx.left:
            return not requests.hunter.late(tx, response, now)
        if tx.server is None:
            requests.pings.answered(tx, response, now)
            return True
        requests.hunter.heard(tx, response.status, now)
        if response.status != 503:
            return False
        tx.armed[TIMER_C] = 0
        requests.hunter.refused(tx, response, now)
        return True

    def _patience(self, tx: ClientTx, status: int, now: int) -> None:
        """Timer C: how long an INVITE may go on without a final answer (RFC 3261 16.7 step 2)."""
        if status >= 200:
            tx.armed[TIMER_C] = 0
        elif tx.cancel:
            self._requests.of_invite.give_up(tx, now)
        elif not tx.given_up and (status > 100 or not tx.armed[TIMER_C]):
            self._c.timers.arm(tx, TIMER_C, now + TIMER_C_WAIT)

    def _set_up(self, server: ServerTx, response: Message, now: int) -> None:
        """What an answer to an INVITE tells of the call. A re-INVITE's tells nothing new."""
        c = self._c
        call = server.call
        assert call is not None
        status = response.status
        if 200 <= status < 300:
            c.calls.agreed(call, session_of(response))
        if server.again:
            c.calls.alive(call, now)
            return
        tag = tag_of(response, to=True)
        if status < 200:
            c.calls.ringing(call, status, tag, now)
        elif status < 300:
            c.calls.answered(call, tag, now, first=server.state is _PROCEEDING)
        else:
            targets = response.count(b"contact") if status < 400 else 0
            c.calls.failed(call, status, now, targets=targets, cancelled=server.cancelled)
        # Once one has answered, what others of a fork still say leads nowhere.
        if tag and status < 300 and call.attempt.direction == "outbound" and (status >= 200 or not call.answered_at):
            call.hints = hints_of(response)

    def acknowledge(self, tx: ClientTx, response: Message) -> None:
        """The ACK of a final answer that is no 2xx, hop by hop (RFC 3261 17.1.1.3)."""
        self._c.layer.send(tx.flow, self._c.forwarder.acknowledge(tx.data, response))

    def failed(self, tx: ClientTx, status: int, now: int) -> None:
        """Nobody answered, or nobody could be reached. For an INVITE that is an answer of ours; for others silence is
        what RFC 4320 4.2 asks for."""
        c = self._c
        tx.armed[TIMER_C] = tx.armed[RETRY] = 0
        server = tx.server
        if tx.left:
            return  # the call is elsewhere
        if tx.fallback is not None and status == 480 and self._requests.hunter.smaller(tx, now):
            return
        if tx.hop is not None and not tx.given_up:
            if server is None:
                self._requests.pings.failed(tx, now)
            else:
                self._requests.hunter.failed(tx, status, now)
            return
        if server is None:
            self._requests.hangup.done(tx, status, now)
            return
        call = server.call
        if tx.invite:
            if status == 480 and self._requests.disconnected(tx, now):
                return
            if status == 408 and server.cancelled:
                status = 487  # the caller asked for no more than that
            c.answer(server, status, now, (reason(status, _silence(call, status)),))
            if call is not None and not server.again:
                c.calls.failed(call, status, now, by="guard", cancelled=server.cancelled)
            return
        if call is not None and tx.key[1] == b"BYE" and server.request is not None:
            by: By = "caller" if server.from_caller else "callee"
            c.calls.closed(call, tag_of(server.request, to=server.from_caller), by, now)
        if status == 408:
            c.layer.servers.pop(server.key, None)
        else:
            c.answer(server, status, now, (reason(status, UNREACHABLE),))

    # ---- timers ----------------------------------------------------------------------------------------------------

    def client_timer(self, tx: ClientTx, kind: int, now: int) -> None:
        """A timer of a client transaction fired."""
        layer = self._c.layer
        if kind == SILENCE:
            self._requests.hunter.silent(tx, now)
        elif kind == TIMER_C:
            self._no_final(tx, now)
        else:
            layer.step_client(tx, _INPUTS[kind], now)

    def server_timer(self, tx: ServerTx, kind: int, now: int) -> None:
        """A timer of a server transaction fired."""
        self._c.layer.step_server(tx, _INPUTS[kind], now)

    def _no_final(self, tx: ClientTx, now: int) -> None:
        """Timer C, or a CANCEL that got no final answer: the first time it is cancelled, the second time given up."""
        if tx.state is not S.PROCEEDING:
            return
        if tx.given_up:
            self._c.layer.clients.pop(tx.key, None)
            tx.state = S.TERMINATED
            self.failed(tx, 408, now)
            return
        self._requests.of_invite.give_up(tx, now, (NO_FINAL,))


def _silence(call: Call | None, status: int) -> str:
    """Who has said nothing to an INVITE."""
    if call is not None and call.attempt.direction == "inbound":
        return NOT_THERE.get(status, "")
    return UNREACHABLE if status == 480 else NO_ANSWER
