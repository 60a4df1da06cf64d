"""Faults of ours in the core itself: the exception reaches the driver, and nobody is left waiting."""

from __future__ import annotations

import pytest

from guard.model import Decision
from guard.proxy import facts
from guard.proxy.door import Door
from guard.proxy.effects import Flow
from guard.proxy.forward import Forwarder
from guard.proxy.requests import Requests
from guard.proxy.transactions import Layer
from tests.proxy.world import BLOCK, DOWN, STRANGER, UP, Leg, Out, World, arrows, reply, request

FAULT = Decision(verdict="flagged", rule="fault.engine")
NOWHERE = Flow("udp", ("127.0.0.1", 5060), STRANGER)


class Bug(Exception):
    """A fault of ours."""


def buggy(*_: object, **__: object) -> object:
    raise Bug


def raised(w: World, data: bytes, flow: Flow = UP) -> Out:
    """One message over which the core raises; what leaves because of it all the same."""
    before = len(w.sent)
    with pytest.raises(Bug):
        w.core.receive(data, flow, w.now)
    w.drain()
    return w.shown(before)


@pytest.mark.interpreted
def test_a_call_is_asked_about_with_nothing_but_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World(answer=None)
    with monkeypatch.context() as broken:
        broken.setattr(facts, "attempt", buggy)
        assert arrows(raised(w, request())) == ["up 100"]
        assert arrows(w(request(), UP)) == ["up 100"], "a repetition of it is one"
    (asked,) = w.asked
    assert asked.error == "Bug"
    call = asked.call
    assert (call.call_id, call.source, call.trunk, call.caller.kind, call.callee.kind) == (
        "c1@pbx",
        "pbx",
        "operator",
        "none",
        "none",
    )
    assert arrows(w.decide(asked.ticket, FAULT)) == ["down INVITE"]
    assert w.core.calls == 1


@pytest.mark.interpreted
def test_such_a_call_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World(answer=None)
    with monkeypatch.context() as broken:
        broken.setattr(facts, "attempt", buggy)
        raised(w, request())
    out = w.decide(w.asked[0].ticket, FAULT)
    w(reply(out[0][1], 486), DOWN)
    assert [e.final_status for _, e in w.ended] == [486]
    w.rest()


@pytest.mark.interpreted
@pytest.mark.parametrize("cancelled", [False, True])
def test_such_a_call_can_be_refused_or_cancelled(cancelled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    w = World(answer=None)
    with monkeypatch.context() as broken:
        broken.setattr(facts, "attempt", buggy)
        raised(w, request())
    if cancelled:
        assert arrows(w(request("CANCEL"), UP)) == ["up 200", "up 487"]
        assert len(w.withdrawn) == 1
    else:
        assert arrows(w.decide(w.asked[0].ticket, BLOCK)) == ["up 403"]
        assert len(w.ended) == 1
    w.rest()


@pytest.mark.interpreted
def test_a_fault_before_there_is_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    with monkeypatch.context() as broken:
        broken.setattr(Door, "acceptable", buggy)
        assert arrows(raised(w, request())) == ["up 100", "down INVITE"]
    assert w.asked[0].error == "Bug"


def test_another_target_that_cannot_be_read_is_asked_about_too(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    Leg(w)
    w.answer = None
    fork = request(branch="b2", uri="sip:+33892681234@127.0.0.1")
    with monkeypatch.context() as broken:
        broken.setattr(facts, "attempt", buggy)
        assert arrows(raised(w, fork)) == ["up 100"]
    asked = w.asked[-1]
    assert (asked.again, asked.error) == (True, "Bug")
    assert arrows(w.decide(asked.ticket, BLOCK)) == ["up 403"]
    assert w.core.calls == 1, "the first target goes on"


@pytest.mark.interpreted
@pytest.mark.parametrize("reads", ["emergency", "attempt"])
def test_an_emergency_call_is_out_and_recorded(reads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = World(answer=None)
    with monkeypatch.context() as broken:
        broken.setattr(facts, reads, buggy)
        assert arrows(raised(w, request(uri="sip:112@127.0.0.1"))) == ["up 100", "down INVITE"]
    (asked,) = w.asked
    assert asked.passed
    assert asked.call.emergency == ("112" if reads == "attempt" else "")


@pytest.mark.interpreted
def test_an_emergency_call_with_a_to_tag_is_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World(answer=None)
    with monkeypatch.context() as broken:
        broken.setattr(facts, "attempt", buggy)
        out = raised(w, request(uri="sip:112@127.0.0.1", to_tag="odd"))
    assert arrows(out) == ["up 100", "down INVITE"]


@pytest.mark.interpreted
def test_a_stranger_gets_nothing_for_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World(emergency="none")
    with monkeypatch.context() as broken:
        broken.setattr(facts, "attempt", buggy)
        assert raised(w, request(host=STRANGER[0]), NOWHERE) == []
        broken.setattr(facts, "emergency", buggy)
        assert (
            raised(World(), request(host="192.168.0.9"), Flow("udp", ("127.0.0.1", 5060), ("192.168.0.9", 5060))) == []
        )
    assert w.core.transactions == 0
    assert w.core.calls == 0


@pytest.mark.interpreted
def test_what_fails_twice_gets_480_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    with monkeypatch.context() as broken:
        broken.setattr(facts, "attempt", buggy)
        broken.setattr(facts, "plain", buggy)
        out = raised(w, request())
    assert arrows(out) == ["up 100", "up 480"]
    assert out[-1][1].first(b"retry-after") == b"5"
    w(request("ACK", to_tag=(out[-1][1].to().tag or b"").decode()), UP)
    w.rest()


@pytest.mark.interpreted
def test_what_waits_for_a_fork_s_decision_and_fails_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World(answer=None)
    with monkeypatch.context() as broken:
        broken.setattr(Requests, "first", _late_bug)
        assert arrows(raised(w, request())) == ["up 100"]
    assert len(w.asked) == 1, "its decision comes: nothing is asked twice"
    assert arrows(w.decide(w.asked[0].ticket, FAULT)) == ["down INVITE"]


FIRST = Requests.first


def _late_bug(self: Requests, *args: object, **more: object) -> None:
    FIRST(self, *args, **more)  # type: ignore[arg-type]
    raise Bug


@pytest.mark.interpreted
@pytest.mark.parametrize("forks", [1, 2])
def test_a_decision_that_cannot_be_applied_is_an_answer_to_all_that_wait(
    forks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = World(answer=None)
    for fork in range(forks):
        w(request(branch=f"b{fork}"), UP)
    with monkeypatch.context() as broken:
        broken.setattr(Forwarder, "request", buggy)
        with pytest.raises(Bug):
            w.core.decided(w.asked[0].ticket, FAULT, 1, w.now)
    before = len(w.sent)
    w.drain()
    assert arrows(w.shown(before)) == ["up 480"] * forks
    assert [(e.final_status, e.by) for _, e in w.ended] == [(480, "guard")]
    w.rest()


@pytest.mark.interpreted
def test_another_target_s_decision_that_cannot_be_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    Leg(w)
    w.answer = None
    w(request(branch="b2", uri="sip:+33145670002@127.0.0.1"), UP)
    with monkeypatch.context() as broken:
        broken.setattr(Forwarder, "request", buggy)
        with pytest.raises(Bug):
            w.core.decided(w.asked[-1].ticket, FAULT, 1, w.now)
    before = len(w.sent)
    w.drain()
    assert arrows(w.shown(before)) == ["up 480"]
    assert w.ended == [], "the first target goes on"


@pytest.mark.interpreted
@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE"])
def test_a_request_of_a_call_gets_500(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    leg = Leg(w).up()
    with monkeypatch.context() as broken:
        broken.setattr(Forwarder, "request", buggy)
        out = raised(w, leg.from_pbx(method))
    assert arrows(out) == (["up 100", "up 500"] if method == "INVITE" else ["up 500"])
    assert b"SIP;cause=500" in (out[-1][1].first(b"reason") or b"")
    leg.bye()
    assert len(w.ended) == 1


@pytest.mark.interpreted
def test_nobody_answers_an_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    leg = Leg(w)
    leg.answer(200)
    with monkeypatch.context() as broken:
        broken.setattr(Forwarder, "request", buggy)
        assert raised(w, leg.from_pbx("ACK")) == []


@pytest.mark.interpreted
def test_a_request_that_is_on_its_way_is_not_answered_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    Leg(w)
    with monkeypatch.context() as broken:
        broken.setattr(Layer, "step_server", buggy)
        assert raised(w, request()) == []
