"""Within a call: both sides' requests pass at once, whatever they are, and the last BYE ends it."""

from __future__ import annotations

import pytest

from guard.proxy.calls import SILENCE_WAIT
from guard.proxy.effects import Flow
from guard.sip.message import parse
from tests.proxy.world import ALLOW, DOWN, SECOND, UP, Leg, World, arrows, reply, request

METHODS = ["PRACK", "UPDATE", "INFO", "INVITE", "REFER", "NOTIFY", "MESSAGE", "XYZ"]


@pytest.mark.parametrize("method", METHODS)
def test_requests_of_the_caller_never_wait_for_a_decision(method: str) -> None:
    w = World()
    leg = Leg(w).up()
    w.answer = None
    out = w(leg.from_pbx(method), UP)
    assert arrows(out) == (["up 100", "down INVITE"] if method == "INVITE" else [f"down {method}"])
    sent = out[-1][1]
    assert sent.count(b"route") == sent.count(b"record-route") == 0
    assert arrows(w(reply(sent, 200), DOWN)) == ["up 200"]
    assert len(w.asked) == 1


@pytest.mark.parametrize("method", METHODS)
def test_requests_of_the_operator_never_wait_for_a_decision(method: str) -> None:
    w = World()
    leg = Leg(w).up()
    w.answer = None
    out = w(leg.from_operator(method), DOWN)
    assert arrows(out) == (["down 100", "up INVITE"] if method == "INVITE" else [f"up {method}"])
    assert w.sent[-1][0] == UP
    assert arrows(w(reply(out[-1][1], 200), UP)) == ["down 200"]
    assert len(w.asked) == 1


@pytest.mark.parametrize("method", ["PRACK", "UPDATE", "INFO"])
def test_early_dialogs_pass_them_as_well(method: str) -> None:
    w = World()
    leg = Leg(w)
    leg.answer(183, more="Require: 100rel\r\nRSeq: 1\r\n")
    assert arrows(w(leg.from_pbx(method), UP)) == [f"down {method}"]
    assert arrows(w(leg.from_operator(method), DOWN)) == [f"up {method}"]


def test_a_reinvite_with_its_ack_ends_no_call_however_it_is_answered() -> None:
    w = World()
    leg = Leg(w).up()
    for status in (200, 488, 491):
        out = w(leg.from_pbx("INVITE"), UP)
        more = ["down ACK"] if status != 200 else []
        assert arrows(w(reply(out[-1][1], status), DOWN)) == [*more, f"up {status}"]
        w(leg.from_pbx("ACK", branch=f"ack{status}" if status == 200 else f"b1INVITE{leg.cseq}"), UP)
    assert w.ended == []
    leg.bye()
    w.rest()


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_an_ack_that_is_sent_again_leaves_as_the_same_octets(by: str) -> None:
    """No transaction stands for it, and who gets it knows it again by its branch (RFC 3261 16.11)."""
    w = World()
    leg = Leg(w).up()
    made, where, there = (leg.from_pbx, UP, DOWN) if by == "caller" else (leg.from_operator, DOWN, UP)
    out = w(made("INVITE"), where)
    w(reply(out[-1][1], 200), there)
    ack = made("ACK")
    sent = [w(data, where)[0][1].data for data in (ack, ack, ack.replace(b"z9hG4bK", b"z9hG4bKother", 1))]
    assert sent[0] == sent[1]
    top = [next(iter(parse(data).vias())).branch for data in sent]
    assert top[1] != top[2]


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_either_side_may_hang_up(by: str) -> None:
    w = World()
    leg = Leg(w).up()
    w.later(42)
    if by == "caller":
        leg.bye()
    else:
        out = w(leg.from_operator("BYE"), DOWN)
        assert arrows(out) == ["up BYE"]
        w.later(0.1)
        assert arrows(w(reply(out[0][1], 200), UP)) == ["down 200"]
    ended = w.ended[0][1]
    assert (ended.outcome, ended.talk_us, ended.final_status, ended.by) == ("answered", 42 * SECOND, 200, by)
    w.rest()


def test_both_hang_up_at_once() -> None:
    w = World()
    leg = Leg(w).up()
    a = w(leg.from_pbx("BYE"), UP)
    b = w(leg.from_operator("BYE"), DOWN)
    assert arrows(a + b) == ["down BYE", "up BYE"]
    w(reply(a[0][1], 481), DOWN)
    w(reply(b[0][1], 200), UP)
    assert len(w.ended) == 1
    w.rest()


def test_a_bye_that_wants_credentials_ends_nothing_yet_and_one_without_answer_does() -> None:
    w = World()
    leg = Leg(w).up()
    out = w(leg.from_pbx("BYE"), UP)
    w(reply(out[0][1], 407), DOWN)
    assert w.ended == []
    w.later(1)
    assert arrows(w(leg.from_pbx("BYE"), UP)) == ["down BYE"]
    out = w.later(40)
    assert set(arrows(out)) == {"down BYE"}, "silence is passed on as silence (RFC 4320 4.2)"
    assert [(e.outcome, e.talk_us) for _, e in w.ended] == [("answered", SECOND)]
    w.rest()


def test_a_call_of_which_nothing_is_heard_for_a_day_ends_where_it_was_last_heard() -> None:
    w = World()
    leg = Leg(w).up()
    w.later(3600)
    out = w(leg.from_operator("UPDATE"), DOWN)
    w(reply(out[0][1], 200), UP)
    w.later(SILENCE_WAIT / SECOND + 1)
    assert [(e.outcome, e.talk_us, e.by) for _, e in w.ended] == [("answered", 3600 * SECOND, "silence")]
    w.rest()


def test_what_is_repeated_after_the_end_keeps_its_way_and_a_setup_does_not() -> None:
    w = World()
    leg = Leg(w).up()
    leg.bye()
    assert arrows(w(leg.from_pbx("ACK", branch="late"), UP)) == ["down ACK"]
    assert arrows(w(leg.from_operator("INVITE"), DOWN)) == ["down 481"]
    assert arrows(w(leg.from_pbx("INVITE"), UP)) == ["up 481"]
    w.rest()


def test_dialogs_from_before_our_time_go_on_but_no_setup_passes_for_one() -> None:
    w = World()
    bye = request("BYE", "sip:127.0.0.3:5060", to_tag="old", call_id="old@pbx")
    assert arrows(w(bye, UP)) == ["down BYE"]
    from_there = request("BYE", "sip:127.0.0.2:5060", to_tag="old", call_id="old2@pbx", host="127.0.0.3")
    assert arrows(w(from_there, DOWN)) == ["up BYE"]
    assert arrows(w(request(to_tag="made-up", branch="b3"), UP)) == ["up 481"]
    assert w.asked == []


def test_the_operators_own_contact_is_followed_and_nobody_elses() -> None:
    """An operator's media server may have an address of its own; a caller cannot name one (no open relay)."""
    w = World()
    leg = Leg(w)
    leg.answer(200, contact="<sip:gw@198.51.100.77:5070>")
    w(leg.from_pbx("ACK", uri="sip:gw@198.51.100.77:5070"), UP)
    assert w.sent[-1][0].peer == ("198.51.100.77", 5070)
    w(leg.from_pbx("INFO", uri="sip:x@203.0.113.9"), UP)
    assert w.sent[-1][0] == DOWN
    w(leg.from_pbx("INFO", more="Route: <sip:127.0.0.1;lr>, <sip:203.0.113.9;lr>\r\n"), UP)
    assert w.sent[-1][0] == DOWN
    assert b"Route: <sip:203.0.113.9;lr>\r\n" in w.sent[-1][1]
    # From there it may speak to us within the call, though it is nobody that the configuration names.
    gateway = Flow("udp", ("127.0.0.1", 5060), ("198.51.100.77", 5070))
    assert arrows(w(leg.from_operator("BYE").replace(b"127.0.0.3:5060;br", b"198.51.100.77:5070;br"), gateway)) == [
        "up BYE"
    ]


def test_an_operator_cannot_send_us_anywhere_but_to_a_source() -> None:
    w = World()
    leg = Leg(w).up()
    w(leg.from_operator("INFO").replace(b"INFO sip:127.0.0.2:5060", b"INFO sip:x@203.0.113.9"), DOWN)
    assert w.sent[-1][0] == UP
    w(leg.from_operator("UPDATE").replace(b"UPDATE sip:127.0.0.2:5060", b"UPDATE sip:x@127.0.0.2:5099"), DOWN)
    assert w.sent[-1][0].peer == ("127.0.0.2", 5099)


def test_a_request_is_not_sent_back_to_the_side_that_it_came_from() -> None:
    w = World()
    leg = Leg(w).up()
    w(leg.from_pbx("INFO", uri="sip:200@127.0.0.2:5060"), UP)
    assert w.sent[-1][0] == DOWN
    w(leg.from_operator("INFO").replace(b"INFO sip:127.0.0.2:5060", b"INFO sip:x@127.0.0.3:5060"), DOWN)
    assert w.sent[-1][0] == UP


# ---- calls from the operator ----------------------------------------------------------------------------------------


def inbound(w: World, more: str = "", contact: str = "") -> bytes:
    data = request(
        uri="sip:+33145678901@127.0.0.1",
        caller="<sip:+33611223344@op>",
        call_id="in@op",
        host="127.0.0.3",
        more=more,
        contact=contact,
    )
    assert arrows(w(data, DOWN)) == ["down 100", "up INVITE"]
    return data


def test_a_call_from_the_operator_is_recorded_and_never_waits() -> None:
    w = World(answer=None)
    inbound(w)
    asked = w.asked[0]
    assert asked.passed
    assert (asked.call.direction, asked.call.trunk, asked.call.source) == ("inbound", "operator", "pbx")
    flow, data = w.sent[-1]
    invite = parse(data)
    assert flow == UP
    assert invite.uri == b"sip:+33145678901@127.0.0.2"
    assert b"Record-Route: <sip:127.0.0.1:5060;lr>" in data
    assert arrows(w(reply(invite, 180, contact="<sip:127.0.0.2:5060>"), UP)) == ["down 180"]
    assert arrows(w(reply(invite, 200, contact="<sip:127.0.0.2:5060>"), UP)) == ["down 200"]
    ack = request("ACK", "sip:127.0.0.2:5060", call_id="in@op", to_tag="z9", host="127.0.0.3", branch="a")
    assert arrows(w(ack, DOWN)) == ["up ACK"]
    w.decide(asked.ticket, ALLOW)
    w.later(9)
    bye = request("BYE", "sip:127.0.0.3:5060", call_id="in@op", tag="z9", to_tag="a1", branch="bye")
    out = w(bye, UP)
    assert arrows(out) == ["down BYE"]
    w(reply(out[0][1], 200), DOWN)
    assert [(e.outcome, e.talk_us, e.by) for _, e in w.ended] == [("answered", 9 * SECOND, "callee")]
    w.rest()


def test_the_called_side_cannot_name_an_address_of_its_own_to_reach() -> None:
    w = World()
    inbound(w, contact="<sip:198.51.100.77:5070>")
    invite = parse(w.sent[-1][1])
    w(reply(invite, 200, contact="<sip:203.0.113.9>"), UP)
    out_there = request("INFO", "sip:203.0.113.9", call_id="in@op", tag="z9", to_tag="a1", branch="i1")
    w(out_there, UP)
    assert w.sent[-1][0] == DOWN
    w(request("INFO", "sip:198.51.100.77:5070", call_id="in@op", tag="z9", to_tag="a1", branch="i2"), UP)
    assert w.sent[-1][0].peer == ("198.51.100.77", 5070)


def test_a_cancelled_call_from_the_operator() -> None:
    w = World()
    inbound(w)
    invite = parse(w.sent[-1][1])
    w(reply(invite, 180), UP)
    cancel = request("CANCEL", "sip:+33145678901@127.0.0.1", call_id="in@op", host="127.0.0.3")
    assert arrows(w(cancel, DOWN)) == ["down 200", "up CANCEL"]
    assert arrows(w(reply(invite, 487), UP)) == ["up ACK", "down 487"]
    assert [e.outcome for _, e in w.ended] == ["cancelled"]
    w.rest()
