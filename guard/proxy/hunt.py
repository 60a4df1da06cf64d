"""Next hops one after the other, within one call: an INVITE whose hop says nothing, cannot be reached or answers 503
goes on to the next (RFC 3263 4.3), in a transaction of its own, decided and counted once. A REGISTER likewise, and any
other request outside of calls; but only what may be done twice (`REPEATABLE`) leaves a hop for its silence.

Who speaks first has the call: a hop that was left and speaks while its successor is still silent gets it back, and so
does one whose callee answers while the successor only rings. Any other that speaks late is cancelled; a 2xx for which
nobody waits any more gets ACK and BYE from here. Requests within a dialog are not hunted: they keep to their route set,
CANCEL and ACK to the hop of their INVITE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from guard.model import Finding, Text
from guard.proxy.call import Call
from guard.proxy.context import Context
from guard.proxy.effects import Flow, Unproven
from guard.proxy.health import HopState
from guard.proxy.large import LONGEST_UDP
from guard.proxy.ofinvite import OfInvite
from guard.proxy.own import callee_of, raw, request
from guard.proxy.refuse import FAILED, INSECURE, reason
from guard.proxy.routing import host_text, secure
from guard.proxy.shapes import NO_CHANGES, Changes, Place, Trunk
from guard.proxy.tables import S
from guard.proxy.timers import RETRY, SILENCE, TIMER_C
from guard.proxy.transactions import ClientTx, ServerTx
from guard.sip.message import Message

LAST_SILENCE: Final = 4_000_000  # µs for the last of several hops: time for three repetitions (RFC 3261 17.1.1.2)
MAX_RETRY_AFTER: Final = 3_600  # s; more is no number that anybody means
SILENT: Final = "no answer from the trunk"
UNREACHABLE: Final = "the trunk cannot be reached"
BUSY: Final = "the trunk answers 503"
RESTING: Final = "the trunk asked to be left alone"
UNPROVEN: Final = "fault.tls"  # the rule under which an emergency call is recorded that went to such a hop
NOWHERE: Final = "the trunk has no address"
TOO_LONG: Final = (reason(513, "longer than a datagram, and the trunk speaks UDP"),)
REPEATABLE: Final = frozenset({b"INVITE", b"REGISTER", b"OPTIONS"})  # what may reach two hops, and be done but once
Saying = Mapping[Place, Changes]  # what a request says at each hop beyond a proxy's own
NOTHING: Final[Saying] = {}
STATUS: Final = 480  # what a caller gets whom no hop took; never 503, which an IPBX takes for a dead guard


class Hunt:
    """The hops that one request has yet to try, best first, and what it says at each. `unproven` could not be reached
    over TLS, perhaps for their certificate: an urgent one tries them again, at the very last, whatever they show."""

    __slots__ = ("changes", "hops", "tried", "trunk", "unproven", "urgent")

    def __init__(self, trunk: Trunk, hops: list[HopState], *, urgent: bool = False, changes: Saying = NOTHING) -> None:
        self.changes = changes
        self.trunk = trunk
        self.hops = hops
        self.urgent = urgent
        self.tried = 0
        self.unproven: list[HopState] = []


class Hunter:
    """Sends INVITEs to a trunk."""

    def __init__(self, context: Context, of_invite: OfInvite) -> None:
        self._c = context
        self._of_invite = of_invite

    def send(
        self, tx: ServerTx, m: Message, trunk: Trunk, call: Call | None, now: int, *, urgent: bool = False
    ) -> None:
        """Send an INVITE to the first of a trunk's hops, and to others if need be. An `urgent` one has no limit: also
        hops that are down are tried, and at last those of other trunks."""
        c = self._c
        hops = c.health.order(trunk, m.first(b"call-id") or b"", now, every=urgent)
        if urgent:
            for other in c.trunks.by_name.values():
                if other is not trunk:
                    hops += [s for s in c.health.order(other, b"", now, every=True) if s not in hops]
        elif call is not None and call.callee_flow is not None and len(hops) > 1:
            # A repetition with credentials goes where it was asked for them.
            hops.sort(key=lambda s: s.flow != call.callee_flow or s.down_until > now)
        if not urgent and hops:
            hops, status, why = self._able(m, hops, now)
            if not hops:
                c.answer(tx, status, now, why)
                if call is not None:
                    c.calls.failed(call, status, now, by="guard")
                return
        tx.hunt = Hunt(trunk, hops, urgent=urgent)
        if hops:
            self._next(tx, m, call, now)
        else:
            self._none(tx, call, RESTING if c.health.rest(trunk, now) else NOWHERE, now)

    def _able(self, m: Message, hops: list[HopState], now: int) -> tuple[list[HopState], int, tuple[bytes, ...]]:
        """The hops that can take this message; where none can, status and lines of the answer to it."""
        if secure(m.uri):
            hops = [s for s in hops if s.flow.transport == "tls"]
            if not hops:
                return hops, STATUS, INSECURE
        if len(m.data) > LONGEST_UDP:
            # Tried all the same it would look like a hop that cannot be reached, and cost others theirs.
            large = self._c.large
            hops = [s for s in hops if s.flow.transport != "udp" or large.instead(s.flow, now) is not None]
        return hops, 513, TOO_LONG

    def carry(self, tx: ServerTx, m: Message, trunk: Trunk, hops: list[HopState], saying: Saying, now: int) -> None:
        """Send a request that sets up no call to the first of these hops, and to others if need be."""
        tx.hunt = Hunt(trunk, hops, changes=saying)
        if hops:
            self._next(tx, m, None, now)
        else:
            self._none(tx, None, RESTING if self._c.health.rest(trunk, now) else NOWHERE, now)

    def _next(self, tx: ServerTx, m: Message, call: Call | None, now: int) -> None:
        c, hunt = self._c, tx.hunt
        assert hunt is not None
        state, flow = _taken(hunt)
        hunt.tried += 1
        if call is not None:
            call.callee_flow = flow
        client = c.relay(tx, m, flow, call, now, hunt.changes.get(state.place, NO_CHANGES))
        client.hop = state
        self._wait(client, hunt, now)

    def _wait(self, client: ClientTx, hunt: Hunt, now: int) -> None:
        """How long a hop may say nothing."""
        if client.key[1] not in REPEATABLE:
            return
        if hunt.hops or hunt.unproven or client.fallback is not None:
            self._c.timers.arm(client, SILENCE, now + hunt.trunk.silence)
        elif hunt.tried > 1 and not hunt.urgent:
            self._c.timers.arm(client, SILENCE, now + max(LAST_SILENCE, hunt.trunk.silence))

    def _found(self, client: ClientTx) -> None:
        """Somebody took an emergency call without having proved who he is: once a call this is told, and recorded."""
        c, tx, state = self._c, client.server, client.hop
        assert tx is not None
        assert state is not None
        call = tx.call
        if call is None or not call.findings:
            c.count("emergency_unproven")
            c.effects.append(Unproven(state.trunk.name, state.place))
        if call is not None:
            call.findings = (unproven(state),)

    # ---- what a hop does -------------------------------------------------------------------------------------------

    def heard(self, client: ClientTx, status: int, now: int) -> None:
        """A hop said something to a request."""
        client.armed[SILENCE] = 0
        assert client.hop is not None
        if client.flow.unproven:
            self._found(client)  # nothing is known of the hop by what somebody in its place says
        elif status != 503:
            self._c.health.answered(client.hop, now)

    def silent(self, client: ClientTx, now: int) -> None:
        """A hop has said nothing for too long."""
        hunt = client.server.hunt if client.server is not None else None
        if client.left or client.state > S.TRYING or client.hop is None or hunt is None:
            return
        if self.smaller(client, now):
            return
        since = now - (hunt.trunk.silence if hunt.hops else max(LAST_SILENCE, hunt.trunk.silence))
        self._c.health.failed(client.hop, "silent", now, since=since)
        self._leave(client, SILENT, now)

    def failed(self, client: ClientTx, status: int, now: int) -> None:
        """Its transaction ended without an answer: nobody can be reached (480), or its time is up (408)."""
        assert client.hop is not None
        if self.smaller(client, now):
            return
        why = UNREACHABLE if status == 480 else SILENT
        if not client.flow.unproven:
            self._c.health.failed(client.hop, "unreachable" if status == 480 else "silent", now, since=now)
            hunt = client.server.hunt if client.server is not None else None
            if hunt is not None and hunt.urgent and status == 480 and client.flow.transport == "tls":
                hunt.unproven.append(client.hop)
        if status == 408 and not client.invite and client.server is not None:
            self._c.layer.servers.pop(client.server.key, None)  # too late for any answer (RFC 4320 4.2)
            return
        self._leave(client, why, now)

    def smaller(self, client: ClientTx, now: int) -> bool:
        """Whether what was tried over TCP for its length goes over UDP now: nothing is held against its hop."""
        again = self._c.over_udp(client, now)
        if again is None:
            return False
        hunt = again.server.hunt if again.server is not None else None
        if hunt is not None and again.hop is not None:
            self._wait(again, hunt, now)
        return True

    def refused(self, client: ClientTx, response: Message, now: int) -> None:
        """It answered 503: for this call, and while it says so (RFC 3261 21.5.4)."""
        assert client.hop is not None
        if not client.flow.unproven:
            self._c.health.refused(client.hop, retry_after(response), now)
        self._leave(client, BUSY, now)

    def _leave(self, client: ClientTx, why: str, now: int) -> None:
        """Turn to the next hop, or tell the caller that there is none."""
        c, tx = self._c, client.server
        assert tx is not None
        self._abandon(client)
        m, call = tx.request, tx.call
        if m is None or tx.hunt is None:
            return
        if tx.cancelled:
            c.answer(tx, 487, now)
            if call is not None:
                c.calls.failed(call, 487, now, by="guard", cancelled=True)
            return
        if not tx.hunt.hops and not tx.hunt.unproven:
            self._none(tx, call, why, now)
            return
        c.count("hops_left")
        try:
            self._next(tx, m, call, now)
        except Exception:
            c.answer(tx, STATUS, now, FAILED)
            if call is not None:
                c.calls.failed(call, STATUS, now, by="guard")
            raise

    @staticmethod
    def _abandon(client: ClientTx) -> None:
        """Nothing is sent to it any more, but for a CANCEL as soon as it says something (9.1: see `late`)."""
        client.left = True
        client.armed[RETRY] = client.armed[SILENCE] = 0

    def _none(self, tx: ServerTx, call: Call | None, why: str, now: int) -> None:
        c, hunt = self._c, tx.hunt
        assert hunt is not None
        c.count("hops_none")
        rest = -(-c.health.rest(hunt.trunk, now) // 1_000_000)
        more = (b"Retry-After: %d\r\n" % rest,) if rest else ()
        c.answer(tx, STATUS, now, (reason(STATUS, why), *more))
        if call is not None:
            c.calls.failed(call, STATUS, now, by="guard")

    # ---- a hop that was left speaks after all ----------------------------------------------------------------------

    def late(self, client: ClientTx, response: Message, now: int) -> bool:
        """A response of a hop that was left. True: it has the call back, and the response counts."""
        c, tx, status = self._c, client.server, response.status
        assert tx is not None
        c.count("hops_late")
        if not client.invite:
            return self._late_answer(client, tx, status)
        rival = tx.client
        wanted = tx.request is not None and not tx.cancelled and rival is not None
        if wanted and rival is not None and (200 <= status < 300 or (status < 200 and rival.state is S.CALLING)):
            self._of_invite.give_up(rival, now)
            self._abandon(rival)
            client.left = client.cancel = False
            tx.client = client
            if tx.call is not None:
                tx.call.callee_flow = client.flow
            return True
        if status < 200:
            if not client.given_up:
                self._of_invite.give_up(client, now)
        else:
            client.armed[TIMER_C] = 0
            if status < 300:
                self._hang_up(client, response, now)
        return False

    def _late_answer(self, client: ClientTx, tx: ServerTx, status: int) -> bool:
        """The same for what sets up no call: the first final answer is the answer."""
        if status < 200 or status == 503 or tx.request is None:
            return False
        if tx.client is not None:
            self._abandon(tx.client)
        client.left = False
        tx.client = client
        return True

    def _hang_up(self, client: ClientTx, response: Message, now: int) -> None:
        """ACK a 2xx that nobody waits for, each time that it comes, and say BYE once (RFC 3261 13.2.2.4, 15)."""
        c = self._c
        party = callee_of(response, c.forwarder, client.flow)
        target = c.forwarder.target(party.routes, party.contact)  # the first of the route, strict or not (8.1.2)
        flow = c.here.flow_to(*target) if target is not None and target[1:] != client.flow.peer else client.flow
        call_id, number = raw(response, b"call-id"), response.cseq()[0]
        c.layer.send(flow, request(c.forwarder, c.here, flow, b"ACK", party, call_id, number)[1])
        if client.hop is not None:
            client.hop = None  # said once; the 2xx may come again
            branch, data = request(c.forwarder, c.here, flow, b"BYE", party, call_id, number + 1)
            c.layer.start_client(ClientTx(branch, b"BYE", data, flow, None), now)


def _taken(hunt: Hunt) -> tuple[HopState, Flow]:
    """The next hop, and the way there."""
    if hunt.hops:
        state = hunt.hops.pop(0)
        return state, state.flow
    state = hunt.unproven.pop(0)
    return state, replace(state.flow, unproven=True)


def unproven(state: HopState) -> Finding:
    """What is recorded of an emergency call that a hop took whose certificate could not be verified."""
    _, host, port = state.place
    at = f"{host_text(host)}:{port}"
    text = Text(
        f"no next hop could prove who it is: the emergency call went to {at} all the same, over TLS to whoever answers",
        f"aucun équipement de l'opérateur n'a prouvé son identité : l'appel d'urgence est parti vers {at} malgré tout, "
        "en TLS, vers qui répond",
    )
    facts: dict[str, str | int | bool] = {"hop": at, "trunk": state.trunk.name}
    return Finding(rule=UNPROVEN, action="flag", article=(), text=text, facts=facts)


def retry_after(m: Message) -> int:
    """The seconds of Retry-After, 0 where there are none that can be read (RFC 3261 20.33)."""
    digits = raw(m, b"retry-after").lstrip()
    digits = digits[: len(digits) - len(digits.lstrip(b"0123456789"))]
    return min(int(digits[:9]), MAX_RETRY_AFTER) if digits else 0
