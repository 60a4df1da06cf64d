"""The follower of captures, given what went over the IPBX's wire, counts and measures what the live core did."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guard.model import SECOND
from guard.proxy import observer as observer_module
from guard.proxy.calls import REPEAT_WAIT
from guard.proxy.effects import Flow
from guard.proxy.observer import MAX_BACKLOG
from tests.proxy.tapped import Follower, Tapped, compare
from tests.proxy.world import ALLOW, BLOCK, DOWN, GUARD, PBX, UP, Leg, World, reply, request


def plain(w: Tapped) -> None:
    leg = Leg(w)
    w.later(1.5)
    leg.answer(180)
    w.later(4)
    leg.answer(200)
    w(leg.from_pbx("ACK"), UP)
    w.later(61)
    leg.bye()


def repeated(w: Tapped) -> None:
    leg = Leg(w)
    w(leg.raw, UP)
    leg.answer(183)
    w(leg.raw, UP)
    leg.answer(200)
    leg.answer(200)
    w.later(3)
    bye = leg.from_operator("BYE")
    out = w(bye, DOWN)
    w(bye, DOWN)
    w(reply(out[0][1], 200), UP)


def cancelled(w: Tapped) -> None:
    leg = Leg(w)
    leg.answer(180)
    w.later(9)
    w(leg.cancel(), UP)
    leg.answer(487)


def busy(w: Tapped) -> None:
    Leg(w).answer(486)


def authenticated(w: Tapped) -> None:
    Leg(w).answer(407)
    w.later(0.2)
    leg = Leg(w, branch="b2", more='Proxy-Authorization: Digest username="u"\r\n')
    leg.answer(200)
    w.later(7)
    leg.bye()


def not_repeated(w: Tapped) -> None:
    Leg(w).answer(401)


def redirected(w: Tapped) -> None:
    Leg(w).answer(302, contact="<sip:+33145670002@127.0.0.3>\r\nContact: <sip:+33145670003@127.0.0.3>")
    Leg(w, branch="b2", uri="sip:+33145670002@127.0.0.1").answer(486)
    w.later(1)
    leg = Leg(w, branch="b3", uri="sip:+33145670003@127.0.0.1")
    leg.answer(200)
    w.later(20)
    leg.bye()


def forked(w: Tapped) -> None:
    first = Leg(w, branch="f1")
    second = Leg(w, branch="f2")
    first.answer(180, to_tag="x")
    w.later(2)
    second.answer(200, to_tag="y")
    first.answer(487, to_tag="x")
    w.later(11)
    out = w(second.from_pbx("BYE", to_tag="y"), UP)
    w(reply(out[0][1], 200), DOWN)


def downstream(w: Tapped) -> None:
    leg = Leg(w)
    for tag in ("x", "y"):
        leg.answer(200, to_tag=tag)
    for tag in ("x", "y"):
        w.later(5)
        out = w(leg.from_pbx("BYE", to_tag=tag), UP)
        w(reply(out[0][1], 200), DOWN)


def challenged_bye(w: Tapped) -> None:
    leg = Leg(w).up()
    w.later(5)
    out = w(leg.from_pbx("BYE"), UP)
    w(reply(out[0][1], 407), DOWN)
    w.later(60)
    leg.bye()


def unanswered(w: Tapped) -> None:
    Leg(w)


def ringing_for_ever(w: Tapped) -> None:
    Leg(w).answer(180)


def lost_bye(w: Tapped) -> None:
    leg = Leg(w).up()
    w.later(5)
    w(leg.from_pbx("BYE"), UP)


def silent(w: Tapped) -> None:
    leg = Leg(w).up()
    w.later(100)
    w(leg.from_pbx("UPDATE"), UP)


def emergency(w: Tapped) -> None:
    leg = Leg(w, uri="sip:0112@127.0.0.1").up()
    w.later(5)
    leg.bye()


def same_name_again(w: Tapped) -> None:
    for n in range(2):
        leg = Leg(w, branch=f"n{n}")
        leg.answer(200, to_tag=f"t{n}")
        w.later(5)
        out = w(leg.from_pbx("BYE", to_tag=f"t{n}"), UP)
        w(reply(out[0][1], 200), DOWN)


FLOWS: list[Callable[[Tapped], None]] = [
    plain, repeated, cancelled, busy, authenticated, not_repeated, redirected, forked, downstream, challenged_bye,
    unanswered, ringing_for_ever, lost_bye, silent, emergency, same_name_again,
]  # fmt: skip


@pytest.mark.parametrize("both", [False, True], ids=["the side of the IPBX", "both sides"])
@pytest.mark.parametrize("flow", FLOWS)
def test_both_ask_and_end_alike(flow: Callable[[Tapped], None], both: bool) -> None:
    w = Tapped(both=both)
    flow(w)
    w.later(26 * 3600)
    compare(w)
    assert len(w.tap.ended) == sum(not again for _, again, _ in w.tap.asked)


@pytest.mark.parametrize("flow", [plain, authenticated, redirected])
def test_both_end_a_refused_call_alike(flow: Callable[[Tapped], None]) -> None:
    w = Tapped(BLOCK)
    w(request(), UP)
    w.later(60)
    compare(w)
    assert [e.outcome for e in w.tap.ended] == ["blocked"]


def test_what_went_by_before_the_decision_is_told_after_it() -> None:
    f = Follower(World(), answer=None)
    now = SECOND
    f(request(), UP, now)
    back = Flow("udp", PBX, GUARD)

    def answer(status: int, branch: str = "b1") -> bytes:
        return (
            f"SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bK{branch}\r\n"
            f"From: <sip:a@b>;tag=a1\r\nTo: <sip:c@d>;tag=z9\r\n"
            f"Call-ID: c1@pbx\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    f(answer(180), back, 2 * SECOND)
    f(answer(200), back, 5 * SECOND)
    assert f.ended == []
    f.observer.decided(1, ALLOW, 6 * SECOND)
    bye = request("BYE", to_tag="z9", branch="bye", cseq=2)
    f(bye, UP, 15 * SECOND)
    f(answer(200, "bye").replace(b"1 INVITE", b"2 BYE"), back, 16 * SECOND)
    assert [(e.outcome, e.ring_us, e.talk_us) for e in f.ended] == [("answered", 3 * SECOND, 10 * SECOND)]


def test_what_a_live_guard_would_have_refused_ends_there_whatever_went_by() -> None:
    w = Tapped()
    w.tap.answer = BLOCK
    plain(w)
    assert [e.outcome for e in w.tap.ended] == ["blocked"]
    w = Tapped()
    leg = Leg(w)
    leg.answer(302)
    w.tap.answer = BLOCK
    second = Leg(w, branch="b2", uri="sip:+33145670002@127.0.0.1")
    second.answer(200)
    second.bye()
    assert [(e.outcome, e.final_status, e.by) for e in w.tap.ended] == [("failed", 403, "guard")]


@pytest.mark.interpreted
def test_a_backlog_has_an_end_and_so_has_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    f = Follower(World(), answer=None)
    f(request(), UP, 0)
    data = reply(Leg(World()).invite, 180)
    lines = data.split(b"\r\n")
    own = b"\r\n".join(line for line in lines if not line.startswith(b"Via: SIP/2.0/UDP 127.0.0.1"))
    for _ in range(MAX_BACKLOG + 3):
        f(own, Flow("udp", PBX, GUARD), SECOND)
    assert f.observer.counters["backlog_dropped"] == 3
    monkeypatch.setattr(observer_module, "MAX_SEEN", 4)
    f = Follower(World())
    for n in range(9):
        f(request(call_id=f"c{n}", branch=f"b{n}"), UP, n)
    assert len(f.observer._seen) == 4
    f.until(REPEAT_WAIT * 100)
    assert f.observer.calls == 0


def test_nonsense_is_only_counted() -> None:
    f = Follower(World())
    f(b"nonsense", UP, 0)
    f(request().replace(b"Via: SIP", b"Via: what"), UP, 0)
    f(request().replace(b"Max-Forwards: 70", b"Max-Forwards: 0"), UP, 0)
    f(request(to_tag="gone"), UP, 0)
    assert f.asked == []
    assert f.observer.counters["unreadable"] == 3
