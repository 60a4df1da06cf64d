"""Requests of the guard's own within a dialog: as one of its parties would send them (RFC 3261 12.2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from guard.proxy.effects import Flow
from guard.proxy.forward import MAX_FORWARDS, Forwarder, via_line
from guard.proxy.routing import Here, host_text
from guard.sip.headers import BadHeader, NameAddr
from guard.sip.message import Message


class Party:
    """One side of a dialog, as a request to it is addressed: Contact's URI, Route values, and From and To, all raw."""

    __slots__ = ("contact", "from_", "routes", "to")

    def __init__(self, contact: bytes, routes: tuple[bytes, ...], from_: bytes, to: bytes) -> None:
        self.contact = contact
        self.routes = routes
        self.from_ = from_
        self.to = to


def callee_of(m: Message, forwarder: Forwarder, flow: Flow | None) -> Party:
    """Who answered with the 2xx `m`; without a Contact he is where his messages come from."""
    return Party(contact_of(m, flow), beyond(m, forwarder), raw(m, b"from"), raw(m, b"to"))


def request(
    forwarder: Forwarder,
    here: Here,
    flow: Flow,
    method: bytes,
    party: Party,
    call_id: bytes,
    number: int,
    more: Sequence[bytes] = (),
) -> tuple[bytes, bytes]:
    """Branch and bytes of a request to a party, over `flow`."""
    uri, routes = forwarder.addressed(party.contact, party.routes)
    branch = forwarder.own_branch(b"%s%s%d" % (method, call_id, number))
    sent_by = here.sent_by(flow.transport, flow.local)
    lines = [
        method + b" " + uri + b" SIP/2.0\r\n",
        via_line(flow, sent_by, branch),
        b"Max-Forwards: %d\r\n" % MAX_FORWARDS,
        *(b"Route: " + r + b"\r\n" for r in routes),
        b"From: " + party.from_ + b"\r\n",
        b"To: " + party.to + b"\r\n",
        b"Call-ID: " + call_id + b"\r\n",
        b"CSeq: %d " % number + method + b"\r\n",
        *more,
        b"Content-Length: 0\r\n\r\n",
    ]
    return branch, b"".join(lines)


def beyond(m: Message, forwarder: Forwarder) -> tuple[bytes, ...]:
    """The route set towards the callee: what stands before our own entry of Record-Route, turned round (12.1.2)."""
    routes: list[bytes] = []
    for one in values(m, b"record-route"):
        if forwarder.ours(one.uri):
            break
        routes.append(one.text)
    return tuple(reversed(routes))


def values(m: Message, name: bytes) -> list[NameAddr]:
    """The values of a header, none where one cannot be read."""
    with suppress(BadHeader):
        return m.routes(name)
    return []


def contact_of(m: Message, flow: Flow | None) -> bytes:
    """The URI of Contact; where there is none, the address that the messages of that side come from."""
    found = values(m, b"contact")
    if found:
        return found[0].uri
    return b"sip:%s:%d" % (host_text(flow.peer[0]).encode(), flow.peer[1]) if flow is not None else b""


def raw(m: Message, name: bytes) -> bytes:
    """The first value of a header, b"" where there is none."""
    return m.first(name) or b""
