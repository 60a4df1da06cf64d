"""A masked number that also stands in Diversion, History-Info or Contact: the operator sees it nowhere, and whatever it
sends to the Contact that it saw reaches the IPBX under the IPBX's own."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guard.model import Decision
from tests.proxy.test_masking import CALLERS, HIDDEN, MASK, SECRET, SHOWN, VARIANTS, clean
from tests.proxy.world import DOWN, UP, Leg, World, reply

OTHER = "+33145678901"
CONTACT = '"0899 123456" <sip:0899123456:pw@127.0.0.2:5060;transport=udp>;+sip.instance="<urn:uuid:1>";ob'
FORWARDED = (
    f"Diversion: <sip:{SECRET}@127.0.0.2>;reason=unconditional;counter=1, <sip:{OTHER}@127.0.0.2>;reason=user-busy\r\n"
    f"History-Info: <sip:{SECRET}@127.0.0.2?Reason=SIP%3Bcause%3D302&To=%3Csip:{SECRET}%40x%3E>;index=1,"
    f" <sip:{OTHER}@127.0.0.2?X=1>;index=1.1;mp=1\r\n"
)


def test_who_forwarded_is_replaced_by_the_number_shown() -> None:
    m = Leg(World(answer=MASK), caller=CALLERS[0], more=FORWARDED).invite
    assert clean(m)
    assert m.all(b"diversion") == [
        f"<sip:{SHOWN}@127.0.0.2>;reason=unconditional;counter=1, <sip:{OTHER}@127.0.0.2>;reason=user-busy".encode()
    ]
    assert m.all(b"history-info") == [
        f"<sip:{SHOWN}@127.0.0.2?Reason=SIP%3Bcause%3D302>;index=1, <sip:{OTHER}@127.0.0.2?X=1>;index=1.1;mp=1".encode()
    ]


def test_who_forwarded_is_taken_out_or_made_nobody_where_the_caller_is_anonymous() -> None:
    m = Leg(World(answer=HIDDEN), caller=CALLERS[0], more=FORWARDED).invite
    assert clean(m)
    assert [v.uri for v in m.routes(b"diversion")] == [f"sip:{OTHER}@127.0.0.2".encode()]
    assert m.all(b"history-info") == [
        b"<sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D302>;index=1, "
        + f"<sip:{OTHER}@127.0.0.2?X=1>;index=1.1;mp=1".encode()
    ], "no entry of a history may be missing"
    assert m.all(b"privacy") == [b"id"]


@pytest.mark.parametrize("name", ["Diversion", "History-Info"])
def test_who_forwarded_and_cannot_be_read_is_taken_out(name: str) -> None:
    m = Leg(World(answer=MASK), caller=CALLERS[0], more=f'{name}: "unclosed <sip:{SECRET}@127.0.0.2>\r\n').invite
    assert clean(m)
    assert m.count(name.lower().encode()) == 0


def test_who_forwarded_by_another_number_stays_byte_for_byte() -> None:
    more = f"Diversion: <sip:{OTHER}@x>\r\nHistory-Info: <sip:{OTHER}@x?A=1>;index=1\r\nDiversion: what is this\r\n"
    m = Leg(World(answer=MASK), caller=CALLERS[0], more=more).invite
    assert f"Diversion: <sip:{OTHER}@x>\r\nHistory-Info: <sip:{OTHER}@x?A=1>;index=1\r\n".encode() in m.data


# ---- Contact ---------------------------------------------------------------------------------------------------------


def user(decision: Decision) -> str:
    return decision.presented or "anonymous"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("caller", [CALLERS[0], "<sip:+33145678900@127.0.0.2>"])
def test_a_contact_keeps_its_host_and_parameters_and_loses_the_number(caller: str, variant: str) -> None:
    decision = VARIANTS[variant]
    m = Leg(World(answer=decision), caller=caller, contact=CONTACT).invite
    assert clean(m)
    assert m.all(b"contact") == [
        f'<sip:{user(decision)}:pw@127.0.0.2:5060;transport=udp>;+sip.instance="<urn:uuid:1>";ob'.encode()
    ]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "PRACK", "NOTIFY", "BYE"])
def test_what_the_operator_sends_there_reaches_the_ipbx_under_its_own_user(method: str, variant: str) -> None:
    w = World(answer=VARIANTS[variant])
    leg = Leg(w, caller=CALLERS[1], contact=CONTACT).up()
    asked = leg.from_operator(method)
    assert f"{method} sip:{user(VARIANTS[variant])}:pw@".encode() in asked
    out = w(asked, DOWN)
    assert out[-1][0] == "up"
    assert out[-1][1].uri == b"sip:0899123456:pw@127.0.0.2:5060;transport=udp", "byte for byte"
    back = w(reply(out[-1][1], 200, contact=CONTACT), UP)[-1][1]
    assert clean(back), "also in what the IPBX answers"


def test_an_operator_may_write_the_user_with_escapes() -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[1], contact=CONTACT).up()
    asked = leg.from_operator("BYE").replace(b"BYE sip:+331", b"BYE sip:%2B331")
    assert w(asked, DOWN)[-1][1].uri == b"sip:0899123456:pw@127.0.0.2:5060;transport=udp"


def test_a_strict_router_of_the_operators_does_not_lose_it() -> None:
    """Our own address as the Request-URI, the target at the end of the route (RFC 3261 16.4)."""
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[1], contact=CONTACT).up()
    head, _, rest = leg.from_operator("BYE").partition(b" SIP/2.0\r\n")
    target = head.removeprefix(b"BYE ")
    strict = b"BYE sip:127.0.0.1:5060;lr SIP/2.0\r\n" + rest.replace(
        b"Route: <sip:127.0.0.1:5060;lr>", b"Route: <" + target + b">"
    )
    assert w(strict, DOWN)[-1][1].uri == b"sip:0899123456:pw@127.0.0.2:5060;transport=udp"


def test_a_contact_of_another_number_is_left_alone_both_ways() -> None:
    w = World(answer=MASK)
    own = f"<sip:{SHOWN}@127.0.0.2:5060>"
    leg = Leg(w, caller=CALLERS[1], contact=own).up()
    assert leg.invite.all(b"contact") == [own.encode()]
    assert w(leg.from_operator("BYE"), DOWN)[-1][1].uri == own[1:-1].encode()


@pytest.mark.parametrize(
    "contact", ['"unclosed <sip:0899123456@127.0.0.2>', "<tel:+33899123456>", "*", "<sip:127.0.0.2>"]
)
def test_a_contact_that_is_no_address_of_a_user_goes_as_it_came(contact: str) -> None:
    """Without it there would be no dialog at all."""
    w = World(answer=MASK)
    assert contact.encode() in Leg(w, caller=CALLERS[1], contact=contact).invite.all(b"contact")


def test_a_second_target_that_masks_more_hides_the_contact_too() -> None:
    w = World(answer=replace(MASK, masked_numbers=("+33899999999",)))
    leg = Leg(w, caller="<sip:+33899999999@127.0.0.2>", contact=CONTACT)
    leg.answer(302)
    w.answer = MASK
    target = "sip:+33145670002@127.0.0.1"
    second = Leg(w, branch="b2", uri=target, caller="<sip:+33899999999@127.0.0.2>", contact=CONTACT)
    assert clean(second.invite)
    assert b"899999999" not in second.invite.data


def test_requests_of_the_caller_move_its_contact_and_hide_it_again() -> None:
    w = World(answer=MASK)
    leg = Leg(w, caller=CALLERS[1], contact=CONTACT).up()
    moved = leg.from_pbx("UPDATE").replace(b"Contact: <sip:", b"Contact: <sip:+33899123456@")
    assert moved.count(b"899123456@") == 2
    sent = w(moved, UP)[-1][1]
    assert clean(sent)
    assert sent.all(b"contact") == [f"<sip:{SHOWN}@127.0.0.2:5060>".encode()]


def test_the_guards_own_bye_goes_to_the_contact_that_each_side_gave() -> None:
    w = World(answer=replace(MASK, max_talk_us=60_000_000))
    Leg(w, caller=CALLERS[1], contact=CONTACT).up()
    out = w.later(60)
    byes = {side: m for side, m in out if m.is_request and m.method == b"BYE"}
    assert byes["up"].uri == b"sip:0899123456:pw@127.0.0.2:5060;transport=udp"
    assert clean(byes["down"])
