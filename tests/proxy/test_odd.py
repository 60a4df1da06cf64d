"""Odd but real: what IPBXs and operators do beside plain calls, message by message through the core."""

from __future__ import annotations

import pytest

from guard.numbering.number import EMERGENCY
from guard.proxy.effects import Flow
from guard.proxy.large import LONGEST_UDP
from guard.proxy.shapes import Hop, Trunk
from guard.sip.message import Message, parse
from tests.proxy.test_masking import MASK, SECRET, SHOWN, clean
from tests.proxy.world import ALLOW, DOWN, GUARD, OPERATOR, PBX, UP, Leg, Out, World, arrows, reply, request

MASKED = f"<sip:{SECRET}@127.0.0.2>"
ROUTE = "Route: <sip:127.0.0.1:5060;lr>\r\n"
RINGS = "Require: 100rel\r\nRSeq: 1\r\n"
HOLD = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=sendonly\r\n"
FAX = "v=0\r\no=- 1 3 IN IP4 127.0.0.2\r\ns=-\r\nt=0 0\r\nm=image 4000 udptl t38\r\na=T38FaxVersion:0\r\n"


def sent(out: Out, what: str) -> Message:
    """The one message of these that is it: `down UPDATE`."""
    (found,) = [m for (side, m), shown in zip(out, arrows(out), strict=True) if shown == what]
    return found


# ---- early media, and what is said before the answer -----------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_early_media_with_prack_and_update(masked: bool) -> None:
    """RFC 3262, RFC 3311: reliable 183, PRACK, UPDATE both ways, then the answer; ring and talk are told apart."""
    w = World(answer=MASK if masked else ALLOW)
    leg = Leg(w, caller=MASKED, more="Supported: 100rel\r\n")
    assert arrows(leg.answer(183, more=RINGS)) == ["up 183"]
    prack = w(leg.from_pbx("PRACK", more=ROUTE + "RAck: 1 1 INVITE\r\n"), UP)
    assert sent(prack, "down PRACK").first(b"rack") == b"1 1 INVITE"
    assert arrows(w(reply(prack[0][1], 200), DOWN)) == ["up 200"]
    w.later(2)
    update = w(leg.from_pbx("UPDATE"), UP)
    assert arrows(w(reply(update[0][1], 200), DOWN)) == ["up 200"]
    theirs = w(leg.from_operator("UPDATE"), DOWN)
    assert sent(theirs, "up UPDATE").to().address.rstrip() == MASKED.encode()
    back = w(reply(theirs[0][1], 200, contact="<sip:127.0.0.2:5060>"), UP)
    w.later(1)
    assert arrows(leg.answer(200)) == ["up 200"]
    w(leg.from_pbx("ACK"), UP)
    if masked:
        assert all(clean(m) for side, m in (*prack, *update, *back) if side == "down")
    w.later(5)
    leg.bye()
    ((_, ended),) = w.ended
    assert (ended.ring_us, ended.talk_us) == (3_000_000, 5_000_000)
    assert len(w.asked) == 1
    w.rest()


def test_early_media_of_two_phones_that_ring_at_once() -> None:
    """Forking at the operator: two early dialogs, PRACK in each, one answers."""
    w = World()
    leg = Leg(w)
    for tag in ("one", "two"):
        leg.answer(183, to_tag=tag, more=RINGS)
        out = w(leg.from_pbx("PRACK", to_tag=tag, branch=f"p{tag}", more=ROUTE + "RAck: 1 1 INVITE\r\n"), UP)
        assert sent(out, "down PRACK").to().tag == tag.encode()
        w(reply(out[0][1], 200), DOWN)
    leg.answer(200, to_tag="two")
    w(leg.from_pbx("ACK", to_tag="two"), UP)
    out = w(leg.from_pbx("BYE", to_tag="two"), UP)
    w(reply(out[0][1], 200), DOWN)
    assert [e.outcome for _, e in w.ended] == ["answered"]
    w.rest()


def test_two_phones_answer_at_once_and_each_is_acknowledged_and_hung_up() -> None:
    """Both 200s reach the caller (RFC 3261 13.2.2.4): it talks to one and hangs the other up. One record."""
    w = World()
    leg = Leg(w)
    gw = {"one": "<sip:gw1@127.0.0.3:5060>", "two": "<sip:gw2@127.0.0.3:5060>"}
    for tag, contact in gw.items():
        assert arrows(leg.answer(200, to_tag=tag, contact=contact)) == ["up 200"]
        uri = contact.strip("<>")
        out = w(leg.from_pbx("ACK", to_tag=tag, branch=f"ack{tag}", uri=uri), UP)
        assert sent(out, "down ACK").uri == uri.encode()
    w.later(1)
    out = w(leg.from_pbx("BYE", to_tag="one", uri="sip:gw1@127.0.0.3:5060"), UP)
    assert sent(out, "down BYE").to().tag == b"one"
    w(reply(out[0][1], 200), DOWN)
    assert w.ended == []
    w.later(9)
    out = w(leg.from_operator("BYE", to_tag="two"), DOWN)
    assert arrows(w(reply(sent(out, "up BYE"), 200), UP)) == ["down 200"]
    assert [(e.outcome, e.talk_us, e.by) for _, e in w.ended] == [("answered", 10_000_000, "callee")]
    assert len(w.asked) == 1
    w.rest()


# ---- within a call ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [HOLD, FAX])
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_hold_and_fax_change_a_call_and_its_body_passes_untouched(who: str, body: str) -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=MASKED).up()
    plain = leg.from_pbx("INVITE") if who == "caller" else leg.from_operator("INVITE")
    raw = plain.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\r\n\r\n%s" % (len(body), body.encode()))
    out = w(raw, UP if who == "caller" else DOWN)
    side = "down" if who == "caller" else "up"
    again = sent(out, f"{side} INVITE")
    assert again.body() == body.encode()
    if who == "caller":
        assert clean(again)
        assert arrows(w(reply(again, 488), DOWN)) == ["down ACK", "up 488"]  # and is refused: the call goes on
    else:
        assert again.to().address.rstrip() == MASKED.encode()
        back = w(reply(again, 200, contact="<sip:127.0.0.2:5060>"), UP)
        assert clean(sent(back, "down 200"))
    assert (len(w.asked), w.core.calls, w.ended) == (1, 1, [])


def test_glare() -> None:
    """Both change the call at once (RFC 3261 14.1): each hears 491, waits, and one of them says it again."""
    w = World(answer=MASK)
    leg = Leg(w, caller=MASKED).up()
    ours = sent(w(leg.from_pbx("INVITE", branch="glare"), UP), "down INVITE")
    theirs = sent(w(leg.from_operator("INVITE"), DOWN), "up INVITE")
    assert arrows(w(reply(ours, 491), DOWN)) == ["down ACK", "up 491"]
    out = w(reply(theirs, 491, contact="<sip:127.0.0.2:5060>"), UP)
    assert arrows(out) == ["up ACK", "down 491"]
    assert clean(sent(out, "down 491"))
    ack = request(
        "ACK", leg.invite.routes(b"contact")[0].uri.decode(), to_tag="z9", call_id="c1@pbx", branch="glare", cseq=2
    )
    assert w(ack, UP) == []  # hop by hop
    w.later(2.5)
    again = sent(w(leg.from_pbx("INVITE", branch="after"), UP), "down INVITE")
    w(reply(again, 200), DOWN)
    assert arrows(w(leg.from_pbx("ACK", branch="after-ack"), UP)) == ["down ACK"]
    leg.bye()
    assert [e.outcome for _, e in w.ended] == ["answered"]
    assert len(w.asked) == 1
    w.rest()


REPLACES = "c9%40op%3Bto-tag%3Dx%3Bfrom-tag%3Dy"


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_transfer_with_replaces(who: str) -> None:
    """RFC 3515, RFC 3891: REFER in the dialog, 202, NOTIFY back; Refer-To passes as it is."""
    w = World()
    leg = Leg(w).up()
    refer = f"Refer-To: <sip:+33145670002@127.0.0.3?Replaces={REPLACES}>\r\nReferred-By: <sip:a@127.0.0.2>\r\n"
    if who == "caller":
        out = w(leg.from_pbx("REFER", more=ROUTE + refer), UP)
        first, second, flow, back = "down REFER", "up NOTIFY", DOWN, UP
    else:
        out = w(leg.from_operator("REFER", more=refer), DOWN)
        first, second, flow, back = "up REFER", "down NOTIFY", UP, DOWN
    there = sent(out, first)
    assert there.first(b"refer-to") == f"<sip:+33145670002@127.0.0.3?Replaces={REPLACES}>".encode()
    assert len(w(reply(there, 202), flow)) == 1
    told = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n"
    notify = (
        leg.from_operator("NOTIFY", cseq=7, more=told) if who == "caller" else leg.from_pbx("NOTIFY", more=ROUTE + told)
    )
    note = sent(w(notify, flow), second)
    assert note.first(b"event") == b"refer"
    assert len(w(reply(note, 200), back)) == 1
    assert w.core.calls == 1


def test_an_invite_that_replaces_another_call_is_a_call_of_its_own() -> None:
    """The header names a dialog by its Call-ID and tags, which the guard leaves as they are on both sides."""
    w = World()
    Leg(w).up()
    replaces = "Replaces: c1@pbx;to-tag=z9;from-tag=a1\r\nRequire: replaces\r\n"
    leg = Leg(w, call_id="c2@pbx", branch="b2", more=replaces)
    assert leg.invite.first(b"replaces") == b"c1@pbx;to-tag=z9;from-tag=a1"
    assert len(w.asked) == 2


@pytest.mark.parametrize("method", ["INFO", "MESSAGE", "NOTIFY", "PUBLISH", "FOO"])
def test_whatever_is_said_within_a_masked_call_is_masked(method: str) -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=MASKED).up()
    down = sent(w(leg.from_pbx(method), UP), f"down {method}")
    assert clean(down)
    assert SHOWN.encode() in down.from_().uri
    assert arrows(w(reply(down, 200), DOWN)) == ["up 200"]
    up = sent(w(leg.from_operator(method), DOWN), f"up {method}")
    assert up.to().address.rstrip() == MASKED.encode()


def test_a_reinvite_with_other_identities_stays_masked() -> None:
    """An IPBX asserts its number only when it changes the call: it is hidden then as well."""
    w = World(answer=MASK)
    leg = Leg(w, caller=MASKED).up()
    more = (
        f"{ROUTE}P-Asserted-Identity: <sip:{SECRET}@127.0.0.2>\r\nRemote-Party-ID: <sip:0899123456@h>;party=calling\r\n"
    )
    again = sent(w(leg.from_pbx("INVITE", more=more), UP), "down INVITE")
    assert clean(again)
    assert again.count(b"p-asserted-identity") == 1


# ---- identifiers that come again -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["a1", "a2"])
def test_a_call_id_may_be_used_again_once_the_call_is_over(tag: str) -> None:
    w = World()
    Leg(w).up().bye()
    w.later(1)
    w(request(branch="again", cseq=9, tag=tag), UP)
    assert [a.call.call_id for a in w.asked] == ["c1@pbx", "c1@pbx"]
    assert not w.asked[1].again
    assert w.core.calls == 1


def test_a_call_id_that_is_used_twice_at_once_is_two_calls() -> None:
    """Different From tags: two calls, apart in all, also where the tag of the operator is the same."""
    w = World()
    first = Leg(w).up()
    raw = request(branch="second", tag="a2")
    second = sent(w(raw, UP), "down INVITE")
    w(reply(second, 200), DOWN)
    assert (len(w.asked), w.core.calls) == (2, 2)
    w.later(3)
    first.bye()
    assert [t for t, _ in w.ended] == [w.asked[0].ticket]
    out = w(request("BYE", "sip:127.0.0.3:5060", tag="a2", to_tag="z9", branch="bye2", cseq=2, more=ROUTE), UP)
    w(reply(out[0][1], 200), DOWN)
    assert [t for t, _ in w.ended] == [a.ticket for a in w.asked]
    w.rest()


def test_the_same_identifiers_while_the_call_is_up_are_another_attempt() -> None:
    w = World()
    Leg(w).up()
    w(request(branch="b2", cseq=2), UP)
    assert [a.again for a in w.asked] == [False, False]
    assert w.core.calls == 2


# ---- where a redirection leads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302, 305, 380])
@pytest.mark.parametrize(
    "target", ["sip:+33145670002@203.0.113.9", "sip:+33145670002@pirate.example:5070;transport=tcp", "tel:+33145670002"]
)
def test_a_redirection_passes_and_its_target_is_called_over_the_trunk_only(status: int, target: str) -> None:
    w = World()
    leg = Leg(w)
    out = leg.answer(status, contact=f"<{target}>")
    assert arrows(out) == ["down ACK", f"up {status}"]
    assert sent(out, f"up {status}").routes(b"contact")[0].uri == target.encode()
    before = len(w.sent)
    again = w(request(uri=target, branch="again", cseq=2), UP)
    assert sent(again, "down INVITE").uri == target.encode()
    assert {f.peer for f, _ in w.sent[before:]} <= {PBX, OPERATOR}
    assert [a.again for a in w.asked] == [False, True]  # judged, and the same call


# ---- long messages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1_301, 4_096, 60_000, LONGEST_UDP])
def test_long_messages_go_as_they_came(length: int) -> None:
    """The operator's hop is configured for UDP: the kernel makes fragments (RFC 3261 18.1.1 would rather have TCP)."""
    w = World()
    raw = b"".join((request()[: -len(b"Content-Length: 0\r\n\r\n")], b"Content-Length: "))
    body = b"x" * (length - len(raw) - 5 - 4)
    raw += b"%05d\r\n\r\n" % len(body) + body
    assert len(raw) == length
    out = w(raw, UP)
    assert sent(out, "down INVITE").body() == body
    assert len(w.sent[-1][1]) <= 65_507


def test_what_fits_no_datagram_takes_another_hop_or_is_told() -> None:
    """It came over a stream. No hop is blamed for it: others' calls go on over it."""
    stream = Flow("tcp", GUARD, (PBX[0], 40404), 7)
    raw = request(body="x" * LONGEST_UDP, transport="TCP")
    w = World()
    assert arrows(w(raw, stream)) == ["up 100", "up 513"]
    assert [(e.outcome, e.final_status, e.by) for _, e in w.ended] == [("failed", 513, "guard")]
    assert w.turned == []
    assert w.core.conditions(w.now)[0].up
    hops = (Hop("udp", *OPERATOR), Hop("tcp", "127.0.0.4", 5060))
    w = World(trunks=(Trunk(name="operator", hops=hops),))
    w(raw, stream)
    flow, data = w.sent[-1]
    assert (flow.transport, flow.peer[0]) == ("tcp", "127.0.0.4")
    assert parse(data, stream=True).body() == b"x" * LONGEST_UDP


# ---- how numbers are written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "sip:+33145670001;user=phone@127.0.0.1",
        "sip:+33145670001;user=phone@127.0.0.1;user=phone",
        "sip:+33145670001@127.0.0.1:5060;user=phone;transport=udp",
        "sip:0145670001;phone-context=+33@127.0.0.1;user=phone",
        "sip:+33145670001;npdi;rn=+33900000@127.0.0.1",
        "sip:%2B33145670001%3Buser=phone@127.0.0.1",
        "sip:+33-1-45-67-00-01:pass@127.0.0.1",
    ],
)
def test_a_number_with_parameters_in_the_user_part_is_that_number(uri: str) -> None:
    w = World()
    out = w(request(uri=uri), UP)
    assert w.asked[0].call.callee.value == "+33145670001"
    assert w.asked[0].call.callee.kind == "e164"
    assert sent(out, "down INVITE").uri.rpartition(b"@")[0] == uri.rpartition("@")[0].encode()


def test_a_caller_with_parameters_in_the_user_part_is_that_number() -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=f"<sip:{SECRET};user=phone@127.0.0.2>")
    assert w.asked[0].call.caller.value == SECRET
    assert clean(leg.invite)


@pytest.mark.parametrize("number", EMERGENCY)
def test_an_emergency_number_with_parameters_is_one(number: str) -> None:
    w = World(answer=None)
    out = w(request(uri=f"sip:{number};user=phone@127.0.0.1;user=phone"), UP)
    assert arrows(out) == ["up 100", "down INVITE"]
    assert w.asked[0].passed
