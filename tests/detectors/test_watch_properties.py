"""Whatever callers send: the watch raises nothing, holds its bounds, says the same again, and hears of no emergency."""

from __future__ import annotations

from functools import cache
from typing import Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from guard.desk import Desk
from guard.detectors import watch as module
from guard.detectors.recent import STEP
from guard.detectors.watch import MAX_NAME, Watch
from guard.detectors.words import (
    BACKS,
    FEATURES,
    FREE,
    ORIGINS,
    RECENT,
    Clause,
    Evidence,
    Kind,
    Pattern,
    Price,
    Signal,
)
from guard.model import SECOND, CallAttempt, CallEnded, Direction, Outcome
from guard.numbering.number import Dial, normalise
from guard.state.memory import MemoryState
from tests.deciding import call, engine_of
from tests.detectors.making import CHEAP, DEAR, START, SVA, Town, pattern, rules

HUGE: Final = 1 << 50
LINES: Final = ("", "200", "201", "anonymous", "0145678900", "é" * 300, "x" * 70_000, "a/b\x00\r\n", "*")
CALLERS: Final = ("0145678900", "", "anonymous", "+", "0" * 80, "+999999999999999999", "𝟙𝟚", "\ud800", "sip:x@y")
CALLEES: Final = (
    "0199000001",
    "0199000002",
    "0199000003",
    "0899123456",
    "005351234567",
    "",
    "x",
    "9" * 400,
    "#31#",
    "112",
)
AGENTS: Final = ("phone", "", "sundayddr", "\udcff" * 9, "y" * 5000)
PRICES: Final = (FREE, CHEAP, SVA, DEAR, Price(HUGE, HUGE, sva=True, dear=True))
Say = Literal["set up", "end", "stop", "release", "adopt"]


class Step(Struct, frozen=True):
    """One thing that happens, `later` seconds after the last one; every choice of it is an index."""

    what: Say
    later: float
    line: str
    caller: str
    callee: str
    agent: str
    price: int
    which: int
    outcome: Outcome
    tenths: int
    status: int
    direction: Direction
    closed: bool


STEPS: Final = st.lists(
    st.builds(
        Step,
        what=st.sampled_from(("set up", "set up", "set up", "end", "end", "stop", "release", "adopt")),
        later=st.sampled_from((0, 0, 0.5, 3, 20, 400, 90_000, 40 * 86_400, -3, -7_200, -50 * 86_400)),
        line=st.sampled_from(LINES),
        caller=st.sampled_from(CALLERS),
        callee=st.sampled_from(CALLEES),
        agent=st.sampled_from(AGENTS),
        price=st.integers(0, len(PRICES) - 1),
        which=st.integers(0, 1 << 16),
        outcome=st.sampled_from(("answered", "cancelled", "failed", "blocked")),
        tenths=st.sampled_from((0, 1, 15, 20, 600, HUGE)),
        status=st.sampled_from((0, 200, 401, 403, 404, 480, 486, 700)),
        direction=st.sampled_from(("outbound", "outbound", "outbound", "inbound")),
        closed=st.booleans(),
    ),
    max_size=60,
)  # fmt: skip


@cache
def policy() -> tuple[Pattern, ...]:
    """The detectors as they ship, and some that shut off."""
    shipped = engine_of().patterns()
    quick = tuple(replace(p, rule=f"quick.{i}", clauses=(c,), quarantine=-1, per=("line", "number", "service"))
                  for i, (p, c) in enumerate((shipped[0], c) for c in QUICK))  # fmt: skip
    return (*shipped, *quick)


QUICK: Final = (
    Clause(span_s=60, at_least={"calls": 2}),
    Clause(span_s=86_400, at_least={"short_rings": 2}),
    Clause(span_s=86_400, at_most={"regularity": 5, "received": 3}),
    Clause(span_s=86_400, at_least={"costly": 100, "called_back": 1}),
    Clause(span_s=86_400, share={"refused": 500, "hyper_short": 1}),
)


class Played:
    """A watch to which steps happened, and all that it said."""

    def __init__(self) -> None:
        self.watch = Watch(policy(), most=20)
        self.watch.subjects._at_work = 3
        self.now = START
        self.said: list[tuple[object, ...]] = []
        self.open: list[str] = []

    def step(self, n: int, step: Step) -> None:
        """One of them."""
        self.now = max(self.now + round(step.later * SECOND), 0)
        watch = self.watch
        match step.what:
            case "set up":
                attempt = CallAttempt(
                    call_id=f"{n}", from_tag="", at=self.now, source="pbx", source_address=step.agent, trunk="t",
                    line=step.line, caller=normalise(step.caller, Dial()), callee=normalise(step.callee, Dial()),
                    direction=step.direction, user_agent=step.agent,
                )  # fmt: skip
                self.said.append(watch.attempt(f"{n}", attempt, PRICES[step.price], closed=step.closed))
                self.open.append(f"{n}")
            case "end":
                ident = self.open[step.which % len(self.open)] if self.open else "nobody"
                ended = CallEnded(
                    at=self.now, outcome=step.outcome, ring_us=step.tenths * SECOND // 10,
                    talk_us=step.tenths * SECOND // 10, final_status=step.status, by="caller",
                )  # fmt: skip
                self.said.append(watch.ended(ident, ended))
            case "stop":
                watch.stopped(self.open[step.which % len(self.open)] if self.open else "nobody")
            case "release":
                watch.release("line", f"pbx/{step.line}")
            case "adopt":
                watch.adopt(policy()[step.which % 3 :])

    def bounds(self) -> None:
        """All that is kept is within them."""
        watch = self.watch
        kept = watch.subjects
        assert len(kept) <= 20 + 3 + 1
        assert all(len(key) <= 5 + MAX_NAME + 20 for key in (*kept._work, *kept._young, *kept._settled))
        for subject in kept._work.values():
            assert len(subject.recent) <= RECENT
            assert len(subject.origins) <= ORIGINS
            assert max(len(subject.backs), len(subject.received)) <= BACKS

    def evidence(self) -> list[Evidence]:
        """Of all that was said."""
        return [e.evidence if isinstance(e, Signal) else e for said in self.said for e in said]  # type: ignore[misc]


def played(steps: list[Step]) -> Played:
    """A new watch, after these steps."""
    here = Played()
    for n, step in enumerate(steps):
        here.step(n, step)
    return here


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_nothing_is_raised_and_bounds_hold(steps: list[Step]) -> None:
    here = played(steps)
    here.bounds()
    assert played(steps).said == here.said, "the same again"


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_evidence_is_whole(steps: list[Step]) -> None:
    """Each feature once; what is bounded met its bound, and would not have with what it says would have passed."""
    for one in played(steps).evidence():
        assert tuple(m.feature for m in one.measures) == FEATURES
        bounded = {m.feature: m for m in one.measures if m.limit is not None}
        assert 90 <= sum(m.share for m in bounded.values()) <= 100
        assert one.basis <= bounded.keys()
        assert one.basis
        for m in bounded.values():
            limit = m.limit or 0
            assert m.value <= limit if m.most else m.value >= limit
        feature, passes = one.passes
        nearest = bounded[feature]
        limit = nearest.limit or 0
        assert passes > limit if nearest.most else passes < limit


@settings(max_examples=100, deadline=None)
@given(STEPS, st.sampled_from(LINES), st.sampled_from(CALLERS))
def test_whoever_was_released_does_not_alarm_at_once(steps: list[Step], line: str, caller: str) -> None:
    """Neither by what it did, nor by the ends of calls that were up, nor with its next call."""
    here = played(steps)
    watch = here.watch
    watch.adopt(engine_of().patterns())
    value = normalise(caller, Dial()).value
    name = line if len(line) <= MAX_NAME else module._name(line)
    subjects: tuple[tuple[Kind, str], ...] = (("line", f"pbx/{name}"), ("number", value or "pbx"))
    for subject in subjects:
        watch.release(*subject)
    watch.alarms.fresh.clear()
    here.now += SECOND
    for n, ident in enumerate(here.open):
        end = Step("end", 0.01, "", "", "", "", 0, n, "answered", 15, 200, "outbound", closed=False)
        here.step(1000, end)
        assert ident
    here.step(2000, Step("set up", 1, line, caller, "0199000001", "new", 3, 0, "failed", 0, 0, "outbound", closed=True))
    assert not [e for e in watch.alarms.fresh if (e.kind, e.subject) in subjects]


def test_calls_that_were_up_when_their_line_was_released_count_no_more() -> None:
    here = Town(pattern(Clause(span_s=86_400, to="dear", at_least={"costly": 1000})))
    tickets = [here.attempt("005351234567", price=DEAR)[0] for _ in range(3)]
    here.later(600)
    assert rules(here.attempt("005351234567", price=DEAR)[1]) == [("traffic.x", "certain")]
    assert here.watch.release("line", "pbx/200")
    for ticket in tickets:
        here.later(60)
        here.end(ticket, talk=600)
    assert here.attempt("005351234567", price=DEAR)[1] == ()


def test_what_a_released_line_showed_is_its_own() -> None:
    here = Town(pattern(Clause(span_s=3600, at_least={"origins": 1})))
    here.talks("0199000001")
    here.later(3 * 86_400)
    assert here.talks("0199000001", agent="new")
    here.watch.release("line", "pbx/200")
    assert here.talks("0199000001", agent="new") == ()
    known = here.watch.subjects.find("l:pbx/200")
    assert known is not None
    assert known.new_origins(here.now) == 0


@pytest.mark.interpreted
def test_releases_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RELEASED", 3)
    here = Town()
    for n in range(9):
        here.watch.release("line", f"pbx/{n}")
    assert len(here.watch._released) == 3


def test_what_the_guard_stopped_makes_no_hour_unusual() -> None:
    here = Town()
    for _ in range(30):
        ticket, _ = here.attempt()
        here.watch.stopped(ticket)
    known = here.watch.subjects.find("l:pbx/200")
    assert known is not None
    assert (known.usual.count, len(known.recent)) == (0, 0)


@pytest.mark.parametrize(
    ("apart", "forwarded", "passed_on"),
    [(10, False, 20), (10, True, 0), (1, False, module.BUSY - 1), (5.4, False, module.BUSY - 1), (5.5, False, 20)],
)
def test_calls_go_out_as_others_come_in_where_that_is_no_chance(
    apart: float, *, forwarded: bool, passed_on: int
) -> None:
    """On a trunk on which calls come in all the time, and of a call that says it is forwarded, it shows nothing."""
    here = Town()
    for n in range(20):
        here.later(apart)
        here.comes_in("0299112233")
        one = call(callee=f"01990000{n:02}", at=here.now, diversion=("0145678900",) if forwarded else ())
        here.watch.attempt(f"x{n}", one, FREE)
    line = here.watch.subjects.find("l:pbx/200")
    assert line is not None
    assert sum(1 for p in line.recent.all() if p.marks & STEP) == passed_on


# ---- floods ----------------------------------------------------------------------------------------------------------


@pytest.mark.interpreted
@pytest.mark.parametrize("part", ["line", "caller", "callee", "address", "agent", "service", "all"])
def test_a_flood_of_what_is_distinct_holds_the_bounds(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 50)
    monkeypatch.setattr(module, "MAX_RANG", 40)
    here = Town(*policy(), most=100)
    here.watch.subjects._at_work = 10
    for n in range(1500):
        here.later(0.2)
        new = {
            "line": f"{'l' * 200}{n}", "caller": f"0299{n:06}", "callee": f"0399{n:06}",
            "address": f"a{n}", "agent": f"u{n}",
        }  # fmt: skip
        chosen = new if part == "all" else {part: new[part]} if part in new else {}
        if part == "service":
            chosen = {"callee": f"0899{n:06}"}
        price = SVA if part in {"service", "all"} else FREE
        ticket, _ = here.attempt(price=price, **({"callee": "0199000001"} | chosen))  # type: ignore[arg-type]
        if n % 3 == 0:
            here.end(ticket, "cancelled", ring=1, by="caller")
    watch = here.watch
    assert len(watch.subjects) <= 110
    assert len(watch._open) <= 50
    assert len(watch._rang) <= 40
    assert watch.counters["detectors_open_dropped"] > 0
    if part in {"line", "caller", "service", "all"}:
        assert watch.counters["detectors_subjects_dropped"] > 0


def test_lines_with_long_names_are_told_apart() -> None:
    here = Town(pattern(Clause(span_s=60, at_least={"calls": 3})))
    for end in ("a", "b", "a", "b"):
        assert here.attempt(line="x" * 500 + end)[1] == ()
    signals = here.attempt(line="x" * 500 + "a")[1]
    assert [len(s.evidence.subject) for s in signals] == [len("pbx/") + MAX_NAME + 9]
    found = signals[0].evidence
    here.watch.alarms.shut(found, START * 2)
    assert ("traffic.x", "shut") in rules(here.attempt(line="x" * 500 + "a")[1])
    assert ("traffic.x", "shut") not in rules(here.attempt(line="x" * 500 + "b")[1])


# ---- emergencies -----------------------------------------------------------------------------------------------------


class Hears(Watch):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[CallAttempt] = []

    def attempt(self, ident: str, call: CallAttempt, price: Price, *, closed: bool = False) -> tuple[Signal, ...]:
        self.heard.append(call)
        return super().attempt(ident, call, price, closed=closed)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(("112", "15", "17", "18", "114", "115", "119", "0899123456", "0199000001")), max_size=30)
)
def test_the_watch_never_hears_of_an_emergency_and_none_is_stopped(callees: list[str]) -> None:
    watch = Hears()
    desk = Desk(engine_of(), MemoryState(), watch=watch)
    here = Evidence(
        rule="source.quarantined", kind="source", subject="pbx", trunk="operator", at=0, span_s=60, measures=()
    )
    watch.alarms.shut(here, 1 << 62)
    at = START
    for ticket, callee in enumerate(callees):
        at += SECOND
        one = call(callee=callee, at=at)
        taken = desk.submit(ticket, one, at)
        if one.emergency:
            assert [d.verdict for _, d in taken] == ["allowed"]
        else:
            assert [d.verdict for _, d in taken] == ["blocked"]
    assert not [c for c in watch.heard if c.emergency]
    assert len(watch.heard) == len([c for c in callees if len(c) == 10])
