"""A guard that is being stopped: what is begun finishes, what is new goes elsewhere, emergency calls pass."""

from __future__ import annotations

import pytest

from guard.proxy.effects import Flow
from tests.proxy.world import ALLOW, BLOCK, DOWN, GUARD, PBX, UP, Leg, World, arrows, reply, request


@pytest.mark.parametrize(("status", "retry"), [(480, b"5"), (503, None)])
def test_new_calls_are_told_to_go_elsewhere(status: int, retry: bytes | None) -> None:
    w = World()
    w.core.drain(status)
    out = w(request(), UP)
    assert arrows(out) == ["up 100", f"up {status}"]
    answer = out[-1][1]
    assert answer.all(b"reason") == [b'SIP;cause=%d;text="the guard is being stopped"' % status]
    assert answer.first(b"retry-after") == retry
    assert w.asked == []  # neither decided nor counted
    inbound = request(host="127.0.0.3", branch="in", call_id="in", uri="sip:+33145678901@127.0.0.1")
    assert arrows(w(inbound, DOWN)) == ["down 100", f"down {status}"]
    options = request("OPTIONS", "sip:127.0.0.1:5060", branch="o", call_id="o")
    assert arrows(w(options, UP)) == [f"up {status}"]
    assert w.core.counters["drained"] == 3
    assert w.core.unsettled == 0
    w.rest()


def test_emergency_calls_pass_to_the_last() -> None:
    w = World()
    w.core.drain(503)
    assert arrows(w(request(uri="sip:112@127.0.0.1"), UP)) == ["up 100", "down INVITE"]


def test_what_is_begun_finishes() -> None:
    w = World(answer=None)
    w(request(branch="b1"), UP)
    assert w.core.unsettled == 1
    w.core.drain(480)
    out = w.decide(w.asked[0].ticket, ALLOW)
    assert arrows(out) == ["down INVITE"]
    invite = out[0][1]
    assert arrows(w(reply(invite, 407), DOWN)) == ["down ACK", "up 407"]
    assert w.core.unsettled == 1  # its caller may come with credentials
    again = w(request(branch="b2", cseq=2, more="Proxy-Authorization: Digest x\r\n"), UP)
    assert arrows(again) == ["up 100", "down INVITE"]
    assert arrows(w(reply(again[-1][1], 200), DOWN)) == ["up 200"]
    assert w.core.unsettled == 0


def test_requests_of_calls_that_are_up_go_on() -> None:
    w = World()
    leg = Leg(w).up()
    w.core.drain(480)
    out = w(leg.from_pbx("INVITE"), UP)
    assert arrows(out) == ["up 100", "down INVITE"]
    assert w.core.unsettled == 1
    w(reply(out[-1][1], 200), DOWN)
    assert w.core.unsettled == 0
    leg.bye()
    w.rest()


def test_a_refused_call_is_settled() -> None:
    w = World(answer=BLOCK)
    w(request(), UP)
    assert w.core.unsettled == 0


# ---- a successor reads the same sockets ------------------------------------------------------------------------------


def test_new_calls_are_left_to_the_successor() -> None:
    """Not a byte, not even 100: their caller would wait for us, and not repeat them."""
    w = World()
    w.core.drain(480, succeeded=True)
    inbound = request(host="127.0.0.3", branch="in", call_id="in", uri="sip:+33145678901@127.0.0.1")
    for _ in range(2):  # nor is a repetition taken for one of a call that we know
        assert w(request(), UP) == []
        assert w(inbound, DOWN) == []
    assert w.core.counters["left"] == 4
    assert w.asked == []
    assert (w.core.calls, w.core.transactions, w.core.unsettled) == (0, 0, 0)
    w.rest()


def test_whoever_asks_whether_the_guard_is_there_hears_that_it_is() -> None:
    w = World()
    w.core.drain(480, succeeded=True)
    assert arrows(w(request("OPTIONS", "sip:127.0.0.1:5060", branch="o", call_id="o"), UP)) == ["up 200"]


def test_what_came_over_a_connection_goes_elsewhere_since_that_ends() -> None:
    w = World()
    w.core.drain(480, succeeded=True)
    tcp = Flow("tcp", GUARD, PBX, 7)
    assert arrows(w(request(transport="TCP"), tcp)) == ["up 100", "up 480"]


def test_emergency_calls_and_what_is_begun_wait_for_no_successor() -> None:
    w = World(answer=None)
    w(request(branch="b1"), UP)
    w.core.drain(480, succeeded=True)
    assert arrows(w(request(uri="sip:112@127.0.0.1", branch="sos", call_id="sos"), UP)) == ["up 100", "down INVITE"]
    invite = w.decide(w.asked[0].ticket, ALLOW)[0][1]
    w(reply(invite, 407), DOWN)
    again = w(request(branch="b2", cseq=2, more="Proxy-Authorization: Digest x\r\n"), UP)
    assert arrows(again) == ["up 100", "down INVITE"]
    assert w.core.counters["left"] == 0
