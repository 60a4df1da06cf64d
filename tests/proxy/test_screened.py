"""Calls that come in where a rule of the site may refuse them: they wait for what is said, and for nothing else."""

from __future__ import annotations

import pytest

from guard.model import Decision
from guard.sip.message import Message
from guard.sources import Sources
from tests.proxy.tapped import Tapped, compare
from tests.proxy.test_observer_inbound import ALICE, Incoming
from tests.proxy.test_registration import contacts, registered
from tests.proxy.world import ALLOW, BLOCK, DOWN, OPERATOR, UP, World, arrows, reply, request


def coming(w: World, *, branch: str = "b1", uri: str = ALICE, cseq: int = 1) -> list[tuple[str, Message]]:
    """The operator calls."""
    raw = request(uri=uri, caller="<sip:+33611223344@op>", call_id="in@op", branch=branch, host=OPERATOR[0], cseq=cseq)
    return w(raw, DOWN)


def test_without_such_a_rule_no_call_waits() -> None:
    w = World(answer=None)
    assert arrows(coming(w)) == ["down 100", "up INVITE"]
    assert w.asked[0].passed


def test_a_call_waits_for_its_decision_and_goes_on() -> None:
    w = World(answer=None, screens=True)
    assert arrows(coming(w)) == ["down 100"]
    assert (w.asked[0].passed, w.asked[0].call.direction) == (False, "inbound")
    out = w.decide(w.asked[0].ticket, ALLOW)
    assert arrows(out) == ["up INVITE"]
    assert arrows(w(reply(out[0][1], 200, contact="<sip:127.0.0.2:5060>"), UP)) == ["down 200"]
    assert w.core.calls == 1


def test_a_call_is_refused_and_told_why() -> None:
    w = World(answer=BLOCK, screens=True)
    out = coming(w)
    assert arrows(out) == ["down 100", "down 403"]
    assert b'text="cli.not-authorised #1"' in (out[1][1].first(b"reason") or b"")
    assert [(e.outcome, e.final_status, e.by) for _, e in w.ended] == [("blocked", 403, "guard")]
    ack = request("ACK", ALICE, caller="<sip:+33611223344@op>", call_id="in@op", host=OPERATOR[0], to_tag="x")
    assert w(ack, DOWN) == []
    w.rest()


def test_a_call_to_a_registered_contact_goes_there_after_its_decision() -> None:
    w = World(screens=True)
    (uri,) = contacts(registered(w, "<sip:alice@127.0.0.2:5070>"))
    out = coming(w, uri=uri.decode())
    assert arrows(out) == ["down 100", "up INVITE"]
    assert (out[1][1].uri, w.sent[-1][0].peer[1]) == (b"sip:alice@127.0.0.2:5070", 5070)


def test_other_targets_of_it_are_judged_as_well() -> None:
    w = World(answer=None, screens=True)
    coming(w)
    assert arrows(coming(w, branch="b2", uri="sip:+33145678902@127.0.0.1")) == ["down 100"]
    assert arrows(w.decide(w.asked[0].ticket, ALLOW)) == ["up INVITE"]
    assert [(a.again, a.call.direction, a.call.callee.value) for a in w.asked[1:]] == [
        (True, "inbound", "+33145678902")
    ]
    assert arrows(w.decide(w.asked[1].ticket, BLOCK)) == ["down 403"]


def test_it_may_be_given_up_while_it_waits() -> None:
    w = World(answer=None, screens=True)
    coming(w)
    cancel = request("CANCEL", ALICE, caller="<sip:+33611223344@op>", call_id="in@op", host=OPERATOR[0])
    assert arrows(w(cancel, DOWN)) == ["down 200", "down 487"]
    assert [e.outcome for _, e in w.withdrawn] == ["cancelled"]
    assert w.decide(w.asked[0].ticket, ALLOW) == []


def test_a_decision_that_never_comes_is_told() -> None:
    w = World(answer=None, screens=True)
    coming(w)
    assert "down 480" in arrows(w.later(33))
    assert w.core.calls == 0


def test_a_source_that_is_gone_when_the_decision_comes() -> None:
    w = World(answer=None, screens=True)
    coming(w)
    w.core.adopt(Sources(()), w.trunks, "private", screens_inbound=True)
    assert arrows(w.decide(w.asked[0].ticket, ALLOW)) == ["down 404"]
    assert [e.final_status for _, e in w.ended] == [404]


def test_a_rule_may_come_and_go_while_calls_are_up() -> None:
    w = World(answer=None)
    first = Incoming(w).up()
    w.core.adopt(w.sources, w.trunks, "private", screens_inbound=True)
    assert arrows(coming(w, branch="other", cseq=9)) == ["down 100"]
    w.core.adopt(w.sources, w.trunks, "private")
    first.bye_of_operator()
    assert arrows(w.decide(w.asked[1].ticket, ALLOW)) == ["up INVITE"]


def failing_once(monkeypatch: pytest.MonkeyPatch, w: World) -> None:
    """The first INVITE that is sent on raises."""
    relay, faults = w.core._c.relay, [1]

    def once(*args: object) -> object:
        if faults:
            faults.clear()
            raise RuntimeError("a bug")
        return relay(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(w.core._c, "relay", once)


@pytest.mark.interpreted
def test_a_fault_sends_it_to_the_ipbx_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    failing_once(monkeypatch, w)
    with pytest.raises(RuntimeError, match="a bug"):
        coming(w)
    w.drain()
    assert [shown for shown in arrows(w.shown(0)) if "INVITE" in shown] == ["up INVITE"]


@pytest.mark.interpreted
def test_a_fault_after_the_decision_is_told_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World(answer=None, screens=True)
    coming(w)
    failing_once(monkeypatch, w)
    with pytest.raises(RuntimeError, match="a bug"):
        w.decide(w.asked[0].ticket, ALLOW)
    w.drain()
    assert arrows(w.shown(1)) == ["down 480"]
    assert w.core.calls == 0


@pytest.mark.parametrize(
    ("both", "answer", "fork"),
    [(True, ALLOW, False), (True, ALLOW, True), (False, ALLOW, False), (False, ALLOW, True), (True, BLOCK, False)],
)  # what is refused never comes to the wire of the IPBX
def test_a_follower_of_captures_says_the_same(both: bool, answer: Decision, fork: bool) -> None:
    w = Tapped(answer, both=both, screens=True)
    out = coming(w)
    if fork and answer is ALLOW:
        other = coming(w, branch="b2", uri="sip:+33145678902@127.0.0.1")
        w(reply(other[-1][1], 486), UP)
    if answer is ALLOW:
        w(reply(out[-1][1], 486), UP)
    w.later(60)
    compare(w)
