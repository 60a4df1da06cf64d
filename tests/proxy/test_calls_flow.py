"""Calls through the guard, as call flows: what comes from the IPBX (UP) or the operator (DOWN), and what leaves."""

from __future__ import annotations

import pytest

from guard.sip.message import parse
from tests.proxy.world import (
    ALLOW,
    DOWN,
    SECOND,
    UP,
    Leg,
    World,
    arrows,
    reply,
    request,
)

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=é\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
ODD = (
    "X-Unknown:   kept  as it is \r\nSubject: caf\u00e9 \u65e5\u672c\r\nSUPPORTED : timer,\r\n  100rel\r\n"
    "P-Asserted-Identity: <sip:+33145678901@127.0.0.2>, <tel:+33145678901>\r\n"
)


def test_a_plain_call_of_seven_messages() -> None:
    w = World()
    f1 = request(more=ODD, body=SDP)
    out = w(f1, UP)
    assert arrows(out) == ["up 100", "down INVITE"]
    f2 = w.sent[1][1]
    branch = out[1][1].via().branch or b""
    assert branch.startswith(b"z9hG4bKt0ken-")
    # Via with branch and rport, Record-Route, Max-Forwards, and our address as the next hop's: nothing else changes.
    start, rest = f1.split(b"\r\n", 1)
    via = b"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=" + branch + b";rport\r\n"
    wanted = start.replace(b"@127.0.0.1", b"@127.0.0.3") + b"\r\n" + via + b"Record-Route: <sip:127.0.0.1:5060;lr>\r\n"
    assert f2 == wanted + rest.replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 69\r\n")

    def back(answer: bytes) -> bytes:
        assert answer.count(via) == 1
        return answer.replace(via, b"")

    f3 = reply(out[1][1], 180, more="X-Odd :  tab\there\r\n")
    w(f3, DOWN)
    assert w.sent[-1] == (UP, back(f3))
    f4 = reply(out[1][1], 200, more="X-Fold: a\r\n\tb\r\n")
    w(f4, DOWN)
    assert w.sent[-1] == (UP, back(f4))
    leg_ack = request("ACK", "sip:127.0.0.3:5060", to_tag="z9", branch="ack", more="Route: <sip:127.0.0.1:5060;lr>\r\n")
    assert arrows(w(leg_ack, UP)) == ["down ACK"]
    ack = w.sent[-1][1]
    branch = parse(ack).via().branch or b""
    line, rest = leg_ack.split(b"\r\n", 1)
    assert ack == (
        line
        + b"\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch="
        + branch
        + b";rport\r\n"
        + rest.replace(b"Max-Forwards: 70", b"Max-Forwards: 69").replace(b"Route: <sip:127.0.0.1:5060;lr>\r\n", b"")
    )
    w.later(60)
    bye = request("BYE", "sip:127.0.0.3:5060", to_tag="z9", branch="bye", cseq=2)
    out = w(bye, UP)
    assert arrows(out) == ["down BYE"]
    assert arrows(w(reply(out[0][1], 200), DOWN)) == ["up 200"]
    assert w.ended[0][1].outcome == "answered"
    w.rest()


def test_where_it_came_from_is_written_into_its_via() -> None:
    """RFC 3261 18.2.1 and RFC 3581: received where the Via names another host, rport where it is asked for."""
    for written, marked in (
        (b"pbx.example:5060;branch=z9hG4bKb1", b"pbx.example:5060;branch=z9hG4bKb1;received=127.0.0.2"),
        (b"127.0.0.2;rport;branch=z9hG4bKb1", b"127.0.0.2;rport=5060;branch=z9hG4bKb1;received=127.0.0.2"),
        (b"10.9.8.7;branch=z9hG4bKb1;rport", b"10.9.8.7;branch=z9hG4bKb1;rport=5060;received=127.0.0.2"),
        (b"127.0.0.2:5060;branch=z9hG4bKb1", b"127.0.0.2:5060;branch=z9hG4bKb1"),
    ):
        w = World()
        out = w(request().replace(b"127.0.0.2:5060;branch=z9hG4bKb1", written), UP)
        for _, m in out:
            assert b" " + marked + b"\r\n" in m.data
        assert out[1][1].data.count(b"Via:") == 2


def test_answers_go_to_the_port_of_the_via_or_with_rport_to_where_it_came_from() -> None:
    from guard.proxy.effects import Flow

    odd = Flow("udp", ("127.0.0.1", 5060), ("127.0.0.2", 40_000))
    w = World()
    w(request(), odd)
    assert w.sent[0][0].peer == ("127.0.0.2", 5060)
    w = World()
    w(request().replace(b";branch=", b";rport;branch="), odd)
    assert w.sent[0][0].peer == ("127.0.0.2", 40_000)


def test_everything_repeated_is_absorbed_or_passed_on_and_counted_once() -> None:
    w = World()
    leg = Leg(w)
    assert arrows(w(leg.raw, UP)) == ["up 100"]
    assert arrows(leg.answer(100)) == []
    assert arrows(leg.answer(180)) == ["up 180"]
    assert arrows(w(leg.raw, UP)) == ["up 180"]
    assert arrows(leg.answer(180)) == ["up 180"]
    assert arrows(leg.answer(200)) == ["up 200"]
    assert arrows(w(leg.raw, UP)) == []
    assert arrows(leg.answer(200)) == ["up 200"]
    ack = leg.from_pbx("ACK")
    assert arrows(w(ack, UP)) == arrows(w(ack, UP)) == ["down ACK"]
    bye = leg.from_pbx("BYE")
    out = w(bye, UP)
    assert arrows(out) == ["down BYE"]
    assert arrows(w(bye, UP)) == []
    w(reply(out[0][1], 200), DOWN)
    assert arrows(w(bye, UP)) == ["up 200"]
    assert arrows(w(reply(out[0][1], 200), DOWN)) == []
    assert len(w.asked) == len(w.ended) == 1
    assert w.core.counters["retransmissions"] == 5
    w.rest()


def test_100_leaves_at_once_while_the_decision_waits() -> None:
    w = World(answer=None)
    assert arrows(w(request(), UP)) == ["up 100"]
    assert w.sent[0][1].count(b"To:") == 1
    assert b"tag=" not in w.sent[0][1].split(b"To:")[1].split(b"\r\n")[0]
    w.later(2)
    assert arrows(w.decide(1, ALLOW)) == ["down INVITE"]


def test_an_ack_to_a_refusal_ends_here_and_one_to_a_2xx_goes_on() -> None:
    w = World()
    leg = Leg(w)
    out = leg.answer(486)
    assert arrows(out) == ["down ACK", "up 486"]
    hop = out[0][1]
    assert hop.via().branch == leg.invite.via().branch
    assert hop.uri == leg.invite.uri
    assert hop.cseq() == (1, b"ACK")
    assert hop.to().tag == b"z9"
    assert hop.count(b"via") == 1
    assert arrows(w(request("ACK", to_tag="z9"), UP)) == []
    assert arrows(leg.answer(486)) == ["down ACK"]
    assert w.ended[0][1].outcome == "failed"
    assert w.ended[0][1].final_status == 486
    w.rest()


@pytest.mark.parametrize("held", [False, True])
def test_cancel_before_the_decision(held: bool) -> None:
    w = World(answer=None)
    leg = Leg(w)
    if held:
        w.later(1.5)
    assert arrows(w(leg.cancel(), UP)) == ["up 200", "up 487"]
    assert arrows(w(leg.cancel(), UP)) == ["up 200"]
    assert [(t, e.outcome, e.final_status, e.by) for t, e in w.withdrawn] == [(1, "cancelled", 487, "caller")]
    assert w.decide(1, ALLOW) == []
    assert w.ended == []
    w.rest()


def test_cancel_before_any_answer_waits_for_one() -> None:
    w = World()
    leg = Leg(w)
    assert arrows(w(leg.cancel(), UP)) == ["up 200"]
    out = leg.answer(100)
    assert arrows(out) == ["down CANCEL"]
    cancel = out[0][1]
    assert (cancel.via().branch, cancel.uri) == (leg.invite.via().branch, leg.invite.uri)
    assert cancel.cseq() == (1, b"CANCEL")
    assert arrows(w(reply(cancel, 200), DOWN)) == []
    assert arrows(leg.answer(487)) == ["down ACK", "up 487"]
    assert (w.ended[0][1].outcome, w.ended[0][1].by) == ("cancelled", "caller")
    w.rest()


def test_cancel_while_it_rings_carries_its_reason() -> None:
    w = World()
    leg = Leg(w)
    leg.answer(180)
    w.later(7)
    why = b'Reason: SIP;cause=200;text="Call completed elsewhere"\r\n'
    out = w(leg.cancel().replace(b"Max-Forwards", why + b"Max-Forwards"), UP)
    assert arrows(out) == ["up 200", "down CANCEL"]
    assert why in out[1][1].data
    assert arrows(leg.answer(487)) == ["down ACK", "up 487"]
    assert w.ended[0][1].outcome == "cancelled"
    assert w.ended[0][1].ring_us == 7 * SECOND
    w.rest()


def test_cancel_after_the_answer_changes_nothing() -> None:
    w = World()
    leg = Leg(w).up()
    assert arrows(w(leg.cancel(), UP)) == ["up 200"]
    leg.bye()
    assert w.ended[0][1].outcome == "answered"


def test_a_200_that_crosses_the_cancel_is_a_call() -> None:
    w = World()
    leg = Leg(w)
    leg.answer(180)
    w(leg.cancel(), UP)
    assert arrows(leg.answer(200)) == ["up 200"]
    assert arrows(w(leg.from_pbx("ACK"), UP)) == ["down ACK"]
    leg.bye()
    assert [e.outcome for _, e in w.ended] == ["answered"]
    w.rest()


def test_cancel_of_nothing_is_481() -> None:
    w = World()
    assert arrows(w(request("CANCEL"), UP)) == ["up 481"]
