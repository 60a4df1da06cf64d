"""What was registered over a connection is called over it: by whom, how long, and what becomes of calls once it is
gone."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from guard.proxy import flows
from guard.proxy.effects import Flow
from guard.proxy.flows import Flows
from guard.proxy.shapes import Hop
from guard.sip.message import Message
from guard.sources import Source, Sources
from tests.proxy.test_registration import call, contacts, register
from tests.proxy.world import GUARD, LISTENS, OPERATOR, PBX, SOURCE, World, arrows, reply, request

SECURE = ("127.0.0.1", 5061)
PHONE = Flow("tls", SECURE, (PBX[0], 40404), 7)  # it listens nowhere, and has no certificate
AGAIN = Flow("tls", SECURE, (PBX[0], 50505), 8)  # the same phone, over another connection
OP = Flow("tls", SECURE, (OPERATOR[0], 5061), 9)
CONTACT = "<sip:alice@127.0.0.2:5070;transport=tls>"
NOWHERE = "<sip:alice@192.168.77.5:5070;transport=tls>"  # behind a NAT: nobody gets there
OUTBOUND = NOWHERE.replace(">", ";ob>") + ";reg-id=1"


def world() -> World:
    source = replace(SOURCE, contact=None)
    return World(source=source, hop=Hop("tls", OPERATOR[0], 5061), listens=(*LISTENS, ("tls", *SECURE)))


def bind(w: World, contact: str = CONTACT, flow: Flow = PHONE, *, status: int = 200, **how: str) -> bytes:
    """A phone registers; the contact as the registrar has it."""
    branch = how.pop("branch", f"r{len(w.sent)}")
    raw = register(contact, branch=branch, transport=flow.transport.upper(), **how)  # type: ignore[arg-type]
    out = w(raw, flow)
    assert arrows(out) == ["down REGISTER"]
    assert arrows(w(reply(out[0][1], status), OP)) == [f"up {status}"]
    return contacts(out[0][1])[0]


def rung(w: World, uri: bytes, call_id: str = "in@op") -> tuple[Flow, Message]:
    ((flow, invite),) = call(w, uri, OP, call_id=call_id)
    return flow, invite


def refused(w: World, uri: bytes, method: str = "INVITE") -> Message:
    """The operator asks for that contact; what it is answered."""
    out = w(request(method, uri.decode(), call_id=f"{method}@op", branch=method, host=OPERATOR[0]), OP)
    assert not [m for _, m in out if m.is_request]
    return out[-1][1]


@pytest.mark.parametrize("contact", [CONTACT, NOWHERE, OUTBOUND, "<sip:alice@127.0.0.2>"])
def test_a_call_finds_the_connection_that_was_registered_over(contact: str) -> None:
    w = world()
    flow, invite = rung(w, bind(w, contact))
    assert flow == PHONE
    assert invite.uri == contact.partition(">")[0].strip("<").encode()


def test_whatever_asks_for_the_contact_goes_the_same_way() -> None:
    w = world()
    uri = bind(w, OUTBOUND)
    out = w(request("OPTIONS", uri.decode(), call_id="o@op", branch="o1", host=OPERATOR[0]), OP)
    assert arrows(out) == ["up OPTIONS"]
    assert w.sent[-1][0] == PHONE


@pytest.mark.parametrize("contact", [CONTACT, NOWHERE, OUTBOUND])
def test_a_phone_that_comes_back_has_the_same_contact_and_is_called_over_the_new_connection(contact: str) -> None:
    w = world()
    first = bind(w, contact)
    w.core.flow_closed(PHONE, w.now)
    assert bind(w, contact, AGAIN) == first
    assert rung(w, first)[0] == AGAIN
    w.core.flow_closed(PHONE, w.now)  # the old one's end says nothing of the new one
    assert rung(w, first, "second@op")[0] == AGAIN


@pytest.mark.parametrize("status", [401, 403, 503])
def test_only_what_the_registrar_took_counts(status: int) -> None:
    w = world()
    uri = bind(w, status=status if status != 503 else 500)
    assert rung(w, uri)[0].conn == 0
    assert len(w.core._c.bindings.flows) == 0


def test_a_connection_that_is_gone_leaves_what_the_contact_says() -> None:
    w = world()
    uri = bind(w)
    w.core.flow_closed(PHONE, w.now)
    flow, _ = rung(w, uri)
    assert (flow.transport, flow.peer, flow.conn) == ("tls", (PBX[0], 5070), 0)


@pytest.mark.parametrize(("contact", "status"), [(NOWHERE, 480), (OUTBOUND, 430)])
def test_a_contact_without_another_way_is_answered_at_once(contact: str, status: int) -> None:
    w = world()
    uri = bind(w, contact)
    w.core.flow_closed(PHONE, w.now)
    said = refused(w, uri)
    assert said.status == status
    assert b"the connection that it registered over is gone" in (said.first(b"reason") or b"")
    assert [(e.final_status, e.outcome, e.by) for _, e in w.ended] == [(status, "failed", "guard")]
    assert refused(w, uri, "MESSAGE").status == status
    w.rest()


def test_a_connection_found_gone_by_the_call_itself() -> None:
    """The driver could not send: the call goes where the contact says, and is one call."""
    w = world()
    uri = bind(w)
    rung(w, uri)
    out = w.unreachable()
    assert arrows(out) == ["up INVITE"]
    flow = w.sent[-1][0]
    assert (flow.transport, flow.peer, flow.conn) == ("tls", (PBX[0], 5070), 0)
    assert w.core.counters["flows_gone"] == 1
    out = w.unreachable()
    assert arrows(out) == ["down 480"]
    assert b"the IPBX cannot be reached" in (out[0][1].first(b"reason") or b"")
    assert [e.final_status for _, e in w.ended] == [480]


def test_an_account_draws_no_calls_of_another_to_itself() -> None:
    """Somebody who may register an account of his own writes the contact of another phone into it."""
    w = world()
    uri = bind(w)
    own = "<sip:mallory@operator.example>"
    raw = register(branch="m1", transport="TLS").replace(b"<sip:alice@operator.example>", own.encode())
    raw = raw.replace(b"<sip:alice@127.0.0.2:5060;transport=udp>", CONTACT.encode())
    out = w(raw, AGAIN)
    assert arrows(w(reply(out[0][1], 200), OP)) == ["up 200"]
    assert rung(w, uri)[0] == PHONE


def test_another_transport_or_a_proxy_in_between_is_called_as_the_contact_says() -> None:
    w = world()
    uri = bind(w, "<sip:alice@127.0.0.2:5070;transport=tcp>")
    assert rung(w, uri)[0].transport == "tcp"
    via = "Via: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bKphone\r\n"
    uri = bind(w, "<sip:bob@127.0.0.2:5070;transport=tls>", more=via)
    assert rung(w, uri, "second@op")[0].conn == 0


def test_sips_is_never_called_over_less_than_tls() -> None:
    w = world()
    plain = Flow("tcp", GUARD, (PBX[0], 40404), 5)
    uri = bind(w, "<sips:alice@127.0.0.2:5071>", plain)
    flow, _ = rung(w, uri)
    assert (flow.transport, flow.conn) == ("tls", 0)


def test_a_source_that_is_taken_away_is_not_called_over_its_connection() -> None:
    w = world()
    uri = bind(w)
    other = Source(name="other", networks=(ip_network("127.0.0.8/32"),), trunk="operator", contact=("127.0.0.8", 5060))
    w.core.adopt(Sources((other,)), w.trunks, "none")
    w.pbx = {"127.0.0.8"}
    assert rung(w, uri)[0].peer == ("127.0.0.8", 5060)  # the one that takes whatever nobody else does


def talking(w: World) -> tuple[Flow, Message]:
    """A call to the phone, answered: the INVITE that it got."""
    flow, invite = rung(w, bind(w))
    assert arrows(w(reply(invite, 200, contact=CONTACT), flow)) == ["down 200"]
    return flow, invite


def within(invite: Message, method: str, *, phone: bool, branch: str) -> bytes:
    """A request within that call, of the phone or of the operator."""
    caller, callee = invite.from_().address.decode(), invite.to().address.decode()
    a, b = (invite.from_().tag or b"").decode(), "z9"
    return request(
        method,
        "sip:127.0.0.3:5061;transport=tls" if phone else CONTACT.strip("<>"),
        caller=callee if phone else caller,
        tag=b if phone else a,
        to=caller if phone else callee,
        to_tag=a if phone else b,
        call_id="in@op",
        cseq=7,
        branch=branch,
        host=PBX[0] if phone else OPERATOR[0],
        transport="TLS",
        more="Route: <sip:127.0.0.1:5061;transport=tls;lr>\r\n",
    )


def test_a_phone_whose_connection_is_another_by_now_is_asked_over_that() -> None:
    w = world()
    _, invite = talking(w)
    w.core.flow_closed(PHONE, w.now)
    assert arrows(w(within(invite, "UPDATE", phone=True, branch="u1"), AGAIN)) == ["down UPDATE"]
    assert arrows(w(within(invite, "BYE", phone=False, branch="y1"), OP)) == ["up BYE"]
    assert w.sent[-1][0] == AGAIN


def test_a_call_is_not_drawn_to_another_address() -> None:
    w = world()
    _, invite = talking(w)
    elsewhere = Flow("tls", SECURE, ("127.0.0.99", 40404), 8)
    w(within(invite, "UPDATE", phone=True, branch="u1"), elsewhere)
    w(within(invite, "BYE", phone=False, branch="y1"), OP)
    assert w.sent[-1][0] == PHONE


@pytest.mark.interpreted
def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "MAX_FLOWS", 3)
    kept = Flows()
    for i in range(5):
        kept.keep(b"%d" % i, PHONE if i % 2 else AGAIN)
    assert [kept.get(b"%d" % i) for i in range(5)] == [None, None, AGAIN, PHONE, AGAIN]
    kept.keep(b"2", PHONE)
    kept.closed(PHONE.conn)
    assert [kept.get(b"%d" % i) for i in range(2, 5)] == [None, None, AGAIN]
    kept.closed(AGAIN.conn)
    kept.closed(AGAIN.conn)
    assert (len(kept), kept._of) == (0, {})
