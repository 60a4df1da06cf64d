"""Next hops as they are written in guard.toml, and the DNS servers that find them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, Literal

from msgspec import Struct

from guard.sip.uri import BadUri, parse_uri
from guard.tomlread import nearest

Transport = Literal["udp", "tcp", "tls"]
DEFAULT_PORT: Final = 5060
TLS_PORT: Final = 5061
TRANSPORTS: Final[tuple[Transport, ...]] = ("udp", "tcp", "tls")
DNS_PORT: Final = 53
AS: Final = "write it as sip:198.51.100.10:5060;transport=udp"

Tell = Callable[[list[str], str], None]  # a key path and what is wrong with its value


class Hop(Struct, frozen=True):
    """One next hop as written: `host` may be a name, which is looked up when the guard starts, and as often as its
    records say. `open` names what was not written: DNS is asked for that (RFC 3263). `secure` for sips."""

    transport: Transport
    host: str
    port: int
    open: tuple[Literal["transport", "port"], ...] = ()
    secure: bool = False


def next_hop(text: str, key: list[str], tell: Tell) -> Hop | None:
    """A next hop, None where it is told why it is none."""
    try:
        uri = parse_uri(text.encode())
    except BadUri as error:
        tell(key, f'"{text}" is no SIP URI ({error}): {AS}')
        return None
    secure = uri.scheme == "sips"
    named = (uri.params.get("transport") or ("tls" if secure else "udp")).lower()
    if secure and named == "tcp":
        named = "tls"  # over TCP, that is (RFC 3261 26.2.2)
    transport = next((t for t in TRANSPORTS if t == named), None)
    if uri.scheme not in {"sip", "sips"} or not uri.host:
        tell(key, f'"{text}" is no SIP URI: {AS}')
    elif transport is None:
        tell(key, f'"{text}": transport "{named}" is not one of udp, tcp, tls{nearest(named, TRANSPORTS)}')
    elif secure and transport == "udp":
        tell(key, f'"{text}": sips goes over TLS only')
    else:
        host = uri.host.strip("[]")
        left: list[Literal["transport", "port"]] = []
        if not numeric(host):
            left += [] if "transport" in uri.params else ["transport"]
            left += [] if uri.port else ["port"]
        usual = TLS_PORT if transport == "tls" else DEFAULT_PORT
        return Hop(transport, host, uri.port or usual, tuple(left), secure)
    return None


def dns_server(text: str, key: list[str], tell: Tell) -> tuple[str, int] | None:
    """`host` or `host:port` of a DNS server, numeric, None where it is told why it is none."""
    host, colon, port = (text, "", "") if numeric(text) else text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    good = not colon or (port.isdecimal() and 0 < int(port) < 65536)
    if not numeric(host) or not good:
        tell(key, f'"{text}" is no numeric address of a DNS server, such as 192.0.2.53 or 192.0.2.53:53')
        return None
    return host, int(port) if colon else DNS_PORT


def numeric(host: str) -> bool:
    """Whether a host is an address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
