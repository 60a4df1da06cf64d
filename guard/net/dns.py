"""Names of next hops: NAPTR, SRV, A and AAAA as RFC 3263 section 4 wants them, with the time that each answer holds.

Nothing here waits on the loop: it runs in a thread beside the calls (guard/nexthops.py). A numeric host is no question,
a port that is written asks for addresses alone, and a transport that is written skips NAPTR.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

from msgspec import Struct

from guard.proxy.effects import Transport
from guard.proxy.routing import DEFAULT_PORT, numeric
from guard.proxy.shapes import Hop

if TYPE_CHECKING:
    import dns.name
    import dns.resolver

Kind = Literal["NAPTR", "SRV", "A", "AAAA"]
Family = Literal["A", "AAAA"]

MAX_HOPS: Final = 16  # places that one name may lead to: who has more is not better reached, only longer tried
MAX_NAPTR: Final = 4  # services of one domain that are followed: UDP, TCP, TLS, and one stood twice
MAX_SRV: Final = 16  # records of one service that are followed
SHARES: Final = 100  # an SRV weight is split among the addresses of its target in hundredths
MIN_TTL: Final = 5  # s: a name that changes faster is asked no faster
MAX_TTL: Final = 86_400  # s: a TTL of years is a mistake that a day heals
HOSTS_TTL: Final = 60  # s after which /etc/hosts is read again
NEGATIVE_TTL: Final = 60  # s that "there is none" holds, where the answer does not say (RFC 2308 wants at most hours)
DNS_PORT: Final = 53
HOSTS: Final = Path("/etc/hosts")
# NAPTR services (RFC 3263 4.1); those of a transport that the guard does not speak are passed over.
SERVICES: Final[dict[str, tuple[str, bool]]] = {
    "SIP+D2U": ("udp", False),
    "SIP+D2T": ("tcp", False),
    "SIPS+D2T": ("tls", True),
}
TLS_PORT: Final = 5061


class Wanted(Struct, frozen=True):
    """A next hop as it is written: `transport` "" and `port` 0 where that was left open; `secure` for sips."""

    host: str
    transport: str = ""
    port: int = 0
    secure: bool = False


class Records(Struct, frozen=True):
    """What a server said of one name: the records, none where there are none of this kind, for `ttl` seconds."""

    rows: tuple[object, ...]
    ttl: int


class Located(Struct, frozen=True):
    """Where a name leads to, best first by `Hop.tier`, for `ttl` seconds. No hops: the name exists nowhere."""

    hops: tuple[Hop, ...]
    ttl: int


class DnsError(Exception):
    """No server gave an answer that can be used; the text says which question."""


class Dns(Protocol):
    """Who answers questions."""

    def ask(self, name: str, kind: Kind) -> Records:
        """The records of a name. Raises DnsError where nobody answers."""


class Resolver:
    """Asks the servers of /etc/resolv.conf, or `servers` (numeric `host` or `host:port`), after /etc/hosts.

    `timeout` is how long one question may take over all servers, in seconds.
    """

    def __init__(self, servers: Iterable[tuple[str, int]] = (), timeout: float = 2.0, hosts: Path = HOSTS) -> None:
        self._servers = tuple(servers)
        self._timeout = timeout
        self._hosts = hosts
        self._resolver: dns.resolver.Resolver | None = None

    def ask(self, name: str, kind: Kind) -> Records:
        """See `Dns`."""
        if kind in {"A", "AAAA"} and (found := self._in_file(name, kind)):
            return Records(found, HOSTS_TTL)
        import dns.exception  # with its sixty modules: where every next hop is an address, nobody is asked
        import dns.resolver

        try:
            answer = self._asked().resolve(
                name, kind, raise_on_no_answer=False, lifetime=self._timeout, search="." not in name
            )
        except dns.resolver.NXDOMAIN:
            return Records((), NEGATIVE_TTL)
        except (dns.exception.DNSException, OSError) as error:
            raise DnsError(f"{kind} of {name}: {_said(error)}") from error
        if answer.rrset is None:
            return Records((), _bounded(answer.chaining_result.minimum_ttl or NEGATIVE_TTL))
        return Records(tuple(_row(r) for r in answer.rrset), _bounded(answer.chaining_result.minimum_ttl))

    def _asked(self) -> dns.resolver.Resolver:
        import dns.resolver

        if self._resolver is None:
            made = dns.resolver.Resolver(configure=not self._servers)
            if self._servers:
                made.nameservers = [host for host, _ in self._servers]
                made.nameserver_ports = dict(self._servers)
            self._resolver = made
        return self._resolver

    def _in_file(self, name: str, kind: Kind) -> tuple[str, ...]:
        """What /etc/hosts says, as everything else on the machine heeds it."""
        try:
            text = self._hosts.read_text(encoding="ascii", errors="replace")
        except OSError:
            return ()
        out = []
        for line in text.splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            found = numeric(address)
            if found is not None and (":" in found) == (kind == "AAAA") and name.lower() in map(str.lower, names):
                out.append(found)
        return tuple(dict.fromkeys(out))


class Service(Struct, frozen=True):
    """One SRV record."""

    priority: int
    weight: int
    port: int
    target: str


class Pointer(Struct, frozen=True):
    """One NAPTR record."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


def _row(record: object) -> object:
    """A record of the library's as one of ours; an address as text."""
    from dns.rdtypes.IN.A import A
    from dns.rdtypes.IN.AAAA import AAAA
    from dns.rdtypes.IN.NAPTR import NAPTR
    from dns.rdtypes.IN.SRV import SRV

    if isinstance(record, A | AAAA):
        return str(numeric(record.address))
    if isinstance(record, SRV):
        return Service(record.priority, record.weight, record.port, _name(record.target))
    if isinstance(record, NAPTR):
        flags, service = record.flags.decode("ascii", "replace"), record.service.decode("ascii", "replace")
        # A regular expression is for telephone numbers (RFC 3263 4.1): such a record is none of ours.
        return Pointer(
            record.order, record.preference, "" if record.regexp else flags, service, _name(record.replacement)
        )
    raise DnsError(f"a record of an unknown kind: {type(record).__name__}")


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _bounded(ttl: int) -> int:
    return max(MIN_TTL, min(ttl, MAX_TTL))


class Search:
    """One name followed to its end: what was found, and the shortest time that any part of it holds."""

    def __init__(self, dns: Dns, transports: tuple[str, ...], families: tuple[Family, ...]) -> None:
        self._dns = dns
        self._transports = transports
        self._families = families
        self._ttl = MAX_TTL
        self._hops: list[Hop] = []
        self._tier = 0

    def locate(self, wanted: Wanted) -> Located:
        """Where a next hop is (RFC 3263 4.1, 4.2). Raises DnsError."""
        transport = wanted.transport or ("tls" if wanted.secure else "udp")
        default = TLS_PORT if transport == "tls" else DEFAULT_PORT
        address = numeric(wanted.host)
        if address is not None:
            self._hops.append(Hop(cast("Transport", transport), address, wanted.port or default))
        elif wanted.port:
            self._addresses(wanted.host, transport, wanted.port)
        else:
            offered = [self._servers(*service) for service in self._services(wanted)]
            if not any(offered):
                self._addresses(wanted.host, transport, default)
        return Located(tuple(self._hops[:MAX_HOPS]), self._ttl)

    def _ask(self, name: str, kind: Kind) -> tuple[object, ...]:
        records = self._dns.ask(name, kind)
        self._ttl = min(self._ttl, records.ttl)
        return records.rows

    def _services(self, wanted: Wanted) -> list[tuple[str, str]]:
        """Transports and the names of their SRV records, best first."""
        host = wanted.host
        if wanted.transport:
            return [(wanted.transport, _srv(wanted.transport, host, secure=wanted.secure))]
        rows = [r for r in self._ask(host, "NAPTR") if isinstance(r, Pointer)]
        rows.sort(key=lambda r: (r.order, r.preference, r.replacement))
        found: list[tuple[str, str]] = []
        for row in rows:
            transport, secure = SERVICES.get(row.service.upper(), ("", False))
            fits = transport in self._transports and (secure or not wanted.secure)
            if row.flags.lower() == "s" and fits and len(found) < MAX_NAPTR:
                found.append((transport, row.replacement))
        if found:
            return found
        usable = ("tls",) if wanted.secure else tuple(t for t in self._transports if t != "tls")
        return [(t, _srv(t, host, secure=wanted.secure)) for t in usable]

    def _servers(self, transport: str, name: str) -> bool:
        """The targets of one service: priorities are tiers, weights are shared out within them (RFC 2782). Whether
        there is anything: a record whose target is the root says that the service is not to be had."""
        every = [r for r in self._ask(name, "SRV") if isinstance(r, Service)]
        rows = sorted((r for r in every if r.target not in {"", "."}), key=lambda r: (r.priority, r.target, r.port))
        before = None
        for row in rows[:MAX_SRV]:
            if row.priority != before and before is not None:
                self._tier += 1
            before = row.priority
            self._addresses(row.target, transport, row.port, row.weight)
        self._tier += bool(rows)
        return bool(every)

    def _addresses(self, host: str, transport: str, port: int, weight: int = 0) -> None:
        """Every address of a host is as good as the next: they share its weight."""
        found = [str(a) for family in self._families for a in self._ask(host, family)]
        for address in sorted(dict.fromkeys(found)):
            share = max(weight * SHARES // len(found), 1)
            self._hops.append(Hop(cast("Transport", transport), address, port, tier=self._tier, weight=share))


def _srv(transport: str, host: str, *, secure: bool) -> str:
    scheme = "_sips" if secure or transport == "tls" else "_sip"
    return f"{scheme}._{'tcp' if transport == 'tls' else transport}.{host}"


def locate(dns: Dns, wanted: Wanted, transports: tuple[str, ...], families: tuple[Family, ...]) -> Located:
    """Where a next hop is. `transports` are those that the guard speaks, best first; `families` the kinds of addresses
    that it can send from. Raises DnsError where a server that was needed did not answer."""
    return Search(dns, transports, families).locate(wanted)
