"""What an engine remembers of callers changes no decision: it says of every call what a new engine says of it."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Final

import pytest

from guard import engine as module
from guard.engine import BY_CALLER, QUARTER, Engine
from guard.model import CallAttempt
from guard.rules import JUDGES
from tests.deciding import COMING, ENDED, LENT, MAIN, MOBILE, NOW, PREMIUM, ROBOT, SELLS, STRANGERS, call, policy_of
from tests.rules.table import PARIS

CALLERS: Final = (MAIN, LENT, ENDED, COMING, ROBOT, MOBILE, PREMIUM, STRANGERS, "anonymous", "", "alice", "200", "112")
# Midnights at which the law, a consent or a file begins or ends.
DAYS: Final = ("2018-08-01", "2019-08-01", "2023-01-01", "2023-07-25", "2026-01-01", "2026-07-01", "2027-01-01")


def midnight(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=PARIS).timestamp()) * 1_000_000


def some_call(dice: random.Random) -> CallAttempt:
    at = dice.choice([NOW, *(midnight(d) for d in DAYS)]) + dice.choice([-QUARTER, -1, 0, 1, QUARTER, QUARTER - 1])
    return call(
        dice.choice(CALLERS),
        dice.choice(["0199000001", "112", "0892681234", "3949"]),
        source=dice.choice(["pbx", "robot", "branch", ""]),
        at=at,
        usage=dice.choice([(), ("prospecting",), ("automated",), ("platform", "automated")]),
        pai=dice.choice([(), (MAIN,), (STRANGERS,), (PREMIUM, MAIN)]),
        diversion=dice.choice([(), (), (MAIN,), (STRANGERS,)]),
        privacy=dice.random() < 0.2,
        line=dice.choice(["200", "201"]),
    )


@pytest.mark.parametrize("seed", range(5))
def test_it_says_what_a_new_engine_says(seed: int) -> None:
    dice = random.Random(seed)
    policy = policy_of(SELLS)
    old = Engine(policy)
    for _ in range(300):
        made = some_call(dice)
        assert old.prepare(made, "1") == Engine(policy).prepare(made, "1"), made
    assert len(old._remembered) > 50


def test_each_minute_of_a_change_of_law_is_judged_by_its_own() -> None:
    """A consent that ends at midnight: the last instant before it is remembered, and not taken for the first after."""
    engine = Engine(policy_of())
    end = midnight("2026-07-01")
    assert engine.prepare(call(ENDED, at=end - 1)).findings == ()
    assert [f.rule for f in engine.prepare(call(ENDED, at=end)).findings][:1] == ["cli.not-authorised"]
    assert engine.prepare(call(ENDED, at=end - 1)).findings == ()


@pytest.mark.interpreted
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    engine = Engine(policy_of())
    for n in range(100):
        engine.prepare(call(f"+3314567{n:04}"))
        assert len(engine._remembered) <= 10


def test_the_rest_of_the_rules_are_asked_for_each_call() -> None:
    engine = Engine(policy_of())
    asked = {rule.id for *_, rule in engine._by_call}
    assert asked == {j.id for j in JUDGES if not j.id.startswith(BY_CALLER)} & asked
    assert {rule.id for *_, rule in engine._by_caller}.isdisjoint(asked)
    assert {"dst.no-consent", "quota.forwarded"} <= asked
