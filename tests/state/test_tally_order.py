"""That the first member of a counter is not looked for in vain changes nothing of what is counted."""

from __future__ import annotations

import random

import pytest

from guard.state.contract import Touch
from guard.state.tally import MANY, Tallies

NOW = 10**12


class Plain:
    """The same counter, without any of that: members with their instants, the first forgotten while they are old."""

    def __init__(self) -> None:
        self.tally: dict[str, int] = {}

    def look(self, since: int, member: str) -> tuple[int, bool]:
        while self.tally and self.tally[first := next(iter(self.tally))] < since:
            del self.tally[first]
        return len(self.tally), member in self.tally

    def take(self, member: str, at: int) -> int | None:
        before = self.tally.pop(member, None)
        self.tally[member] = max(at, before or at)
        return before

    def forget(self, member: str, before: int | None) -> None:
        if member not in self.tally:
            return
        if before is None:
            del self.tally[member]
        else:
            self.tally[member] = before


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_the_same_is_counted(seed: int) -> None:
    dice = random.Random(seed)
    tallies, plain = Tallies(), Plain()
    span, jitter, people = dice.choice([50, 500, 5_000]), dice.choice([0, 0, 30]), dice.choice([20, 300, 3_000])
    now, month = NOW, NOW
    rolling = dice.random() < 0.5
    for n in range(3_000):
        now += dice.randint(0, 3)
        if dice.random() < 0.002:
            month = now  # another begins
        at = now - dice.randint(0, jitter)
        member = str(dice.randrange(people))
        since = at - span if rolling else month
        touch = Touch(kind="tally", key="k", ident=str(n), limit=10**9, member=member, since=since, at=at)
        assert tallies.look(touch)[:2] == plain.look(since, member)
        tallies.take(touch)
        before = plain.take(member, at)
        if dice.random() < 0.1:
            tallies.forget(touch.ident)
            plain.forget(member, before)
        else:
            tallies.departed(touch.ident)
        if dice.random() < 0.001:
            tallies.sort()
            plain.tally = dict(sorted(plain.tally.items(), key=lambda one: one[1]))
    assert list(tallies._tallies.get("k", {}).items()) == list(plain.tally.items())
    assert tallies.members == len(plain.tally)


def test_a_counter_that_lost_most_of_its_members_is_written_anew() -> None:
    tallies = Tallies()
    for n in range(10 * MANY):
        tallies.take(Touch(kind="tally", key="k", ident=str(n), at=NOW + n))
    kept = tallies._tallies["k"]
    late = Touch(kind="tally", key="k", ident="late", since=NOW + 9 * MANY, at=NOW + 10 * MANY)
    assert tallies.look(late)[0] == MANY
    assert tallies._tallies["k"] is not kept
    assert tallies._oldest["k"] == NOW + 9 * MANY


def test_little_is_known_of_small_counters() -> None:
    tallies = Tallies()
    for n in range(1_000):
        touch = Touch(kind="tally", key=str(n), ident=str(n), since=NOW - 1, at=NOW + n)
        tallies.take(touch)
        assert tallies.look(touch)[0] == 1
    assert not tallies._oldest
