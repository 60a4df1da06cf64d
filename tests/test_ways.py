"""What is sorted out before a call is asked of would have said nothing: the same is said as if all rules were asked."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Final

import pytest
from msgspec.structs import replace

from guard import ways as module
from guard.engine import Engine
from guard.model import CallAttempt, CallEnded
from guard.policy.load import JudgeRule
from guard.rules.case import Case
from guard.ways import Counting, Way, judging
from tests.deciding import COMING, ENDED, LENT, MAIN, MOBILE, NOW, PREMIUM, ROBOT, SELLS, STRANGERS, call, policy_of
from tests.rules.table import PARIS

CALLERS: Final = (
    MAIN, LENT, ENDED, COMING, ROBOT, MOBILE, PREMIUM, STRANGERS, "+33700123456789", "+442071234567", "0990001234",
    "anonymous", "", "alice", "200", "112", "3949",
)  # fmt: skip
CALLEES: Final = (
    "0199000001", "0199000007", "112", "0892681234", "3949", "118008", "00442079460123", "00882131234567", "x",
)  # fmt: skip
MINUTE: Final = 60_000_000
# Midnights at which the law, a consent or a file begins or ends.
DAYS: Final = ("2018-08-01", "2019-08-01", "2023-01-01", "2023-07-25", "2026-01-01", "2026-07-01", "2027-01-01")
LIMITS: Final = """
[rules."limit.user-calls"]
calls = 3
[rules."cli.automated-exception"]
numbers = 20
received_percent = 10
[rules."dst.country"]
blocked = ["GB"]
[rules."quota.call-duration"]
minutes = 60
end = true
[rules."traffic.scanner"]
names = ["bench"]
[rules."quota.callees"]
per = "line"
[rules."dst.sva-cap"]
max_seconds = 600
"""
TRIAL: Final = """
[rules."limit.channels"]
mode = "monitor"
[rules."rate.cps"]
limit = 20
[rules."traffic.known-number"]
numbers = { "+33199000001" = "reported" }
"""


def midnight(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=PARIS).timestamp()) * 1_000_000


def some_call(dice: random.Random) -> CallAttempt:
    at = dice.choice([NOW, *(midnight(d) for d in DAYS)]) + dice.choice([-MINUTE, -1, 0, 1, MINUTE])
    made = call(
        dice.choice(CALLERS),
        dice.choice(CALLEES),
        source=dice.choice(["pbx", "robot", "branch", ""]),
        at=at,
        usage=dice.choice([(), ("prospecting",), ("automated",), ("platform", "automated")]),
        pai=dice.choice([(), (MAIN,), (STRANGERS,), (MOBILE, MAIN), (PREMIUM, MAIN)]),
        diversion=dice.choice([(), (), (MAIN,), (STRANGERS,)]),
        privacy=dice.random() < 0.2,
        line=dice.choice(["200", "201", ""]),
    )
    inbound = dice.random() < 0.2
    return replace(
        made,
        direction="inbound" if inbound else "outbound",
        emergency="" if inbound else made.emergency,
        user_agent=dice.choice(["", "bench/1"]),
        odd=dice.choice([0, 100]),
    )


@pytest.mark.parametrize("more", ["", SELLS, LIMITS, TRIAL])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_asked_would_have_said_nothing(seed: int, more: str) -> None:
    dice = random.Random(seed)
    policy = policy_of(more)
    engine = Engine(policy)
    heard: set[str] = set()
    for _ in range(300):
        made = some_call(dice)
        prepared = engine.prepare(made, "1")
        case = engine._case(made, prepared.terms)
        in_force = [j for j in policy.judges if j.rule.since <= made.at < j.rule.until]
        if not made.emergency and made.direction == "outbound":
            said = engine._judged(case, [judging(j) for j in in_force])
            assert (prepared.findings, prepared.mask) == said[:2], made
            assert said[2] == prepared.talk or not prepared.touches, made
            heard |= {f.rule for f in said[0]}
        counts = [c for c in policy.counts if c.rule.since <= made.at < c.rule.until]
        touches = [c.code.touch(made, prepared.terms, "1", c.rule.settings) for c in counts]
        if prepared.touches:
            assert [c.rule for c in prepared.counts] == [c.rule for c, t in zip(counts, touches, strict=True) if t]
            assert [t.key for t in prepared.touches] == [t.key for t in touches if t is not None]
        ended = CallEnded(at=made.at + MINUTE, outcome="cancelled", ring_us=1_000_000)
        ends = [c.code.ended for c in counts if c.code.ended is not None]
        settings = [c.rule.settings for c in counts if c.code.ended is not None]
        after = [e(made, prepared.terms, ended, s) for e, s in zip(ends, settings, strict=True)]
        assert engine.after(made, ended) == tuple(t for t in after if t is not None)
    assert len(heard) >= 12, heard


def test_a_rule_is_asked_from_its_first_instant_to_its_last() -> None:
    """What was found for one instant is not taken for one at which other rules are in force."""
    engine = Engine(policy_of())
    end = midnight("2026-07-01")
    for _ in range(2):
        assert engine.prepare(call(ENDED, at=end - 1)).findings == ()
        assert [f.rule for f in engine.prepare(call(ENDED, at=end)).findings][:1] == ["cli.not-authorised"]
    policy = policy_of()
    rules = [*(j.rule for j in policy.judges), *(c.rule for c in policy.counts)]
    borders = {b for rule in rules for b in (rule.since, rule.until)}
    for border in sorted(b for b in borders if 0 < b < 2**60):
        for at in (border - 1, border):
            way = engine._ways.of(call(at=at))
            assert way.since <= at < way.until
            assert border in {way.since, way.until}


def test_people_who_call_a_number_of_the_town_are_asked_few_questions() -> None:
    policy = policy_of()
    engine = Engine(policy)
    made = call()
    way = engine._ways.of(made)
    asked = {rule.id for *_, rule in way.asked(Case(made, way.terms, policy.held, policy.plan.lookup))}
    assert not {r for r in asked if "prospecting" in r or "automated" in r}
    assert len(asked) < len(policy.judges) / 2
    named = call(MOBILE)
    assert "cli.mobile-on-trunk" not in asked
    assert "cli.mobile-on-trunk" in {
        rule.id for *_, rule in way.asked(Case(named, way.terms, policy.held, policy.plan.lookup))
    }


@pytest.mark.interpreted
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KINDS", 10)
    engine = Engine(policy_of())
    for n in range(100):
        engine.prepare(replace(call(), source=f"s{n}"))
        assert len(engine._ways._known) <= 10


def test_an_unknown_trunk_has_terms_of_its_own() -> None:
    engine = Engine(policy_of())
    assert engine._ways.of(replace(call(), trunk="none")).terms.trunk == "none"
    assert isinstance(engine._ways.of(call()), Way)


def test_what_a_monitored_rule_counts_has_no_limit() -> None:
    policy = policy_of(TRIAL)
    (count,) = [Counting(c) for c in policy.counts if c.rule.id == "limit.channels"]
    assert not count.acts
    assert all(isinstance(j, JudgeRule) for j in policy.judges)
    (touch,) = [t for t in Engine(policy).prepare(call(), "1").touches if t.key.startswith("channels:")]
    assert touch.limit is None
