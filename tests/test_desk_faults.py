"""The desk when its counters fail: the configured verdict, and what the rules say without them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.detectors.words import Evidence, Price, Signal
from guard.model import CallAttempt, CallEnded
from guard.state.contract import Reading, StateError, Touch
from guard.state.memory import MemoryState
from tests.deciding import LENT, MAIN, PREMIUM, STRANGERS, call, engine_of
from tests.waiting import SPAN, T0, Scene


class Broken(MemoryState):
    """Counters that cannot be read while `broken`."""

    broken = True

    def touch(self, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        if self.broken:
            raise StateError("gone")
        return super().touch(touches, now)


def test_a_state_that_fails_lets_calls_through() -> None:
    desk = Desk(engine_of(), Broken(), "pass")
    ((_, decision),) = desk.submit(1, call(), T0)
    assert (decision.verdict, decision.rule, decision.status) == ("flagged", "fault.state", 0)
    assert decision.findings[-1].facts == {"error": "StateError"}
    assert decision.presented == MAIN
    assert desk.state_faults == 1


def test_a_state_that_fails_stops_calls_where_it_is_told_to() -> None:
    desk = Desk(engine_of(), Broken(), "block")
    ((_, decision),) = desk.submit(1, call(), T0)
    assert (decision.verdict, decision.rule) == ("blocked", "fault.state")
    assert (decision.status, decision.retry_after) == (480, 5)


@pytest.mark.parametrize("on_fault", ["pass", "block"])
def test_a_state_that_fails_stops_no_emergency_and_nothing_inbound(on_fault: str) -> None:
    desk = Desk(engine_of(), Broken(), on_fault)  # type: ignore[arg-type]
    for ticket, made in enumerate((call(callee="112"), replace(call(), direction="inbound"))):
        ((_, decision),) = desk.submit(ticket, made, T0)
        assert decision.verdict != "blocked"


@pytest.mark.parametrize("on_fault", ["pass", "block"])
def test_rules_without_counters_hold_whatever_the_state_does(on_fault: str) -> None:
    desk = Desk(engine_of(), Broken(), on_fault)  # type: ignore[arg-type]
    ((_, refused),) = desk.submit(1, call(STRANGERS), T0)
    assert (refused.verdict, refused.rule, refused.status) == ("blocked", "cli.not-authorised", 403)


def test_a_premium_number_stays_masked_when_the_state_fails() -> None:
    desk = Desk(engine_of(), Broken(), "pass")
    ((_, decision),) = desk.submit(1, call(PREMIUM), T0)
    assert (decision.verdict, decision.masked_numbers) == ("masked", (PREMIUM,))
    assert [f.rule for f in decision.findings] == ["cli.premium", "fault.state"]


def test_a_state_that_fails_while_calls_wait() -> None:
    scene = Scene(cps=1)
    state = Broken()
    state.broken = False
    scene.desk = Desk(scene.engine, state, "pass")
    for i in (1, 2, 3):
        scene.place(i)
    state.broken = True
    assert scene.wait(T0 + SPAN) == [2, 3]
    assert {scene.decided[i].rule for i in (2, 3)} == {"fault.state"}
    assert scene.decided[2].held_us == SPAN
    assert len(scene.desk) == 0


def test_a_consent_that_ends_while_a_call_waits_is_judged_by_the_instant_it_was_placed() -> None:
    scene = Scene(cps=1)
    scene.place(1)
    scene.place(2, call(LENT))
    scene.wait(T0 + SPAN)
    assert scene.verdict(2) == "allowed"


class Blind(Watch):
    """A watch that has a bug."""

    def attempt(self, ident: str, call: CallAttempt, price: Price, *, closed: bool = False) -> tuple[Signal, ...]:
        raise RuntimeError("attempt")

    def ended(self, ident: str, ended: CallEnded) -> tuple[Evidence, ...]:
        raise RuntimeError("ended")

    def stopped(self, ident: str) -> None:
        raise RuntimeError("stopped")


def test_a_watch_that_raises_costs_no_call_and_is_told_and_counted() -> None:
    told: list[str] = []
    desk = Desk(engine_of(), MemoryState(), watch=Blind(), told=lambda error: told.append(str(error)))
    plain = Desk(engine_of(), MemoryState())
    assert desk.submit(1, call(), T0) == plain.submit(1, call(), T0)
    assert told == ["attempt"]
    desk.departed(1, T0)
    assert desk.ended(1, T0 + 5, CallEnded(at=T0 + 5, outcome="answered", talk_us=3)) == ()
    assert told == ["attempt", "ended"]
    assert desk.submit(2, call(STRANGERS), T0) == plain.submit(2, call(STRANGERS), T0)
    assert desk.submit(3, call(callee="112"), T0)[0][1].verdict == "allowed"  # not even looked at
    assert told == ["attempt", "ended", "attempt", "stopped"]
    assert desk.watch_faults == 4


def test_a_watch_that_raises_is_heard_where_nobody_is_told() -> None:
    with pytest.raises(RuntimeError, match="attempt"):
        Desk(engine_of(), MemoryState(), watch=Blind()).submit(1, call(), T0)
