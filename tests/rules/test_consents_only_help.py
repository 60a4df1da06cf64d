"""Adding a consent never turns a call that may go out into one that is refused: neither a consumer's to be called, nor
an assignee's to present his number."""

from __future__ import annotations

import random
from typing import Final

import pytest
from msgspec.structs import replace

from guard.engine import Engine
from guard.model import CallAttempt
from guard.policy.load import Policy
from guard.prospecting.lists import SHAPES, Lists
from guard.prospecting.table import Table
from guard.rules.numbers import Held, HeldNumbers
from tests.deciding import COMING, DAY, ENDED, LENT, MAIN, NOW, ROBOT, SELLS, STRANGERS, call, policy_of

CALLED: Final = tuple(f"01990000{n:02}" for n in range(1, 12))
YEAR: Final = 365 * DAY


def some_call(dice: random.Random) -> CallAttempt:
    return call(
        dice.choice([MAIN, LENT, ENDED, COMING, ROBOT, STRANGERS, "anonymous"]),
        dice.choice(CALLED),
        source=dice.choice(["pbx", "robot"]),
        usage=dice.choice([("prospecting",), ("prospecting", "automated"), ("human",)]),
        pai=dice.choice([(), (MAIN,), (STRANGERS,)]),
        at=NOW - dice.randrange(3 * YEAR),
    )


def with_consent(policy: Policy, number: str, since: int, until: int) -> Policy:
    """The policy with one more row in its list of consents."""
    old = policy.lists["consents"]
    table = Table(b"test")
    for called in CALLED:
        e164 = "+33" + called[1:]
        for entry in old.of(e164):
            table.add(e164, entry.since, entry.until, entry.line)
    table.add(number, since, until, 99)
    list(table.freeze())
    lists = Lists(tables={n: table if n == "consents" else policy.lists[n] for n in SHAPES}, paths={})
    return replace(policy, lists=lists, terms={n: replace(t, lists=lists) for n, t in policy.terms.items()})


def with_number(policy: Policy, number: str, since: int, until: int) -> Policy:
    """The policy with one more number that may be presented."""
    more = Held(low=number, high=number, own=False, holder="Acme", since=since, until=until)
    held = HeldNumbers((*policy.held.all, more))
    return replace(policy, held=held, terms={n: replace(t, held=held) for n, t in policy.terms.items()})


def refused(policy: Policy, made: CallAttempt) -> bool:
    return Engine(policy).judge(made).verdict == "blocked"


@pytest.mark.parametrize("seed", range(4))
def test_of_a_consumer(seed: int) -> None:
    dice = random.Random(seed)
    policy = policy_of(SELLS)
    helped = 0
    for _ in range(150):
        made = some_call(dice)
        since = made.at - dice.randrange(-YEAR, YEAR)
        richer = with_consent(policy, made.callee.value, since, since + dice.randrange(1, YEAR))
        before, after = refused(policy, made), refused(richer, made)
        assert before or not after, made
        helped += before and not after
    assert helped, "no consent made a difference"


@pytest.mark.parametrize("seed", range(4))
def test_of_an_assignee(seed: int) -> None:
    dice = random.Random(seed)
    policy = policy_of(SELLS)
    helped = 0
    for _ in range(150):
        made = some_call(dice)
        if not made.caller.value:
            continue
        since = made.at - dice.randrange(-YEAR, YEAR)
        richer = with_number(policy, made.caller.value, since, since + dice.randrange(1, 2 * YEAR))
        before, after = refused(policy, made), refused(richer, made)
        assert before or not after, made
        helped += before and not after
    assert helped, "no number made a difference"
