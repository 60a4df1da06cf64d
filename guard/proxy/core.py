"""The proxy core: a transaction-stateful RFC 3261 proxy (section 16) without sockets, clocks or rules.

Bytes and instants go in through a few methods; what is to be done comes out as `effects`. It asks for a decision on
each new call attempt and hears it later; everything else it knows by itself.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec.structs import replace

from guard.model import CallAttempt, Decision
from guard.proxy import facts
from guard.proxy.call import Call
from guard.proxy.calls import Rests
from guard.proxy.context import Context
from guard.proxy.effects import Close, Effect, Flow
from guard.proxy.health import HopState
from guard.proxy.kept import KeptCall, revive
from guard.proxy.refuse import Refusals, reason
from guard.proxy.requests import Requests
from guard.proxy.rescue import Rescue
from guard.proxy.responses import Responses
from guard.proxy.routing import Trunks
from guard.proxy.shapes import Condition, CoreSettings, Identity
from guard.proxy.tables import I, S
from guard.proxy.timers import DECISION, TALK
from guard.proxy.transactions import ClientTx, ServerTx
from guard.proxy.triage import Lot, Triage
from guard.sip.headers import BadHeader
from guard.sip.message import BadMessage, Message, parse
from guard.sources import Sources

ALL: Final = 1 << 30  # calls: more than there are
FIRED: Final = 256  # timers that fire in a row, some 5 ms: who reads the sockets comes in between

__all__ = ["CoreSettings", "ProxyCore"]


class ProxyCore:
    """The core. After each call of a method, drain `effects` in order.

    `counters` count by name (`context.COUNTERS`).
    """

    def __init__(self, settings: CoreSettings, sources: Sources, trunks: Trunks) -> None:
        self._c = Context(settings, sources, trunks, self)
        self._requests = Requests(self._c)
        self._responses = Responses(self._c, self._requests)
        self._rescue = Rescue(self._c, self._requests)
        self._triage = Triage(self._c)
        self.effects: list[Effect] = self._c.effects
        self.counters = self._c.counters

    @property
    def wall_offset(self) -> int:
        """Wall clock minus timeline, in µs; the driver sets it."""
        return self._c.wall_offset

    @wall_offset.setter
    def wall_offset(self, value: int) -> None:
        self._c.wall_offset = value

    @property
    def sources(self) -> Sources:
        """Who may send calls."""
        return self._c.sources

    @property
    def calls(self) -> int:
        """How many calls are followed at this moment."""
        return len(self._c.calls)

    @property
    def transactions(self) -> int:
        """How many transactions are kept at this moment."""
        return len(self._c.layer.servers) + len(self._c.layer.clients)

    def listed(self, host: str) -> bool:
        """Whether an address is of a source or a trunk."""
        return self._c.sources.find(host) is not None or host in self._c.trunks.by_address

    def conditions(self, now: int) -> tuple[Condition, ...]:
        """Every next hop, and whether it is up."""
        return self._c.health.conditions(now)

    def refuse(self, how: Refusals) -> None:
        """What refusals say from now on of whom to turn to."""
        self._c.refusals = how

    def drain(self, status: int, *, succeeded: bool = False) -> None:
        """From now on new calls are answered `status` (480 or 503), but for emergency calls; all others go on. Where
        the guard is `succeeded` by another that reads the same sockets, new calls over UDP are not answered at all:
        their caller repeats them (RFC 3261 17.1.1.2), and the successor hears that."""
        self._c.draining, self._c.succeeded = status, succeeded

    def shed(self, status: int) -> None:
        """Until it is called with 0, `receive` answers a call that begins `status` (480 or 503) and keeps nothing of
        it, but for emergency calls: there is no time for it."""
        self._c.shedding = status

    def lot(self, data: bytes, flow: Flow) -> Lot:
        """What a message is, at a glance (`Triage.lot`)."""
        return self._triage.lot(data, flow)

    @property
    def unsettled(self) -> int:
        """How many calls are being set up, and other requests wait for their answer."""
        return self._c.calls.settling + sum(
            tx.request is not None and (tx.call is None or tx.again) for tx in self._c.layer.servers.values()
        )

    def keep(self) -> None:
        """From now on remember which answered calls something happens to, for `changed`."""
        self._c.calls.changed = set()

    def changed(self, most: int = ALL) -> dict[int, Call | None]:
        """Answered calls that something has happened to since this was last asked, by ticket; None: it is over. No more
        than `most`; the others are told next time."""
        calls = self._c.calls
        if not calls.changed:
            return {}
        if len(calls.changed) <= most:
            tickets, calls.changed = calls.changed, set()
        else:
            tickets = {calls.changed.pop() for _ in range(most)}
        return {ticket: calls.get(ticket) for ticket in tickets}

    def next_ticket(self) -> int:
        """A ticket for a call of an earlier life of the guard."""
        return self._c.calls.next_ticket()

    def revive(self, kept: KeptCall, ticket: int, now: int) -> None:
        """Go on with a call of an earlier life of the guard."""
        call = revive(kept, ticket, self.wall_offset, now)
        self._c.calls.revive(call, now)
        self._requests.hangup.resume(call, now)

    def rest(self, calls: Rests | None) -> None:
        """Calls of an earlier life that are revived once something is heard of them; None: no more."""
        self._c.calls.resting = calls

    def begin(self, now: int) -> None:
        """Look after the next hops from now on: OPTIONS to those that are to have them."""
        self._requests.pings.begin(now)

    def reroute(self, trunks: Trunks, now: int) -> None:
        """Next hops have changed. Calls under way go on as they were."""
        self._c.trunks = trunks
        self._c.health.adopt(trunks)
        self.begin(now)

    def identity(self, host: str, port: int) -> Identity | None:
        """Who has to answer TLS at an address, None where nobody in particular is expected there."""
        found = self._c.trunks.identity(host, port)
        if found is not None:
            return found
        source = self._c.sources.find(host)
        return Identity((source.tls_name,)) if source is not None and source.tls_name else None

    def adopt(
        self,
        sources: Sources,
        trunks: Trunks,
        unknown: Literal["private", "any", "none"],
        *,
        screens_inbound: bool = False,
    ) -> None:
        """Other sources, trunks and settings from now on; calls under way go on as they were."""
        self._c.sources = sources
        self._c.trunks = trunks
        self._c.health.adopt(trunks)
        self._c.settings = replace(self._c.settings, emergency_from_unknown=unknown, screens_inbound=screens_inbound)

    def receive(self, data: bytes, flow: Flow, now: int) -> None:
        """One UDP datagram, or one framed message of a stream.

        An exception that leaves here is a fault of ours, for the driver to count and to tell. Whoever may call has been
        given its due by then (`rescue`).
        """
        try:
            m = parse(data, stream=flow.transport != "udp")
        except BadMessage as bad:
            if bad.message is None or not self._requests.urgent(bad.message, flow):
                self._c.odd.note(flow.peer[0], now)
                self._unreadable(bad, flow)
                return
            m = bad.message
        try:
            if m.is_request:
                self._requests.handle(m, flow, now)
            else:
                self._responses.handle(m, now)
        except BadHeader:
            # A header that routing itself needs cannot be read (Via, CSeq): there is nobody to answer, nothing to pass.
            self._c.count("unroutable")
            if flow.transport != "udp":
                self.effects.append(Close(flow))
        except Exception as error:
            if m.is_request:
                self._rescue.request(m, flow, error, now)
            raise

    def read(self, data: bytes, flow: Flow, now: int) -> CallAttempt:
        """The call that a first INVITE asks for, as the rules would see it: nothing is kept, counted or answered.
        Raises BadMessage."""
        source = self._c.sources.find(flow.peer[0])
        out = self._c.trunks.get(source.trunk if source is not None else "")
        return facts.attempt(parse(data), source, flow.peer[0], now + self._c.wall_offset, trunk=out.name)

    def _unreadable(self, error: BadMessage, flow: Flow) -> None:
        """Not a message; what still can be answered is, if it came from somebody we serve."""
        self._c.count("unreadable")
        peer = flow.peer[0]
        m = error.message
        if m is not None and not error.fatal and (self._c.sources.find(peer) or peer in self._c.trunks.by_address):
            self._c.answer_stateless(m, flow, error.status, (reason(error.status, error.reason),))
        if flow.transport != "udp":
            self.effects.append(Close(flow))

    def decided(self, ticket: int, decision: Decision, seq: int, now: int) -> None:
        """The decision on a `Decide`. `seq` is its record's number; a ticket that is gone is ignored."""
        self._requests.decided(ticket, decision, seq, now)

    def send_failed(self, key: str, now: int) -> None:
        """The peer of a client transaction cannot be reached (`key` of its `Send`)."""
        branch, _, method = key.partition(" ")
        tx = self._c.layer.clients.get((branch.encode(), method.encode()))
        if tx is not None:
            self._c.layer.step_client(tx, I.ERROR, now)

    def lost(self, key: str, now: int) -> None:
        """The connection closed over which a request went. One that has heard nothing yet may never have arrived, and
        is as good as not sent; who has said something may answer over another connection (RFC 3261 18.2.2)."""
        branch, _, method = key.partition(" ")
        tx = self._c.layer.clients.get((branch.encode(), method.encode()))
        if tx is not None and tx.state in {S.CALLING, S.TRYING}:
            self._c.layer.step_client(tx, I.ERROR, now)

    def flow_closed(self, flow: Flow, now: int) -> None:
        """A stream closed. Its transactions go on, but for those of which `lost` tells; what was registered over it is
        not called over it any more."""
        del now
        self._c.count("streams_closed")
        self._c.bindings.flows.closed(flow.conn)

    def next_timer(self) -> int | None:
        """The instant at which `wake` wants to be called; it may find then that there is nothing to do."""
        return self._c.timers.next()

    def wake(self, now: int) -> None:
        """Fire the timers that are due, `FIRED` at most: for the rest `next_timer` is an instant that has been."""
        for _ in range(FIRED):
            due = self._c.timers.due(now)
            if due is None:
                return
            owner, kind = due
            if isinstance(owner, ClientTx):
                self._responses.client_timer(owner, kind, now)
            elif isinstance(owner, ServerTx) and kind == DECISION:
                self._requests.late_target(owner, now)
            elif isinstance(owner, ServerTx):
                self._responses.server_timer(owner, kind, now)
            elif isinstance(owner, HopState):
                self._requests.pings.fire(owner, kind, now)
            elif isinstance(owner, Call):
                if kind == DECISION:
                    self._requests.late(owner, now)
                elif kind == TALK:
                    self._requests.hangup.expired(owner, now)
                else:
                    self._c.calls.expired(owner, kind, now)

    # ---- what transactions tell (transactions.Core) ----------------------------------------------------------------

    def passed(self, tx: ClientTx, response: Message, now: int) -> None:
        """A response that the transaction user is to see."""
        self._responses.passed(tx, response, now)

    def acknowledge(self, tx: ClientTx, response: Message) -> None:
        """Send the ACK of a final answer that is no 2xx."""
        self._responses.acknowledge(tx, response)

    def failed(self, tx: ClientTx, status: int, now: int) -> None:
        """No answer in time (408), or a peer that cannot be reached (480)."""
        self._responses.failed(tx, status, now)
