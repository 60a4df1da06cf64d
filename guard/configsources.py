"""`[[source]]` and `[[usage]]`: who may send calls from which addresses, and what those calls are for."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from guard import configschema as schema
from guard.confighops import Hop, Tell, next_hop, numeric
from guard.numbering.number import EMERGENCY, Dial, emergency_of, normalise
from guard.policy.siteschema import headers_of
from guard.sources import Source, UsageRule
from guard.tomlread import nearest

Network = IPv4Network | IPv6Network
_NUMBERS: Final = re.compile(r"\+[1-9][0-9]{2,14}\*?")  # E.164, or how such numbers begin


def sources(
    file: schema.File, trunks: list[str], names: list[str], hops: dict[str, tuple[Hop, ...]], tell: Tell
) -> tuple[Source, ...]:
    """Every source compiled. `trunks` and `names` (of sources) are all that are written, also those of tables that are
    wrong otherwise."""
    taken: list[tuple[Network, str]] = []
    out: list[Source] = []
    headers = headers_of(file.site_rule)
    for i, entry in enumerate(file.source, 1):
        key = ["source", f"[{i}]"]
        if entry.trunk not in trunks:
            tell([*key, "trunk"], f'no [[trunk]] "{entry.trunk}"{nearest(entry.trunk, trunks)}')
        networks = _networks(entry, [*key, "address"], taken, hops, tell)
        dial = schema.dial(entry.dial)
        lost = [n for n in EMERGENCY if emergency_of(n, dial) != n or emergency_of(dial.strip + n, dial) != n]
        if lost:
            tell([*key, "dial"], f"takes away emergency numbers: {', '.join(lost)}")
        contact = _contact(entry.contact, [*key, "contact"], tell)
        inbound = (entry.inbound,) if isinstance(entry.inbound, str) else entry.inbound
        _inbound(inbound, [*key, "inbound"], tell)
        if inbound and contact is None:
            tell([*key, "inbound"], "needs contact: there is nowhere to send these calls")
        out.append(
            Source(
                name=entry.name,
                networks=networks,
                trunk=entry.trunk,
                usage=schema.usages(entry.usage),
                country=entry.country,
                line_from=entry.line_from,
                forwarded=entry.forwarded,
                dial=dial,
                usages=tuple(_usage(u) for u in file.usage if u.source == entry.name),
                contact=(contact.host, contact.port) if contact is not None else None,
                contact_transport=contact.transport if contact is not None else "udp",
                inbound=inbound,
                headers=headers,
                tls_name=entry.tls_name.rstrip(".").lower(),
            )
        )
    for i, usage in enumerate(file.usage, 1):
        if usage.source not in names:
            tell(["usage", f"[{i}]", "source"], f'no [[source]] "{usage.source}"{nearest(usage.source, names)}')
    return tuple(out)


def _networks(
    entry: schema.Source,
    key: list[str],
    taken: list[tuple[Network, str]],
    hops: dict[str, tuple[Hop, ...]],
    tell: Tell,
) -> tuple[Network, ...]:
    out: list[Network] = []
    for text in entry.address:
        try:
            network = ip_network(text)
        except ValueError as error:
            tell(key, f'"{text}" is no address or network: {error}{_network_hint(text)}')
            continue
        for other, name in taken:
            if network.version == other.version and network.overlaps(other):
                tell(key, f'"{text}" overlaps {other} of source "{name}"')
        for trunk, trunk_hops in hops.items():
            for hop in trunk_hops:
                if _inside(hop.host, network):
                    tell(key, f'"{text}" holds {hop.host}, a next hop of trunk "{trunk}"')
        taken.append((network, entry.name))
        out.append(network)
    return tuple(out)


def _usage(entry: schema.UsageEntry) -> UsageRule:
    def several(written: str | tuple[str, ...]) -> tuple[str, ...]:
        return (written,) if isinstance(written, str) else written

    header = (entry.header.name, entry.header.value) if entry.header is not None else None
    return UsageRule(
        usage=schema.usages(entry.usage), line=several(entry.line), caller=several(entry.caller), header=header
    )


def _contact(text: str, key: list[str], tell: Tell) -> Hop | None:
    if not text:
        return None
    hop = next_hop(text, key, tell)
    if hop is None:
        return None
    if not numeric(hop.host):
        tell(key, f'"{text}": write it as sip:192.0.2.5:5060 (a numeric address)')
        return None
    return hop


def _inbound(patterns: tuple[str, ...], key: list[str], tell: Tell) -> None:
    for text in patterns:
        if _NUMBERS.fullmatch(text):
            continue
        meant = normalise(text.removesuffix("*"), Dial())
        near = f'; did you mean "{meant.value}"?' if meant.kind == "e164" and not text.endswith("*") else ""
        tell(key, f'"{text}" is no number: write it as +33145678900, or +331456789* for all that begin so{near}')


def _network_hint(text: str) -> str:
    """What is meant by an address with a mask, such as `192.0.2.5/24`: the address, or its network. "" for others."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return ""
    return f'; write "{text.partition("/")[0]}" for the one address, "{network}" for the network'


def _inside(host: str, network: Network) -> bool:
    return numeric(host) and ip_address(host) in network
