"""sips, TLS hops, and sources that have to show a certificate (RFC 3261 26, RFC 5630, RFC 5923)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guard.proxy.effects import Flow, Transport
from guard.proxy.routing import Trunks, secure, target_of
from guard.proxy.shapes import Hop, Identity, Trunk
from guard.sip.message import parse
from tests.proxy.world import DOWN, GUARD, OPERATOR, PBX, SOURCE, STRANGER, UP, World, arrows, reply, request

TLS_GUARD = (GUARD[0], 5061)
TLS_HOP = Hop("tls", OPERATOR[0], 5061, name="trunk.example")
TLS_UP = Flow("tls", TLS_GUARD, (PBX[0], 40_000), 1, ("pbx.example",))
TLS_DOWN = Flow("tls", TLS_GUARD, (OPERATOR[0], 5061))
LISTENS: tuple[tuple[Transport, str, int], ...] = (("udp", *GUARD), ("tls", *TLS_GUARD))
CALLED = "sips:+33199001234@127.0.0.1"


def world(hop: Hop = TLS_HOP, **how: object) -> World:
    return World(hop=hop, listens=LISTENS, **how)  # type: ignore[arg-type]  # the test names its settings


def sent(w: World, method: bytes = b"INVITE") -> tuple[Flow, str]:
    """The last request that left."""
    flow, data = [(f, d) for f, d in w.sent if d.startswith(method + b" ")][-1]
    return flow, data.decode()


def final(w: World) -> str:
    return w.sent[-1][1].decode()


def test_a_sips_call_over_tls_on_both_sides() -> None:
    w = world()
    w(request(uri=CALLED), TLS_UP)
    flow, text = sent(w)
    assert (flow.transport, flow.peer) == ("tls", TLS_DOWN.peer)
    assert text.startswith("INVITE sips:+33199001234@127.0.0.3 SIP/2.0\r\n")
    assert "Via: SIP/2.0/TLS 127.0.0.1:5061;branch=" in text.splitlines()[1]
    assert text.splitlines()[1].endswith(";rport;alias")
    assert text.count("Record-Route: ") == text.count("Record-Route: <sips:127.0.0.1:5061;lr>") == 1


def test_a_sip_call_over_tls_says_so_in_its_route() -> None:
    w = world()
    w(request(), UP)
    _, text = sent(w)
    routes = [line for line in text.splitlines() if line.startswith("Record-Route")]
    assert routes == ["Record-Route: <sip:127.0.0.1:5061;transport=tls;lr>", "Record-Route: <sip:127.0.0.1:5060;lr>"]


@pytest.mark.parametrize(
    ("hop", "arrived"), [(Hop("udp", *OPERATOR), TLS_UP), (Hop("tcp", *OPERATOR), TLS_UP), (TLS_HOP, UP)]
)
@pytest.mark.parametrize("scheme", ["sips:", "SIPS:"])
def test_sips_without_tls_on_one_side_is_not_carried(hop: Hop, arrived: Flow, scheme: str) -> None:
    w = world(hop)
    w(request(uri=CALLED.replace("sips:", scheme)), arrived)
    text = final(w)
    assert text.startswith("SIP/2.0 480 ")
    assert 'Warning: 380 guard "SIPS Not Allowed"\r\n' in text
    assert not [d for f, d in w.sent if f.peer[0] == OPERATOR[0]]


def test_sips_takes_the_hop_that_has_tls() -> None:
    trunk = Trunk(name="operator", hops=(Hop("udp", *OPERATOR), replace(TLS_HOP, tier=1)))
    w = world(trunks=(trunk,))
    w(request(uri=CALLED), TLS_UP)
    assert sent(w)[0].transport == "tls"


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE"])
def test_sips_outside_of_calls(method: str) -> None:
    w = world(Hop("udp", *OPERATOR))
    w(request(method, CALLED), TLS_UP)
    assert final(w).startswith("SIP/2.0 480 ")


def test_an_inbound_sips_call_needs_tls_to_the_ipbx() -> None:
    arrived = Flow("tls", TLS_GUARD, (OPERATOR[0], 5061), 2)
    w = world()
    w(request(uri=CALLED, branch="in1"), arrived)
    assert final(w).startswith("SIP/2.0 480 ")
    w = world(source=replace(SOURCE, contact=(PBX[0], 5061), contact_transport="tls"))
    w(request(uri=CALLED, branch="in2"), arrived)
    assert (sent(w)[0].transport, sent(w)[0].peer) == ("tls", (PBX[0], 5061))


@pytest.mark.parametrize(
    ("hop", "arrived"), [(Hop("udp", *OPERATOR), TLS_UP), (TLS_HOP, UP), (Hop("udp", *OPERATOR), UP)]
)
def test_an_emergency_call_is_carried_over_whatever_there_is(hop: Hop, arrived: Flow) -> None:
    w = world(hop, answer=None)
    w(request(uri="sips:112@127.0.0.1"), arrived)
    flow, text = sent(w)
    assert flow.transport == hop.transport
    scheme = "sips" if hop.transport == "tls" else "sip"
    assert text.startswith(f"INVITE {scheme}:112@")


# ---- sources that show a certificate ---------------------------------------------------------------------------------

PROVEN = replace(SOURCE, tls_name="pbx.example")


def test_a_source_has_to_show_its_certificate() -> None:
    for arrived in (UP, replace(TLS_UP, names=()), replace(TLS_UP, names=("other.example",))):
        w = world(source=PROVEN)
        w(request(), arrived)
        text = final(w)
        assert text.startswith("SIP/2.0 403 ")
        assert "pbx.example" in text
        assert w.core.counters["unproven"] == 1
        assert w.asked == []
    w = world(source=PROVEN)
    w(request(), TLS_UP)
    assert sent(w)[0].transport == "tls"


def test_its_emergency_calls_are_carried_without() -> None:
    w = world(source=PROVEN, answer=None)
    w(request(uri="sip:112@127.0.0.1"), UP)
    assert sent(w)[1].startswith("INVITE sip:112@")


# ---- dialogs keep to their connection --------------------------------------------------------------------------------


def test_requests_of_the_operator_go_over_the_connection_of_the_ipbx() -> None:
    w = world()
    w(request(host=PBX[0], port=40_000), TLS_UP)
    flow, data = [(f, d) for f, d in w.sent if d.startswith(b"INVITE ")][-1]
    w(reply(parse(data), 200, contact="<sip:x@127.0.0.3:5061;transport=tls>"), replace(TLS_DOWN, conn=7))
    for uri in (f"sip:200@{PBX[0]}:5061;transport=tls", f"sip:200@{PBX[0]}:5060"):
        call = next(iter(w.core._c.calls._open.values()))
        assert w.core._requests.hop.toward(call, target_of(uri.encode()), from_caller=False) == TLS_UP
    assert flow.transport == "tls"


# ---- what is lost with a connection ----------------------------------------------------------------------------------


def test_an_invite_that_heard_nothing_is_answered_at_once() -> None:
    w = world()
    w(request(), UP)
    branch = sent(w)[1].partition("branch=")[2].partition(";")[0]
    w.core.lost(f"{branch} INVITE", w.now)
    w.drain()
    assert final(w).startswith("SIP/2.0 480 ")


def test_one_that_rings_waits_for_its_answer() -> None:
    w = world()
    w(request(), UP)
    text = sent(w)[1]
    w(reply(parse(text.encode()), 180), replace(TLS_DOWN, conn=7))
    branch = text.partition("branch=")[2].partition(";")[0]
    before = len(w.sent)
    w.core.lost(f"{branch} INVITE", w.now)
    w.core.lost("nobody INVITE", w.now)
    w.drain()
    assert len(w.sent) == before


def test_it_goes_to_the_next_hop() -> None:
    trunk = Trunk(name="operator", hops=(TLS_HOP, Hop("udp", *OPERATOR, tier=1)))
    w = world(trunks=(trunk,))
    w(request(), UP)
    branch = sent(w)[1].partition("branch=")[2].partition(";")[0]
    w.core.lost(f"{branch} INVITE", w.now)
    w.drain()
    assert sent(w)[0] == DOWN


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("sips:a@192.0.2.1", ("tls", "192.0.2.1", 5061)),
        ("sips:a@192.0.2.1:5071;transport=tcp", ("tls", "192.0.2.1", 5071)),
        ("sips:a@192.0.2.1;transport=udp", ("tls", "192.0.2.1", 5061)),
        ("sip:a@192.0.2.1;transport=TLS", ("tls", "192.0.2.1", 5061)),
        ("sip:a@192.0.2.1;transport=tcp", ("tcp", "192.0.2.1", 5060)),
        ("sip:a@[2001:db8::1];transport=tls", ("tls", "2001:db8::1", 5061)),
    ],
)
def test_where_a_uri_leads(uri: str, target: tuple[str, str, int]) -> None:
    assert target_of(uri.encode()) == target


def test_who_is_expected_at_an_address() -> None:
    one = Trunk(name="a", hops=(Hop("tls", "192.0.2.1", 5061, name="a.example"),), tls_ca="a.pem")
    two = Trunk(name="b", hops=(Hop("tls", "192.0.2.1", 5062, name="b.example"), Hop("tls", "192.0.2.2", 5061)))
    trunks = Trunks((one, two))
    assert trunks.identity("192.0.2.1", 5061) == Identity(("a.example",), "a.pem")
    assert trunks.identity("192.0.2.1", 5062) == Identity(("b.example",))
    assert trunks.identity("192.0.2.1", 9) == Identity(("a.example", "b.example"), "a.pem")
    assert trunks.identity("192.0.2.2", 5061) == Identity(("192.0.2.2",))
    assert trunks.identity("192.0.2.3", 5061) is None


def test_the_core_tells_who_is_expected() -> None:
    w = world(source=PROVEN)
    assert w.core.identity(PBX[0], 5061) == Identity(("pbx.example",))
    assert w.core.identity(OPERATOR[0], 5061) == Identity(("trunk.example",))
    assert w.core.identity(STRANGER[0], 5061) is None


def test_secure() -> None:
    assert [secure(u) for u in (b"sips:a", b"SIPS:a", b"sip:a", b"tel:1", b"")] == [True, True, False, False, False]


# ---- who was expected to show a certificate, and shows none --------------------------------------------------------


def test_without_the_certificate_that_is_expected_only_an_emergency_call_passes() -> None:
    w = World(listens=LISTENS)
    bare = Flow("tls", ("127.0.0.1", 5061), (PBX[0], 40404), 3, unproven=True)
    out = w(request(transport="TLS"), bare)
    assert arrows(out) == ["up 403"]
    assert b"only emergency calls without a certificate" in (out[0][1].first(b"reason") or b"")
    assert arrows(w(request("REGISTER", "sip:op", call_id="r", branch="r", transport="TLS"), bare)) == ["up 403"]
    assert w.core.counters["unproven"] == 2
    out = w(request(uri="sip:112@127.0.0.1", call_id="sos", branch="sos", transport="TLS"), bare)
    assert arrows(out) == ["up 100", "down INVITE"]
    assert arrows(w(reply(out[1][1], 200), DOWN)) == ["up 200"]
    bye = request("BYE", call_id="sos", branch="bye", cseq=2, to_tag="z9", transport="TLS")
    assert arrows(w(bye, bare)) == ["down BYE"]  # its call goes on as it began
