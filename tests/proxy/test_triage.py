"""More messages than can be served: which one is what at a glance, and how the core refuses a call that it has no time
for."""

from __future__ import annotations

import pytest

from guard.proxy.effects import Flow
from guard.proxy.triage import MAX_HEAD, Lot
from guard.sources import Source
from tests.proxy.world import ALLOW, DOWN, GUARD, PBX, SOURCE, STRANGER, UP, Leg, World, arrows, read, reply, request

FAR = Flow("udp", GUARD, STRANGER)
NEAR = Flow("udp", GUARD, ("192.168.7.7", 5060))  # private, and not listed
SOS = request(uri="sip:112@127.0.0.1")


@pytest.mark.parametrize(
    ("data", "flow", "lot"),
    [
        (request(), UP, "new"),
        (request(), DOWN, "new"),
        (request(), FAR, "stranger"),
        (request("CANCEL"), UP, "new"),  # behind its INVITE, never before it
        (request("INVITE", to_tag="z9"), UP, "going"),
        (request("BYE", to_tag="z9"), DOWN, "going"),
        (request("OPTIONS"), UP, "going"),
        (b"SIP/2.0 200 OK\r\nTo: <sip:a@b>;tag=z9\r\n\r\n", DOWN, "going"),
        (b"\xff\x00garbage", FAR, "stranger"),
        (b"", UP, "going"),
        (SOS, UP, "urgent"),
        (SOS, NEAR, "urgent"),
        (SOS, FAR, "stranger"),  # the public internet is no phone of the house
        (SOS, DOWN, "new"),  # the operator sends no emergency calls here
        (request("MESSAGE", "sip:112@127.0.0.1"), UP, "going"),
        (b"\r\n\r\n" + SOS, UP, "urgent"),
        (request(uri="urn:service:sos.fire"), UP, "urgent"),
        (request(uri="tel:112;phone-context=+33"), UP, "urgent"),
        (request(uri="sip:%31%31%32@127.0.0.1"), UP, "urgent"),
        (SOS.replace(b"INVITE sip", b"INVITE  sip"), UP, "urgent"),
        (SOS.replace(b"@127.0.0.1 SIP/2.0", b"@127.0.0.1 SIP/2.0 "), UP, "urgent"),
        (request().replace(b"\r\nTo:", b"\r\nt :").replace(b"CSeq", b"Cseq"), UP, "new"),
        (request("INVITE", to_tag="z9").replace(b"\r\nTo:", b"\r\nt :"), UP, "going"),
    ],
)
def test_what_a_message_is_at_a_glance(data: bytes, flow: Flow, lot: Lot) -> None:
    w = World()
    assert w.core.lot(data, flow) == lot
    w.rest()


def test_a_call_is_urgent_at_a_glance_just_where_the_core_takes_it_for_one() -> None:
    """Every number of the floor, as an IPBX with an outside line dials it."""
    source = Source(name="pbx", networks=SOURCE.networks, trunk="operator", contact=PBX)
    for number in ("15", "17", "18", "112", "114", "115", "116000", "119", "191", "196", "197", "0112", "+33112", "1"):
        data = request(uri=f"sip:{number}@127.0.0.1;user=phone", branch=number, call_id=number)
        w = World(source=source)
        glance = w.core.lot(data, UP)
        w(data, UP)
        assert (glance == "urgent") == (w.core.counters["emergency_calls"] == 1), number


def test_whatever_is_said_in_an_emergency_call_is_urgent_while_it_is_up() -> None:
    w = World()
    sos = request(uri="sip:112@127.0.0.1", branch="sos", call_id="sos")
    ours = w(sos, UP)[-1][1]
    ok = reply(ours, 200)
    tag = (read(ok).to().tag or b"").decode()
    bye = request("BYE", branch="bye", call_id="sos", to_tag=tag, cseq=2)
    for data, flow in (
        (ok, DOWN),
        (bye, UP),
        (bye.replace(b"Call-ID", b"i"), UP),
        (request("CANCEL", call_id="sos"), UP),
    ):
        assert w.core.lot(data, flow) == "urgent"
    # Its name makes no other call one for help, and behind 8 kB of header lines it is not looked for.
    assert w.core.lot(request(call_id="sos", branch="n"), UP) == "new"
    assert w.core.lot(bye.replace(b"Call-ID", b"X: " + b"x" * MAX_HEAD + b"\r\nCall-ID"), UP) == "going"
    w(ok, DOWN)
    w(sos.replace(b"branch=z9hG4bKsos", b"branch=z9hG4bKack").replace(b"INVITE", b"ACK"), UP)
    gone = w(bye, UP)[-1][1]
    w(reply(gone, 200), DOWN)
    assert w.core.lot(bye, UP) == "going"
    w.rest()


@pytest.mark.parametrize(("status", "retry"), [(480, b"5"), (503, None)])
def test_a_call_without_time_is_answered_and_nothing_is_kept(status: int, retry: bytes | None) -> None:
    w = World()
    w.core.shed(status)
    out = w(request(), UP)
    assert arrows(out) == [f"up {status}"]
    answer = out[0][1]
    assert answer.all(b"reason") == [b'SIP;cause=%d;text="the guard has more calls than it can serve"' % status]
    assert answer.first(b"retry-after") == retry
    to_tag = (answer.to().tag or b"").decode()
    ack = request("ACK", to_tag=to_tag)
    assert w.core.lot(ack, UP) == "over"
    assert w.core.lot(ack, FAR) == "stranger"
    assert w.core.lot(request("BYE", to_tag=to_tag), UP) == "going"
    assert arrows(w(ack, UP)) == []
    assert arrows(w(request(host="127.0.0.3", call_id="in", uri="sip:+33145678901@127.0.0.1"), DOWN)) == [
        f"down {status}"
    ]
    assert (w.core.calls, w.core.transactions, w.asked) == (0, 0, [])
    assert w.core.counters["shed"] == 2
    assert w(request(), UP)[0][1].data == answer.data  # sent again while there is no time: the same answer
    w.core.shed(0)
    assert arrows(w(request(), UP)) == ["up 100", "down INVITE"]  # the same call, sent again


def test_an_emergency_call_is_never_shed() -> None:
    w = World()
    w.core.shed(503)
    assert arrows(w(SOS, UP)) == ["up 100", "down INVITE"]
    assert arrows(w(request(uri="sip:112@127.0.0.1", branch="n", call_id="n"), NEAR)) == ["down 100", "down INVITE"]


def test_what_has_begun_is_not_shed() -> None:
    w = World()
    out = w(request(branch="b1"), UP)
    w.core.shed(480)
    assert arrows(w(request(branch="b1"), UP)) == ["up 100"]  # sent again by its caller
    w(reply(out[-1][1], 407), DOWN)
    again = w(request(branch="b2", cseq=2, more="Proxy-Authorization: Digest x\r\n"), UP)
    assert arrows(again) == ["up 100", "down INVITE"]
    assert arrows(w(reply(again[-1][1], 200), DOWN)) == ["up 200"]
    leg = Leg(World(answer=ALLOW)).up()
    leg.w.core.shed(480)
    assert arrows(leg.w(leg.from_pbx("INVITE"), UP)) == ["up 100", "down INVITE"]  # a refresh
    leg.bye()
    assert w.core.counters["shed"] == leg.w.core.counters["shed"] == 0


def test_a_stranger_is_not_answered_for_want_of_time_either() -> None:
    w = World()
    w.core.shed(480)
    assert w(request(), FAR) == []
    assert w.core.counters["shed"] == 0
