"""The watch: set-ups and ends go in, signals come out; bounded, and the same for the same calls."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.detectors import watch as module
from guard.detectors.words import DAY, FREE, Clause, Evidence, Pattern, Per, Signal
from guard.model import SECOND, CallEnded, Outcome
from tests.deciding import engine_of
from tests.detectors.making import DEAR, FOREVER, MINUTE, START, SVA, Town, number, pattern, rules

MANY: Clause = Clause(span_s=900, at_least={"calls": 3})
RINGS: Clause = Clause(span_s=900, at_least={"short_rings": 3})
BACKS: Clause = Clause(span_s=86_400, at_least={"short_rings": 3, "called_back": 2})


def town(clause: Clause, **more: Any) -> Town:  # noqa: ANN401 - words of a pattern
    return Town(pattern(clause, **more))


# ---- set-ups ---------------------------------------------------------------------------------------------------------


def test_the_call_with_which_it_alarms_hears_of_it() -> None:
    here = town(MANY)
    assert [rules(here.talks(f"019900000{n}")) for n in range(3)] == [[], [], [("traffic.x", "certain")]]
    ((first,),) = ((here.attempt()[1]),)
    assert not first.begun


def test_who_is_seen_of_a_call() -> None:
    """Its line (of its source), its number, and the premium service that it calls; a line that is known by its number
    is one subject."""
    pers: tuple[Per, ...] = ("line", "number", "service")
    for line, price, expected in (
        ("200", SVA, {("line", "pbx/200"), ("number", "+33145678900"), ("service", "+33899123456")}),
        ("0145678900", SVA, {("number", "+33145678900"), ("service", "+33899123456")}),
        ("", DEAR, {("number", "+33145678900")}),
    ):
        seen: list[Evidence] = []
        for per in pers:
            here = town(MANY, per=(per,))
            for _ in range(3):
                here.attempt("0899123456", line=line, price=price)
            seen += here.watch.alarms.fresh
        assert {(e.kind, e.subject) for e in seen} == expected


def test_of_one_that_presents_nothing_its_source_is_the_subject() -> None:
    here = town(MANY)
    for _ in range(3):
        here.attempt(caller="anonymous", line="")
    assert [e.subject for e in here.watch.alarms.fresh] == ["pbx"]


def test_lines_are_apart() -> None:
    here = town(MANY)
    for n in range(12):
        assert not here.attempt(line=f"{n % 6}", caller=f"01456789{n % 6:02}")[1]


def test_a_usage_that_is_not_declared_is_not_judged() -> None:
    here = town(MANY, usages=("human",))
    for _ in range(5):
        assert not here.attempt(usage=("automated",))[1]
    assert here.attempt(usage=("human", "prospecting"))[1]


@pytest.mark.parametrize(("but", "heard"), [("pbx/200", False), ("pbx/2*", False), ("pbx/20", True), ("pbx/3*", True)])
def test_subjects_that_are_exempt(but: str, heard: bool) -> None:
    here = town(MANY, but=(but,))
    heard_of = [here.attempt()[1] for _ in range(4)]
    assert any(heard_of) is heard


@pytest.mark.parametrize(
    ("since", "until", "heard"), [(0, START, False), (START, FOREVER, True), (START + 1, FOREVER, False)]
)
def test_a_law_of_another_day_is_not_applied(since: int, until: int, heard: bool) -> None:
    here = town(MANY, since=since, until=until)
    heard_of = [here.attempt()[1] for _ in range(4)]
    assert any(heard_of) is heard


def test_prices_and_closed_hours() -> None:
    for clause, price, closed, heard in (
        (Clause(span_s=60, to="dear", at_least={"calls": 2}), DEAR, False, True),
        (Clause(span_s=60, to="dear", at_least={"calls": 2}), SVA, False, False),
        (Clause(span_s=60, to="sva", at_least={"calls": 2}), SVA, True, True),
        (Clause(span_s=60, to="dear", closed=True, at_least={"calls": 2}), DEAR, False, False),
        (Clause(span_s=60, to="dear", closed=True, at_least={"calls": 2}), DEAR, True, True),
    ):
        here = town(clause)
        heard_of = [here.attempt(price=price, closed=closed)[1] for _ in range(3)]
        assert any(heard_of) is heard


def test_a_new_address_and_program_of_a_line() -> None:
    here = town(Clause(span_s=900, at_least={"origins": 2}))
    for _ in range(3):
        here.talks("0199000001")
        here.later(86_400)
    assert not here.talks("0199000001")
    assert here.attempt(address="203.0.113.7", agent="sipcli")[1]


def test_origins_are_the_line_s() -> None:
    here = town(MANY)
    here.attempt(price=SVA)
    seen = {key[0]: len(here.watch.subjects.of(key, here.now).origins) for key in keys_of(here)}
    assert seen == {"l": 3, "n": 0, "s": 0}


def keys_of(here: Town) -> list[str]:
    """Who is known."""
    return list(here.watch.subjects._work)


@pytest.mark.parametrize("quiet", [True, False])
def test_while_it_alarms_no_habit_is_learned(quiet: bool) -> None:
    """Four weeks in which a line alarms within the same three hours of each day: they stay as they were known."""
    here = town(MANY, but=("*",) if quiet else ())
    for _ in range(28):
        here.talks("0199000001", 60)
        here.now += DAY - 60 * SECOND
    for day in range(29):
        for _ in range(150 if day < 28 else 65):
            here.attempt("0199000001")
            here.later(60)
        here.now += DAY - (150 if day < 28 else 0) * 60 * SECOND
    usual = here.watch.subjects.of("l:pbx/200", here.now).usual
    assert (usual.limit() > 40) is quiet


def test_calls_out_at_once_after_calls_in() -> None:
    clause = Clause(span_s=3600, step=True, at_least={"received": 3})
    for wait, trunk, heard in ((3, "operator", True), (3.1, "operator", False), (1, "other", False)):
        here = town(clause)
        found = []
        for _ in range(4):
            here.comes_in("0299112233", trunk=trunk)
            here.later(wait)
            found.append(here.talks("0199000001"))
        assert any(found) is heard


def test_one_call_in_explains_one_call_out() -> None:
    here = town(Clause(span_s=3600, step=True, at_least={"received": 2}))
    here.comes_in("0299112233")
    assert not any(here.attempt()[1] for _ in range(5))


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_an_alarm_that_begins_with_an_end_is_told_then_and_stops_the_next_call() -> None:
    here = town(RINGS)
    heard = [here.rings(f"01990000{n}1") for n in range(3)]
    assert [(len(signals), len(found)) for signals, found in heard] == [(0, 0), (0, 0), (0, 1)]
    (found,) = heard[-1][1]
    assert (found.rule, found.kind, found.subject, found.trunk) == ("traffic.x", "line", "pbx/200", "operator")
    assert rules(here.attempt()[1]) == [("traffic.x", "certain")]


@pytest.mark.parametrize(
    ("seconds", "outcome", "by", "status", "short"),
    [
        (6, "cancelled", "caller", 0, True),
        (6.000001, "cancelled", "caller", 0, False),
        (0, "cancelled", "caller", 0, False),  # it never rang
        (2, "cancelled", "silence", 0, False),
        (2, "failed", "callee", 486, False),
        (2, "answered", "caller", 0, False),
    ],
)
def test_what_a_short_ring_is(seconds: float, outcome: str, by: str, status: int, short: bool) -> None:
    here = town(Clause(span_s=900, at_least={"short_rings": 1}))
    ticket, _ = here.attempt()
    here.later(seconds)
    found = here.end(ticket, outcome, ring=seconds, talk=30 if outcome == "answered" else 0, by=by, status=status)  # type: ignore[arg-type]
    assert bool(found) is short


@pytest.mark.parametrize(("talk", "hyper"), [(1.999999, True), (2, False), (0, True)])
def test_what_a_hyper_short_call_is(talk: float, hyper: bool) -> None:
    here = town(Clause(span_s=900, at_least={"hyper_short": 1}))
    ticket, _ = here.attempt()
    assert bool(here.end(ticket, "answered", talk=talk)) is hyper


@pytest.mark.parametrize(("status", "refused"), [(401, True), (403, True), (404, True), (407, True), (480, True), (486, False), (503, False), (600, False)])  # fmt: skip # noqa: E501
def test_what_a_refusal_is(status: int, refused: bool) -> None:
    here = town(Clause(span_s=900, at_least={"refused": 1}))
    ticket, _ = here.attempt()
    assert bool(here.end(ticket, "failed", status=status)) is refused


def test_a_call_that_never_ends_costs_as_long_as_it_is_up() -> None:
    here = town(Clause(span_s=86_400, to="dear", at_least={"costly": 1500}))
    here.attempt(price=DEAR)
    here.later(8 * 60)
    assert not here.attempt("0199000002", price=DEAR)[1]
    here.later(60)
    assert here.attempt("0199000003", price=DEAR)[1]


def test_a_call_that_the_guard_stopped_counts_for_nothing() -> None:
    here = town(MANY)
    for n in range(6):
        ticket, signals = here.attempt()
        assert not signals
        if n % 2:
            here.watch.stopped(ticket)
        else:
            here.end(ticket, "blocked")
    assert here.watch.ended(ticket, CallEnded(at=here.now, outcome="answered")) == ()


def test_an_end_of_a_call_that_nobody_saw_begin_is_nothing() -> None:
    """A capture that begins in mid-call."""
    here = town(RINGS)
    assert here.end("unknown", "cancelled", ring=1, by="caller") == ()
    assert len(here.watch.subjects) == 0
    here.watch.stopped("unknown")


def test_a_call_ends_once() -> None:
    here = town(Clause(span_s=900, at_least={"short_rings": 1}), hold=1)
    ticket, _ = here.attempt()
    assert here.end(ticket, "cancelled", ring=1, by="caller")
    here.later(5)
    assert here.end(ticket, "cancelled", ring=1, by="caller") == ()


# ---- call-backs ------------------------------------------------------------------------------------------------------


def test_those_who_were_rung_for_a_moment_call_back() -> None:
    here = town(BACKS, per=("number",))
    for n in range(3):
        here.rings(f"01990000{n}1")
    here.comes_in("0199000001")
    assert not here.watch.alarms.fresh
    here.comes_in("0199000001")
    assert not here.watch.alarms.fresh, "one who calls back twice called back once"
    here.comes_in("0199000011")
    (found,) = here.watch.alarms.fresh
    assert (found.kind, found.subject) == ("number", "+33145678900")
    assert {m.feature: m.value for m in found.measures}["called_back"] == 2


@pytest.mark.parametrize(("late", "counts"), [(0, True), (1, False)])
def test_a_call_back_counts_for_a_day(late: int, counts: bool) -> None:
    here = town(BACKS, per=("number",))
    for n in range(3):
        here.rings(f"01990000{n}1", 0.5)
        here.rings(f"01990000{n}1", 0.5)  # again: the day begins anew
    here.now += DAY - 2 * SECOND + late * SECOND - (0 if late else SECOND)
    for n in range(2):
        here.comes_in(f"01990000{n}1")
    backs = here.watch.subjects.of(f"n:{number('0145678900')}", here.now).backs
    assert (len(backs) == 2) is counts


def test_a_call_to_another_of_our_numbers_is_no_call_back() -> None:
    here = town(BACKS, per=("number",))
    for n in range(3):
        here.rings(f"01990000{n}1")
    for n in range(3):
        here.comes_in(f"01990000{n}1", "0145678901")
        here.comes_in(f"02990000{n}1")
    assert not here.watch.alarms.fresh


def test_calls_that_come_in_are_never_judged() -> None:
    here = town(MANY)
    for n in range(30):
        assert here.attempt("0145678900", caller=f"01990000{n:02}", direction="inbound")[1] == ()
    assert len(here.watch.subjects) == 0, "who never calls is not kept"


# ---- again, and by a person ------------------------------------------------------------------------------------------


def test_one_finding_a_rule_however_often_it_holds() -> None:
    here = town(MANY)
    for _ in range(9):
        here.attempt()
    assert len(here.watch.alarms.fresh) == 1


def test_when_it_has_run_out_it_may_begin_again() -> None:
    here = town(MANY, hold=MINUTE)
    for _ in range(3):
        here.attempt()
    here.later(60)
    assert here.attempt()[1][0].begun
    assert len(here.watch.alarms.fresh) == 2


def test_the_line_and_its_number_alarm_as_one() -> None:
    here = town(MANY, per=("line", "number"))
    heard = [here.attempt()[1] for _ in range(3)]
    assert [len(h) for h in heard] == [0, 0, 1]


def test_after_a_release_everything_counts_anew() -> None:
    here = town(MANY, quarantine=-1)
    for _ in range(3):
        here.attempt()
    assert len(here.attempt()[1]) == 2  # it alarms, and is shut off
    assert here.watch.release("line", "pbx/200")
    assert [len(here.attempt()[1]) for _ in range(3)] == [0, 0, 2]
    assert not here.watch.release("line", "pbx/999")


def test_another_policy_keeps_what_is_known() -> None:
    here = town(MANY)
    here.attempt()
    here.attempt()
    here.watch.adopt((pattern(MANY, "traffic.y"),))
    assert rules(here.attempt()[1]) == [("traffic.y", "certain")]


def test_whether_the_operator_saw_anything_of_it() -> None:
    here = town(RINGS)
    found = [here.rings(f"01990000{n}1")[1] for n in range(3)][-1][0]
    assert here.watch.reached(found)
    here.watch.subjects.of("l:pbx/200", here.now).recent.clear()
    assert not here.watch.reached(found)


# ---- clocks ----------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_is_counted_and_hides_nothing() -> None:
    here = town(MANY)
    here.attempt()
    here.now -= DAY
    here.attempt()
    here.later(1)
    assert here.attempt()[1], "three calls within a second, whatever the clock said"
    assert here.watch.counters["detectors_clock_back"] == 1


def test_an_end_from_before_its_call_is_borne() -> None:
    here = town(RINGS)
    ticket, _ = here.attempt()
    here.now -= 3600 * SECOND
    assert here.end(ticket, "cancelled", ring=1, by="caller") == ()
    assert here.attempt()[1] == ()


# ---- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.interpreted
def test_calls_that_never_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    here = town(Clause(span_s=900, at_least={"short_rings": 1}))
    tickets = [here.attempt(line=f"{n}", caller="")[0] for n in range(5)]
    assert here.watch.counters["detectors_open_dropped"] == 2
    assert [len(here.end(t, "cancelled", ring=1, by="caller")) for t in tickets] == [0, 0, 1, 1, 1]


@pytest.mark.interpreted
def test_rings_whose_call_back_is_awaited_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RANG", 3)
    here = town(RINGS)
    for n in range(5):
        here.rings(f"01990000{n}1")
    assert here.watch.counters["detectors_rang_dropped"] == 2


def test_a_flood_of_callers_is_bounded_and_counted() -> None:
    here = Town(pattern(MANY), most=40)
    here.watch.subjects._at_work = 10
    for n in range(5_000):
        here.attempt(line=f"{n}", caller="")
    assert len(here.watch.subjects) <= 50
    here.attempt()
    assert here.watch.counters["detectors_subjects_dropped"] >= 4_900


@pytest.mark.interpreted
def test_alarms_that_find_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.detectors.alarms.MAX_ALARMS", 2)
    here = town(Clause(span_s=60, at_least={"calls": 1}))
    for n in range(5):
        here.attempt(line=f"{n}")
    assert here.watch.counters["detectors_alarms_dropped"] == 3


# ---- the same for the same calls -------------------------------------------------------------------------------------


def played(patterns: tuple[Pattern, ...], seed: int, calls: int, at_work: int) -> tuple[list[object], dict[str, int]]:
    """Everything that the watch said in a busy hour of a few lines."""
    chance = random.Random(seed)
    here = Town(*patterns)
    here.watch.subjects._at_work = at_work
    said: list[object] = []
    up: list[str] = []
    for _ in range(calls):
        here.later(chance.choice((0, 1, 5, 40, 400)))
        who = chance.randrange(3)
        if chance.random() < 0.1:
            here.comes_in(f"01990{chance.randrange(30):05}", f"01456789{who:02}")
        elif up and chance.random() < 0.5:
            ticket = up.pop(chance.randrange(len(up)))
            outcome: Outcome = chance.choice(("answered", "cancelled", "failed"))
            talk = chance.choice((0.5, 60)) if outcome == "answered" else 0
            said.append(here.end(ticket, outcome, ring=2, talk=talk, status=403, by="caller"))
        else:
            callee = f"01990{chance.randrange(30):05}"
            price = chance.choice((DEAR, SVA, FREE, FREE))
            ticket, signals = here.attempt(callee, caller=f"01456789{who:02}", line=f"{who}", price=price)
            said.append(signals)
            up.append(ticket)
    return said, here.watch.counters


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32))
def test_the_same_calls_say_the_same_whoever_rests(seed: int) -> None:
    """Law: the same input at the same instant gives the same decision."""
    patterns = engine_of().patterns()
    first, second = played(patterns, seed, 250, 1000), played(patterns, seed, 250, 1000)
    assert first == second
    said, _ = played(patterns, seed, 250, 4)
    assert said == first[0], "subjects that rest between their calls"


def test_busy_hours_do_alarm() -> None:
    """Else the test above says nothing."""
    said, _ = played(engine_of().patterns(), 1, 1000, 1000)
    heard = {s.evidence.rule for signals in said for s in signals if isinstance(s, Signal)}  # type: ignore[attr-defined]
    assert len(heard) >= 4, heard
