"""Where messages go: loose and strict routers, mixed transports, IPv6, other spellings, and no open relay."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from guard.proxy.effects import Flow, Transport
from guard.proxy.shapes import Hop
from guard.sip.message import parse
from guard.sources import Source
from tests.proxy.world import DOWN, GUARD, LISTENS, OPERATOR, PBX, UP, Leg, World, arrows, reply, request

TCP_UP = Flow("tcp", GUARD, (PBX[0], 49152), 7)
TCP_DOWN = Flow("tcp", GUARD, OPERATOR, 9)
TCP_HOP = Hop("tcp", *OPERATOR)


def sent_uri(data: bytes) -> bytes:
    return data.split(b" ", 2)[1]


# ---- loose and strict routing (RFC 3261 16.4, 16.6 steps 4 to 6, 16.12.1) -------------------------------------------


def test_a_loose_route_loses_our_value_only() -> None:
    w = World()
    leg = Leg(w).up()
    route = "Route: <sip:127.0.0.1:5060;lr>,<sip:127.0.0.3:5060;lr;x=1>\r\nRoute: <sip:core.op;lr>\r\n"
    w(leg.from_pbx("UPDATE", uri="sip:gw@core.op", more=route), UP)
    flow, data = w.sent[-1]
    assert flow == DOWN
    assert sent_uri(data) == b"sip:gw@core.op"
    assert [r.uri for r in parse(data).routes()] == [b"sip:127.0.0.3:5060;lr;x=1", b"sip:core.op;lr"]


def test_a_strict_router_before_us_put_us_into_the_request_uri() -> None:
    w = World()
    leg = Leg(w).up()
    route = "Route: <sip:127.0.0.3:5060;lr>, <sip:gw@127.0.0.3:5070>\r\n"
    w(leg.from_pbx("UPDATE", uri="sip:127.0.0.1:5060;lr", more=route), UP)
    data = w.sent[-1][1]
    assert sent_uri(data) == b"sip:gw@127.0.0.3:5070"
    assert parse(data).all(b"route") == [b"<sip:127.0.0.3:5060;lr>"]


def test_a_strict_router_behind_us_gets_its_own_address_as_request_uri() -> None:
    w = World()
    leg = Leg(w).up()
    route = "Route: <sip:127.0.0.1:5060;lr>, <sip:127.0.0.3:5080>, <sip:next.op;lr>\r\n"
    w(leg.from_pbx("UPDATE", uri="sip:gw@core.op", more=route), UP)
    flow, data = w.sent[-1]
    assert flow.peer == ("127.0.0.3", 5080)
    assert sent_uri(data) == b"sip:127.0.0.3:5080"
    assert parse(data).all(b"route") == [b"<sip:next.op;lr>, <sip:gw@core.op>"]


@pytest.mark.parametrize(
    ("uri", "route"),
    [
        ("sip:+33145670001@127.0.0.1;lr", "<sip:127.0.0.1;lr>, <sip:+33899000000@127.0.0.3>"),
        ("sip:+33145670001@127.0.0.1;lr", "<sip:+33899000000@127.0.0.3>"),
        ("sip:+33145670001@127.0.0.1", "<sip:127.0.0.1;lr>, <sip:+33899000000@127.0.0.3>"),
        ("sip:+33145670001@op.example", "<sip:+33899000000@127.0.0.3>"),
        ("sip:112@127.0.0.1;lr", "<sip:127.0.0.1;lr>, <sip:+33899000000@127.0.0.3>"),
    ],
)
@pytest.mark.parametrize("tag", ["", "made-up"])
def test_a_setups_route_never_puts_another_number_into_the_request_uri(uri: str, route: str, tag: str) -> None:
    w = World()
    w(request(uri=uri, to_tag=tag, more=f"Route: {route}\r\n"), UP)
    left = [data for flow, data in w.sent if flow.peer == OPERATOR]
    assert len(left) == (0 if tag and "112" not in uri else 1)
    for data in left:
        assert b"899" not in sent_uri(data)


@pytest.mark.parametrize(
    "more",
    ["Route: <sip:203.0.113.9;lr>\r\n", "Route: <sip:127.0.0.1;lr>, <sip:203.0.113.9:5060>\r\n", ""],
)
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "REGISTER", "FOO"])
def test_a_foreign_host_is_never_reached(method: str, more: str) -> None:
    w = World()
    w(request(method, "sip:+33145670001@203.0.113.9", more=more), UP)
    assert {flow.peer for flow, _ in w.sent} <= {PBX, OPERATOR}
    w(request(method, "sip:+33145670001@203.0.113.9", host="127.0.0.3", branch="o", more=more), DOWN)
    assert {flow.peer for flow, _ in w.sent} <= {PBX, OPERATOR}


def test_requests_outside_of_calls_pass_both_ways_and_are_never_counted() -> None:
    w = World()
    for method in ("REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH"):
        out = w(request(method, "sip:op.example", branch=method), UP)
        assert arrows(out) == [f"down {method}"]
        assert (b"Record-Route" in out[0][1].data) is (method == "SUBSCRIBE")
        assert arrows(w(reply(out[0][1], 200), DOWN)) == ["up 200"]
        assert arrows(w(request(method, "sip:200@127.0.0.2", host="127.0.0.3", branch=method), DOWN)) == [
            f"up {method}"
        ]
    assert w.asked == []


def test_a_trunk_without_a_source_that_takes_calls_gets_404() -> None:
    w = World(source=Source(name="pbx", networks=(ip_network("127.0.0.2/32"),), trunk="operator"))
    assert arrows(w(request(host="127.0.0.3"), DOWN)) == ["down 100", "down 404"]
    assert arrows(w(request("OPTIONS", "sip:x@y", host="127.0.0.3", branch="o"), DOWN)) == ["down 404"]
    assert arrows(w(request(uri="sip:200@127.0.0.2", host="127.0.0.3", branch="n"), DOWN)) == ["down 100", "up INVITE"]
    w.rest()


# ---- transports -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("up", "hop", "down"),
    [(TCP_UP, Hop("udp", *OPERATOR), DOWN), (UP, TCP_HOP, TCP_DOWN), (TCP_UP, TCP_HOP, TCP_DOWN)],
)
def test_tcp_and_udp_may_be_mixed(up: Flow, hop: Hop, down: Flow) -> None:
    """RFC 5658: where the sides differ, each finds its own address in Record-Route."""
    w = World(hop=hop)
    contact = f"<sip:127.0.0.2:5060;transport={up.transport}>"
    w(request(transport=up.transport.upper(), contact=contact), up)
    assert w.sent[0][0] == up, "answers go back over the connection"
    flow, data = w.sent[1]
    assert (flow.transport, flow.peer, flow.conn) == (hop.transport, OPERATOR, 0)
    invite = parse(data)
    assert invite.via().transport == hop.transport.upper().encode()
    texts = {"udp": b"sip:127.0.0.1:5060;lr", "tcp": b"sip:127.0.0.1:5060;transport=tcp;lr"}
    route = [texts[hop.transport], texts[up.transport]] if hop.transport != up.transport else [texts[hop.transport]]
    assert [r.uri for r in invite.routes(b"record-route")] == route
    w(reply(invite, 200), down)
    assert w.sent[-1][0] == up
    values = "".join(f"Route: <{r.decode()}>\r\n" for r in reversed(route))
    ack = request("ACK", "sip:127.0.0.3:5060", to_tag="z9", branch="a", transport=up.transport.upper(), more=values)
    w(ack.replace(b"sip:127.0.0.3:5060 ", b"sip:127.0.0.3:5060;transport=%s " % hop.transport.encode()), up)
    assert w.sent[-1][0].transport == hop.transport
    assert b"\r\nRoute" not in w.sent[-1][1]
    values = "".join(f"Route: <{r.decode()}>\r\n" for r in route)
    uri = contact.strip("<>")
    bye = request("BYE", uri, tag="z9", to_tag="a1", host="127.0.0.3", transport=hop.transport.upper(), more=values)
    w(bye, down)
    assert w.sent[-1][0] == up, "and so do requests of the other side"


def test_what_had_no_length_over_udp_has_one_over_tcp() -> None:
    w = World(hop=TCP_HOP)
    body = "v=0\r\n"
    w(request(body=body).replace(b"Content-Length: 5\r\n", b""), UP)
    assert b"Content-Length: 5\r\n" in w.sent[-1][1]
    assert w.sent[-1][1].endswith(b"\r\n\r\nv=0\r\n")


def test_a_stream_that_cannot_be_understood_is_closed() -> None:
    w = World()
    w(b"nonsense\r\n\r\n", TCP_UP)
    assert w.closed == [TCP_UP]
    w.core.flow_closed(TCP_UP, w.now)
    assert w.core.counters["streams_closed"] == 1


# ---- IPv6 and other spellings ---------------------------------------------------------------------------------------

SIX = ("::1", 5060)
LISTENS_BOTH: tuple[tuple[Transport, str, int], ...] = (*LISTENS, ("udp", *SIX), ("tcp", *SIX))
SIX_PBX = Source(name="pbx", networks=(ip_network("fd00::2/128"),), trunk="operator", contact=("fd00::2", 5060))


def test_ipv6_on_both_sides_and_between_families() -> None:
    w = World(listens=LISTENS_BOTH, source=SIX_PBX, hop=Hop("udp", "fd00::3", 5060))
    up = Flow("udp", SIX, ("fd00::2", 5060))
    w(request(host="[fd00::2]", uri="sip:+33145670001@[::1]", caller="<sip:+33145678901@[fd00::2]>"), up)
    assert w.sent[0][0] == up
    flow, data = w.sent[1]
    assert flow == Flow("udp", SIX, ("fd00::3", 5060))
    invite = parse(data)
    assert invite.uri == b"sip:+33145670001@[fd00::3]"
    assert invite.via().sent_by == b"[::1]:5060"
    assert b"Via: SIP/2.0/UDP [fd00::2]:5060;branch=z9hG4bKb1\r\n" in data
    assert invite.all(b"record-route") == [b"<sip:[::1]:5060;lr>"]
    assert arrows(w(reply(invite, 200), Flow("udp", SIX, ("fd00::3", 5060)))) == ["up 200"]
    w = World(listens=LISTENS_BOTH, source=SIX_PBX)
    w(request(host="[fd00::2]"), up)
    assert w.sent[1][0] == DOWN
    assert parse(w.sent[1][1]).all(b"record-route") == [b"<sip:127.0.0.1:5060;lr>", b"<sip:[::1]:5060;lr>"]


def test_compact_forms_folds_and_several_values_on_a_line_stay_as_they_are() -> None:
    w = World()
    data = (
        b"INVITE sip:+33145670001@op.example SIP/2.0\r\n"
        b"v: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bKc1, SIP/2.0/TCP phone;branch=z9hG4bKc0\r\n"
        b'f: "O\'Neil, \\"x\\""\r\n  <sip:+33145678901@127.0.0.2>\r\n\t;tag=a1\r\n'
        b"t: sip:+33145670001@op.example\r\ni: c1@pbx\r\nCSeq:\r\n 1\r\n INVITE\r\n"
        b"m: <sip:127.0.0.2>\r\nmax-forwards:7\r\nk: timer\r\nl: 0\r\n\r\n"
    )
    assert arrows(w(data, UP)) == ["up 100", "down INVITE"]
    sent = w.sent[-1][1]
    start, rest = data.split(b"\r\n", 1)
    assert sent.endswith(rest.replace(b"max-forwards:7", b"max-forwards: 6"))
    assert sent.startswith(start + b"\r\nVia: ")
    back = reply(parse(sent), 180)
    w(back, DOWN)
    assert rest.split(b"\r\n", 1)[0] in w.sent[-1][1]
    assert w.sent[-1][1].count(b"SIP/2.0/UDP") == 1
    # The operator may put all Via values on one line: ours goes, the others stay.
    ours = back.split(b"\r\n")[1]
    joined = back.replace(ours + b"\r\n", b"", 1).replace(b"\r\nv: ", b"\r\n" + ours + b", ", 1)
    w(joined, DOWN)
    assert [v.branch for v in parse(w.sent[-1][1]).vias()] == [b"z9hG4bKc1", b"z9hG4bKc0"]


def test_a_peer_of_rfc_2543_has_no_branch_and_is_served_all_the_same() -> None:
    w = World()

    def old(method: str, **more: str) -> bytes:
        return request(method, **more).replace(b";branch=z9hG4bKb1", b"")  # type: ignore[arg-type]

    assert arrows(w(old("INVITE"), UP)) == ["up 100", "down INVITE"]
    invite = w.shown(1)[0][1]
    assert arrows(w(old("INVITE"), UP)) == ["up 100"]
    assert arrows(w(reply(invite, 180), DOWN)) == ["up 180"]
    assert arrows(w(old("CANCEL"), UP)) == ["up 200", "down CANCEL"]
    assert arrows(w(reply(invite, 487), DOWN)) == ["down ACK", "up 487"]
    assert w(old("ACK", to_tag="z9"), UP) == []
    assert "up 487" not in arrows(w.later(1)), "the ACK was understood: nothing is repeated"
    w.rest()


def test_a_missing_max_forwards_is_set() -> None:
    w = World()
    w(request().replace(b"Max-Forwards: 70\r\n", b""), UP)
    assert b"Max-Forwards: 70\r\n" in w.sent[-1][1]


def test_a_first_line_may_go_while_others_come() -> None:
    """An answer without a length from UDP to TCP: our Via is its first line, and a Content-Length takes its place."""
    w = World()
    w(request(transport="TCP"), TCP_UP)
    answer = reply(parse(w.sent[1][1]), 180).replace(b"Content-Length: 0\r\n", b"")
    w(answer, DOWN)
    sent = w.sent[-1][1]
    assert sent.count(b"Via:") == 1
    assert sent.startswith(b"SIP/2.0 180 X\r\nContent-Length: 0\r\n")
    w = World()
    data = request().replace(b"\r\nVia", b"\r\nRoute: <sip:127.0.0.1:5060;lr>\r\nVia", 1)
    w(data, UP)
    assert parse(w.sent[-1][1]).count(b"route") == 0
