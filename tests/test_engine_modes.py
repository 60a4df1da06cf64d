"""A monitored rule speaks and touches nothing; an emergency call passes whatever is set, full or broken."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.desk import Desk
from guard.engine import Engine
from guard.model import SECOND, CallAttempt, Decision, Finding, Mode
from guard.numbering.number import EMERGENCY
from guard.policy.load import CountRule, JudgeRule
from guard.rules import BY_ID, COUNTS
from guard.state.contract import Reading, StateError, Touch
from guard.state.memory import MemoryState
from tests.deciding import COMING, ENDED, LENT, MAIN, MOBILE, PLATFORM, PREMIUM, ROBOT, STRANGERS, call, engine_of

ROOT: Final = Path(__file__).parent.parent
T0: Final = 5 * SECOND
NAMES: Final = tuple(n for n in BY_ID if n != "dst.emergency")
COUNTED: Final = frozenset(c.id for c in COUNTS)
SHOWN: Final = (
    MAIN, LENT, ENDED, COMING, ROBOT, PLATFORM, MOBILE, PREMIUM, STRANGERS, "3949", "3020", "118218", "116001", "112",
    "0199001234", "0810123456", "0598712345", "07000123456789", "0151012345", "+33590123456", "alice", "200",
    "anonymous", "", "+4930123456",
)  # fmt: skip
WORDS: Final = ("human", "automated", "platform", "prospecting")

several = st.lists(st.sampled_from(SHOWN[:-2]), max_size=2).map(tuple)
calls = st.builds(
    call,
    st.sampled_from(SHOWN),
    st.sampled_from(["0199001234", "3949", "+33612345678", "anything"]),
    source=st.sampled_from(["pbx", "pbx", "robot", "branch", ""]),
    usage=st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True).map(tuple),
    pai=several,
    rpid=several,
    diversion=several,
    privacy=st.booleans(),
)
subsets = st.frozensets(st.sampled_from(NAMES))
used = st.fixed_dictionaries({n: st.integers(0, 40) for n in sorted(COUNTED)})


def engine_with(watched: frozenset[str] = frozenset(), off: frozenset[str] = frozenset()) -> Engine:
    """The site's engine with some rules on trial and some switched off."""
    policy = engine_of().policy

    def mode(name: str) -> Mode:
        return "monitor" if name in watched else "enforce"

    judges = tuple(
        JudgeRule(replace(j.rule, mode=mode(j.rule.id)), j.code) for j in policy.judges if j.rule.id not in off
    )
    counts = tuple(
        CountRule(replace(c.rule, mode=mode(c.rule.id)), c.code) for c in policy.counts if c.rule.id not in off
    )
    return Engine(replace(policy, judges=judges, counts=counts))


def decide(engine: Engine, made: CallAttempt, values: dict[str, int], waited: int | None = None) -> Decision:
    """The decision where the counters have so many places in use."""
    prepared = engine.prepare(made)
    pairs = list(zip(prepared.touches, prepared.counts, strict=True))
    fits = all(t.limit is None or t.force or values[c.rule.id] < t.limit for t, c in pairs)
    readings = tuple(Reading(key=t.key, value=values[c.rule.id], taken=fits, free_at=T0 + SECOND) for t, c in pairs)
    return engine.decide(prepared, readings, T0, None if waited is None else T0 - waited)


def done(decision: Decision) -> tuple[object, ...]:
    """Everything of a decision that reaches the wire."""
    return (
        decision.verdict == "blocked", decision.status, decision.retry_after, decision.presented, decision.masked,
        decision.masked_numbers, decision.held_until,
    )  # fmt: skip


def enforced(finding: Finding) -> Finding:
    return replace(finding, mode="enforce")


# ---- monitor ---------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(calls, subsets, used)
def test_where_everything_is_on_trial_nothing_is_done(
    made: CallAttempt, off: frozenset[str], values: dict[str, int]
) -> None:
    decision = decide(engine_with(frozenset(NAMES), off), made, values)
    assert done(decision) == (False, 0, 0, made.caller.value, False, (), 0)
    assert decision.verdict in {"allowed", "flagged"}
    assert (decision.verdict == "flagged") == any(f.action != "allow" for f in decision.findings)


@settings(max_examples=150)
@given(calls, subsets)
def test_a_rule_on_trial_says_what_it_would_say_in_earnest(made: CallAttempt, off: frozenset[str]) -> None:
    """What rules without counters say is the same word for word; only the mode that is written beside it differs."""
    trial = engine_with(frozenset(NAMES), off).prepare(made).findings
    earnest = engine_with(off=off).prepare(made).findings
    assert tuple(map(enforced, trial)) == earnest
    assert {f.mode for f in trial} <= {"monitor"}


@settings(max_examples=150)
@given(calls, subsets, used, st.sampled_from([None, 0, 500_000, 9 * SECOND]))
def test_a_rule_on_trial_changes_no_more_than_one_that_is_off(
    made: CallAttempt, watched: frozenset[str], values: dict[str, int], waited: int | None
) -> None:
    """The law: what reaches the wire is the same with a monitored rule as without it; at most the call is flagged."""
    trial = decide(engine_with(watched), made, values, waited)
    without = decide(engine_with(off=watched), made, values, waited)
    assert done(trial) == done(without)
    if trial.verdict != without.verdict:
        assert (without.verdict, trial.verdict) == ("allowed", "flagged")
    told = [f for f in trial.findings if f.rule not in watched]
    assert told == list(without.findings)


@settings(max_examples=60)
@given(st.lists(calls, min_size=3, max_size=30), st.sets(st.sampled_from(sorted(COUNTED)), min_size=1))
def test_a_limit_on_trial_lets_everything_pass_and_counts_it(made: list[CallAttempt], watched: set[str]) -> None:
    """Through the desk: nothing waits and nothing is refused for a limit that only looks on."""
    desk = Desk(engine_with(frozenset(watched), off=frozenset(NAMES) - watched), MemoryState())
    for ticket, one in enumerate(made * 2):
        ((_, decision),) = desk.submit(ticket, one, T0)
        desk.departed(ticket, T0)
        assert decision.verdict in {"allowed", "flagged"}
    assert len(desk) == 0
    assert desk.next_wake() is None


def test_a_rate_on_trial_says_over() -> None:
    desk = Desk(engine_with(frozenset({"rate.cps"})), MemoryState())
    decisions = [desk.submit(i, call(line=str(i)), T0)[0][1] for i in range(12)]
    assert [d.verdict for d in decisions] == ["allowed"] * 10 + ["flagged"] * 2
    (finding,) = decisions[-1].findings
    assert (finding.rule, finding.mode, finding.action) == ("rate.cps", "monitor", "hold")
    assert finding.facts == {"trunk": "operator", "limit": 10, "waited_ms": 0}


@pytest.mark.parametrize("name", ["cli.premium", "cli.not-authorised", "limit.channels", "rate.cps"])
def test_the_mode_of_one_rule_is_that_rules(name: str) -> None:
    rule = f'\n[rules."{name}"]\nmode = "monitor"\n'
    policy = engine_of(rule).policy
    modes = {r.rule.id: r.rule.mode for r in policy.judges} | {r.rule.id: r.rule.mode for r in policy.counts}
    assert {n for n, mode in modes.items() if mode == "monitor"} == {name}


def test_the_global_mode_is_that_of_every_rule_but_emergency() -> None:
    from tests.deciding import SITE

    policy = engine_of(site=SITE.replace('mode = "enforce"', 'mode = "monitor"')).policy
    assert {r.rule.mode for r in policy.judges} | {r.rule.mode for r in policy.counts} == {"monitor"}
    assert policy.emergency.rule.mode == "enforce"


def test_the_global_trial_is_no_rules_to_leave() -> None:
    """`mode = "enforce"` on a rule does not take it out of a global monitor mode: that touches no call at all."""
    from tests.deciding import SITE

    more = '\n[rules."cli.premium"]\nmode = "enforce"\n'
    policy = engine_of(more, SITE.replace('mode = "enforce"', 'mode = "monitor"')).policy
    assert {r.rule.mode for r in policy.judges} == {"monitor"}


def test_one_single_place_applies_the_mode() -> None:
    """Below the configuration, what decides asks for a mode in one function: `ways.acting`."""
    places = []
    parts = [ROOT / "guard" / n for n in ("engine.py", "ways.py", "desk.py", "asked.py")]
    for folder in ("rules", "state", "proxy", "net", "detectors"):
        parts += sorted((ROOT / "guard" / folder).rglob("*.py"))
    for path in parts:
        tree = ast.parse(path.read_text("utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and node.value in {"monitor", "enforce"}:
                    places.append(f"{path.stem}.{function.name}")  # noqa: PERF401 - a list of what was found
    assert places == ["ways.acting"]


# ---- emergency and inbound -------------------------------------------------------------------------------------------


class Failing(MemoryState):
    """Counters that are gone."""

    def touch(self, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        raise StateError("gone")


def full_desk(engine: Engine, state: MemoryState, on_fault: str) -> Desk:
    """A desk at which everything is in use, and others wait."""
    desk = Desk(engine, state, on_fault)  # type: ignore[arg-type]
    for ticket in range(1000, 1045):
        for _, decision in desk.submit(ticket, call(line=str(ticket % 2)), T0):
            if decision.verdict != "blocked":
                desk.departed(ticket, T0)
    return desk


sos = st.builds(
    call,
    st.sampled_from(SHOWN),
    st.sampled_from([*EMERGENCY, "0112", "00112", "+33112", "112;phone-context=+33", "3651112", "urn:service:sos"]),
    source=st.sampled_from(["pbx", "robot", "branch", ""]),
    usage=st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True).map(tuple),
    pai=several,
    privacy=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(sos, subsets, subsets, st.booleans(), st.sampled_from(["pass", "block"]))
def test_an_emergency_call_passes_whatever_is_set_full_or_broken(
    made: CallAttempt, watched: frozenset[str], off: frozenset[str], broken: bool, on_fault: str
) -> None:
    state = Failing() if broken else MemoryState()
    desk = full_desk(engine_with(watched, off), state, on_fault)
    ((ticket, decision),) = desk.submit(1, made, T0)
    assert ticket == 1
    assert decision.verdict in ({"allowed", "flagged"} if broken else {"allowed"})
    assert (decision.status, decision.masked, decision.held_until, decision.held_us) == (0, False, 0, 0)
    assert decision.findings[0].rule == "dst.emergency"
    assert decision.findings[0].facts == {"number": made.emergency}
    assert {f.rule for f in decision.findings} <= {"dst.emergency", "fault.state"}


@settings(max_examples=60, deadline=None)
@given(calls, subsets, st.booleans(), st.sampled_from(["pass", "block"]))
def test_an_inbound_call_is_never_refused(made: CallAttempt, off: frozenset[str], broken: bool, on_fault: str) -> None:
    state = Failing() if broken else MemoryState()
    desk = full_desk(engine_with(off=off), state, on_fault)
    ((_, decision),) = desk.submit(1, replace(made, direction="inbound"), T0)
    assert decision.verdict in {"allowed", "flagged"}
    assert (decision.masked, decision.status, decision.held_until) == (False, 0, 0)


@settings(max_examples=60)
@given(calls, subsets, used)
def test_a_decision_is_the_same_each_time(made: CallAttempt, watched: frozenset[str], values: dict[str, int]) -> None:
    assert decide(engine_with(watched), made, values) == decide(engine_with(watched), made, values)
