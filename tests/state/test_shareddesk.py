"""A desk whose counters are shared: late answers, calls that give up meanwhile, being alone, and what cannot wait."""

from __future__ import annotations

import pytest
import redis
from msgspec.structs import replace

from guard.model import SECOND, CallEnded
from guard.shareddesk import SharedDesk
from guard.state.part import SILENT
from tests.deciding import STRANGERS, call
from tests.shared import SharedScene
from tests.state.kept import Kept
from tests.state.touches import gauge, one, window
from tests.waiting import HOLD, MS, SPAN, T0

DEADLINE = 50 * MS
QUIET = 1_500 * MS


def deaf(client: redis.Redis, *, cps: int = 0, channels: int = 500) -> SharedScene:
    """A scene whose server does not answer."""
    scene = SharedScene(client, cps=cps, channels=channels)
    scene.silent = True
    return scene


def alone(scene: SharedScene) -> None:
    """The way to the server is lost, long ago: nothing that was granted before matters."""
    scene.shared.lost(T0 - 10 * SECOND, "gone")
    scene.silent = True


def joined(scene: SharedScene) -> Kept:
    """A second guard of the site, of which the first knows."""
    other = Kept(scene.kept.client, scene.kept.site, "b")
    other.hello(T0)
    scene.kept.beat(T0)
    scene.kept.beat(T0)
    return other


def why(scene: SharedScene, ticket: int) -> list[object]:
    return [f.facts["error"] for f in scene.decided[ticket].findings if f.rule == "fault.state"]


def test_nobody_waits_beyond_the_deadline(client: redis.Redis) -> None:
    scene = deaf(client, cps=0)
    assert not scene.place(1)
    assert scene.desk.next_wake() == T0 + DEADLINE
    assert scene.wait(T0 + DEADLINE - 1) == []
    assert scene.wait(T0 + DEADLINE) == [1]
    assert scene.verdict(1) == "allowed"
    assert why(scene, 1) == ["late"]
    assert scene.shared.alone


def test_one_late_answer_is_the_end_of_waiting_for_all(client: redis.Redis) -> None:
    scene = deaf(client, cps=0)
    for ticket in range(3):
        scene.now += MS
        scene.place(ticket)
    assert scene.wait(T0 + MS + DEADLINE) == [0, 1, 2]
    assert scene.place(4), "now it is known that nobody answers"


def test_an_emergency_call_and_one_that_comes_in_never_wait(client: redis.Redis) -> None:
    scene = deaf(client)
    assert scene.place(1, call(callee="112"))
    assert scene.place(2, replace(call(), direction="inbound"))
    assert {scene.verdict(1), scene.verdict(2)} == {"allowed"}


def test_what_needs_no_counter_does_not_wait(client: redis.Redis) -> None:
    scene = deaf(client)
    assert scene.place(1, call(STRANGERS))
    assert scene.verdict(1) == "blocked"


def test_alone_it_opens_no_window_before_the_others_know(client: redis.Redis) -> None:
    scene = SharedScene(client, cps=10)
    joined(scene)
    for ticket in range(5):
        scene.place(ticket)
    scene.silent = True
    scene.now += MS
    scene.shared.lost(scene.now, "gone")
    opens = scene.now + SILENT + DEADLINE + SPAN
    scene.place(20)
    assert scene.wait(opens - 1) == []
    assert scene.wait(opens) == [20]


def test_alone_from_the_start_it_holds_nobody_whom_it_has_a_place_for(client: redis.Redis) -> None:
    """A server that is late now and then costs the only guard of a site nothing."""
    scene = SharedScene(client, cps=10)
    for ticket in range(4):
        scene.place(ticket)
    scene.silent = True
    scene.shared.lost(scene.now, "late")
    for ticket in range(10, 16):
        assert scene.place(ticket)
        assert (scene.verdict(ticket), why(scene, ticket)) == ("allowed", ["late"])
    assert not scene.place(20)
    assert scene.wait(T0 + SPAN) == [20]


def test_alone_it_takes_its_part_and_says_so(client: redis.Redis) -> None:
    scene = SharedScene(client, cps=10, channels=9)
    joined(scene)
    alone(scene)
    for ticket in range(6):
        scene.place(ticket)
    (finding,) = scene.decided[0].findings
    assert (finding.rule, finding.action, finding.mode) == ("fault.state", "allow", "enforce")
    assert finding.text.en.endswith("shared counters gone")
    assert "ce garde seul" in finding.text.fr
    assert scene.verdict(5) == "blocked", "five of nine channels are its own"
    assert scene.decided[5].rule == "limit.channels"
    for ticket in range(5):
        scene.desk.ended(ticket, scene.now)
    assert not scene.place(6), "and five of ten places in the second"
    assert scene.wait(T0 + SPAN) == [6]


@pytest.mark.parametrize(("on_fault", "verdict"), [("pass", "flagged"), ("block", "blocked")])
def test_or_it_does_what_it_was_told_to(client: redis.Redis, on_fault: str, verdict: str) -> None:
    scene = SharedScene(client)
    scene.shared.decides = False
    scene.desk = scene.sharing = SharedDesk(scene.engine, scene.shared, on_fault)  # type: ignore[arg-type]
    alone(scene)
    assert scene.place(1)
    assert scene.verdict(1) == verdict
    assert why(scene, 1) == ["gone"]
    assert scene.place(2, call(callee="112"))
    assert scene.verdict(2) != "blocked"


def test_what_it_did_alone_is_brought_back(client: redis.Redis) -> None:
    scene = SharedScene(client, cps=10, channels=5)
    other = Kept(client, scene.kept.site, "b")
    alone(scene)
    for ticket in range(3):
        scene.place(ticket)
    scene.silent = False
    scene.now += MS
    scene.kept.hello(scene.now)
    other.hello(scene.now)
    assert one(other, gauge("x", None, key="channels:operator"), scene.now).value == 3
    assert one(other, replace(window("x", None), key="cps:operator", span_us=SPAN), scene.now).value == 3


def test_a_caller_who_gives_up_while_it_is_asked_uses_up_nothing(client: redis.Redis) -> None:
    scene = deaf(client, cps=1, channels=1)
    scene.place(1)
    decision = scene.desk.withdraw(1, T0 + MS)
    assert decision is not None
    assert (decision.verdict, decision.held_us) == ("allowed", MS)
    (op,) = scene.shared.collect()
    assert op.ask is not None
    assert not scene.sharing.wants(op.ask)
    scene.shared.answered(op.ask, scene.kept.call(op), T0 + MS, wanted=False)
    scene.silent = False
    scene.now += MS
    assert scene.place(2), "both places were given back"
    assert scene.desk.withdraw(1, T0 + MS) is None


def test_a_grant_that_nobody_heard_of_is_given_back_at_hello(client: redis.Redis) -> None:
    scene = deaf(client, cps=1, channels=1)
    scene.place(1)
    (op,) = scene.shared.collect()
    scene.kept.call(op)  # the server did it; the answer is lost
    scene.shared.lost(T0, "gone")
    scene.desk.withdraw(1, T0)
    scene.silent = False
    scene.now += MS
    scene.kept.hello(scene.now)
    assert scene.place(2)


def test_a_held_call_whose_try_is_late_is_decided_alone(client: redis.Redis) -> None:
    scene = SharedScene(client, cps=1)
    joined(scene)
    scene.place(1)
    assert not scene.place(2)
    scene.silent = True
    assert scene.wait(T0 + HOLD - 1) == []
    assert scene.shared.alone
    assert scene.wait(T0 + HOLD) == [2]
    assert scene.verdict(2) == "blocked", "its own part opens only later"
    assert scene.decided[2].rule == "rate.cps"


def test_held_calls_are_asked_for_one_at_a_time_in_their_order(client: redis.Redis) -> None:
    scene = SharedScene(client, cps=2)
    for ticket in range(6):
        scene.place(ticket)
    scene.silent = True
    scene.now = T0 + SPAN
    scene.desk.wake(scene.now)
    assert [a.ident for a in scene.shared._asks] == ["2"]
    assert scene.desk.next_wake() == T0 + SPAN + DEADLINE, "not woken for what is asked already"
    scene.silent = False
    assert scene.pump() == [2, 3]


def test_a_call_that_is_asked_for_and_ends_is_no_longer_known(client: redis.Redis) -> None:
    scene = deaf(client)
    scene.place(1)
    scene.desk.ended(1, T0, CallEnded(at=0, outcome="cancelled"))
    assert scene.desk.next_wake() is None


def test_a_revived_call_has_its_channel_before_the_server_is_known(client: redis.Redis) -> None:
    scene = SharedScene(client, channels=1)
    alone(scene)
    scene.desk.resume(7, call(), T0)
    scene.silent = False
    scene.kept.hello(T0)
    assert one(scene.kept, gauge("x", None, key="channels:operator"), T0).value == 1
