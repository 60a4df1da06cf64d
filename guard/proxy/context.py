"""What the two halves of the core, requests and responses, share."""

from __future__ import annotations

from typing import Final

from guard.proxy.bindings import Bindings
from guard.proxy.call import Call
from guard.proxy.calls import Calls
from guard.proxy.effects import Effect, Flow, HopTurned, Send
from guard.proxy.forward import Forwarder
from guard.proxy.health import Health, HopState
from guard.proxy.large import LARGE, LONGEST_UDP, Large
from guard.proxy.odd import Odd
from guard.proxy.refuse import NO_REDRESS, PARTING, SHED, phrase
from guard.proxy.routing import Here, Trunks
from guard.proxy.shapes import NO_CHANGES, Changes, CoreSettings
from guard.proxy.timers import RETRY, SILENCE, Timers
from guard.proxy.transactions import ClientTx, Core, Layer, ServerTx
from guard.sip.message import Message
from guard.sources import Sources

# Everything that `ProxyCore.counters` may count; the set is closed so that a monitor can name them all.
COUNTERS: Final = (
    "requests", "responses", "retransmissions", "unreadable", "unroutable", "rejected", "strangers", "stray_responses",
    "stray_acks", "full", "cancelled", "decisions_late", "emergency_calls", "streams_closed", "loops", "hangups",
    "hangups_refused", "hops_left", "hops_late", "hops_none", "hops_down", "hops_up", "pings", "pings_unanswered",
    "drained", "left", "shed", "unproven", "registers", "registers_refused", "flows_gone",
    "emergency_unproven", "large_over_tcp", "large_refused",
)  # fmt: skip


class Context:
    """Tables, timers and settings of one core."""

    def __init__(self, settings: CoreSettings, sources: Sources, trunks: Trunks, core: Core) -> None:
        self.settings = settings
        self.sources = sources
        self.trunks = trunks
        self.effects: list[Effect] = []
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.wall_offset = 0
        self.here = Here(settings)
        self.timers = Timers()
        self.layer = Layer(core, self.effects, self.timers)
        self.calls = Calls(self.effects, self.timers)
        self.forwarder = Forwarder(self.here, settings.token)
        self.bindings = Bindings(settings.secret or settings.token.encode(), self.here)
        self.health = Health(self.here, trunks, self._turned)
        self.large = Large(self.here, self.health)
        self.refusals = NO_REDRESS
        self.odd = Odd()
        self.draining = 0  # the status that new calls are answered while the guard is being stopped, else 0
        self.succeeded = False  # whether another guard is about to read the same sockets
        self.shedding = 0  # the same while what is handed in has waited too long

    def count(self, name: str) -> None:
        """One more of `name`."""
        self.counters[name] += 1

    def _turned(self, state: HopState, why: str) -> None:
        """A hop went down for that reason, or came back."""
        self.count("hops_down" if why else "hops_up")
        self.effects.append(HopTurned(state.trunk.name, state.place, why))

    def answer(self, tx: ServerTx, status: int, now: int, headers: tuple[bytes, ...] = ()) -> None:
        """Answer a transaction ourselves; 100 carries no tag of ours (RFC 3261 8.2.6.1)."""
        request = tx.request
        if request is None:
            return
        data = self.forwarder.answer(request, tx.flow, status, phrase(status), headers)
        self.layer.respond(tx, status, data, now)

    def parting(self, tx: ServerTx, now: int) -> None:
        """Answer what is not begun any more while the guard is being stopped."""
        self.count("drained")
        self.answer(tx, self.draining, now, PARTING[self.draining])

    def shed(self, m: Message, flow: Flow) -> None:
        """Answer a call that there is no time for. Nothing is kept of it: neither transaction, attempt nor record."""
        status = self.shedding
        self.count("shed")
        self.effects.append(
            Send(flow, self.forwarder.answer(m, flow, status, phrase(status), SHED[status], loose=True))
        )

    def answer_stateless(self, m: Message, flow: Flow, status: int, headers: tuple[bytes, ...] = ()) -> None:
        """Answer without a transaction (RFC 3261 8.2.7): what is refused for its form leaves no memory behind."""
        self.count("rejected")
        if m.method != b"ACK":
            self.effects.append(Send(flow, self.forwarder.answer(m, flow, status, phrase(status), headers, loose=True)))

    def relay(
        self, tx: ServerTx, m: Message, flow: Flow, call: Call | None, now: int, changes: Changes = NO_CHANGES
    ) -> ClientTx:
        """Send a transaction's request on, as the next hop is to see it (RFC 3261 16.6)."""
        mask = call.mask if call is not None else None
        data, branch = self.forwarder.request(
            m, tx.flow, flow, mask=mask, from_caller=tx.from_caller, within=tx.again, changes=changes
        )
        way: Flow | None = flow
        if len(data) > LARGE and flow.transport == "udp" and (way := self.large.instead(flow, now, sure=tx.lenient)):
            self.count("large_over_tcp")
            data, branch = self.forwarder.request(
                m, tx.flow, way, mask=mask, from_caller=tx.from_caller, within=tx.again, changes=changes, route=flow
            )
        client = ClientTx(branch, m.method, data, way or flow, tx)
        if way is not flow and way is not None and len(data) <= LONGEST_UDP:
            client.fallback = flow, changes
        self.layer.start_client(client, now)
        tx.client = client
        return client

    def over_udp(self, client: ClientTx, now: int) -> ClientTx | None:
        """What was too long for UDP goes there all the same: its hop takes no TCP. None where nobody waits for it."""
        tx = client.server
        if client.fallback is None or client.left or tx is None or tx.request is None or tx.cancelled:
            return None
        flow, changes = client.fallback
        self.count("large_refused")
        self.large.refused(flow, now)
        client.left, client.fallback = True, None
        client.armed[RETRY] = client.armed[SILENCE] = 0
        again = self.relay(tx, tx.request, flow, tx.call, now, changes)
        again.hop = client.hop
        return again
