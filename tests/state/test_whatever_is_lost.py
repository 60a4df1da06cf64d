"""Guards that join, whose ways to Redis are cut and whose answers are lost, at random: the second holds. In step with a
real Redis, on a clock of the test's."""

from __future__ import annotations

from random import Random

import pytest
import redis

from guard.model import SECOND
from tests.state.conftest import LONG_AGO
from tests.state.kept import LEASE, Kept
from tests.state.touches import window

MS = 1_000
LIMIT = 5
BEAT = 150 * MS


class Member:
    """A guard in a world in which answers are lost and lines are cut."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.cut = False
        self.beat_at = 0
        self.calls = 0
        self.new = False  # not all know of it yet
        self.leaving: list[str] = []

    def tries(self, what: str, now: int, *, deaf: bool) -> None:
        """Say hello, or that it is there; `deaf`: the server does it, and the answer is lost."""
        kept, shared = self.kept, self.kept.shared
        if self.cut:
            shared.lost(now, "late")
        elif deaf:
            kept.call(shared.hello(LEASE) if what == "hello" else shared.beat())
            shared.lost(now, "late")
        elif what == "hello":
            kept.hello(now)
            self.beat_at = now
        else:
            try:
                kept.flush(now)
                kept.beat(now)
            except redis.ResponseError:
                shared.lost(now, "stale")
        self.beat_at = max(self.beat_at, now) + BEAT if not shared.hasty else now

    def places(self, now: int, *, deaf: bool) -> bool:
        """A call: whether it may leave."""
        kept, shared = self.kept, self.kept.shared
        self.calls += 1
        touches = (window(str(self.calls), LIMIT),)
        if not shared.alone and not self.cut:
            try:
                if not deaf:
                    return kept.touch(touches, now)[0].taken
                shared.ask(str(self.calls), touches, now)
                for op in shared.collect():
                    kept.call(op)
            except redis.ResponseError:
                shared.lost(now, "stale")
        shared.lost(now, "late")
        return shared.touch(touches, now)[0].taken

    def leaves(self, now: int) -> int:
        """Every set-up that may goes; how many."""
        for ident in self.leaving:
            self.kept.shared.departed(ident, now)
        if self.leaving and not self.kept.shared.alone and not self.cut:
            try:
                self.kept.flush(now)
            except redis.ResponseError:
                self.kept.shared.lost(now, "stale")
        count = len(self.leaving)
        self.leaving = []
        return count


class World:
    """Guards of one site. Time and chance are its own; `departures` are the instants at which set-ups left."""

    def __init__(self, client: redis.Redis, seed: int) -> None:
        self.client = client
        self.random = Random(seed)
        self.now = 0
        self.members = [Member(Kept(client))]
        self.members[0].kept.hello(LONG_AGO)
        self.members[0].tries("beat", 0, deaf=False)
        self.departures: list[int] = []
        self.used = {True: 0, False: 0}  # places taken alone, and by the server's word

    @property
    def settled(self) -> bool:
        """Whether all know of all: until then nothing happens to the one that joined (docs/fleet.md, what is lost)."""
        of = len(self.members)
        return all(m.kept.shared.own.part.of == of and not m.kept.shared.hasty for m in self.members)

    def joined(self) -> None:
        """One guard more."""
        kept = Kept(self.client, self.members[0].kept.site, f"m{len(self.members)}")
        kept.hello(self.now)
        self.members.append(Member(kept))
        self.members[-1].new = True

    def step(self) -> None:
        """Some time goes by, and whatever may happen does."""
        chance = self.random.random
        self.now += self.random.choice((1, 5, 20, 80, 250)) * MS
        served = not any(m.cut or m.kept.shared.alone for m in self.members)
        if len(self.members) < 4 and served and self.settled and chance() < 0.05:
            self.joined()
        settled = self.settled
        self.random.shuffle(self.members)
        for m in self.members:
            m.new = m.new and not settled
            if not m.new and chance() < (0.02 if m.cut else 0.01):
                m.cut = not m.cut
            self._turn(m, deaf=not m.new and chance() < 0.04)

    def _turn(self, m: Member, *, deaf: bool) -> None:
        shared, chance = m.kept.shared, self.random.random
        if shared.alone and chance() < 0.1:
            m.tries("hello", self.now, deaf=deaf)
        elif not shared.alone and self.now >= m.beat_at:
            m.tries("beat", self.now, deaf=deaf)
        for _ in range(self.random.choice((0, 0, 1, 3))):
            if m.places(self.now, deaf=deaf and chance() < 0.5):
                m.leaving.append(str(m.calls))
                self.used[shared.alone] += 1
        if chance() < 0.7:
            self.departures += [self.now] * m.leaves(self.now)


@pytest.mark.parametrize("seed", range(12))
def test_no_second_holds_more_than_the_limit_whatever_is_lost(client: redis.Redis, seed: int) -> None:
    world = World(client, seed)
    for _ in range(500):
        world.step()
    assert min(world.used.values()) > 10
    assert len(world.members) > 1
    for n, at in enumerate(world.departures):
        within = sum(at <= later < at + SECOND for later in world.departures[n:])
        assert within <= LIMIT, f"from {at} µs on"
