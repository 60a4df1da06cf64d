"""The guard ends a call whose talk has reached its limit: BYE to both sides, which both can match to their dialog."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guard.model import Decision
from guard.proxy.effects import Flow
from guard.proxy.shapes import Hop
from guard.sip.message import Message
from tests.proxy.world import ALLOW, DOWN, OPERATOR, PBX, SECOND, UP, Leg, Out, World, arrows, reply, request

LIMIT = 60
CAPPED = Decision(verdict="allowed", max_talk_us=LIMIT * SECOND, talk_rule="dst.sva-cap")
MASKED = replace(CAPPED, verdict="masked", masked=True, masked_numbers=("+33899123456",), presented="+33145678900")
SECRET = '"Accueil" <sip:0899123456@127.0.0.2;user=phone>'


def byes(out: Out) -> tuple[Message, Message]:
    """The BYE to the operator and the one to the IPBX, of which each is there once."""
    assert sorted(arrows(out)) == ["down BYE", "up BYE"]
    found = dict(out)
    return found["down"], found["up"]


def agree(w: World, out: Out) -> None:
    """Both sides answer, and hear nothing more."""
    down, up = byes(out)
    assert arrows(w(reply(down, 200), DOWN)) == []
    assert arrows(w(reply(up, 200), UP)) == []


def over(w: World, talk: float = LIMIT) -> None:
    """The call ended once, by the guard, after that many seconds of talk."""
    assert [(e.outcome, e.by, e.final_status, e.talk_us) for _, e in w.ended] == [
        ("answered", "guard", 200, talk * SECOND)
    ]
    assert w.core.calls == 0


def value(m: Message, name: bytes) -> bytes:
    found = m.first(name)
    assert found is not None
    return found


# ---- when ----------------------------------------------------------------------------------------------------------


def test_it_ends_the_call_that_long_after_its_answer() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w)
    leg.answer(180)
    w.later(30)  # ringing is not talk
    leg.answer(200)
    w(leg.from_pbx("ACK"), UP)
    assert w.later(LIMIT - 0.001) == []
    out = w.later(0.001)
    agree(w, out)
    over(w)
    assert w.core.counters["hangups"] == 1
    assert w.core.counters["hangups_refused"] == 0
    w.rest()


def test_a_call_without_a_limit_goes_on() -> None:
    w = World(answer=ALLOW)
    Leg(w).up()
    assert w.later(3600) == []
    assert w.core.calls == 1


def test_who_hangs_up_before_is_let_do_so() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    w.later(LIMIT - 1)
    leg.bye()
    assert w.ended[0][1].by == "caller"
    assert [a for a in arrows(w.later(3600)) if "BYE" in a] == []
    assert w.core.counters["hangups"] == 0


def test_a_call_that_is_never_answered_is_not_ended() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w)
    leg.answer(180)
    assert [a for a in arrows(w.later(LIMIT + 1)) if "BYE" in a] == []
    leg.answer(486)
    assert w.ended[0][1].outcome == "failed"
    w.rest()


def test_an_emergency_call_is_never_ended() -> None:
    """Whatever anybody should decide of it, before or after it is on its way."""
    w = World(answer=None)
    leg = Leg(w, uri="sip:112@127.0.0.1")
    w.decide(w.asked[0].ticket, CAPPED)
    leg.up()
    assert w.later(3600) == []
    leg.bye()


@pytest.mark.parametrize("how", ["emergency", "inbound"])
def test_what_must_not_be_ended_is_not_watched_whoever_asks(how: str) -> None:
    w = World(answer=None)
    uri = "sip:112@127.0.0.1" if how == "emergency" else "sip:+33145678901@127.0.0.2"
    w(request(uri=uri, host="127.0.0.2" if how == "emergency" else "127.0.0.3"), UP if how == "emergency" else DOWN)
    call = w.core._c.calls.get(w.asked[0].ticket)
    (tx,) = w.core._c.layer.servers.values()
    assert call is not None
    assert tx.request is not None
    w.core._requests.hangup.watch(call, tx, tx.request, CAPPED)
    assert call.watch is None
    assert tx.limit is None


def test_an_answer_that_is_repeated_puts_nothing_off() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w)
    leg.answer(200)
    w.later(20)
    leg.answer(200)
    w(leg.from_pbx("ACK"), UP)
    agree(w, w.later(LIMIT - 20))
    over(w)


def test_a_call_from_the_operator_is_not_ended() -> None:
    w = World(answer=CAPPED)
    raw = request(uri="sip:+33145678901@127.0.0.2", host="127.0.0.3")
    out = w(raw, DOWN)
    w.decide(w.asked[0].ticket, CAPPED)
    w(reply(out[-1][1], 200, contact="<sip:127.0.0.2>"), UP)
    assert [a for a in arrows(w.later(3600)) if "BYE" in a] == []


def test_a_call_that_waited_for_its_decision_is_ended_as_well() -> None:
    w = World(answer=None)
    leg = Leg(w)
    leg.invite = w.decide(w.asked[0].ticket, CAPPED)[0][1]
    leg.up()
    agree(w, w.later(LIMIT))
    over(w)


# ---- who gets what -------------------------------------------------------------------------------------------------


def test_each_side_can_match_the_bye_to_its_dialog() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    down, up = byes(w.later(LIMIT))
    assert value(down, b"call-id") == value(up, b"call-id") == b"c1@pbx"
    assert (down.from_().tag, down.to().tag) == (b"a1", b"z9")
    assert (up.from_().tag, up.to().tag) == (b"z9", b"a1")
    assert value(down, b"from") == value(leg.invite, b"from")
    assert value(down, b"to") == value(leg.invite, b"to") + b";tag=z9"
    assert value(up, b"to") == b"<sip:+33145678901@127.0.0.2>;tag=a1"
    assert value(up, b"from") == b"<sip:+33145670001@127.0.0.1>;tag=z9"
    assert down.uri == b"sip:127.0.0.3:5060"  # the callee's Contact
    assert up.uri == b"sip:127.0.0.2:5060"  # the caller's
    assert down.cseq() == (2, b"BYE")  # the INVITE had 1
    assert up.cseq() == (1, b"BYE")
    for m in (down, up):
        assert m.max_forwards() == 70
        assert m.content_length() == 0
        assert len(m.vias()) == 1
        assert m.vias()[0].host == "127.0.0.1"
        assert m.count(b"route") == 0
    flows = dict(w.sent[-2:])
    assert set(flows) == {DOWN, UP}
    assert down.via().branch != up.via().branch


def test_the_reason_names_the_rule_and_the_record() -> None:
    w = World(answer=CAPPED)
    Leg(w).up()
    for m in byes(w.later(LIMIT)):
        reasons = m.all(b"reason")
        assert reasons == [b'SIP;cause=480;text="dst.sva-cap #1"', b'Q.850;cause=16;text="Normal call clearing"']
        assert all(len(r) < 128 for r in reasons)


def test_the_reason_of_a_call_without_a_record_names_the_rule() -> None:
    w = World(answer=None)
    leg = Leg(w)
    w.core.decided(w.asked[0].ticket, CAPPED, 0, w.now)
    w.drain()
    leg.invite = w.shown(0)[-1][1]
    leg.up()
    assert byes(w.later(LIMIT))[0].all(b"reason")[0] == b'SIP;cause=480;text="dst.sva-cap"'


def test_a_request_before_the_answer_counts_as_well() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w)
    leg.answer(183, more="Require: 100rel\r\nRSeq: 1\r\n")
    w(reply(w(leg.from_pbx("PRACK"), UP)[0][1], 200), DOWN)
    leg.answer(200)
    w(leg.from_pbx("ACK", branch="ack"), UP)
    assert byes(w.later(LIMIT))[0].cseq() == (3, b"BYE")


def test_the_numbers_are_above_the_last_of_each_direction() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w)
    leg.answer(183, more="Require: 100rel\r\nRSeq: 1\r\n")
    w(reply(w(leg.from_pbx("PRACK"), UP)[0][1], 200), DOWN)  # 2, before the answer
    leg.answer(200)
    w(leg.from_pbx("ACK", branch="ack"), UP)
    for cseq in (8, 7):  # out of order
        w(reply(w(leg.from_operator("INFO", cseq=cseq), DOWN)[0][1], 200), UP)
    for _ in range(3):
        w(reply(w(leg.from_pbx("INFO"), UP)[0][1], 200), DOWN)
    down, up = byes(w.later(LIMIT))
    assert down.cseq() == (leg.cseq + 1, b"BYE") == (6, b"BYE")
    assert up.cseq() == (9, b"BYE")


def test_the_highest_number_there_is_is_not_passed() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    leg.cseq = 2**31 - 2
    w(reply(w(leg.from_pbx("INFO"), UP)[0][1], 200), DOWN)
    down, _ = byes(w.later(LIMIT))
    assert down.cseq() == (2**31 - 1, b"BYE")


def test_a_masked_call_is_ended_as_each_side_knows_it() -> None:
    w = World(answer=MASKED)
    leg = Leg(w, caller=SECRET).up()
    down, up = byes(w.later(LIMIT))
    assert b"899123456" not in down.data
    assert value(down, b"from") == value(leg.invite, b"from")
    assert value(up, b"to") == SECRET.encode() + b";tag=a1"
    agree(w, [("down", down), ("up", up)])
    over(w)


def test_it_goes_the_way_of_the_dialog() -> None:
    """Proxies on either side want to see it: those before us are in the INVITE, those behind us in its answer."""
    w = World(answer=CAPPED)
    ours = "<sip:127.0.0.1:5060;lr>"  # it was here before
    leg = Leg(w, more=f"Record-Route: <sip:127.0.0.2:5070;lr>\r\nRecord-Route: <sip:127.0.0.2:5071;lr>,{ours}\r\n")
    theirs = "Record-Route: <sip:127.0.0.3:5081;lr>,<sip:127.0.0.3:5080;lr;x=1>\r\n"
    plain = reply(leg.invite, 200, contact="<sip:callee@10.9.9.9:5099;ob>")
    first = plain.index(b"Record-Route: ")
    w(plain[:first] + theirs.encode() + plain[first:], DOWN)
    down, up = byes(w.later(LIMIT))
    assert down.uri == b"sip:callee@10.9.9.9:5099;ob"
    assert down.all(b"route") == [b"<sip:127.0.0.3:5080;lr;x=1>", b"<sip:127.0.0.3:5081;lr>"]
    assert up.all(b"route") == [b"<sip:127.0.0.2:5070;lr>", b"<sip:127.0.0.2:5071;lr>"]
    ways = {f.peer for f, d in w.sent[-2:]}
    assert ways == {("127.0.0.3", 5080), ("127.0.0.2", 5070)}


def test_a_strict_router_gets_the_request_uri_that_it_wants() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w)
    plain = reply(leg.invite, 200)
    first = plain.index(b"Record-Route: ")
    w(plain[:first] + b"Record-Route: <sip:127.0.0.3:5081;lr>,<sip:127.0.0.3:5080>\r\n" + plain[first:], DOWN)
    down, _ = byes(w.later(LIMIT))
    assert down.uri == b"sip:127.0.0.3:5080"
    assert down.all(b"route") == [b"<sip:127.0.0.3:5081;lr>", b"<sip:127.0.0.3:5060>"]
    assert ("127.0.0.3", 5080) in {f.peer for f, _ in w.sent[-2:]}  # to the strict router itself (RFC 3261 8.1.2)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_it_finds_a_party_that_has_moved(method: str) -> None:
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    w(reply(w(leg.from_pbx(method), UP)[-1][1], 200, contact="<sip:new@127.0.0.3:5090>"), DOWN)
    raw = leg.from_operator(method).replace(b"Contact: <sip:127.0.0.3:5060>", b"Contact: <sip:newer@127.0.0.3:5091>")
    w(reply(w(raw, DOWN)[-1][1], 200, contact="<sip:moved@127.0.0.2:5092>"), UP)
    down, up = byes([o for o in w.later(LIMIT) if o[1].method == b"BYE"])
    assert down.uri == b"sip:newer@127.0.0.3:5091"
    assert up.uri == b"sip:moved@127.0.0.2:5092"


def test_a_move_that_was_refused_is_none_nor_is_the_contact_of_anything_else() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    w(reply(w(leg.from_pbx("INFO"), UP)[-1][1], 200, contact="<sip:new@127.0.0.3:5090>"), DOWN)
    w(reply(w(leg.from_pbx("INVITE"), UP)[-1][1], 488, contact="<sip:new@127.0.0.3:5090>"), DOWN)
    down, _ = byes([o for o in w.later(LIMIT) if o[1].method == b"BYE"])
    assert down.uri == b"sip:127.0.0.3:5060"


def test_a_party_without_a_contact_is_where_its_messages_come_from() -> None:
    w = World(answer=CAPPED)
    out = w(request().replace(b"Contact: <sip:127.0.0.2:5060>\r\n", b""), UP)
    w(reply(out[-1][1], 200).replace(b"Contact: <sip:127.0.0.3:5060>\r\n", b""), DOWN)
    down, up = byes(w.later(LIMIT))
    assert (down.uri, up.uri) == (b"sip:127.0.0.3:5060", b"sip:127.0.0.2:5060")


def test_over_a_stream_it_takes_the_connection_of_the_call() -> None:
    up = Flow("tcp", ("127.0.0.1", 5060), ("127.0.0.2", 40000), 7)
    w = World(answer=CAPPED, hop=Hop("tcp", *OPERATOR))
    out = w(request(transport="TCP", contact="<sip:127.0.0.2:5060;transport=tcp>"), up)
    down = w.sent[-1][0]
    w(reply(out[-1][1], 200, contact="<sip:127.0.0.3:5060;transport=tcp>"), down)
    w.later(LIMIT)
    flows = [(f, d.split(b"\r\n")[1]) for f, d in w.sent[-2:]]
    assert {f for f, _ in flows} == {up, down}
    assert all(via.startswith(b"Via: SIP/2.0/TCP 127.0.0.1:5060;") for _, via in flows)


# ---- what comes of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statuses", [(200, 200), (200, 481), (481, 408), (487, 200)])
def test_any_final_answer_ends_it(statuses: tuple[int, int]) -> None:
    w = World(answer=CAPPED)
    Leg(w).up()
    down, up = byes(w.later(LIMIT))
    assert w(reply(down, 100), DOWN) == []
    assert w(reply(down, statuses[0]), DOWN) == []
    assert w.ended == []  # the other side is still there
    assert w(reply(up, statuses[1]), UP) == []
    over(w)
    assert w.core.counters["hangups_refused"] == (487 in statuses)


def test_answers_that_are_repeated_say_nothing_new() -> None:
    w = World(answer=CAPPED)
    Leg(w).up()
    out = w.later(LIMIT)
    agree(w, out)
    agree(w, out)
    over(w)


def test_a_bye_that_is_lost_is_repeated_and_a_dead_side_does_not_keep_the_call() -> None:
    w = World(answer=CAPPED)
    Leg(w).up()
    down, _ = byes(w.later(LIMIT))
    w(reply(down, 200), DOWN)
    again = w.later(31.9)
    assert set(arrows(again)) == {"up BYE"}
    assert len(again) == 10  # timers E and F (RFC 3261 17.1.2.2)
    assert w.ended == []
    w.later(0.2)
    over(w)
    w.rest()


def test_a_side_that_cannot_be_reached_does_not_keep_the_call() -> None:
    w = World(answer=CAPPED)
    Leg(w).up()
    down, _ = byes(w.later(LIMIT))
    assert w.unreachable() == []
    w(reply(down, 200), DOWN)
    over(w)
    assert w.core.counters["hangups_refused"] == 1


def test_a_challenge_is_counted_since_the_guard_has_no_password() -> None:
    w = World(answer=CAPPED)
    Leg(w).up()
    down, up = byes(w.later(LIMIT))
    w(reply(down, 407), DOWN)
    w(reply(up, 200), UP)
    over(w)
    assert w.core.counters["hangups_refused"] == 1


@pytest.mark.parametrize("by_caller", [True, False])
def test_a_bye_that_crosses_is_answered_here(by_caller: bool) -> None:
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    out = w.later(LIMIT)
    raw, flow, side = (leg.from_pbx("BYE"), UP, "up") if by_caller else (leg.from_operator("BYE"), DOWN, "down")
    assert arrows(w(raw, flow)) == [f"{side} 200"]
    assert arrows(w(raw, flow)) == [f"{side} 200"]  # repeated
    agree(w, out)
    over(w)
    again = raw.replace(b"branch=z9hG4bK", b"branch=z9hG4bKx")
    assert arrows(w(again, flow)) == [f"{side} 200"], "late as well"
    w.rest()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "REFER"])
@pytest.mark.parametrize("by_caller", [True, False])
def test_nothing_else_passes_any_more(method: str, by_caller: bool) -> None:
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    out = w.later(LIMIT)
    raw, flow, side = (leg.from_pbx(method), UP, "up") if by_caller else (leg.from_operator(method), DOWN, "down")
    assert arrows(w(raw, flow)) == [f"{side} 481"]
    agree(w, out)
    over(w)


def test_what_is_repeated_of_the_set_up_has_its_way() -> None:
    """The callee repeats its 200 until it has the ACK, also when the guard has said BYE meanwhile."""
    w = World(answer=replace(CAPPED, max_talk_us=SECOND))
    leg = Leg(w)
    leg.answer(200)
    w.later(1)
    assert arrows(leg.answer(200)) == ["up 200"]
    assert arrows(w(leg.from_pbx("ACK"), UP)) == ["down ACK"]


def test_a_party_that_hangs_up_at_that_moment_is_let_do_so() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    w.later(LIMIT - 1)
    out = w(leg.from_pbx("BYE"), UP)
    assert [a for a in arrows(w.later(2)) if a.startswith("up")] == []
    w(reply(out[0][1], 200), DOWN)
    assert w.ended[0][1].by == "caller"
    w.rest()


def test_a_bye_that_was_refused_does_not_lift_the_limit() -> None:
    """A hacked IPBX could say BYE with a password that is none, and talk on."""
    w = World(answer=CAPPED)
    leg = Leg(w).up()
    w.later(LIMIT - 1)
    w(reply(w(leg.from_pbx("BYE"), UP)[0][1], 407), DOWN)
    assert w.later(31) == []
    agree(w, w.later(1))
    over(w, talk=LIMIT + 31)


# ---- forks and other targets ---------------------------------------------------------------------------------------


def test_each_answered_fork_is_ended_in_its_time() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w)
    leg.answer(200, to_tag="x")
    w.later(10)
    leg.answer(200, to_tag="y")
    first = w.later(LIMIT - 10)
    assert {m.to().tag if side == "down" else m.from_().tag for side, m in first} == {b"x"}
    agree(w, first)
    assert w.ended == []
    second = w.later(10)
    assert {m.to().tag if side == "down" else m.from_().tag for side, m in second} == {b"y"}
    agree(w, second)
    over(w, talk=LIMIT + 10)


def test_an_ended_fork_is_not_ended_again() -> None:
    w = World(answer=CAPPED)
    leg = Leg(w)
    leg.answer(200, to_tag="x")
    w.later(10)
    leg.answer(200, to_tag="y")
    w.later(LIMIT)
    sent = {m.via().branch for side, m in w.shown(0) if side == "down" and m.method == b"BYE"}
    assert len(sent) == 2
    assert w.core.counters["hangups"] == 2


def test_of_two_targets_only_the_limited_one_is_ended() -> None:
    w = World(answer=CAPPED)
    first = Leg(w)
    w.answer = ALLOW
    second = Leg(w, branch="b2", uri="sip:+33145670002@127.0.0.1")
    first.answer(200, to_tag="x")
    second.answer(200, to_tag="y")
    out = w.later(LIMIT)
    assert {m.to().tag if side == "down" else m.from_().tag for side, m in out} == {b"x"}
    agree(w, out)
    assert w.ended == []
    assert w.later(3600) == []
    assert arrows(w(second.from_pbx("BYE", to_tag="y"), UP)) == ["down BYE"]


def test_a_target_that_came_later_has_the_limit_of_its_own_decision() -> None:
    w = World(answer=ALLOW)
    first = Leg(w)
    w.answer = replace(CAPPED, max_talk_us=5 * SECOND)
    second = Leg(w, branch="b2", uri="sip:+33892681234@127.0.0.1")
    first.answer(486)
    w(first.from_pbx("ACK", branch="b1"), UP)
    second.answer(200)
    down, _ = byes(w.later(5))
    assert down.all(b"reason")[0] == b'SIP;cause=480;text="dst.sva-cap #1"'  # the record of the attempt


def test_the_peers_are_where_the_tests_think() -> None:
    assert (UP.peer, DOWN.peer) == (PBX, OPERATOR)
