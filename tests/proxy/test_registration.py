"""Registration through the guard: what the operator's registrar gets to see, what the IPBX gets back, and how calls to
the registered contact find it, also in another life of the guard, and never anybody else."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from guard.proxy.bindings import BURST, MAX_CONTACTS, MAX_HOST_PART, PER_SECOND
from guard.proxy.core import ProxyCore
from guard.proxy.effects import Decide, Flow, Transport
from guard.proxy.observer import Observer
from guard.proxy.routing import host_text
from guard.proxy.shapes import CoreSettings, Hop, Trunk
from guard.sip.message import Message
from guard.sources import Source, Sources
from tests.proxy.world import (
    DOWN,
    GUARD,
    LISTENS,
    OPERATOR,
    PBX,
    SECOND,
    SOURCE,
    STRANGER,
    UP,
    World,
    arrows,
    reply,
    request,
)

AOR = "<sip:alice@operator.example>"
PHONE = "<sip:alice@127.0.0.2:5060;transport=udp>"
DIGEST = (
    'Authorization: Digest username="alice", realm="operator.example", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c0", '
    'uri="sip:operator.example", response="6629fae49393a05397450978507c4ef1", algorithm=MD5\r\n'
)


def register(
    contact: str = PHONE,
    *,
    more: str = "",
    branch: str = "r1",
    cseq: int = 1,
    host: str = PBX[0],
    transport: str = "UDP",
) -> bytes:
    """A REGISTER as an IPBX sends it."""
    return request(
        "REGISTER",
        "sip:operator.example",
        caller=AOR,
        to=AOR,
        contact=contact,
        call_id="reg@pbx",
        branch=branch,
        cseq=cseq,
        host=host,
        transport=transport,
        more=more,
    )


def registered(w: World, contact: str = PHONE, flow: Flow = UP, **how: str) -> Message:
    """What the operator gets of a REGISTER."""
    out = w(register(contact, **how), flow)  # type: ignore[arg-type]
    assert arrows(out) == ["down REGISTER"]
    return out[0][1]


def contacts(m: Message) -> list[bytes]:
    return [value.uri for value in m.routes(b"contact")]


def call(
    w: World, uri: bytes, flow: Flow = DOWN, *, call_id: str = "in@op", more: str = ""
) -> list[tuple[Flow, Message]]:
    """The operator calls that URI; what the guard sends on to the IPBX."""
    before = len(w.sent)
    out = w(
        request(
            uri=uri.decode(),
            caller="<sip:+33611223344@op>",
            call_id=call_id,
            branch=call_id,
            host=host_text(flow.peer[0]),
            more=more,
        ),
        flow,
    )
    return [(f, m) for (f, _), (side, m) in zip(w.sent[before:], out, strict=True) if side == "up"]


# ---- towards the registrar -------------------------------------------------------------------------------------------


def test_the_contact_leads_to_the_guard_and_the_rest_goes_as_it_came() -> None:
    w = World()
    raw = register(PHONE + ';q=0.7;expires=300;+sip.instance="<urn:uuid:1>"', more=DIGEST + "Expires: 600\r\n")
    before = w(raw, UP)[0][1]
    (uri,) = contacts(before)
    assert uri.startswith(b"sip:alice@127.0.0.1:5060;guard=")
    assert before.uri == b"sip:operator.example"
    assert before.first(b"authorization") == DIGEST.partition(": ")[2].strip().encode()
    assert before.first(b"expires") == b"600"
    assert before.routes(b"contact")[0].params == {"q": b"0.7", "expires": b"300", "+sip.instance": b"<urn:uuid:1>"}
    ours = (b"via", b"max-forwards", b"contact")
    lines = [before.data[s:e] for n, s, _, e in before.lines if n not in ours]
    assert all(line in raw for line in lines)
    assert b"127.0.0.2" not in uri  # what the address of the IPBX is, is nobody's business


def test_a_registration_is_no_call() -> None:
    w = World()
    w(reply(registered(w), 200), DOWN)
    assert (w.asked, w.core.calls, w.core.counters["registers"]) == ([], 0, 1)
    w.rest()


def test_several_contacts_a_refresh_and_a_removal_keep_their_names() -> None:
    """A registrar knows a binding by its URI (RFC 3261 10.3 step 7): the same contact is always the same."""
    w = World()
    two = '<sip:alice@127.0.0.2:5060>;q=0.5, "Desk" <sip:alice@127.0.0.2:5062;transport=tcp>;q=0.9'
    first = contacts(registered(w, two))
    assert len(set(first)) == 2
    assert contacts(registered(w, two, branch="r2")) == first
    gone = registered(w, "<sip:alice@127.0.0.2:5062;transport=tcp>;expires=0", branch="r3")
    assert contacts(gone) == first[1:]
    assert gone.routes(b"contact")[0].params == {"expires": b"0"}


def test_all_contacts_are_removed_by_a_star() -> None:
    assert registered(World(), "*", more="Expires: 0\r\n").first(b"contact") == b"*"


def test_a_question_for_the_bindings_has_no_contact() -> None:
    w = World()
    raw = register().replace(f"Contact: {PHONE}\r\n".encode(), b"")
    out = w(raw, UP)
    assert arrows(out) == ["down REGISTER"]
    assert out[0][1].first(b"contact") is None


@pytest.mark.parametrize(
    ("contact", "seen"),
    [
        ("sip:alice@127.0.0.2", rb"<sip:alice@127\.0\.0\.1:5060;guard=[a-z2-7]+>"),  # without brackets
        ("sip:alice@127.0.0.2;expires=60", rb"<sip:alice@127\.0\.0\.1:5060;guard=[a-z2-7]+>;expires=60"),
        ("<sip:127.0.0.2:5060;bnc>", rb"<sip:127\.0\.0\.1:5060;bnc;guard=[a-z2-7]+>"),  # RFC 6140: a number range
        ("<sip:+331@127.0.0.2;user=phone;x=1>", rb"<sip:\+331@127\.0\.0\.1:5060;user=phone;guard=[a-z2-7]+>"),
        ("<tel:+33145678901>", rb"<tel:\+33145678901>"),  # no SIP address: the registrar may judge
        ("<mailto:alice@operator.example>", rb"<mailto:alice@operator\.example>"),
    ],
)  # fmt: skip
def test_contacts_of_every_form(contact: str, seen: bytes) -> None:
    assert re.fullmatch(seen, registered(World(), contact).first(b"contact") or b"")


def test_a_path_before_the_guard_is_kept_and_the_guard_is_on_it() -> None:
    """RFC 3327: a proxy between a phone and the guard; the registrar's requests come back by both."""
    w = World()
    m = registered(w, "<sip:alice@10.1.1.1>", more="Supported: path\r\nPath: <sip:127.0.0.2:5080;lr>\r\n")
    assert [r.uri for r in m.routes(b"path")] == [b"sip:127.0.0.1:5060;lr", b"sip:127.0.0.2:5080;lr"]
    (uri,) = contacts(m)
    route = "Route: <sip:127.0.0.1:5060;lr>, <sip:127.0.0.2:5080;lr>\r\n"
    ((flow, invite),) = call(w, uri, more=route)
    assert flow.peer == ("127.0.0.2", 5080)
    assert invite.uri == b"sip:alice@10.1.1.1"
    assert [r.uri for r in invite.routes()] == [b"sip:127.0.0.2:5080;lr"]


@pytest.mark.parametrize(
    ("contact", "status", "why"),
    [
        (", ".join(f"<sip:a@127.0.0.2:{6000 + i}>" for i in range(MAX_CONTACTS + 1)), 403, b"more than 32 contacts"),
        (f"<sip:a@127.0.0.2;x={'y' * MAX_HOST_PART}>", 400, b"more than 320 bytes"),
        ('"Al <sip:a@127.0.0.2>', 400, b"Contact"),
        ("<sip:@127.0.0.2>", 400, b"Contact"),
        ("<sip:a@[127>", 400, b"Contact"),
        ("<sips:a@127.0.0.2>", 480, b"a sips contact needs TLS on both sides"),
    ],
)
def test_what_cannot_be_registered_is_told(contact: str, status: int, why: bytes) -> None:
    w = World()
    out = w(register(contact), UP)
    assert arrows(out) == [f"up {status}"]
    assert why in (out[0][1].first(b"reason") or b"")


def test_as_many_contacts_as_may_be() -> None:
    many = ", ".join(f"<sip:a@127.0.0.2:{6000 + i}>" for i in range(MAX_CONTACTS))
    assert len(set(contacts(registered(World(), many)))) == MAX_CONTACTS
    longest = f"<sip:a@127.0.0.2;x={'y' * (MAX_HOST_PART - len('127.0.0.2;x='))}>"
    assert len(contacts(registered(World(), longest))[0]) < 600


def test_a_flood_of_registers_is_stopped_before_it_costs_memory() -> None:
    w = World()
    for i in range(BURST):
        assert arrows(w(register(branch=f"f{i}"), UP)) == ["down REGISTER"]
    kept = w.core.transactions
    out = w(register(branch="more"), UP)
    assert arrows(out) == ["up 480"]
    assert out[0][1].first(b"retry-after") == b"5"
    assert (w.core.transactions, w.core.counters["registers_refused"]) == (kept, 1)
    assert "down INVITE" in arrows(w(request(), UP))  # calls go on
    w.now += SECOND  # and so do registrations, at their pace
    again = [arrows(w(register(branch=f"g{i}"), UP)) for i in range(PER_SECOND + 1)]
    assert again == [["down REGISTER"]] * PER_SECOND + [["up 480"]]


def test_a_stranger_registers_nothing() -> None:
    w = World()
    assert w(register(host=STRANGER[0]), Flow("udp", GUARD, STRANGER)) == []
    assert len(w.strangers) == 1


# ---- what the IPBX gets back -----------------------------------------------------------------------------------------


def test_the_answer_names_its_own_contacts_and_nobody_elses() -> None:
    w = World()
    m = registered(w, '"Desk" <sip:alice@127.0.0.2:5060;transport=udp>;q=0.5')
    mine = (m.first(b"contact") or b"").decode() + ";expires=3600"
    forged = mine.replace("guard=", "guard=a")
    other = "<sip:alice@203.0.113.9:5060>;expires=20"
    answer = reply(m, 200, contact=f"{mine}, {other}", more=f"Contact: {forged}\r\nPath: <sip:127.0.0.1:5060;lr>\r\n")
    (back,) = w(answer, DOWN)
    assert back[1].all(b"contact") == [
        b'"Desk" <sip:alice@127.0.0.2:5060;transport=udp>;q=0.5;expires=3600, ' + other.encode(),
        forged.encode(),
    ]


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (401, 'WWW-Authenticate: Digest realm="operator.example", nonce="n", algorithm=MD5\r\n'),
        (423, "Min-Expires: 600\r\n"),
        (403, ""),
    ],
)
def test_other_answers_pass(status: int, more: str) -> None:
    w = World()
    (back,) = w(reply(registered(w), status, more=more), DOWN)
    assert back[0] == "up"
    assert back[1].status == status
    assert more.encode() in back[1].data


def test_contacts_of_an_answer_that_cannot_be_read_pass_as_they_are() -> None:
    w = World()
    (back,) = w(reply(registered(w), 200, contact='"x <sip:a@b>'), DOWN)
    assert back[1].first(b"contact") == b'"x <sip:a@b>'


# ---- calls that come in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact", "there"),
    [
        ("<sip:alice@127.0.0.2:5070>", ("udp", PBX[0], 5070)),
        ("<sip:alice@127.0.0.2:5070;transport=tcp;ob>", ("tcp", PBX[0], 5070)),
        ("<sip:alice@127.0.0.2>", ("udp", PBX[0], 5060)),
        ("<sip:127.0.0.2:5070;bnc>", ("udp", PBX[0], 5070)),
        ("<sip:alice@pbx.lan:5070;x=%41>", ("udp", *PBX)),  # a name: where the REGISTER came from
        ("<sip:alice@10.0.0.1:5070>", ("udp", *PBX)),  # behind a NAT, or another's address
        ("<sip:alice@127.0.0.3:5070>", ("udp", *PBX)),
        ("<sip:alice@127.0.0.2:5070;transport=tls>", ("udp", *PBX)),  # the guard speaks no TLS here
    ],
)
def test_a_call_to_the_registered_contact_finds_the_ipbx(contact: str, there: tuple[Transport, str, int]) -> None:
    w = World(source=replace(SOURCE, contact=None))
    (uri,) = contacts(registered(w, contact))
    ((flow, invite),) = call(w, uri)
    assert (flow.transport, *flow.peer) == there
    assert invite.uri == contact.strip("<>").encode()
    assert w.asked[0].passed
    assert (w.asked[0].call.direction, w.asked[0].call.source) == ("inbound", "pbx")


def test_the_number_that_was_called_stays_in_the_request() -> None:
    """Operators put the number into the Request-URI in place of the registered user."""
    w = World()
    (uri,) = contacts(registered(w, "<sip:trunk@127.0.0.2:5070;transport=udp>"))
    ((_, invite),) = call(w, uri.replace(b"trunk@", b"+33145678901@"))
    assert invite.uri == b"sip:+33145678901@127.0.0.2:5070;transport=udp"
    assert w.asked[0].call.callee.value == "+33145678901"


@pytest.mark.parametrize(
    ("to", "callee"),
    [
        ("<sip:+33145678901@operator.example>", "+33145678901"),
        ("<sip:0145678901@operator.example;user=phone>", "+33145678901"),
        ("<sip:alice@operator.example>", ""),
    ],
)
def test_where_an_account_is_called_the_number_stands_in_to(to: str, callee: str) -> None:
    w = World()
    (uri,) = contacts(registered(w))
    w(
        request(uri=uri.decode(), caller="<sip:0611223344@op>", call_id="in@op", branch="in", host=OPERATOR[0], to=to),
        DOWN,
    )
    assert w.asked[0].call.callee.value == callee
    assert w.asked[0].call.caller.value == "+33611223344"


@pytest.mark.parametrize("both", [True, False])
def test_a_follower_of_captures_sees_whose_call_it_is(both: bool) -> None:
    """It has no key, and sends nothing: what stands in the contact is good enough to tell the source by."""
    source = replace(SOURCE, contact=None)
    w = World(source=source)
    (uri,) = contacts(registered(w))
    watching = Observer(CoreSettings(listens=LISTENS, token=""), Sources((source,)), w.trunks)
    raw = request(uri=uri.decode(), caller="<sip:+33611223344@op>", call_id="in@op", branch="in", host=OPERATOR[0])
    w(raw, DOWN)
    watching.receive(raw, DOWN, w.now)
    if both:
        flow, sent = w.sent[-1]
        watching.receive(sent, Flow("udp", flow.peer, flow.local), w.now)
    assert [e.call.source for e in watching.effects if isinstance(e, Decide)] == ["pbx"]


@pytest.mark.parametrize("token", ["aa", "7" * 40, "aiaaaaaaaaaaaaaaaaaaaaaaaa", "a" * 16 + "aibhk4daebsa"])
def test_a_follower_of_captures_survives_what_nobody_signed(token: str) -> None:
    watching = Observer(
        CoreSettings(listens=LISTENS, token=""), Sources((replace(SOURCE, contact=None),)), World().trunks
    )
    watching.receive(request(uri=f"sip:a@127.0.0.1:5060;guard={token}", host=OPERATOR[0]), DOWN, 1)
    assert watching.effects == []


def test_it_does_not_matter_how_the_operator_writes_it() -> None:
    w = World(source=replace(SOURCE, contact=None))
    (uri,) = contacts(registered(w))
    head, _, token = uri.partition(b";guard=")
    ((_, invite),) = call(w, head + b";transport=udp;GUARD=" + token.upper() + b";x=1")
    assert invite.uri == PHONE.strip("<>").encode()


def test_headers_in_a_contact_do_not_come_into_the_request_line() -> None:
    w = World()
    (uri,) = contacts(registered(w, "<sip:alice@127.0.0.2?Route=%3Csip:x%3E>"))
    ((_, invite),) = call(w, uri)
    assert invite.uri == b"sip:alice@127.0.0.2"


def test_the_whole_call() -> None:
    w = World(source=replace(SOURCE, contact=None))
    (uri,) = contacts(registered(w))
    ((_, invite),) = call(w, uri)
    w.later(1)
    here = PHONE
    assert arrows(w(reply(invite, 180, contact=here), UP)) == ["down 180"]
    w.later(3)
    assert arrows(w(reply(invite, 200, contact=here), UP)) == ["down 200"]
    inside = {"caller": "<sip:+33611223344@op>", "to_tag": "z9", "call_id": "in@op", "host": OPERATOR[0]}
    target = here.strip("<>")
    route = "Route: <sip:127.0.0.1:5060;lr>\r\n"
    assert arrows(w(request("ACK", target, **inside, branch="a", more=route), DOWN)) == ["up ACK"]  # type: ignore[arg-type]
    w.later(10)
    out = w(request("BYE", target, **inside, branch="b", cseq=2, more=route), DOWN)  # type: ignore[arg-type]
    assert arrows(out) == ["up BYE"]
    w(reply(out[0][1], 200), UP)
    ((_, ended),) = w.ended
    assert (ended.outcome, ended.by, ended.ring_us, ended.talk_us) == ("answered", "caller", 3 * SECOND, 10 * SECOND)


def test_a_call_that_is_given_up() -> None:
    w = World(source=replace(SOURCE, contact=None))
    (uri,) = contacts(registered(w))
    ((_, invite),) = call(w, uri)
    w(reply(invite, 180, contact=PHONE), UP)
    out = w(
        request(
            "CANCEL", uri.decode(), caller="<sip:+33611223344@op>", call_id="in@op", branch="in@op", host=OPERATOR[0]
        ),
        DOWN,
    )
    assert arrows(out) == ["down 200", "up CANCEL"]
    assert out[1][1].uri == PHONE.strip("<>").encode()
    assert arrows(w(reply(invite, 487), UP)) == ["up ACK", "down 487"]
    assert [e.outcome for _, e in w.ended] == ["cancelled"]


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "NOTIFY"])
@pytest.mark.parametrize("contact", ["<sip:alice@127.0.0.2:5070>", "<sip:127.0.0.2:5070;bnc>"])
def test_other_requests_to_the_contact_come_through(method: str, contact: str) -> None:
    w = World(source=replace(SOURCE, contact=None))
    (uri,) = contacts(registered(w, contact))
    out = w(request(method, uri.decode(), host=OPERATOR[0], branch="o1", call_id="o"), DOWN)
    assert arrows(out) == [f"up {method}"]
    assert out[0][1].uri == contact.strip("<>").encode()


def test_what_the_ipbx_itself_sends_to_its_contact_is_an_outbound_call() -> None:
    """The URI means something from the operator only: a source does not get its request turned round by it."""
    w = World()
    (uri,) = contacts(registered(w))
    out = w(request(uri=uri.decode()), UP)
    assert arrows(out) == ["up 100", "down INVITE"]
    assert b"127.0.0.2" not in out[1][1].uri
    assert w.asked[0].call.direction == "outbound"


# ---- another life, other hands ---------------------------------------------------------------------------------------


def test_a_restarted_guard_finds_the_ipbx_again() -> None:
    w = World(source=replace(SOURCE, contact=None))
    settings = replace(w.settings, secret=b"k" * 32)
    w.core = ProxyCore(settings, w.sources, w.trunks)
    first = registered(w)
    (uri,) = contacts(first)
    w.core = ProxyCore(replace(settings, token="another life"), w.sources, w.trunks)
    assert len(call(w, uri)) == 1
    assert contacts(registered(w, branch="r2")) == [uri]  # a refresh is one also then


def test_another_key_reads_nothing() -> None:
    w = World(source=replace(SOURCE, contact=None))
    w.core = ProxyCore(replace(w.settings, secret=b"k" * 32), w.sources, w.trunks)
    (uri,) = contacts(registered(w))
    w.core = ProxyCore(replace(w.settings, secret=b"l" * 32), w.sources, w.trunks)
    assert call(w, uri) == []


def test_nobody_can_point_calls_elsewhere() -> None:
    """Every change of one character, whatever comes of it, leads nowhere."""
    w = World(source=replace(SOURCE, contact=None))
    (uri,) = contacts(registered(w))
    head, mark, token = uri.partition(b";guard=")
    for i, was in enumerate(token):
        other = b"a" if was != ord("a") else b"b"
        bad = token[:i] + other + token[i + 1 :]
        if i < len(token) - 1:  # the last one holds bits that mean nothing
            assert call(w, head + mark + bad, call_id=f"x{i}") == []
    for i, bad in enumerate([b"", b"a", token[:-8], token + token, b"%00", b"\xc3\xa9", token.replace(b"a", b"1")]):
        assert call(w, head + mark + bad, call_id=f"y{i}") == []


def test_an_address_that_is_no_source_any_more_gets_no_calls() -> None:
    w = World(source=replace(SOURCE, contact=None))
    (uri,) = contacts(registered(w))
    moved = replace(SOURCE, contact=None, networks=(ip_network("127.0.0.9/32"),))
    w.core.adopt(Sources((moved,)), w.trunks, "private")
    assert call(w, uri) == []


def test_one_trunks_operator_does_not_reach_anothers_source() -> None:
    trunks = (
        Trunk(name="operator", hops=(Hop("udp", *OPERATOR),)),
        Trunk(name="two", hops=(Hop("udp", "127.0.0.4", 5060),)),
    )
    w = World(source=replace(SOURCE, contact=None), trunks=trunks)
    (uri,) = contacts(registered(w))
    assert call(w, uri, Flow("udp", GUARD, ("127.0.0.4", 5060))) == []
    assert len(call(w, uri, call_id="in2")) == 1


def test_two_ipbxs_of_one_account_see_their_own_contact_only() -> None:
    second = Source(name="second", networks=(ip_network("127.0.0.5/32"),), trunk="operator")
    w = World(source=replace(SOURCE, contact=None))
    w.sources = Sources((*w.sources.all, second))
    w.core = ProxyCore(w.settings, w.sources, w.trunks)
    mine = (registered(w).first(b"contact") or b"").decode()
    there = Flow("udp", GUARD, ("127.0.0.5", 5060))
    other = w(register("<sip:alice@127.0.0.5:5060>", host="127.0.0.5", branch="r2"), there)[0][1]
    (back,) = w(reply(other, 200, contact=f"{mine}, {(other.first(b'contact') or b'').decode()}"), DOWN)
    assert back[1].first(b"contact") == f"{mine}, <sip:alice@127.0.0.5:5060>".encode()
    pbx = {f.peer[0] for uri in back[1].routes(b"contact")[:1] for f, _ in call(w, uri.uri)}
    assert pbx == {"127.0.0.2"}


def test_a_contact_in_anothers_network_leads_back_to_who_wrote_it() -> None:
    second = Source(name="second", networks=(ip_network("127.0.0.5/32"),), trunk="operator")
    w = World(source=replace(SOURCE, contact=None))
    w.sources = Sources((*w.sources.all, second))
    w.core = ProxyCore(w.settings, w.sources, w.trunks)
    (uri,) = contacts(registered(w, "<sip:alice@127.0.0.5:5060>"))
    ((flow, _),) = call(w, uri)
    assert flow.peer == PBX


# ---- over a connection -----------------------------------------------------------------------------------------------

STREAM = Flow("tcp", GUARD, (PBX[0], 40404), 7)


def test_over_a_connection() -> None:
    """test_flows.py tells of calls over the connection itself; without it they go where the contact says."""
    w = World(source=replace(SOURCE, contact=None), hop=Hop("tcp", *OPERATOR))
    m = registered(w, "<sip:alice@127.0.0.2:5070;transport=tcp>", STREAM, transport="TCP")
    (uri,) = contacts(m)
    assert uri.startswith(b"sip:alice@127.0.0.1:5060;transport=tcp;guard=")
    ((flow, invite),) = call(w, uri, Flow("tcp", GUARD, OPERATOR, 9))
    assert (flow.transport, flow.peer) == ("tcp", (PBX[0], 5070))
    assert invite.uri == b"sip:alice@127.0.0.2:5070;transport=tcp"


def test_over_tls_and_ipv6() -> None:
    guard, pbx, op = ("2001:db8::1", 5061), ("2001:db8::2", 5061), ("2001:db8::3", 5061)
    source = Source(name="pbx", networks=(ip_network("2001:db8::2/128"),), trunk="operator")
    w = World(source=source, hop=Hop("tls", *op), listens=(*LISTENS, ("tls", *guard)))
    up = Flow("tls", guard, pbx, 3)
    m = registered(w, "<sips:alice@[2001:db8::2]:5061>", up, host="[2001:db8::2]", transport="TLS")
    (uri,) = contacts(m)
    assert uri.startswith(b"sips:alice@[2001:db8::1]:5061;guard=")
    ((flow, invite),) = call(w, uri, Flow("tls", guard, op, 4))
    assert (flow.transport, flow.peer) == ("tls", pbx)
    assert invite.uri == b"sips:alice@[2001:db8::2]:5061"
