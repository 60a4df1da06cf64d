"""Requests too long for UDP: over TCP where the hop speaks it, over UDP where it does not (RFC 3261 18.1.1)."""

from __future__ import annotations

from typing import Literal

import pytest

from guard.proxy.effects import Flow, Transport
from guard.proxy.hunt import LAST_SILENCE
from guard.proxy.large import LARGE, LONGEST_UDP, SMALL_TIME
from guard.proxy.shapes import Hop, Trunk
from guard.sip.message import Message, parse
from tests.proxy.test_registration import contacts, register
from tests.proxy.world import GUARD, LISTENS, SECOND, UP, Leg, World, arrows, reply, request

A, B = "127.0.0.3", "127.0.0.4"
UDP, TCP = Hop("udp", A, 5060), Hop("tcp", A, 5070, tier=1)
LONG = f"X-Long: {'x' * LARGE}\r\n"


def world(
    *hops: Hop, large: Literal["auto", "tcp", "udp"] = "tcp", listens: tuple[tuple[Transport, str, int], ...] = LISTENS
) -> World:
    return World(trunks=(Trunk(name="operator", hops=hops or (UDP,), large=large),), listens=listens)


def ways(w: World, method: str = "INVITE") -> list[tuple[str, str, int]]:
    """Where requests of a method went."""
    return [(f.transport, *f.peer) for f, d in w.sent if d.startswith(method.encode() + b" ")]


def last(w: World) -> tuple[Flow, Message]:
    flow, data = w.sent[-1]
    return flow, parse(data, stream=flow.transport == "tcp")


@pytest.mark.parametrize(
    ("large", "hops", "way"),
    [
        ("tcp", (UDP,), ("tcp", A, 5060)),
        ("tcp", (UDP, TCP), ("tcp", A, 5070)),
        ("auto", (UDP,), ("udp", A, 5060)),
        ("auto", (UDP, Hop("tcp", B, 5060, tier=1)), ("udp", A, 5060)),
        ("auto", (UDP, TCP), ("tcp", A, 5070)),
        ("udp", (UDP, TCP), ("udp", A, 5060)),
    ],
)
def test_the_way_of_a_long_call(
    large: Literal["auto", "tcp", "udp"], hops: tuple[Hop, ...], way: tuple[str, str, int]
) -> None:
    w = world(*hops, large=large)
    Leg(w, more=LONG)
    Leg(w, call_id="short", branch="short")
    assert ways(w) == [way, ("udp", A, 5060)]
    assert w.core.counters["large_over_tcp"] == (way[0] == "tcp")


def test_the_limit_is_what_leaves() -> None:
    w = world()

    def length(more: str, number: int) -> tuple[str, int]:
        w(request(call_id=f"c{number}", branch=f"b{number}", more=more), UP)
        flow, data = w.sent[-1]
        assert data.startswith(b"INVITE ")
        return flow.transport, len(data)

    _, short = length("X: y\r\n", 1)
    pad = "y" * (LARGE - short + 1)
    assert length(f"X: {pad}\r\n", 2) == ("udp", LARGE)
    assert length(f"X: {pad}y\r\n", 3)[0] == "tcp"


def test_only_the_request_itself_goes_another_way() -> None:
    w = world()
    leg = Leg(w, more=LONG)
    flow, invite = last(w)
    assert invite.via().transport == b"TCP"
    assert b"transport" not in invite.routes(b"record-route")[0].uri
    assert arrows(w(reply(invite, 200), Flow("tcp", GUARD, (A, 5060), 4))) == ["up 200"]
    w(leg.from_pbx("ACK"), UP)
    w(leg.from_pbx("BYE"), UP)
    assert ways(w, "ACK") == ways(w, "BYE") == [("udp", A, 5060)]
    assert flow.transport == "tcp"


def test_a_cancel_goes_the_way_of_its_invite() -> None:
    w = world()
    leg = Leg(w, more=LONG)
    _, invite = last(w)
    w(reply(invite, 180), Flow("tcp", GUARD, (A, 5060), 4))
    w(leg.cancel(), UP)
    assert ways(w, "CANCEL") == [("tcp", A, 5060)]


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_a_hop_without_tcp_gets_it_over_udp(how: str) -> None:
    w = world()
    Leg(w, more=LONG)
    if how == "refused":
        assert arrows(w.unreachable()) == ["down INVITE"]
    else:
        w.later(1.1)
    assert ways(w)[:2] == [("tcp", A, 5060), ("udp", A, 5060)]
    _, invite = last(w)
    assert invite.via().transport == b"UDP"
    assert arrows(w(reply(invite, 486), Flow("udp", GUARD, (A, 5060)))) == ["down ACK", "up 486"]
    assert (w.turned, [e.final_status for _, e in w.ended]) == ([], [486])
    Leg(w, call_id="second", branch="s", more=LONG)  # it is not asked for TCP again
    assert ways(w)[-1][0] == "udp"
    w.later(SMALL_TIME / SECOND + 1)
    Leg(w, call_id="third", branch="t", more=LONG)
    assert ways(w)[-1][0] == "tcp"
    assert w.core.counters["large_refused"] == 1


def test_a_hop_that_is_gone_altogether_is_left_for_the_next() -> None:
    w = world(UDP, Hop("udp", B, 5060, tier=1))
    Leg(w, more=LONG)
    w.unreachable()
    w.later(1.1)
    assert [x for i, x in enumerate(ways(w)) if x not in ways(w)[:i]] == [
        ("tcp", A, 5060),
        ("udp", A, 5060),
        ("tcp", B, 5060),
    ]
    w.unreachable()
    out = w.later(LAST_SILENCE / SECOND + 0.1)
    assert arrows(out)[-1] == "up 480"
    w.rest()


def test_a_late_answer_over_tcp_has_the_call_back() -> None:
    w = world()
    Leg(w, more=LONG)
    _, invite = last(w)
    w.later(1.1)
    over = Flow("tcp", GUARD, (A, 5060), 4)
    assert arrows(w(reply(invite, 180), over)) == ["up 180"]
    assert arrows(w(reply(invite, 200), over)) == ["up 200"]


def test_an_emergency_call_goes_by_no_guess() -> None:
    w = world()
    Leg(w, uri="sip:112@127.0.0.1", more=LONG)
    assert ways(w) == [("udp", A, 5060)]
    w = world(UDP, TCP)
    Leg(w, uri="sip:112@127.0.0.1", more=LONG)
    assert ways(w) == [("tcp", A, 5070)]
    w.unreachable()
    assert ways(w) == [("tcp", A, 5070), ("udp", A, 5060)]


def test_nothing_goes_over_tcp_where_nothing_could_come_back() -> None:
    w = world(listens=(("udp", *GUARD),))
    Leg(w, more=LONG)
    assert ways(w) == [("udp", A, 5060)]


def test_what_no_datagram_holds_goes_over_tcp_or_nowhere() -> None:
    body = "x" * LONGEST_UDP
    raw = request(body=body, transport="TCP")
    up = Flow("tcp", GUARD, UP.peer, 3)
    w = world()
    assert arrows(w(raw, up))[-1] == "down INVITE"
    assert ways(w) == [("tcp", A, 5060)]
    assert arrows(w.unreachable()) == ["up 480"]
    assert w.core.counters["large_refused"] == 0
    assert arrows(world(large="udp")(raw, up))[-1] == "up 513"


def test_a_long_registration_and_a_long_request_within_a_call() -> None:
    w = world()
    w(register(more=LONG), UP)
    flow, m = last(w)
    assert flow.transport == "tcp"
    assert b"transport" not in contacts(m)[0]  # calls to it come as they always do
    w.unreachable()
    assert ways(w, "REGISTER") == [("tcp", A, 5060), ("udp", A, 5060)]
    w = world()
    leg = Leg(w).up()
    w(leg.from_pbx("INVITE", more=f"Route: <sip:127.0.0.1:5060;lr>\r\n{LONG}"), UP)
    assert ways(w)[-1] == ("tcp", A, 5060)
    w.unreachable()
    assert ways(w)[-1] == ("udp", A, 5060)
    _, again = last(w)
    assert arrows(w(reply(again, 200), Flow("udp", GUARD, (A, 5060)))) == ["up 200"]
    w.later(2)
    assert ways(w)[-1] == ("udp", A, 5060)
