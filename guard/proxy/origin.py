"""Who really sent a request that went by on a mirrored wire, and whether it was meant for the guard.

A capture may show a request twice: as it came to the guard, and as the guard sent it on. Both are one request. Where
only the second can be seen (a capture made beside the IPBX), its second Via tells whose it was.
"""

from __future__ import annotations

from typing import Final

from guard.proxy.bindings import Bindings
from guard.proxy.door import urgent
from guard.proxy.effects import Flow
from guard.proxy.forward import Forwarder
from guard.proxy.keys import NO_VIA
from guard.proxy.nexthop import source_for
from guard.proxy.routing import Here, Trunks, numeric
from guard.proxy.shapes import CoreSettings, Origin, SeenKey, Trunk
from guard.sip.headers import BadHeader, Via
from guard.sip.message import Message
from guard.sources import Source, Sources

INVITE: Final = b"INVITE"


def _number(m: Message) -> int:
    """The number of CSeq, -1 where it cannot be read: an emergency call is carried all the same."""
    try:
        return m.cseq()[0]
    except BadHeader:
        return -1


def answer_key(m: Message, flow: Flow) -> SeenKey:
    """What the request is remembered by that a response answers, if it is on its way to who asked."""
    number, method = m.cseq()
    return m.first(b"call-id") or b"", number, method, flow.local[0], m.via().branch or b""


class Origins:
    """Tells origins, by the guard's own addresses, the sources and the hops of the trunks."""

    def __init__(self, settings: CoreSettings, sources: Sources, trunks: Trunks) -> None:
        self._sources = sources
        self._trunks = trunks
        self._here = Here(settings)
        self._forwarder = Forwarder(self._here, "")
        self._bindings = Bindings(None, self._here)  # nothing is sent there: the key is the live guard's
        self._unknown = settings.emergency_from_unknown
        shown = {(t, settings.advertise.lower(), port) for t, _, port in settings.listens}
        self._doors = frozenset({*settings.listens, *shown})

    def of(self, m: Message, flow: Flow) -> Origin:
        """The origin of a request that `flow.peer` sent to `flow.local`. Raises BadHeader where its Via tells none."""
        address = flow.peer[0]
        source, trunk, sos = self._who(m, address)
        try:
            via = m.via()
        except BadHeader:
            if not sos:
                raise
            via = NO_VIA
        name = m.first(b"call-id") or b"", _number(m), m.method
        key = (*name, address, via.branch or b"")
        if not self._here.is_us(via.host, via.port):
            return Origin(key, address, source, trunk, sos)
        before = self._before(m)
        if before is None:
            return Origin(key, address, None, None, "", ours=True)
        address = numeric((before.received or before.host.encode()).decode("latin-1")) or ""
        source, trunk, sos = self._who(m, address) if address else (None, None, "")
        return Origin(key, address, source, trunk, sos, True, (*name, address, before.branch or b""))

    def _who(self, m: Message, address: str) -> tuple[Source | None, Trunk | None, str]:
        source = self._sources.find(address)
        trunk = self._trunks.by_address.get(address) if source is None else None
        sos = urgent(m.uri, source, address, self._unknown) if m.method == INVITE and trunk is None else ""
        return source, trunk, sos

    @staticmethod
    def _before(m: Message) -> Via | None:
        """The Via under our own."""
        try:
            return next(iter(m.vias()[1:]), None)
        except BadHeader:
            return None

    def for_us(self, flow: Flow) -> bool:
        """Whether it went to an address that the guard listens on. Where that is every address of its machine, whatever
        neither a source nor a trunk has is one."""
        host, port = flow.local
        if (flow.transport, host, port) in self._doors:
            return True
        anywhere = "::" if ":" in host else "0.0.0.0"
        return (
            (flow.transport, anywhere, port) in self._doors
            and host not in self._trunks.by_address
            and self._sources.find(host) is None
        )

    def takes(self, m: Message, trunk: Trunk, flow: Flow) -> Source | None:
        """The source that a call from this trunk is for: where the guard sends it, or where it went without one."""
        found = source_for(m, trunk, self._sources, self._forwarder, self._bindings)
        if found is not None:
            return found.source
        there = self._sources.find(flow.local[0]) if not self.for_us(flow) else None
        return there if there is not None and there.trunk == trunk.name else None
