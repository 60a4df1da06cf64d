"""Which IPBX a call from the operator goes to, where none has registered: by its number, and the order of the file."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from guard.proxy.core import ProxyCore
from guard.sources import Source, Sources
from tests.proxy.world import DOWN, OPERATOR, World, request


def source(last: int, *inbound: str, trunk: str = "operator", contact: bool = True) -> Source:
    address = f"127.0.1.{last}"
    return Source(
        name=f"pbx{last}",
        networks=(ip_network(f"{address}/32"),),
        trunk=trunk,
        contact=(address, 5060) if contact else None,
        inbound=inbound,
    )


def called(sources: tuple[Source, ...], uri: str, to: str = "<sip:alice@op>") -> str:
    """The name of the source that gets it, "" for none, with the number that is recorded behind it."""
    w = World()
    w.sources = Sources(sources)
    w.core = ProxyCore(w.settings, w.sources, w.trunks)
    w(request(uri=uri, to=to, host=OPERATOR[0], caller="<sip:+33611223344@op>"), DOWN)
    flow, data = w.sent[-1]
    if data.startswith(b"SIP/2.0 404"):
        assert w.asked == []
        return ""
    assert flow.peer[0] == str(w.sources.by_name[w.asked[0].call.source].networks[0].network_address)
    return f"{w.asked[0].call.source} {w.asked[0].call.callee.value}"


HQ, SHOP, ONE = source(1, "+331456789*"), source(2, "+33145678950", "+3323911*"), source(3, "+33145678950")
REST, LATER = source(4), source(5)


@pytest.mark.parametrize(
    ("sources", "uri", "name"),
    [
        ((HQ, SHOP), "sip:+33145678901@127.0.0.1", "pbx1 +33145678901"),
        ((HQ, SHOP), "sip:0145678901@127.0.0.1;user=phone", "pbx1 +33145678901"),
        ((HQ, SHOP), "sip:33239110000@127.0.0.1", "pbx2 +33239110000"),
        ((HQ, SHOP), "tel:+33-239-11-00-00", "pbx2 +33239110000"),
        ((HQ, SHOP), "sip:+33199000000@127.0.0.1", ""),
        ((HQ, ONE), "sip:+33145678950@127.0.0.1", "pbx1 +33145678950"),  # the order of the file
        ((ONE, HQ), "sip:+33145678950@127.0.0.1", "pbx3 +33145678950"),
        ((REST, LATER, HQ), "sip:+33145678901@127.0.0.1", "pbx1 +33145678901"),
        ((REST, LATER, HQ), "sip:+33199000000@127.0.0.1", "pbx4 +33199000000"),
        ((REST, LATER), "sip:alice@127.0.0.1", "pbx4 "),
        ((HQ, REST), "sip:127.0.0.1", "pbx4 "),
        ((HQ,), "sip:112@127.0.0.1", ""),
        ((source(1, trunk="other"), REST), "sip:+33145678901@127.0.0.1", "pbx4 +33145678901"),
        ((source(1, contact=False), REST), "sip:+33145678901@127.0.0.1", "pbx4 +33145678901"),
        ((HQ, SHOP), "sip:+33145678901@127.0.1.2", "pbx2 +33145678901"),  # whose address is named, gets it
    ],
)
def test_whose_call_it_is(sources: tuple[Source, ...], uri: str, name: str) -> None:
    assert called(sources, uri) == name


def test_an_accounts_number_stands_in_to() -> None:
    assert called((HQ, SHOP), "sip:trunk7@127.0.0.1", "<sip:+33239110001@op>") == "pbx2 +33239110001"
