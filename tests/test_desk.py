"""The desk: who waits, for how long, in which order, and what each thing that happens does to the others."""

from __future__ import annotations

import sys
from functools import partial

import pytest
from msgspec.structs import replace

from guard.model import SECOND
from tests.deciding import STRANGERS, call
from tests.shared import SharedScene
from tests.state.conftest import client  # noqa: F401 - a fixture
from tests.waiting import HOLD, MS, SPAN, T0, Scene


@pytest.fixture(autouse=True, params=["memory", "redis"])
def desks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every desk here counts in memory, and then again in a real Redis that answers at once."""
    if request.param == "redis":
        client = request.getfixturevalue("client")
        monkeypatch.setattr(sys.modules[__name__], "Scene", partial(SharedScene, client))


def slow(trunk: str = "operator", **rule: object) -> str:
    """More TOML: rate.cps with these parameters."""
    values = "".join(f"{k} = {v!r}\n".replace("'", '"') for k, v in rule.items())
    return f'\n[rules."rate.cps"]\n{values}' if trunk else ""


# ---- waiting ---------------------------------------------------------------------------------------------------------


def test_a_burst_of_thirty_at_ten_a_second_loses_no_call() -> None:
    scene = Scene()
    for i in range(30):
        scene.place(i)
    assert len(scene.decided) == 10
    assert len(scene.desk) == 20
    assert scene.wait(T0 + HOLD) == list(range(10, 30))
    assert [scene.verdict(i) for i in range(30)] == ["allowed"] * 30
    assert [at - T0 for at, _ in scene.left] == [0] * 10 + [SPAN] * 10 + [2 * SPAN] * 10


def test_what_no_short_wait_can_save_is_refused() -> None:
    scene = Scene()
    for i in range(40):
        scene.place(i)
    scene.wait(T0 + 4 * SECOND)
    assert {scene.verdict(i) for i in range(30)} == {"allowed"}
    assert {scene.verdict(i) for i in range(30, 40)} == {"blocked"}
    assert {scene.decided[i].held_us for i in range(30, 40)} == {HOLD}


def test_held_calls_say_so_and_leave_unflagged() -> None:
    scene = Scene(cps=1)
    scene.place(1)
    assert not scene.place(2)
    scene.wait(T0 + SPAN)
    decision = scene.decided[2]
    assert (decision.verdict, decision.rule, decision.held_us, decision.status) == ("allowed", "", SPAN, 0)
    (finding,) = decision.findings
    assert (finding.rule, finding.action) == ("rate.cps", "hold")
    assert finding.facts == {"trunk": "operator", "limit": 1, "waited_ms": SPAN // MS}
    assert "waited 1020 ms" in finding.text.en
    assert "a attendu sa place 1020 ms" in finding.text.fr


@pytest.mark.parametrize(("at", "goes"), [(HOLD - 1, True), (HOLD, True)])
def test_a_place_that_comes_by_the_end_of_the_hold_is_taken(at: int, goes: bool) -> None:
    scene = Scene(cps=1)
    scene.place(1, leave=False)
    scene.place(2)
    scene.wait(T0 + at - SPAN)
    scene.depart(1)  # its second ends exactly then
    scene.wait(T0 + HOLD + 1)
    assert (scene.verdict(2) == "allowed") is goes
    assert scene.decided[2].held_us == at


def test_a_place_that_comes_a_microsecond_too_late_is_not() -> None:
    scene = Scene(cps=1)
    scene.place(1, leave=False)
    scene.place(2)
    scene.wait(T0 + HOLD + 1 - SPAN)
    scene.depart(1)
    scene.wait(T0 + HOLD - 1)
    assert 2 not in scene.decided
    assert scene.wait(T0 + HOLD) == [2]
    decision = scene.decided[2]
    assert (decision.verdict, decision.rule, decision.status, decision.retry_after) == ("blocked", "rate.cps", 480, 1)
    assert decision.held_us == HOLD
    (finding,) = decision.findings
    assert (finding.action, finding.facts["waited_ms"]) == ("block", 2500)
    assert "no place within 2500 ms" in finding.text.en
    assert "pas de place en 2500 ms" in finding.text.fr


def test_without_a_hold_the_excess_is_refused_at_once() -> None:
    scene = Scene(slow(hold_ms=0), cps=1)
    scene.place(1)
    assert scene.place(2)
    assert (scene.verdict(2), scene.decided[2].retry_after) == ("blocked", 2)


def test_rate_cps_may_be_told_to_block() -> None:
    scene = Scene(slow(action="block"), cps=1)
    scene.place(1)
    assert scene.place(2)
    assert scene.verdict(2) == "blocked"


def test_rate_cps_may_be_told_to_flag() -> None:
    scene = Scene(slow(action="flag"), cps=1)
    scene.place(1)
    assert scene.place(2)
    assert (scene.verdict(2), scene.decided[2].rule) == ("flagged", "rate.cps")
    assert len(scene.left) == 2


def test_only_so_many_may_wait() -> None:
    scene = Scene(slow(max_held=3), cps=1)
    for i in range(6):
        scene.place(i)
    assert sorted(scene.decided) == [0, 4, 5]
    assert scene.verdict(4) == "blocked"
    assert len(scene.desk) == 3
    scene.wait(T0 + SPAN)
    assert not scene.place(6), "a place in the queue came free"


def test_first_come_first_served() -> None:
    scene = Scene(cps=2)
    for i in range(5):
        scene.place(i)
        scene.now += 10 * MS
    assert scene.wait(T0 + 3 * SECOND) == [2, 3, 4]
    assert [t for _, t in scene.left] == [0, 1, 2, 3, 4]


def test_nobody_overtakes_those_who_wait() -> None:
    scene = Scene(cps=1)
    scene.place(1)
    scene.place(2)
    scene.now = T0 + SPAN  # there is room now, but 2 was first
    assert not scene.place(3)
    scene.wait(scene.now)
    assert scene.left[-1] == (T0 + SPAN, 2)


def test_retry_after_counts_those_who_wait() -> None:
    scene = Scene(slow(max_held=10), cps=2)
    for i in range(13):
        scene.place(i)
    # The second is full for 1.02 s yet, and ten at two a second go before: 6.02 s.
    assert scene.decided[12].retry_after == 7


# ---- what a call uses up ---------------------------------------------------------------------------------------------


def test_a_refused_call_uses_nothing_up() -> None:
    scene = Scene(channels=1, lines=1)
    scene.place(1)
    for i in range(2, 40):
        assert scene.place(i)
        assert (scene.verdict(i), scene.decided[i].rule) == ("blocked", "limit.channels")
    scene.desk.ended(1, scene.now)
    assert scene.state.places == 1  # the departure of 1, for the rest of its second
    assert scene.place(40)
    assert scene.verdict(40) == "allowed"


def test_one_refused_by_a_rule_is_not_counted_at_all() -> None:
    scene = Scene(cps=1)
    assert scene.place(1, call(STRANGERS))
    assert (scene.verdict(1), scene.state.places) == ("blocked", 0)
    assert scene.place(2)
    assert scene.verdict(2) == "allowed"


def test_a_cancelled_held_call_never_leaves_and_frees_nothing() -> None:
    scene = Scene(cps=1)
    scene.place(1)
    scene.place(2)
    scene.place(3)
    places = scene.state.places
    scene.now += 100 * MS
    so_far = scene.desk.withdraw(2, scene.now)
    assert so_far is not None
    assert (so_far.verdict, so_far.held_us, so_far.held_until) == ("flagged", 100 * MS, T0 + HOLD)
    assert scene.desk.withdraw(2, scene.now) is None
    scene.desk.ended(2, scene.now)
    assert scene.state.places == places
    assert scene.wait(T0 + 3 * SECOND) == [3]
    assert scene.left == [(T0, 1), (T0 + SPAN, 3)]


def test_withdrawing_one_that_was_never_held() -> None:
    scene = Scene()
    scene.place(1)
    assert scene.desk.withdraw(1, scene.now) is None
    assert scene.desk.withdraw(99, scene.now) is None


def test_one_allowed_that_never_leaves_gives_its_place_to_those_who_wait() -> None:
    scene = Scene(cps=2)
    scene.place(1, leave=False)
    scene.place(2, leave=False)
    for i in (3, 4, 5):
        scene.place(i)
    scene.now += 100 * MS
    scene.desk.ended(1, scene.now)
    scene.desk.ended(2, scene.now)
    assert scene.desk.next_wake() == scene.now
    assert scene.wait(scene.now) == [3, 4], "both places came free: nobody waits for what is there"


def test_room_that_came_is_not_lost_with_the_one_it_was_told_to() -> None:
    scene = Scene(cps=1)
    scene.place(1, leave=False)
    scene.place(2)
    scene.place(3)
    scene.now += 100 * MS
    scene.desk.ended(1, scene.now)
    scene.desk.withdraw(2, scene.now)
    assert scene.wait(scene.now) == [3]


def test_one_that_left_keeps_its_place_when_it_ends() -> None:
    scene = Scene(cps=1)
    scene.place(1)
    scene.desk.ended(1, scene.now)
    assert not scene.place(2)


def test_a_channel_goes_back_once() -> None:
    scene = Scene(channels=2)
    for i in (1, 2):
        scene.place(i)
    for _ in range(2):
        scene.desk.ended(1, scene.now)
    assert scene.place(3)
    assert scene.place(4)
    assert (scene.verdict(3), scene.verdict(4)) == ("allowed", "blocked")


# ---- gauges ----------------------------------------------------------------------------------------------------------


def test_a_full_trunk_refuses_at_once_and_says_when_to_come_back() -> None:
    scene = Scene(channels=1)
    scene.place(1)
    assert scene.place(2)
    decision = scene.decided[2]
    assert (decision.verdict, decision.rule, decision.status) == ("blocked", "limit.channels", 480)
    assert decision.retry_after == 5
    assert decision.held_us == 0


def test_a_third_call_of_a_line_is_refused_and_another_line_is_not() -> None:
    scene = Scene(lines=2)
    for i in (1, 2, 3):
        scene.place(i, call(line="200"))
    scene.place(4, call(line="201"))
    assert [scene.verdict(i) for i in (1, 2, 3, 4)] == ["allowed", "allowed", "blocked", "allowed"]
    assert scene.decided[3].rule == "limit.line-calls"


def test_full_in_both_ways_is_refused_and_does_not_wait() -> None:
    scene = Scene(cps=1, channels=1)
    scene.place(1)
    assert scene.place(2)
    assert (scene.verdict(2), scene.decided[2].rule) == ("blocked", "limit.channels")


def test_a_line_that_fills_up_while_a_call_waits() -> None:
    scene = Scene(cps=1, lines=1)
    scene.place(1, call(line="1"))
    scene.place(2, call(line="2"))
    scene.place(3, call(line="2"))
    assert scene.wait(T0 + SPAN) == [2, 3]
    assert (scene.verdict(3), scene.decided[3].rule) == ("blocked", "limit.line-calls")
    assert scene.left == [(T0, 1), (T0 + SPAN, 2)]


# ---- emergency, inbound, trunks --------------------------------------------------------------------------------------


def test_an_emergency_call_is_never_held_but_takes_its_place() -> None:
    scene = Scene(cps=1, channels=1, lines=1)
    scene.place(1)
    scene.now += 10 * MS
    assert scene.place(2, call(callee="112"))
    decision = scene.decided[2]
    assert (decision.verdict, decision.held_us) == ("allowed", 0)
    assert [f.rule for f in decision.findings] == ["dst.emergency"]
    scene.desk.ended(1, scene.now)
    scene.desk.ended(2, scene.now)
    scene.place(3)
    assert scene.wait(T0 + 3 * SECOND) == [3]
    assert scene.left[-1] == (T0 + 10 * MS + SPAN, 3), "the emergency call took its place in the second"


def test_an_emergency_call_passes_those_who_wait() -> None:
    scene = Scene(cps=1)
    scene.place(1)
    scene.place(2)
    assert scene.place(3, call(callee="15"))
    assert scene.wait(T0 + 2 * SECOND) == [2]


def test_an_inbound_call_takes_a_channel_and_is_never_refused() -> None:
    scene = Scene(channels=1)
    for i in (1, 2):
        assert scene.place(i, replace(call(STRANGERS), direction="inbound"))
    assert [scene.verdict(i) for i in (1, 2)] == ["allowed", "allowed"]
    assert scene.place(3)
    assert scene.verdict(3) == "blocked"
    assert scene.decided[3].findings[0].facts["in_use"] == 2


def test_two_trunks_do_not_wait_for_each_other() -> None:
    scene = Scene(cps=1)
    scene.place(1)
    assert not scene.place(2)
    assert scene.place(3, call(source="branch"))
    assert not scene.place(4, call(source="branch"))
    assert scene.wait(T0 + SPAN) == [2, 4]
