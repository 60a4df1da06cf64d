"""Nothing a caller does, and nothing that fails in the guard, stops a call to an emergency number."""

from __future__ import annotations

import re
from ipaddress import ip_network
from unittest.mock import Mock

import msgspec
import pytest

from guard.numbering.number import Dial
from guard.proxy import calls, facts
from guard.proxy.effects import Decide, Flow, Send
from guard.proxy.kept import KeptCall, keep, revive
from guard.proxy.routing import is_private
from guard.proxy.shapes import Hop, Trunk
from guard.sip.message import parse
from guard.sources import Source
from tests.proxy.world import ALLOW, BLOCK, DOWN, GUARD, OPERATOR, PBX, UP, Leg, World, arrows, reply, request

# ARCEP's list, written down here a second time on purpose.
TWELVE = ["15", "17", "18", "112", "114", "115", "116000", "116117", "119", "191", "196", "197"]
FORMS = [
    "sip:{}@127.0.0.1",
    "sip:0{}@127.0.0.1:5060;user=phone",
    "sip:9{}@127.0.0.1",
    "sip:00{}@operator.example",
    "sip:+33{}@127.0.0.1;user=phone",
    "sip:0033{}@127.0.0.1",
    "sip:33{}@127.0.0.1",
    "sip:3651{}@127.0.0.1",
    "sip:%2331%23{}@127.0.0.1",
    "sip:*31%23{}@127.0.0.1",
    "sip:{};phone-context=+33@127.0.0.1;user=phone",
    "sips:{}@127.0.0.1",
    "SIP:{}@127.0.0.1",
    "sip:{}:secret@127.0.0.1",
    "tel:{}",
    "tel:{};phone-context=+33",
    "TEL:+33-{}",
]
SERVICES = ["urn:service:sos", "urn:service:sos.fire", "urn:service:sos.police", "URN:SERVICE:SOS.AMBULANCE"]


def passes(w: World, data: bytes, flow: Flow = UP) -> None:
    """The call leaves for the operator before anything is asked."""
    start = len(w.sent)
    w.core.receive(data, flow, w.now)
    kinds = [type(e) for e in w.core.effects]
    sends = [e for e in w.core.effects if isinstance(e, Send)]
    assert [e.flow.peer for e in sends] == [flow.peer, OPERATOR], data
    if Decide in kinds:
        assert kinds.index(Decide) > kinds.index(Send, 1)
        assert all(e.passed for e in w.core.effects if isinstance(e, Decide))
    w.drain()
    assert w.sent[start + 1][1].startswith(b"INVITE ")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", TWELVE)
def test_every_dialled_form_passes_before_any_decision(number: str, form: str) -> None:
    uri = form.format(number)
    w = World(answer=None)
    passes(w, request(uri=uri))
    assert [(a.passed, a.again, a.call.emergency) for a in w.asked] == [(True, False, number)]
    sent = parse(w.sent[-1][1]).uri.decode()
    dialled = uri.partition("@")[0]
    # Only that the way has no TLS is told as it is: nobody has to refuse a sips that came over UDP.
    assert sent.partition("@")[0] == dialled.replace("sips:", "sip:"), "what was dialled is not changed"


@pytest.mark.parametrize("uri", SERVICES)
def test_service_urns_pass(uri: str) -> None:
    w = World(answer=None)
    passes(w, request(uri=uri))
    assert w.asked[0].call.emergency in TWELVE


@pytest.mark.parametrize(
    "uri", ["sip:1120@127.0.0.1", "sip:3949@127.0.0.1", "tel:1", "urn:service:directory", "sip:x@h"]
)
def test_other_numbers_wait_for_their_decision(uri: str) -> None:
    w = World(answer=None)
    assert arrows(w(request(uri=uri), UP)) == ["up 100"]
    assert not w.asked[0].passed


def test_a_sites_own_prefix_counts() -> None:
    dial = Dial(strip="8", international="011")
    w = World(
        answer=None,
        source=Source(name="pbx", networks=(ip_network("127.0.0.2/32"),), trunk="operator", contact=PBX, dial=dial),
    )
    passes(w, request(uri="sip:8112@127.0.0.1"))
    passes(w, request(uri="sip:0113315@127.0.0.1", call_id="2", branch="2"))


BROKEN = {
    "facts": (facts, "attempt"),
    "fingerprint": (facts, "fingerprint"),
    "join": (calls.Calls, "join"),
    "open": (calls.Calls, "open"),
    "full": (calls.Calls, "full"),
}


@pytest.mark.interpreted
@pytest.mark.parametrize("what", BROKEN)
def test_it_is_out_before_anything_that_may_fail(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*BROKEN[what], Mock(side_effect=RuntimeError("broken")))
    w = World()
    with pytest.raises(RuntimeError, match="broken"):
        w.core.receive(request(uri="sip:112@127.0.0.1"), UP, w.now)
    w.drain()
    assert arrows(w.shown(0)) == ["up 100", "down INVITE"]
    invite = w.shown(1)[0][1]
    assert arrows(w(reply(invite, 180), DOWN)) == ["up 180"]
    assert arrows(w(reply(invite, 200), DOWN)) == ["up 200"]
    for method in ("ACK", "BYE"):
        data = request(method, "sip:127.0.0.3:5060", to_tag="z9", branch=method, cseq=1 + (method == "BYE"))
        out = w(data, UP)
        assert arrows(out) == [f"down {method}"]
    assert arrows(w(reply(out[0][1], 200), DOWN)) == ["up 200"]
    with pytest.raises(RuntimeError, match="broken"):
        w.core.receive(request(branch="other", call_id="other"), UP, w.now)


def changed(old: bytes, new: bytes) -> bytes:
    data = request(uri="sip:112@127.0.0.1", more="X-Here: 1\r\n")
    assert old in data
    return data.replace(old, new, 1)


MALFORMED = {
    "from-unquoted": changed(b"From: <", b"From: Dupont, Jean <"),
    "from-unclosed": changed(b"@127.0.0.2>;tag", b"@127.0.0.2;tag"),
    "from-missing": re.sub(rb"From: [^\r]*\r\n", b"", changed(b"X-", b"X-")),
    "from-empty": re.sub(rb"From: [^\r]*\r\n", b"From:\r\n", changed(b"X-", b"X-")),
    "from-twice": changed(b"X-Here", b"From: <sip:other@x>;tag=q\r\nX-Here"),
    "to-missing": re.sub(rb"To: [^\r]*\r\n", b"", changed(b"X-", b"X-")),
    "to-garbage": changed(b"To: <sip:+33145670001@127.0.0.1>", b'To: "<<'),
    "to-tag-made-up": changed(b"To: <sip:+33145670001@127.0.0.1>", b"To: <sip:112@127.0.0.1>;tag=madeup"),
    "call-id-missing": changed(b"Call-ID: c1@pbx\r\n", b""),
    "call-id-empty": changed(b"Call-ID: c1@pbx", b"Call-ID:"),
    "cseq-method": changed(b"CSeq: 1 INVITE", b"CSeq: 1 OPTIONS"),
    "cseq-huge": changed(b"CSeq: 1 INVITE", b"CSeq: 99999999999 INVITE"),
    "cseq-missing": changed(b"CSeq: 1 INVITE\r\n", b""),
    "hops-garbage": changed(b"Max-Forwards: 70", b"Max-Forwards: many"),
    "hops-twice": changed(b"X-Here", b"Max-Forwards: 3\r\nX-Here"),
    "proxy-require": changed(b"X-Here", b"Proxy-Require: foo\r\nX-Here"),
    "require": changed(b"X-Here", b"Require: foo\r\nX-Here"),
    "route-unclosed": changed(b"X-Here", b"Route: <sip:unclosed\r\nX-Here"),
    "route-foreign": changed(b"X-Here", b"Route: <sip:203.0.113.9;lr>\r\nX-Here"),
    "via-garbage": changed(b"Via: SIP/2.0/UDP 127.0.0.2:5060", b"Via: what is this"),
    "via-missing": re.sub(rb"Via: [^\r]*\r\n", b"", changed(b"X-", b"X-")),
    "contact-strays": changed(b"Contact: <sip:127.0.0.2:5060>", b"Contact: ,,;;"),
    "pai-garbage": changed(b"X-Here", b'P-Asserted-Identity: "unclosed <sip:\xff@\r\nX-Here'),
    "version": changed(b"SIP/2.0\r\nVia", b"SIP/2.1\r\nVia"),
    "uri-headers": changed(b"sip:112@127.0.0.1 ", b"sip:112@127.0.0.1?Subject=x "),
    "uri-host": changed(b"sip:112@127.0.0.1 ", b"sip:112@ "),
    "uri-port": changed(b"sip:112@127.0.0.1 ", b"sip:112@127.0.0.1:99999 "),
    "uri-brackets": changed(b"sip:112@127.0.0.1 ", b"<sip:112@127.0.0.1> "),
    "length": changed(b"Content-Length: 0", b"Content-Length: 400"),
    "length-garbage": changed(b"Content-Length: 0", b"Content-Length: zero"),
    "line-without-name": changed(b"X-Here: 1", b"this is no header"),
    "bare-lf": changed(b"X-Here: 1\r\n", b"X-Here: 1\n"),
    "lines": changed(b"X-Here: 1\r\n", b"X: 1\r\n" * 600),
    "privacy": changed(b"X-Here: 1", b"Privacy: id;critical"),
    "utf8": changed(b"X-Here: 1", b"X-Here: \xff\xfe"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_whatever_is_wrong_with_it_it_is_carried(what: str) -> None:
    w = World(answer=BLOCK)
    passes(w, MALFORMED[what])
    w.rest()


@pytest.mark.parametrize("what", sorted(set(MALFORMED) - {"cseq-huge", "cseq-missing", "cseq-method"}))
def test_and_its_answers_find_their_way_back(what: str) -> None:
    w = World()
    passes(w, MALFORMED[what])
    head = w.sent[-1][1].partition(b"\r\n\r\n")[0].split(b"\r\n")
    echoed = [line for line in head[1:] if line.startswith((b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:"))]
    start = len(w.sent)
    w.core.receive(b"\r\n".join([b"SIP/2.0 200 OK", *echoed, b"Content-Length: 0", b"", b""]), DOWN, w.now)
    w.drain()
    assert [(f.peer, d.split(b" ")[1]) for f, d in w.sent[start:]] == [(PBX, b"200")]


def test_an_unreadable_sender_can_talk_and_hang_up() -> None:
    w = World()
    leg = Leg(w, uri="sip:15@127.0.0.1", caller="Dupont, Jean <sip:200@127.0.0.2>")
    leg.up()
    w.later(30)
    leg.bye()
    assert [e.outcome for _, e in w.ended] == ["answered"]
    w.rest()


def test_only_what_runs_in_circles_stops() -> None:
    w = World()
    data = request(uri="sip:112@127.0.0.1")
    assert arrows(w(data.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"), UP)) == ["up 483"]


@pytest.mark.parametrize(
    ("address", "who", "carried"),
    [
        ("10.1.2.3", "private", True),
        ("192.168.7.7", "private", True),
        ("fd00::9", "private", True),
        ("169.254.3.3", "private", True),
        ("192.0.2.66", "private", False),
        ("2001:db8::1", "private", False),
        ("8.8.8.8", "private", False),
        ("8.8.8.8", "any", True),
        ("10.1.2.3", "none", False),
    ],
)
def test_strangers_may_be_carried_to_it(address: str, who: str, carried: bool) -> None:
    w = World(emergency=who)  # type: ignore[arg-type]
    host = f"[{address}]" if ":" in address else address
    flow = Flow("udp", GUARD, (address, 5060))
    data = request(uri="sip:112@127.0.0.1", host=host)
    if not carried:
        assert w(data, flow) == []
        assert len(w.strangers) == 1
        return
    passes(w, data, flow)
    call = w.asked[0].call
    assert (call.source, call.source_address, call.trunk) == ("", address, "operator")
    invite = w.shown(len(w.sent) - 1)[0][1]
    w(reply(invite, 200), DOWN)
    assert w.sent[-1][0].peer == flow.peer
    ack = request("ACK", "sip:127.0.0.3:5060", to_tag="z9", branch="a", host=host)
    w(ack, flow)
    assert w.sent[-1][0] == DOWN
    bye = request("BYE", "sip:203.0.113.1", tag="z9", to_tag="a1", branch="bye", host="127.0.0.3")
    w(bye, DOWN)
    assert w.sent[-1][0].peer == flow.peer
    assert w(request(host=host, call_id="2", branch="2"), flow) == []
    w.rest()


def test_what_is_private_is_what_the_rfcs_name() -> None:
    for address in (
        "10.0.0.1",
        "172.31.0.1",
        "192.168.0.1",
        "127.9.9.9",
        "169.254.1.1",
        "::1",
        "fe80::1%eth0",
        "fd12::1",
    ):
        assert is_private(address)
    for address in ("172.32.0.1", "11.0.0.1", "100.64.0.1", "198.18.0.1", "203.0.113.1", "::ffff:8.8.8.8", "2a01::1"):
        assert not is_private(address)
    assert is_private("::ffff:10.0.0.1")


@pytest.mark.parametrize("number", ["112", "15"])
def test_another_call_of_the_same_name_neither_stops_it_nor_passes_for_it(number: str) -> None:
    w = World(answer=None)
    Leg(w)
    uri = f"sip:{number}@127.0.0.1"
    passes(w, request(uri=uri, branch="sos"))
    passes(w, request(uri=uri, branch="sos2"))
    assert [(a.passed, a.again) for a in w.asked] == [(False, False), (True, False)]
    assert arrows(w.decide(1, BLOCK)) == ["up 403"]
    w = World(answer=None)
    passes(w, request(uri=uri, branch="sos"))
    assert arrows(Leg(w).out) == ["up 100"], "waits for a decision of its own"
    assert [(a.passed, a.again) for a in w.asked] == [(True, False), (False, False)]


def test_it_is_followed_and_counted_as_any_other() -> None:
    w = World()
    leg = Leg(w, uri="sip:112@127.0.0.1").up()
    w.decide(1, ALLOW)
    w.later(10)
    leg.bye()
    assert [(t, e.outcome) for t, e in w.ended] == [(1, "answered")]
    assert w.core.counters["emergency_calls"] == 1
    leg = Leg(w, uri="sip:112@127.0.0.1", call_id="c2@pbx", branch="c2")
    leg.answer(180)
    assert arrows(w(leg.cancel(), UP)) == ["up 200", "down CANCEL"]
    leg.answer(487)
    assert w.ended[-1][1].outcome == "cancelled"
    w.rest()


# ---- next hops that nobody can verify --------------------------------------------------------------------------------

SECURE_LISTENS = (("udp", *GUARD), ("tls", "127.0.0.1", 5061))
A, B = "127.0.0.3", "127.0.0.4"


def behind_tls(*hops: Hop) -> World:
    return World(trunks=(Trunk(name="operator", hops=hops),), listens=SECURE_LISTENS)  # type: ignore[arg-type]


def tried(w: World) -> list[tuple[str, str, bool]]:
    """Where INVITEs went: transport, host, and whether it may be anybody."""
    return [(f.transport, f.peer[0], f.unproven) for f, d in w.sent if d.startswith(b"INVITE ")]


def test_an_emergency_call_goes_to_a_hop_that_cannot_be_verified_once_no_other_took_it() -> None:
    w = behind_tls(Hop("tls", A, 5061), Hop("udp", B, 5060, tier=1))
    leg = Leg(w, uri="sip:112@127.0.0.1")
    w.unreachable()  # the driver distrusts the certificate of A
    w.later(1.1)  # B says nothing
    assert tried(w) == [("tls", A, False), ("udp", B, False), ("udp", B, False), ("tls", A, True)]
    flow, data = w.sent[-1]
    assert w.core.counters["emergency_unproven"] == 0  # nobody took it yet
    up = w(reply(parse(data, stream=True), 180), flow)
    up += w(reply(parse(data, stream=True), 200, contact=f"<sips:{A}:5061>"), flow)
    assert arrows(up)[:2] == ["up 180", "up 200"]
    assert w.core.counters["emergency_unproven"] == 1
    assert w.unproven == [("operator", ("tls", A, 5061))]
    w(leg.from_pbx("ACK", uri=f"sips:{A}:5061"), UP)
    assert w.sent[-1][0].unproven  # all of the call goes the same way
    out = w(leg.from_pbx("BYE", uri=f"sips:{A}:5061"), UP)
    assert w.sent[-1][0].unproven
    w(reply(out[0][1], 200), flow)
    ((_, ended),) = w.ended
    assert [(f.rule, f.action, f.facts) for f in ended.findings] == [
        ("fault.tls", "flag", {"hop": "127.0.0.3:5061", "trunk": "operator"})
    ]
    assert {c.place[1]: c.up for c in w.core.conditions(w.now)}[A]  # one failure, and what it said since tells nothing


def test_every_hop_is_tried_as_it_should_be_before_any_is_tried_as_it_should_not() -> None:
    w = behind_tls(Hop("tls", A, 5061), Hop("tls", B, 5061, tier=1))
    Leg(w, uri="sip:112@127.0.0.1")
    for _ in range(3):
        w.unreachable()
    assert tried(w) == [("tls", A, False), ("tls", B, False), ("tls", A, True), ("tls", B, True)]
    assert arrows(w.unreachable()) == ["up 480"]
    assert len(tried(w)) == 4
    assert w.core.counters["emergency_unproven"] == 0
    w.rest()


def test_no_other_call_goes_to_a_hop_that_cannot_be_verified() -> None:
    w = behind_tls(Hop("tls", A, 5061), Hop("tls", B, 5061, tier=1))
    Leg(w)
    w.unreachable()
    assert arrows(w.unreachable()) == ["up 480"]
    assert [unproven for _, _, unproven in tried(w)] == [False, False]


def test_a_hop_that_nobody_verified_is_not_up_by_what_it_says() -> None:
    w = behind_tls(Hop("tls", A, 5061))
    for i in range(3):
        Leg(w, uri="sip:112@127.0.0.1", call_id=f"c{i}", branch=f"b{i}")
        w.unreachable()
        flow, data = w.sent[-1]
        w(reply(parse(data, stream=True), 503, more="Retry-After: 60\r\n"), flow)
    (condition,) = w.core.conditions(w.now)
    assert (condition.up, condition.why) == (False, "unreachable")


def test_what_was_found_of_a_call_outlasts_a_restart() -> None:
    w = behind_tls(Hop("tls", A, 5061))
    w.core.keep()
    Leg(w, uri="sip:112@127.0.0.1")
    w.unreachable()
    flow, data = w.sent[-1]
    w(reply(parse(data, stream=True), 200), flow)
    ((_, call),) = w.core.changed().items()
    assert call is not None
    line = msgspec.json.encode(keep(call, 7, 0))
    again = revive(msgspec.json.decode(line, type=KeptCall), 1, 0, w.now)
    assert [f.rule for f in again.findings] == ["fault.tls"]
    assert again.callee_flow is not None
    assert again.callee_flow.unproven
