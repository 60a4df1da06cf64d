"""Next hops found as RFC 3263 section 4 says, from a table of records and from a name server on loopback."""

from __future__ import annotations

from pathlib import Path

import dns.rcode
import pytest

from guard.net.dns import (
    HOSTS_TTL,
    MAX_HOPS,
    MAX_TTL,
    MIN_TTL,
    DnsError,
    Family,
    Located,
    Pointer,
    Records,
    Resolver,
    Service,
    Wanted,
    locate,
)  # fmt: skip
from guard.proxy.shapes import Hop
from tests.net.zone import NameServer, Table, naptr, srv

NAME = "trunk.example"
BOTH: tuple[Family, ...] = ("A", "AAAA")


def find(table: Table, wanted: Wanted, *, tls: bool = False, families: tuple[Family, ...] = ("A",)) -> Located:
    return locate(table, wanted, ("udp", "tcp", "tls") if tls else ("udp", "tcp"), families)


def places(found: Located) -> list[tuple[int, str, str, int]]:
    return [(h.tier, h.transport, h.host, h.port) for h in found.hops]


# ---- which question is asked (RFC 3263 4.1, 4.2) -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "hop"),
    [
        (Wanted("192.0.2.1"), Hop("udp", "192.0.2.1", 5060)),
        (Wanted("192.0.2.1", "tcp", 5070), Hop("tcp", "192.0.2.1", 5070)),
        (Wanted("2001:DB8::1"), Hop("udp", "2001:db8::1", 5060)),
        (Wanted("192.0.2.1", secure=True), Hop("tls", "192.0.2.1", 5061)),
    ],
)
def test_a_numeric_host_is_no_question(wanted: Wanted, hop: Hop) -> None:
    table = Table()
    assert find(table, wanted, tls=True) == Located((hop,), MAX_TTL)
    assert table.asked == []


def test_a_port_that_is_written_asks_for_addresses_alone() -> None:
    table = Table(a=["192.0.2.1"], aaaa=["2001:db8::1"])
    assert places(find(table, Wanted(NAME, port=5070), families=BOTH)) == [
        (0, "udp", "192.0.2.1", 5070),
        (0, "udp", "2001:db8::1", 5070),
    ]
    assert table.asked == [f"A {NAME}", f"AAAA {NAME}"]


def test_a_transport_that_is_written_skips_naptr() -> None:
    table = Table().put(f"_sip._tcp.{NAME}", "SRV", srv("a.example", 5080)).put("a.example", "A", "192.0.2.1")
    assert places(find(table, Wanted(NAME, "tcp"))) == [(0, "tcp", "192.0.2.1", 5080)]
    assert table.asked == [f"SRV _sip._tcp.{NAME}", "A a.example"]


def test_naptr_says_which_transports_in_which_order() -> None:
    table = Table()
    table.put(
        NAME, "NAPTR", naptr(20, "SIP+D2U", "u.example"), naptr(10, "SIPS+D2T", "s.example"),
        naptr(20, "SIP+D2T", "t.example", preference=5), naptr(5, "E2U+sip", "enum.example"),
        naptr(1, "SIP+D2T", "never.example", flags="u"),
    )  # fmt: skip
    table.put("u.example", "SRV", srv("a.example")).put("t.example", "SRV", srv("a.example"))
    table.put("s.example", "SRV", srv("a.example", 5061)).put("a.example", "A", "192.0.2.1")
    assert places(find(table, Wanted(NAME))) == [(0, "udp", "192.0.2.1", 5060), (1, "tcp", "192.0.2.1", 5060)]
    assert places(find(table, Wanted(NAME), tls=True))[0] == (0, "tls", "192.0.2.1", 5061)
    # sips never leaves TLS (RFC 3263 4.1).
    assert places(find(table, Wanted(NAME, secure=True), tls=True)) == [(0, "tls", "192.0.2.1", 5061)]


def test_without_naptr_every_transport_is_asked_for() -> None:
    table = Table().put(f"_sip._tcp.{NAME}", "SRV", srv("a.example")).put("a.example", "A", "192.0.2.1")
    assert places(find(table, Wanted(NAME))) == [(0, "tcp", "192.0.2.1", 5060)]
    assert table.asked == [f"NAPTR {NAME}", f"SRV _sip._udp.{NAME}", f"SRV _sip._tcp.{NAME}", "A a.example"]


def test_without_srv_the_name_is_a_host() -> None:
    assert places(find(Table(a=["192.0.2.1"]), Wanted(NAME))) == [(0, "udp", "192.0.2.1", 5060)]
    assert places(find(Table(a=["192.0.2.1"]), Wanted(NAME, secure=True), tls=True)) == [(0, "tls", "192.0.2.1", 5061)]
    assert find(Table(), Wanted(NAME)).hops == ()


def test_a_service_that_is_not_to_be_had_is_not_looked_for_elsewhere() -> None:
    table = Table(a=["192.0.2.1"]).put(f"_sip._udp.{NAME}", "SRV", srv("."))
    assert find(table, Wanted(NAME, "udp")).hops == ()


# ---- preference and weight (RFC 2782) ------------------------------------------------------------------------------


def test_priorities_are_tiers_and_weights_are_shared_by_the_addresses() -> None:
    table = Table().put(
        f"_sip._udp.{NAME}", "SRV", srv("c.example", priority=20), srv("a.example", weight=60),
        srv("b.example", weight=20), srv("d.example", weight=0),
    )  # fmt: skip
    table.put("a.example", "A", "192.0.2.2", "192.0.2.1").put("b.example", "A", "192.0.2.3")
    table.put("c.example", "A", "192.0.2.4").put("d.example", "A", "192.0.2.5")
    assert [(h.tier, h.host, h.weight) for h in find(table, Wanted(NAME, "udp")).hops] == [
        (0, "192.0.2.1", 3000),
        (0, "192.0.2.2", 3000),
        (0, "192.0.2.3", 2000),
        (0, "192.0.2.5", 1),
        (1, "192.0.2.4", 1),
    ]


def test_no_name_leads_to_more_places_than_can_be_tried() -> None:
    table = Table(a=[f"192.0.2.{n}" for n in range(1, 100)])
    assert len(find(table, Wanted(NAME)).hops) == MAX_HOPS


def test_the_shortest_time_of_all_answers_holds() -> None:
    table = Table().put(f"_sip._udp.{NAME}", "SRV", srv("a.example"), ttl=600)
    table.put("a.example", "A", "192.0.2.1", ttl=42)
    assert find(table, Wanted(NAME, "udp")).ttl == 42


def test_a_server_that_fails_is_told_and_not_taken_for_there_being_none() -> None:
    table = Table(a=["192.0.2.1"])
    table.broken.add(f"_sip._udp.{NAME}")
    with pytest.raises(DnsError, match=r"SRV of _sip\._udp\.trunk\.example: nobody answers"):
        find(table, Wanted(NAME, "udp"))


# ---- a real name server --------------------------------------------------------------------------------------------

ZONE = f"""
{NAME} 300 NAPTR 10 5 "s" "SIP+D2U" "" _sip._udp.{NAME}.
{NAME} 300 NAPTR 20 5 "s" "SIP+D2T" "!.*!sip:x@example!" _sip._tcp.{NAME}.
_sip._udp.{NAME} 300 SRV 10 60 5070 SBC1.example.
sbc1.example 77 A 192.0.2.1
sbc1.example 300 AAAA 2001:db8::1
fast.example 0 A 192.0.2.9
slow.example 4000000 A 192.0.2.9
"""
NOWHERE = Path("/nonexistent")


def test_every_kind_of_record_comes_from_a_server() -> None:
    with NameServer(ZONE) as server:
        resolver = Resolver([server.address], 5.0, NOWHERE)
        assert set(resolver.ask(NAME, "NAPTR").rows) == {
            Pointer(10, 5, "s", "SIP+D2U", f"_sip._udp.{NAME}"),
            Pointer(20, 5, "", "SIP+D2T", f"_sip._tcp.{NAME}"),  # a regular expression is none of ours
        }
        assert resolver.ask(f"_sip._udp.{NAME}", "SRV").rows == (Service(10, 60, 5070, "sbc1.example"),)
        found = locate(resolver, Wanted(NAME), ("udp", "tcp"), BOTH)
        assert places(found) == [(0, "udp", "192.0.2.1", 5070), (0, "udp", "2001:db8::1", 5070)]
        assert found.ttl == 77
        assert resolver.ask("fast.example", "A").ttl == MIN_TTL
        assert resolver.ask("slow.example", "A").ttl == MAX_TTL


def test_there_is_none_and_nobody_answers_are_two_things() -> None:
    with NameServer(ZONE) as server:
        resolver = Resolver([server.address], 0.3, NOWHERE)
        assert resolver.ask("gone.example", "A").rows == ()
        assert resolver.ask("sbc1.example", "SRV").rows == ()
        server.rcode = dns.rcode.SERVFAIL
        with pytest.raises(DnsError, match=r"A of sbc1\.example: "):
            resolver.ask("sbc1.example", "A")
        server.rcode, server.silent = dns.rcode.NOERROR, True
        with pytest.raises(DnsError, match=r"A of sbc1\.example: "):
            resolver.ask("sbc1.example", "A")


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..example", ".".join(["abcdefg"] * 40)])
def test_a_name_that_is_none_is_told(name: str) -> None:
    with pytest.raises(DnsError, match="A of "):
        Resolver([("127.0.0.1", 9)], 0.2, NOWHERE).ask(name, "A")


def test_the_file_of_hosts_comes_first(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "192.0.2.7 SBC1.example other # sbc2.example\n\n#x\nnonsense sbc1.example\n2001:db8::7 sbc1.example\n"
    )
    with NameServer(ZONE) as server:
        resolver = Resolver([server.address], 5.0, hosts)
        assert resolver.ask("sbc1.example", "A") == Records(("192.0.2.7",), HOSTS_TTL)
        assert resolver.ask("sbc1.example", "AAAA").rows == ("2001:db8::7",)
        assert resolver.ask("sbc2.example", "A").rows == ()
        assert server.asked == ["A sbc2.example"]
