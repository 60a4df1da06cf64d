"""Which flow a request leaves by: its dialog's, a hop of its source's trunk, a source of the trunk that it came from.

Nothing here changes anything: it reads calls, trunks and sources (RFC 3261 16.4 to 16.6).
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from guard.proxy.bindings import Bindings
from guard.proxy.call import Call
from guard.proxy.context import Context
from guard.proxy.effects import Flow
from guard.proxy.facts import PLAIN_DIAL, called_from_outside
from guard.proxy.forward import Forwarder
from guard.proxy.keys import tag_of
from guard.proxy.routing import target_of
from guard.proxy.shapes import NO_CHANGES, Changes, Inbound, Target, Trunk, Way
from guard.sip.grammar import split_values
from guard.sip.headers import BadHeader, NameAddr, parse_name_addr
from guard.sip.message import Message
from guard.sources import Source, Sources

BETWEEN: Final = b""  # in hints: what stands before is Contact, what stands behind Record-Route


def hints_of(m: Message) -> tuple[bytes, ...]:
    """Contact and Record-Route of a message, raw: where the rest of the dialog goes (RFC 3261 12.1)."""
    return (*m.all(b"contact"), BETWEEN, *m.all(b"record-route"))


def _values(lines: tuple[bytes, ...]) -> list[NameAddr]:
    """All values of these lines. Raises BadHeader."""
    return [parse_name_addr(line, a, b, "Route") for line in lines for a, b in split_values(line, 0, len(line))]


def _named(hints: tuple[bytes, ...], host: str) -> bool:
    """Whether one of these values names that host. Read only where a request wants to go there."""
    for line in hints:
        for start, end in split_values(line, 0, len(line)):
            try:
                target = target_of(parse_name_addr(line, start, end, "Contact").uri)
            except BadHeader:
                continue  # then the dialog goes where the set-up went
            if target is not None and target[1] == host:
                return True
    return False


def source_for(m: Message, trunk: Trunk, sources: Sources, forwarder: Forwarder, bindings: Bindings) -> Inbound | None:
    """The source that a trunk's request is for: the one that registered the contact it names, else the one whose
    address it names, else the first with a contact that names its number, else the first that names none."""
    target = forwarder.next_target(m)
    named = sources.find(target[1]) if target is not None else None
    bound = bindings.read(m.uri) if forwarder.ours(m.uri) else None
    if bound is not None:
        source = sources.find(bound.target[1])
        if source is not None and source.trunk == trunk.name:
            if target is not None and named is source:  # a Path of the source's own leads there (RFC 3327 5.3)
                return Inbound(source, target, bound.request_uri)
            return Inbound(source, bound.target, bound.request_uri, bound)
    if target is not None and named is not None and named.trunk == trunk.name:
        return Inbound(named, target)
    return _by_number(m, trunk, sources)


def _by_number(m: Message, trunk: Trunk, sources: Sources) -> Inbound | None:
    """The source whose contact takes calls to the number that is called."""
    number: str | None = None
    rest: Inbound | None = None  # the first that takes whatever nobody else does
    for source in sources.all:
        if source.trunk != trunk.name or source.contact is None:
            continue
        found = Inbound(source, (source.contact_transport, *source.contact))
        if not source.inbound:
            rest = rest or found
            continue
        if number is None:
            number = called_from_outside(m, PLAIN_DIAL).value
        if source.takes(number):
            return found
    return rest


class NextHop:
    """Where requests go, by what they belong to."""

    def __init__(self, context: Context) -> None:
        self._c = context

    def dialog_of(self, m: Message) -> tuple[Call, bool] | None:
        """The call that a request within a dialog belongs to, and whether the caller sent it."""
        to_tag = tag_of(m, to=True)
        return self._c.calls.dialog(m.first(b"call-id") or b"", tag_of(m, to=False), to_tag) if to_tag else None

    def within(self, call: Call, m: Message, *, from_caller: bool) -> tuple[Flow, Changes]:
        """The next place of a request within a call: what its Route or Request-URI names, if that belongs to the other
        side; else where that side's own messages came from. And the rest of the route, where the request lacks it."""
        forwarder = self._c.forwarder
        to_operator = from_caller is (call.attempt.direction == "outbound")
        if to_operator and self._may_lack(call, m) and not forwarder.route_left(m):
            found = self._forgotten(call, m, from_caller=from_caller)
            if found is not None:
                return self.toward(call, found[0], from_caller=from_caller), found[1]
        return self.toward(call, forwarder.next_target(m), from_caller=from_caller), NO_CHANGES

    def _may_lack(self, call: Call, m: Message) -> bool:
        """Whether there is a route beyond the guard, or the request names no remote target. Nearly always there is no
        such route, and that is told by lines that were seen before."""
        hints, forwarder = call.hints, self._c.forwarder
        if BETWEEN not in hints:
            return False
        recorded = hints[hints.index(BETWEEN) + 1 :]
        return forwarder.ours(m.uri) or any(not forwarder.only_ours(line) for line in recorded)

    def _forgotten(self, call: Call, m: Message, *, from_caller: bool) -> tuple[Target | None, Changes] | None:
        """What a phone left out that knows no Record-Route (RFC 3261 12.1.2, 12.2.1.1): the route of its dialog beyond
        the guard, and its remote target where it wrote the guard's address instead; and where that leads."""
        forwarder = self._c.forwarder
        at = call.hints.index(BETWEEN)
        try:
            contacts, recorded = _values(call.hints[:at]), _values(call.hints[at + 1 :])
        except BadHeader:
            return None  # it goes where the set-up went
        ours = next((i for i, value in enumerate(recorded) if forwarder.ours(value.uri)), len(recorded))
        # An answer lists them from the far end up to us; an INVITE of the operator's from us to its far end.
        routes = tuple(v.text for v in (reversed(recorded[:ours]) if from_caller else recorded))
        target = m.uri
        if contacts and forwarder.ours(target) and self._c.bindings.read(target) is None:
            target = contacts[0].uri
        if target == m.uri and not routes:
            return None
        there = forwarder.target(routes, target)  # the first of the route, also where it is a strict router (8.1.2)
        uri, routes = forwarder.addressed(target, routes)
        return there, Changes(uri=uri if uri != m.uri else b"", routes=routes)

    def toward(self, call: Call, target: Target | None, *, from_caller: bool) -> Flow:
        """The same for what points to `target`."""
        c = self._c
        other = call.callee_flow if from_caller else call.caller_flow
        assert other is not None  # both are set before a dialog can exist
        if target is None:
            return other
        transport, host, port = target
        if (host, port) == other.peer and transport == other.transport:
            return other
        to_operator = from_caller is (call.attempt.direction == "outbound")
        if to_operator:
            good = host in c.trunks.by_address or _named(call.hints, host)
        else:
            good = c.sources.find(host) is not None
        # The connection of a caller did not survive a restart of ours: he is asked where he says, not less securely.
        there = to_operator or other.conn != 0 or (other.transport == "tls" and transport != "tls")
        same = other.transport == "tls" or (other.transport == "tcp" and transport == "tcp")
        if not good or (there and same and host == other.peer[0]):
            return other  # the connection that is there, however its other end is written: none is more secure
        flow = c.here.flow_to(transport, host, port)
        return replace(flow, unproven=True) if other.unproven else flow  # within an emergency call it stays as it was

    def outside(self, m: Message, source: Source | None, trunk: Trunk | None, now: int) -> tuple[Flow, Changes] | None:
        """Where a request goes that belongs to no call: a source's to the best hop of its trunk, a trunk's to a
        source, saying what it has to say there."""
        c = self._c
        if source is not None:
            out = c.trunks.get(source.trunk)
            target = c.forwarder.next_target(m)
            if target is not None and c.trunks.by_address.get(target[1]) is out:
                return c.here.flow_to(*target), NO_CHANGES
            best = c.health.best(out, m.first(b"call-id") or b"", now)
            return (best.flow, NO_CHANGES) if best is not None else None
        if trunk is None:
            return None
        found = self.to_source(m, trunk)
        return (found.flow, found.changes) if found is not None and found.flow is not None else None

    def missing(self, m: Message, trunk: Trunk | None) -> int:
        """The status of a request that has nowhere to go."""
        found = self.to_source(m, trunk) if trunk is not None else None
        return found.status if found is not None else 404

    def to_source(self, m: Message, trunk: Trunk, *, connected: bool = True) -> Way | None:
        """The source that a trunk's request is for, and the way to it: the connection over which the contact that it
        names was registered (not without `connected`), else where that contact says."""
        c = self._c
        found = source_for(m, trunk, c.sources, c.forwarder, c.bindings)
        if found is None:
            return None
        changes = Changes(found.uri) if found.uri else NO_CHANGES
        bound = found.bound
        if bound is not None and bound.key:
            flow = c.bindings.flows.get(bound.key) if connected else None
            if flow is not None and c.sources.find(flow.peer[0]) is found.source:
                return Way(found.source, flow, changes)
            if not bound.target[2]:
                # 430: another flow of the same phone may stand (RFC 5626 5.3.1); nobody else knows what it says.
                return Way(found.source, None, changes, 430 if bound.outbound else 480)
        return Way(found.source, c.here.flow_to(*found.target), changes)
