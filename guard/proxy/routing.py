"""Where messages go: the trunks and their hops, our own addresses, and who may be reached at all.

A guard is no open relay: whatever Route or Request-URI says, a request only leaves towards a hop of a trunk, an address
that the operator itself named in the dialog, or an address of a source (RFC 3261 16.5, 16.6; RFC 5393).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final

from guard.proxy.effects import Address, Flow, Transport
from guard.proxy.shapes import CoreSettings, Identity, Target, Trunk
from guard.sip.remember import Table, keep
from guard.sip.uri import BadUri, parse_uri

DEFAULT_PORT: Final = 5060  # RFC 3261 19.1.2
TLS_PORT: Final = 5061
KNOWN_HOSTS: Final = 1024  # hosts whose numeric form is remembered; made-up ones only empty the memory
# Not Python's is_private, which also holds what is nobody's own: documentation, benchmarks, the future.
PRIVATE = tuple(
    ip_network(n)
    for n in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1",
        "fc00::/7",
        "fe80::/10",
    )
)


class Trunks:
    """The trunks by name and by the addresses of their hops; the first is the one for calls that name none."""

    def __init__(self, trunks: tuple[Trunk, ...]) -> None:
        self.by_name = {t.name: t for t in trunks}
        self.by_address: dict[str, Trunk] = {}
        for trunk in trunks:
            for hop in trunk.hops:
                self.by_address.setdefault(hop.host, trunk)
        self.first = trunks[0]
        self._identities: dict[tuple[str, int], Identity] = {}  # port 0: any other port of that host
        for trunk in trunks:
            for hop in trunk.hops:
                for port in (hop.port, 0):
                    known = self._identities.get((hop.host, port), Identity((), trunk.tls_ca))
                    names = dict.fromkeys((*known.names, hop.name or hop.host))
                    self._identities[hop.host, port] = Identity(tuple(names), known.ca)

    def identity(self, host: str, port: int) -> Identity | None:
        """Who answers TLS at an address of an operator, None where no hop is of that host."""
        return self._identities.get((host, port)) or self._identities.get((host, 0))

    def get(self, name: str) -> Trunk:
        """The trunk of that name, the first of all when there is none (an emergency call of a stranger)."""
        return self.by_name.get(name, self.first)


def host_text(host: str) -> str:
    """A host as it stands in a URI or Via: IPv6 in brackets (RFC 3986 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class Here:
    """Our own addresses: what is written in Via and Record-Route, and what counts as us when it comes back."""

    def __init__(self, settings: CoreSettings) -> None:
        self.local: dict[Transport, Address] = {}
        self._near: dict[tuple[Transport, bool], Address] = {}  # by family too: whether it is IPv6
        self._sent_by: dict[tuple[Transport, Address], bytes] = {}
        self._hosts: set[tuple[str, int]] = set()
        for transport, host, port in settings.listens:
            shown = settings.advertise or host
            self.local.setdefault(transport, (host, port))
            self._near.setdefault((transport, ":" in host), (host, port))
            self._sent_by[transport, (host, port)] = f"{host_text(shown)}:{port}".encode()
            for name in (shown.lower(), host.lower()):
                self._hosts |= {(name, port), (host_text(name), port)}
        self._any = settings.listens[0]

    def sent_by(self, transport: Transport, local: Address) -> bytes:
        """Our `host:port` for messages that leave over this socket; any of ours where nothing listens on it."""
        found = self._sent_by.get((transport, local))
        if found is None:
            found = self._sent_by[transport, self.local[transport]] if transport in self.local else self._default()
        return found

    def _default(self) -> bytes:
        transport, host, port = self._any
        return self._sent_by[transport, (host, port)]

    def is_us(self, host: str, port: int | None, otherwise: int = DEFAULT_PORT) -> bool:
        """Whether `host` (as a Via or URI was read: in lower case) and `port`, or `otherwise` where none is written,
        name one of our addresses."""
        return (host, port or otherwise) in self._hosts

    def listens(self, transport: Transport, host: str) -> bool:
        """Whether something of ours listens on that transport for peers of the family of `host`."""
        return (transport, ":" in host) in self._near

    def flow_to(self, transport: Transport, host: str, port: int) -> Flow:
        """A flow from our first address of that transport and family; a stream's connection is the driver's to find."""
        local = self._near.get((transport, ":" in host)) or self.local.get(transport, (self._any[1], 0))
        return Flow(transport, local, (host, port))


_targets: Final[Table[bytes, Target | None]] = Table()  # of the URIs that were asked about


def target_of(raw: bytes) -> Target | None:
    """Transport, numeric host and port that a URI names; None where it is no SIP URI or its host is a name.

    Names are not looked up here: in a dialog the flow that the call came over serves instead.
    """
    known = _targets.known
    return known[raw] if raw in known else keep(_targets, raw, raw, _target_of(raw))


def _target_of(raw: bytes) -> Target | None:
    try:
        uri = parse_uri(raw)
    except BadUri:
        return None
    if uri.scheme not in {"sip", "sips"}:
        return None
    host = numeric(uri.host)
    if host is None:
        return None
    named = (uri.params.get("transport") or "").lower()
    # sips with transport=tcp is TLS over TCP (RFC 3261 26.2.2); whatever else it says, it is never less.
    transport: Transport = "tls" if uri.scheme == "sips" or named == "tls" else "tcp" if named == "tcp" else "udp"
    return transport, host, uri.port or default_port(transport)


def default_port(transport: str) -> int:
    """The port of a transport where none is written (RFC 3261 19.1.2)."""
    return TLS_PORT if transport == "tls" else DEFAULT_PORT


def secure(raw: bytes) -> bool:
    """Whether a URI is of the scheme sips."""
    return raw[3:4] != b":" and raw[:5].lower() == b"sips:"  # nearly all are told by one byte


@lru_cache(maxsize=KNOWN_HOSTS)
def numeric(host: str) -> str | None:
    """The address that a host of a URI or Via is, without brackets and in its usual form; None where it is a name."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def is_private(host: str) -> bool:
    """Whether an address is of a private, loopback or link-local network (RFC 1918, 4193, 3927)."""
    ip = ip_address(host.partition("%")[0])
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in PRIVATE)
