"""Phones that know no Record-Route, behind an operator that records its route: what they leave out is put back."""

from __future__ import annotations

import pytest

from guard.proxy.effects import Flow
from guard.proxy.kept import keep, revive
from guard.proxy.shapes import Hop, Trunk
from guard.sip.message import Message
from tests.proxy.world import ALLOW, DOWN, GUARD, OPERATOR, PBX, UP, Leg, World, arrows, reply, request

INNER = "203.0.113.9"  # the operator's media server, behind its proxy: nobody reaches it straight
CONTACT = f"<sip:callee@{INNER}:5062>"
RECORDED = f"Record-Route: <sip:{INNER};lr;x=2>, <sip:{OPERATOR[0]};lr>\r\n"
ROUTE = [f"<sip:{OPERATOR[0]};lr>", f"<sip:{INNER};lr;x=2>"]
OWN = "Route: <sip:127.0.0.1:5060;lr>\r\n"


class Recorded(Leg):
    """A call that the operator answered with a route of its own."""

    def __init__(self, w: World, more: str = RECORDED) -> None:
        super().__init__(w)
        self.more = more
        for status in (180, 200):
            data = reply(self.invite, status, contact=CONTACT)
            ours = next(line for line in data.split(b"\r\n") if line.lower().startswith(b"record-route"))
            w(data.replace(ours, more.encode().rstrip() + b"\r\n" + ours), DOWN)


def routes(m: Message) -> list[str]:
    return [r.text.decode() for r in m.routes()]


def left(w: World, data: bytes) -> tuple[Flow, Message]:
    out = w(data, UP)
    return w.sent[-1][0], out[-1][1]


@pytest.mark.parametrize("method", ["ACK", "BYE", "INFO", "INVITE"])
@pytest.mark.parametrize("more", ["", OWN])  # nothing at all, or the proxy that it was told to use
def test_the_route_beyond_the_guard_is_put_back(method: str, more: str) -> None:
    w = World()
    leg = Recorded(w)
    flow, m = left(w, leg.from_pbx(method, uri=CONTACT.strip("<>"), more=more))
    assert flow.peer == OPERATOR
    assert routes(m) == ROUTE
    assert m.uri == CONTACT.strip("<>").encode()


def test_the_guards_own_address_is_replaced_by_the_remote_target() -> None:
    w = World()
    leg = Recorded(w)
    flow, m = left(w, leg.from_pbx("BYE", uri="sip:+33145670001@127.0.0.1:5060", more=""))
    assert (flow.peer, routes(m), m.uri) == (OPERATOR, ROUTE, CONTACT.strip("<>").encode())
    w = World()
    plain = Leg(w).up()  # also where the operator records no route
    flow, m = left(w, plain.from_pbx("BYE", uri="sip:+33145670001@127.0.0.1:5060", more=""))
    assert (flow.peer, routes(m), m.uri) == (OPERATOR, [], b"sip:127.0.0.3:5060")


def test_a_phone_that_knows_its_route_is_left_alone() -> None:
    w = World()
    leg = Recorded(w)
    more = f"Route: <sip:127.0.0.1:5060;lr>, {', '.join(ROUTE)}\r\n"
    _, m = left(w, leg.from_pbx("BYE", uri=CONTACT.strip("<>"), more=more))
    assert routes(m) == ROUTE
    assert m.count(b"route") == 1
    one = f"Route: {ROUTE[1]}\r\n"  # whatever it makes of it
    _, m = left(w, leg.from_pbx("INFO", branch="i", uri=CONTACT.strip("<>"), more=one))
    assert routes(m) == ROUTE[1:]


def test_a_strict_router_of_the_operators_is_served() -> None:
    w = World()
    leg = Recorded(w, f"Record-Route: <sip:{INNER};lr>, <sip:{OPERATOR[0]}>\r\n")
    flow, m = left(w, leg.from_pbx("BYE", uri=CONTACT.strip("<>"), more=""))
    assert (flow.peer, m.uri) == (OPERATOR, f"sip:{OPERATOR[0]}".encode())
    assert routes(m) == [f"<sip:{INNER};lr>", CONTACT]


def test_a_reinvite_is_acknowledged_the_same_way() -> None:
    w = World()
    leg = Recorded(w)
    flow, m = left(w, leg.from_pbx("INVITE", uri=CONTACT.strip("<>"), more=""))
    assert arrows(w(reply(m, 200, contact=CONTACT), flow)) == ["up 200"]
    flow, m = left(w, leg.from_pbx("ACK", uri=CONTACT.strip("<>"), more=""))
    assert (flow.peer, routes(m)) == (OPERATOR, ROUTE)


def test_a_call_that_comes_in_over_a_recorded_route() -> None:
    w = World()
    recorded = f"Record-Route: <sip:{OPERATOR[0]};lr>, <sip:{INNER};lr>\r\n"
    out = w(
        request(caller="<sip:+33611223344@op>", contact=CONTACT, call_id="in", host=OPERATOR[0], more=recorded), DOWN
    )
    invite = out[-1][1]
    w(reply(invite, 200, contact=f"<sip:{PBX[0]}:5060>"), UP)
    bye = request(
        "BYE", CONTACT.strip("<>"), caller=invite.to().address.decode(), tag="z9", to=invite.from_().address.decode(),
        to_tag="a1", call_id="in", branch="bye", cseq=9,
    )  # fmt: skip
    flow, m = left(w, bye)
    assert flow.peer == OPERATOR
    assert routes(m) == [f"<sip:{OPERATOR[0]};lr>", f"<sip:{INNER};lr>"]


def test_late_ringing_of_another_fork_does_not_lead_astray() -> None:
    w = World()
    leg = Recorded(w)
    w(reply(leg.invite, 180, to_tag="other", contact="<sip:203.0.113.77>"), DOWN)
    flow, m = left(w, leg.from_pbx("BYE", uri="sip:+33145670001@127.0.0.1:5060", more=""))
    assert (flow.peer, routes(m), m.uri) == (OPERATOR, ROUTE, CONTACT.strip("<>").encode())


def test_it_is_put_back_after_a_restart() -> None:
    w = World()
    w.core.keep()
    leg = Recorded(w)
    ((_, call),) = w.core.changed().items()
    assert call is not None
    again = revive(keep(call, 7, 0), 1, 0, w.now)
    assert again.hints == call.hints
    assert leg.more


def test_an_unreadable_route_goes_where_the_set_up_went() -> None:
    w = World()
    leg = Recorded(w, 'Record-Route: "<sip:x\r\n')
    flow, m = left(w, leg.from_pbx("BYE", uri="sip:+33145670001@127.0.0.1:5060", more=""))
    assert (flow.peer, routes(m)) == (OPERATOR, [])
    assert ALLOW.verdict == "allowed"


def test_nobody_is_led_beyond_what_the_operator_named() -> None:
    """A route that names neither a hop nor anything of this dialog's own cannot be: it came from the operator."""
    w = World(trunks=(Trunk(name="operator", hops=(Hop("udp", *OPERATOR),)),))
    leg = Recorded(w, "Record-Route: <sip:203.0.113.50;lr>\r\n")
    flow, _ = left(w, leg.from_pbx("BYE", uri=CONTACT.strip("<>"), more=""))
    assert flow == Flow("udp", GUARD, ("203.0.113.50", 5060))
