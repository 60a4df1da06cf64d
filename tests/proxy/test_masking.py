"""Caller masking: what the operator sees of a masked call, and that the IPBX never notices."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guard.model import Decision
from guard.sip.message import Message, parse
from tests.proxy.world import ALLOW, BLOCK, DOWN, UP, Leg, World, arrows, reply, request

SECRET = "+33899123456"
SHOWN = "+33145678900"
MASK = Decision(verdict="masked", masked=True, masked_numbers=(SECRET,), presented=SHOWN)
HIDDEN = replace(MASK, presented="")  # no mask_caller: anonymous

# Every form in which an IPBX may write its number; all of them are the masked one.
CALLERS = [
    "<sip:+33899123456@127.0.0.2>",
    '"Accueil \\"A\\", caf\u00e9" <sip:0899123456@127.0.0.2;user=phone>',
    "Accueil <sip:33899123456@127.0.0.2:5060>",
    "sip:0033899123456@127.0.0.2",
    "<sip:0899-12-34-56;phone-context=+33@127.0.0.2>",
    "<tel:+33-899-123-456>",
    "<tel:0899123456;phone-context=+33>",
    '"x"  <SIP:%2B33899123456@pbx.example>',
]
VARIANTS = {"number": MASK, "anonymous": HIDDEN}


def clean(m: Message) -> bool:
    """Whether no form of the masked number is in the message."""
    plain = m.data.replace(b"-", b"")
    return b"899123456" not in plain


def sender_line(raw: bytes) -> bytes:
    return next(line for line in raw.split(b"\r\n") if line.startswith(b"From: "))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("caller", CALLERS)
def test_from_is_masked_and_every_answer_has_it_back_byte_for_byte(caller: str, variant: str) -> None:
    w = World(answer=VARIANTS[variant])
    leg = Leg(w, caller=caller)
    seen = leg.invite.from_()
    assert clean(leg.invite), leg.invite.data
    assert seen.tag == b"a1"
    if variant == "number":
        assert SHOWN.encode() in seen.uri
        assert leg.invite.count(b"privacy") == 0
    else:
        assert seen.uri == b"sip:anonymous@anonymous.invalid"
        assert leg.invite.all(b"privacy") == [b"id"]
    for status in (180, 183, 200, 200):
        out = leg.answer(status)
        assert sender_line(out[0][1].data) == sender_line(leg.raw), "as it was, byte for byte"
    w(leg.from_pbx("ACK"), UP)
    assert clean(w.shown(len(w.sent) - 1)[0][1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_refusals_on_the_way_have_it_back_and_our_own_ack_and_cancel_do_not(variant: str) -> None:
    w = World(answer=VARIANTS[variant])
    leg = Leg(w, caller=CALLERS[1])
    leg.answer(180)
    out = w(leg.cancel(), UP)
    assert arrows(out) == ["up 200", "down CANCEL"]
    assert sender_line(out[0][1].data) == sender_line(leg.raw)
    assert clean(out[1][1])
    assert out[1][1].first(b"from") == leg.invite.first(b"from")
    out = leg.answer(487)
    assert arrows(out) == ["down ACK", "up 487"]
    assert clean(out[0][1])
    assert sender_line(out[1][1].data) == sender_line(leg.raw)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("method", ["ACK", "PRACK", "UPDATE", "INFO", "INVITE", "REFER", "BYE"])
def test_requests_of_the_caller_are_masked_all_dialog_long(method: str, variant: str) -> None:
    w = World(answer=VARIANTS[variant])
    leg = Leg(w, caller=CALLERS[1]).up()
    raw = leg.from_pbx(method, branch="m", more=f"P-Asserted-Identity: <sip:{SECRET}@127.0.0.2>\r\n")
    sent = w(raw, UP)[-1][1]
    assert clean(sent)
    assert sent.first(b"from") == leg.invite.first(b"from")
    if method != "ACK":
        out = w(reply(sent, 200), DOWN)
        assert sender_line(out[-1][1].data) == sender_line(raw)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "PRACK", "NOTIFY", "BYE"])
def test_requests_of_the_operator_reach_the_caller_under_its_own_number(method: str, variant: str) -> None:
    w = World(answer=VARIANTS[variant])
    leg = Leg(w, caller=CALLERS[1]).up()
    out = w(leg.from_operator(method), DOWN)
    sent = out[-1][1]
    original = leg.caller.encode()
    assert b"\r\nTo: " + original + b";tag=a1\r\n" in sent.data
    assert sent.from_().uri == b"sip:+33145670001@127.0.0.1"
    answer = reply(sent, 200, more=f"P-Asserted-Identity: <sip:{SECRET}@127.0.0.2>\r\n")
    back = w(answer, UP)[-1][1]
    assert clean(back)
    assert back.to().tag == b"a1"
    asked = leg.from_operator(method)
    assert next(x for x in asked.split(b"\r\n") if x.startswith(b"To:")) in back.data, "as the operator wrote it"


def test_the_operator_may_write_another_number_and_the_caller_still_finds_its_own() -> None:
    """Contract 003 I-11: a presented 089B may be replaced; an IPBX must not lose its dialog over that."""
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[1])
    changed = reply(leg.invite, 200).replace(SHOWN.encode(), b"+33900000000")
    out = w(changed, DOWN)
    assert sender_line(out[0][1].data) == sender_line(leg.raw)
    w(leg.from_pbx("ACK"), UP)
    bye = leg.from_operator("BYE").replace(SHOWN.encode(), b"+33900000000")
    assert b"To: " + leg.caller.encode() + b";tag=a1" in w(bye, DOWN)[0][1].data


IDENTITIES = (
    f'P-Asserted-Identity: "A" <sip:{SECRET}@127.0.0.2>, <tel:{SECRET}>\r\n'
    f"P-Preferred-Identity: <sip:0899123456@127.0.0.2>\r\n"
    f'Remote-Party-ID: "A" <sip:{SECRET}@127.0.0.2>;party=calling;screen=yes;privacy=off\r\n'
)


def test_asserted_identities_are_replaced_by_the_number_shown() -> None:
    w = World(answer=MASK)
    m = Leg(w, more=IDENTITIES, caller=CALLERS[0]).invite
    assert clean(m)
    for name in (b"p-asserted-identity", b"p-preferred-identity", b"remote-party-id"):
        assert all(SHOWN.encode() in v.uri for v in m.routes(name))
        assert m.count(name) == 1


def test_asserted_identities_are_removed_where_the_caller_is_anonymous() -> None:
    w = World(answer=HIDDEN)
    m = Leg(w, more=IDENTITIES + "Privacy: none\r\n", caller=CALLERS[0]).invite
    assert clean(m)
    assert not any(m.count(n) for n in (b"p-asserted-identity", b"p-preferred-identity", b"remote-party-id"))
    assert m.all(b"privacy") == [b"id"], "one Privacy, and not one that says to hide nothing"


def test_only_an_asserted_identity_is_masked_and_from_stays_byte_for_byte() -> None:
    w = World(answer=MASK)
    own = "P-Asserted-Identity: <sip:+33145678901@127.0.0.2>\r\n"
    leg = Leg(w, more=f"P-Asserted-Identity: <tel:{SECRET}>\r\n{own}P-Preferred-Identity: <sip:x@y>\r\n")
    m = leg.invite
    assert clean(m)
    assert sender_line(m.data) == sender_line(leg.raw)
    assert own.encode() in m.data
    assert b"P-Preferred-Identity: <sip:x@y>\r\n" in m.data
    assert sender_line(leg.answer(200)[0][1].data) == sender_line(leg.raw)


@pytest.mark.parametrize("decision", [MASK, HIDDEN])
def test_of_several_values_on_one_line_only_the_masked_one_goes(decision: Decision) -> None:
    w = World(answer=decision)
    line = f'P-Asserted-Identity: "A, B" <sip:+33145678901@127.0.0.2>, <tel:{SECRET}>\r\n'
    m = Leg(w, more=line).invite
    assert clean(m)
    values = [v.uri for v in m.routes(b"p-asserted-identity")]
    assert values[0] == b"sip:+33145678901@127.0.0.2"
    assert values[1:] == ([] if decision is HIDDEN else [b"tel:+33145678900"])
    assert b'"A, B" <sip:+33145678901@127.0.0.2>' in m.data


def test_an_identity_that_cannot_be_read_does_not_hide_the_number_in_it() -> None:
    w = World(answer=MASK)
    m = Leg(w, more=f'P-Asserted-Identity: "unclosed <sip:{SECRET}@127.0.0.2>\r\n').invite
    assert clean(m)


def test_a_second_target_that_masks_more_masks_it_all() -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[0])
    leg.answer(302)
    w.answer = replace(MASK, masked_numbers=("+33899999999",))
    second = Leg(
        w,
        branch="b2",
        uri="sip:+33145670002@127.0.0.1",
        caller=CALLERS[0],
        more=f"P-Asserted-Identity: <tel:+33899999999>\r\nP-Asserted-Identity: <tel:{SECRET}>\r\n",
    )
    assert clean(second.invite)
    assert b"899999999" not in second.invite.data


def test_a_repetition_with_credentials_is_masked_as_well() -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[0])
    leg.answer(407)
    again = Leg(w, branch="b2", caller=CALLERS[0], more='Proxy-Authorization: Digest username="u"\r\n')
    assert clean(again.invite)
    assert again.invite.first(b"from") == leg.invite.first(b"from")


def test_what_is_repeated_after_the_bye_is_still_masked() -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[0]).up()
    leg.bye()
    for raw in (leg.from_pbx("ACK", branch="x"), leg.from_pbx("BYE", branch="y")):
        out = w(raw, UP)
        assert out[0][0] == "down"
        assert clean(out[0][1])


def test_our_own_answers_show_each_side_what_it_wrote() -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[1])
    assert sender_line(w.unreachable()[0][1].data) == sender_line(leg.raw)
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[1]).up()
    asked = leg.from_operator("INFO")
    w(asked, DOWN)
    refused = w.unreachable()[0][1]
    assert clean(refused)
    assert next(x for x in asked.split(b"\r\n") if x.startswith(b"To:")) in refused.data


@pytest.mark.parametrize("decision", [ALLOW, replace(ALLOW, verdict="flagged"), replace(BLOCK, verdict="flagged")])
def test_a_call_that_is_not_masked_is_not_touched(decision: Decision) -> None:
    w = World(answer=replace(decision, presented=SHOWN, status=0))
    leg = Leg(w, caller=CALLERS[1], more=IDENTITIES)
    assert sender_line(leg.invite.data) == sender_line(leg.raw)
    assert IDENTITIES.encode() in leg.invite.data
    assert parse(leg.raw).first(b"from") == leg.invite.first(b"from")
    assert request() != leg.raw
