"""Where a message goes whose connection has gone, and by which port a peer is known over the one that it opened."""

from __future__ import annotations

from guard.proxy.effects import Address
from guard.proxy.routing import TLS_PORT, default_port, numeric, target_of
from guard.sip.headers import BadHeader
from guard.sip.message import BadMessage, Message, parse


def reply_address(data: bytes, peer: Address, transport: str = "tcp") -> Address:
    """Where to connect for a message to `peer` whose connection has closed: an ephemeral port takes none.

    An answer goes to the port that the request's Via named, at the address that it came from (RFC 3261 18.2.2). A
    request goes to the port that its Route or Request-URI names, where that is the same host, else to the peer itself.
    """
    try:
        m = parse(data, stream=True)
        if not m.is_request:
            return peer[0], m.via().port or default_port(transport)
        routes = m.routes()
        named = target_of(routes[0].uri if routes else m.uri)
    except (BadMessage, BadHeader):
        return peer
    return (named[1], named[2]) if named is not None and named[1] == peer[0] else peer


def alias_of(data: bytes, flow_host: str, names: tuple[str, ...]) -> int:
    """The port at which its sender wants requests, over the connection that this request came over (RFC 5923 8.1): that
    of its Via, if it says `alias` and its certificate speaks for the host that stands there. 0 for none."""
    if b"alias" not in data or data.startswith(b"SIP/2.0 "):
        return 0
    try:
        m: Message = parse(data, stream=True)
        via = m.via()
    except (BadMessage, BadHeader):
        return 0
    if "alias" not in via.params:
        return 0
    host = numeric(via.host) or via.host
    good = host in names and (numeric(via.host) is None or host == flow_host)
    return (via.port or TLS_PORT) if good else 0
