"""The follower of captures and calls from the operator: seen before the guard, behind it, or both, they count once."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from guard.proxy.effects import Flow
from guard.proxy.origin import Origins
from guard.proxy.shapes import CoreSettings
from guard.sip.message import parse
from guard.sources import Source, Sources
from tests.proxy.tapped import Follower, Tapped, compare
from tests.proxy.world import BLOCK, DOWN, GUARD, OPERATOR, PBX, STRANGER, UP, Leg, World, reply, request

ALICE = "sip:+33145678901@127.0.0.1"
HERE = "<sip:127.0.0.2:5060>"


class Incoming:
    """One call from the operator through the guard."""

    def __init__(self, w: World, *, branch: str = "b1", cseq: int = 1, uri: str = ALICE, more: str = "") -> None:
        self.w = w
        self.branch, self.cseq, self.uri = branch, cseq, uri
        self.raw = self.from_operator("INVITE", uri=uri, more=more)
        w(self.raw, DOWN)
        self.invite = parse(w.sent[-1][1])

    def from_operator(self, method: str, *, to_tag: str = "", branch: str = "", uri: str = "", more: str = "") -> bytes:
        return request(
            method,
            uri or "sip:127.0.0.2:5060",
            caller="<sip:+33611223344@op>",
            to_tag=to_tag,
            call_id="in@op",
            cseq=self.cseq,
            branch=branch or self.branch,
            host=OPERATOR[0],
            more=more,
        )

    def answer(self, status: int, *, to_tag: str = "z9") -> None:
        """The IPBX answers."""
        self.w(reply(self.invite, status, to_tag=to_tag, contact=HERE), UP)

    def up(self) -> Incoming:
        self.answer(180)
        self.w.later(2)
        self.answer(200)
        self.w(self.from_operator("ACK", to_tag="z9", branch="ack"), DOWN)
        return self

    def bye_of_operator(self) -> None:
        self.cseq += 1
        self.w(self.from_operator("BYE", to_tag="z9", branch="bye"), DOWN)
        self.w.later(0.1)
        self.w(reply(parse(self.w.sent[-1][1]), 200, contact=HERE), UP)

    def bye_of_pbx(self) -> None:
        bye = request(
            "BYE", "sip:127.0.0.3:5060", caller=f"<{ALICE}>", tag="z9", to="<sip:+33611223344@op>", to_tag="a1",
            call_id="in@op", branch="pbye",
        )  # fmt: skip
        self.w(bye, UP)
        self.w.later(0.1)
        self.w(reply(parse(self.w.sent[-1][1]), 200), DOWN)


def caller_hangs_up(w: Tapped) -> None:
    call = Incoming(w).up()
    w.later(61)
    call.bye_of_operator()


def callee_hangs_up(w: Tapped) -> None:
    call = Incoming(w).up()
    w.later(9)
    call.bye_of_pbx()


def repeated(w: Tapped) -> None:
    call = Incoming(w)
    w(call.raw, DOWN)
    w.later(1)
    call.up()
    w(call.raw, DOWN)
    call.answer(200)
    w.later(3)
    call.bye_of_operator()


def cancelled(w: Tapped) -> None:
    call = Incoming(w)
    call.answer(180)
    w.later(4)
    w(call.from_operator("CANCEL", uri=ALICE), DOWN)
    call.answer(487)


def busy(w: Tapped) -> None:
    Incoming(w).answer(486)


def challenged(w: Tapped) -> None:
    Incoming(w).answer(407)
    w.later(0.2)
    call = Incoming(w, branch="b2", cseq=2).up()
    w.later(7)
    call.bye_of_pbx()


def not_repeated(w: Tapped) -> None:
    Incoming(w).answer(401)


def moved(w: Tapped) -> None:
    Incoming(w).answer(302)
    w.later(1)
    Incoming(w, branch="b2", uri="sip:+33145678902@127.0.0.1").up().bye_of_operator()


def forked(w: Tapped) -> None:
    first, second = Incoming(w), Incoming(w, branch="b2")
    first.answer(180, to_tag="x")
    w.later(1)
    second.answer(200)
    first.answer(487, to_tag="x")
    w.later(6)
    second.bye_of_operator()


def unanswered(w: Tapped) -> None:
    Incoming(w)


def ringing_for_ever(w: Tapped) -> None:
    Incoming(w).answer(180)


def lost_bye(w: Tapped) -> None:
    call = Incoming(w).up()
    w.later(5)
    w(call.from_operator("BYE", to_tag="z9", branch="bye"), DOWN)


def refreshed(w: Tapped) -> None:
    call = Incoming(w).up()
    w.later(100)
    call.cseq = 2
    w(call.from_operator("INVITE", to_tag="z9", branch="re"), DOWN)
    again = parse(w.sent[-1][1])
    w.later(1)
    w(reply(again, 200, contact=HERE), UP)


def beside_one_that_goes_out(w: Tapped) -> None:
    inward, outward = Incoming(w), Leg(w)
    outward.up()
    inward.up()
    w.later(3)
    outward.bye()
    inward.bye_of_pbx()


def by_its_address(w: Tapped) -> None:
    Incoming(w, uri="sip:+33145678901@127.0.0.2").up().bye_of_operator()


def to_an_emergency_number(w: Tapped) -> None:
    Incoming(w, uri="sip:112@127.0.0.1").answer(404)


FLOWS: list[Callable[[Tapped], None]] = [
    caller_hangs_up, callee_hangs_up, repeated, cancelled, busy, challenged, not_repeated, moved, forked, unanswered,
    ringing_for_ever, lost_bye, refreshed, beside_one_that_goes_out, by_its_address, to_an_emergency_number,
]  # fmt: skip


@pytest.mark.parametrize("both", [False, True], ids=["the side of the IPBX", "both sides"])
@pytest.mark.parametrize("flow", FLOWS)
def test_both_ask_and_end_alike(flow: Callable[[Tapped], None], both: bool) -> None:
    w = Tapped(both=both)
    flow(w)
    w.later(26 * 3600)
    compare(w)
    inbound = [call for passed, _, call in w.tap.asked if call.direction == "inbound"]
    assert [(c.source, c.trunk, c.source_address) for c in inbound] == [("pbx", "operator", OPERATOR[0])]


def test_what_the_guard_sent_on_is_counted_apart() -> None:
    w = Tapped(both=True)
    caller_hangs_up(w)
    beside = Leg(w).up()
    beside.bye()
    assert w.tap.observer.counters["own"] == 4  # two INVITEs and two BYEs; ACKs say nothing anyway


def test_without_a_guard_the_call_is_of_the_source_that_it_went_to() -> None:
    other = Source(name="other", networks=(ip_network("127.0.0.8/32"),), trunk="operator")
    w = World()
    w.sources = Sources((other, replace(w.sources.all[0], contact=None)))
    f = Follower(w)
    invite = request(uri="sip:alice@pbx.example", host=OPERATOR[0])
    f(invite, Flow("udp", PBX, OPERATOR), 0)
    assert [(passed, c.source, c.direction) for passed, _, c in f.asked] == [(True, "pbx", "inbound")]
    # The guard would have answered 404: it has no way to any of them.
    f(request(uri="sip:alice@pbx.example", host=OPERATOR[0], call_id="c2", branch="b2"), DOWN, 0)
    f(request(uri="sip:a@b", host=OPERATOR[0], call_id="c3", branch="b3"), Flow("udp", STRANGER, OPERATOR), 0)
    assert len(f.asked) == 1


@pytest.mark.interpreted
def test_a_full_follower_and_a_bad_request_open_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    f = Follower(World())
    f(request(host=OPERATOR[0]).replace(b"Max-Forwards: 70", b"Max-Forwards: 0"), DOWN, 0)
    assert f.observer.counters["unreadable"] == 1
    monkeypatch.setattr("guard.proxy.calls.MAX_CALLS", 0)
    f(request(host=OPERATOR[0]), DOWN, 0)
    assert f.observer.counters["full"] == 1
    f(request(host=OPERATOR[0], call_id="old", to_tag="gone"), DOWN, 0)
    assert f.asked == []


# ---- strangers, and emergency calls ---------------------------------------------------------------------------------


def from_stranger(address: str, **more: str) -> tuple[bytes, Flow]:
    return request(host=address, **more), Flow("udp", GUARD, (address, 5060))  # type: ignore[arg-type]


def test_strangers_are_told_as_the_core_tells_them() -> None:
    w = Tapped(both=True)
    w(*from_stranger(STRANGER[0]))
    w(*from_stranger(STRANGER[0]))  # nobody answers, so nothing is remembered: each try is one
    w(*from_stranger("192.0.2.7", call_id="c2", to_tag="x"))
    w(*from_stranger("192.0.2.7", uri="sip:112@127.0.0.1"))
    w(*from_stranger("192.0.2.7", method="INVITE", more="Max-Forwards: 0\r\n"))
    assert len(w.strangers) == 5
    assert w.tap.strangers == w.strangers
    assert (w.tap.asked, w.asked) == ([], [])


def test_strangers_that_call_somebody_else_are_none_of_ours() -> None:
    f = Follower(World())
    for there in (PBX, OPERATOR, (GUARD[0], 5070), STRANGER):
        f(request(host="192.0.2.7"), Flow("udp", there, ("192.0.2.7", 5060)), 0)
    f(request(host="192.0.2.7"), Flow("tcp", (GUARD[0], 5070), ("192.0.2.7", 5060)), 0)
    assert [s.call for s in f.strangers] == [None] * 5
    assert f.observer.counters["foreign"] == 5


@pytest.mark.parametrize(
    ("host", "advertise", "there", "ours"),
    [
        ("0.0.0.0", "gw.example", "10.9.9.9", True),
        ("0.0.0.0", "192.0.2.200", "192.0.2.200", True),
        ("0.0.0.0", "gw.example", PBX[0], False),
        ("0.0.0.0", "gw.example", OPERATOR[0], False),
        ("0.0.0.0", "gw.example", "2001:db8::9", False),
        ("::", "gw.example", "2001:db8::9", True),
        ("10.0.0.1", "192.0.2.200", "192.0.2.200", True),
        ("10.0.0.1", "192.0.2.200", "10.0.0.1", True),
        ("10.0.0.1", "192.0.2.200", "10.0.0.2", False),
    ],
)
def test_what_is_meant_for_the_guard(host: str, advertise: str, there: str, ours: bool) -> None:
    w = World()
    settings = CoreSettings(listens=(("udp", host, 5060),), token="", advertise=advertise)
    origins = Origins(settings, w.sources, w.trunks)
    assert origins.for_us(Flow("udp", (there, 5060), STRANGER)) is ours
    assert not origins.for_us(Flow("tcp", (there, 5060), STRANGER))
    assert not origins.for_us(Flow("udp", (there, 5062), STRANGER))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b""),
        (b"Via: SIP/2.0/UDP", b"Via: what"),
        (b"CSeq: 1 INVITE", b"CSeq: one"),
        (b"Content-Length: 0", b"Content-Length: 99"),
        (b"Max-Forwards: 70", b"Max-Forwards: many"),
    ],
)
def test_an_emergency_call_is_followed_whatever_is_wrong_with_it(old: bytes, new: bytes, both: bool) -> None:
    w = Tapped(BLOCK, both=both)
    w(request(uri="sip:112@127.0.0.1").replace(old, new), UP)
    w.later(26 * 3600)
    compare(w)
    assert [call.emergency for _, _, call in w.tap.asked] == ["112"]


def test_a_strangers_emergency_call_is_followed_where_the_guard_carries_it() -> None:
    for who, carried in (("any", 1), ("none", 0)):
        w = Tapped(both=True, emergency=who)  # type: ignore[arg-type]
        data, flow = from_stranger("192.0.2.7", uri="sip:112@127.0.0.1")
        w(data, flow)
        if carried:
            w(reply(parse(w.sent[-1][1]), 486), DOWN)
        w.later(26 * 3600)
        compare(w)
        assert len(w.tap.asked) == carried
        assert len(w.tap.strangers) == 1 - carried
        w.tap(data.replace(b"z9hG4bKb1", b"z9hG4bKb2"), Flow("udp", PBX, flow.peer), w.now)
        assert len(w.tap.strangers) == 2 - carried  # past the guard, nothing is carried
