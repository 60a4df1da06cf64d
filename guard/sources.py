"""Who may send calls, compiled: `[[source]]` and `[[usage]]` of the configuration as the hot path wants them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal

from msgspec import Struct

from guard.model import Usage
from guard.numbering.number import Dial

KNOWN_PATTERNS = 1024  # sets of patterns that are kept compiled: more than any configuration has
KNOWN_ADDRESSES = 4096  # answers remembered by address; a flood of spoofed addresses only empties the cache


class UsageRule(Struct, frozen=True, kw_only=True):
    """One `[[usage]]`: a call matches if each of the conditions that are set does. `*` ends a prefix.

    `line` and `caller` are patterns as written, `header` a (name, pattern) pair; an empty one does not matter.
    """

    usage: tuple[Usage, ...]
    line: tuple[str, ...] = ()
    caller: tuple[str, ...] = ()
    header: tuple[str, str] | None = None


def _fit(patterns: tuple[str, ...], value: str) -> bool:
    whole, beginnings = _compiled(patterns)
    return value in whole or value.startswith(beginnings)


@lru_cache(maxsize=KNOWN_PATTERNS)
def _compiled(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Patterns as they are looked for: whole values, and beginnings."""
    beginnings = tuple(p[:-1] for p in patterns if p.endswith("*"))
    return frozenset(p for p in patterns if not p.endswith("*")), beginnings


class Source(Struct, frozen=True, kw_only=True):
    """One `[[source]]`. `contact` is where inbound calls for it go ("host", port), None when the file names none;
    `inbound` are the numbers (E.164, `*` ends a prefix) that go there, () for whatever no other source names.
    `headers` are those that rules of the site read, in small letters. With a `tls_name` it has to come over TLS, with a
    verified certificate of that name."""

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    trunk: str
    usage: tuple[Usage, ...] = ("human",)
    country: str = "FR"
    line_from: str = "from"
    forwarded: Literal["trust-diversion", "require-inbound"] = "trust-diversion"
    dial: Dial = Dial()
    usages: tuple[UsageRule, ...] = ()
    contact: tuple[str, int] | None = None
    contact_transport: Literal["udp", "tcp", "tls"] = "udp"
    inbound: tuple[str, ...] = ()
    tls_name: str = ""
    headers: tuple[str, ...] = ()

    def takes(self, number: str) -> bool:
        """Whether calls to a number (E.164, "" for none) are named as its own."""
        return bool(number) and _fit(self.inbound, number)


def matches(rule: UsageRule, line: str, caller: str, header: Callable[[str], str]) -> bool:
    """Whether a call from `line` presenting `caller` (E.164) is of this usage; `header` reads one by name."""
    if rule.line and not _fit(rule.line, line):
        return False
    if rule.caller and not _fit(rule.caller, caller):
        return False
    if rule.header is not None:
        value = header(rule.header[0])
        return bool(value) and _fit((rule.header[1],), value)
    return True


def usage_of(source: Source, line: str, caller: str, header: Callable[[str], str]) -> tuple[Usage, ...]:
    """The usage of one call: the first `[[usage]]` that matches, else the source's own."""
    for rule in source.usages:
        if matches(rule, line, caller, header):
            return rule.usage
    return source.usage


class Sources:
    """Finds the source of an address (text): the first in the file's order whose networks hold it."""

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self.all = sources
        self.by_name = {s.name: s for s in sources}
        self._cache: dict[str, Source | None] = {}

    def find(self, address: str) -> Source | None:
        """The source that `address` belongs to, None for a stranger."""
        try:
            return self._cache[address]
        except KeyError:
            pass
        if len(self._cache) >= KNOWN_ADDRESSES:
            self._cache.clear()
        ip = ip_address(address.partition("%")[0])
        if ip.version == 6 and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        found = next((s for s in self.all if any(ip in n for n in s.networks)), None)
        self._cache[address] = found
        return found
