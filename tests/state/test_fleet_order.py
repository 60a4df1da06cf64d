"""Calls that wait at several guards of one trunk go in the order in which they came, on a real Redis."""

from __future__ import annotations

from random import Random

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.model import SECOND
from guard.state.part import SILENT
from tests.shared import SharedScene
from tests.state.kept import Kept
from tests.waiting import HOLD, MS, SPAN, T0

AGAIN = 100 * MS  # as in guard.lua


class Fleet:
    """Guards of one trunk on one clock."""

    def __init__(self, client: redis.Redis, *names: str, cps: int = 2, more: str = "") -> None:
        first = Kept(client, name=names[0])
        kept = [first, *(Kept(client, first.site, name) for name in names[1:])]
        self.client = client
        self.scenes = [SharedScene(client, more, cps=cps, kept=k) for k in kept]
        self.queue = f"{{guard:{first.site}}}:q:cps:operator"
        self.now = T0
        self.dead: set[int] = set()
        self.order: list[int] = []  # tickets, as they left

    def at(self, now: int) -> None:
        self.now = now
        for n, scene in enumerate(self.scenes):
            scene.now = now
            if n not in self.dead:
                scene.kept.beat(now)
                if scene.shared.hasty:
                    scene.kept.beat(now)

    def place(self, n: int, ticket: int) -> None:
        """A call comes to guard `n`, a millisecond after the one before."""
        self.at(self.now + MS)
        if self.scenes[n].place(ticket) and self.scenes[n].verdict(ticket) != "blocked":
            self.order.append(ticket)

    def run(self, until: int, dice: Random | None = None) -> None:
        """Wake whoever wants it; in whatever order where several do."""
        awake = [s for n, s in enumerate(self.scenes) if n not in self.dead]
        while (due := min((d for s in awake if (d := s.desk.next_wake()) is not None), default=until)) < until:
            self.at(max(due, self.now))
            for scene in (dice or Random(due)).sample(awake, len(awake)):
                for ticket in scene._take(scene.desk.wake(self.now)) + scene.pump():
                    if scene.verdict(ticket) != "blocked":
                        self.order.append(ticket)
        self.at(until)

    def waiting(self) -> int:
        return int(self.client.zcard(self.queue))


def test_whoever_came_first_goes_first_whichever_guard_it_came_to(client: redis.Redis) -> None:
    fleet = Fleet(client, "a", "b", "c")
    came = [0, 0, 0, 0, 1, 1, 2, 0, 2]
    for ticket, n in enumerate(came):
        fleet.place(n, ticket)
    assert fleet.order == [0, 1]
    assert fleet.waiting() == 7
    fleet.run(T0 + HOLD)
    assert fleet.order == [0, 1, 2, 3, 4, 5], "two a second, for as long as a call waits"
    fleet.run(T0 + HOLD + SECOND)
    assert fleet.waiting() == 0, "who was refused waits no more"


def test_a_call_that_comes_while_others_wait_elsewhere_waits_behind_them(client: redis.Redis) -> None:
    fleet = Fleet(client, "a", "b", cps=1)
    fleet.place(0, 1)
    fleet.place(0, 2)
    fleet.at(T0 + MS + SPAN)  # the place is free, and a has not looked yet
    assert not fleet.scenes[1].place(3)
    fleet.run(T0 + HOLD)
    assert fleet.order == [1, 2, 3]


def test_one_that_gives_up_holds_nobody(client: redis.Redis) -> None:
    fleet = Fleet(client, "a", "b", cps=1)
    for ticket, n in ((1, 0), (2, 0), (3, 1)):
        fleet.place(n, ticket)
    scene = fleet.scenes[0]
    assert scene.desk.withdraw(2, fleet.now) is not None
    scene.pump()
    assert fleet.waiting() == 1
    fleet.run(T0 + MS + SPAN + AGAIN + MS)
    assert fleet.order == [1, 3]


def test_a_guard_that_dies_holds_nobody_for_longer_than_it_may_be_silent(client: redis.Redis) -> None:
    fleet = Fleet(client, "a", "b", cps=2)
    for ticket, n in ((1, 0), (2, 0), (3, 0), (4, 1)):
        fleet.place(n, ticket)
    fleet.at(T0 + SPAN - 200 * MS)
    fleet.dead.add(0)
    fleet.run(T0 + SPAN)
    assert fleet.order == [1, 2]
    fleet.run(T0 + SPAN - 200 * MS + SILENT + AGAIN + 10 * MS)
    assert fleet.order == [1, 2, 4]


def test_a_guard_that_starts_again_has_nobody_waiting(client: redis.Redis) -> None:
    fleet = Fleet(client, "a", "b", cps=1)
    for ticket, n in ((1, 0), (2, 0), (3, 1)):
        fleet.place(n, ticket)
    fleet.scenes[0].kept.hello(fleet.now)
    fleet.scenes[0].desk._queues.clear()
    fleet.run(T0 + MS + SPAN + 10 * MS)
    assert fleet.order == [1, 3]


def test_who_is_not_to_wait_is_never_in_the_order(client: redis.Redis) -> None:
    fleet = Fleet(client, "a", "b", cps=1, more='[rules."rate.cps"]\naction = "block"\n')
    for ticket, n in ((1, 0), (2, 0), (3, 1)):
        fleet.place(n, ticket)
    assert fleet.scenes[0].verdict(2) == "blocked"
    assert fleet.waiting() == 0


def test_the_order_expires(client: redis.Redis) -> None:
    fleet = Fleet(client, "a", cps=1)
    for ticket in (1, 2):
        fleet.place(0, ticket)
    assert 0 < client.pttl(fleet.queue) <= 120_000


def test_what_nobody_took_away_is_in_nobodys_way(client: redis.Redis) -> None:
    fleet = Fleet(client, "a", "b", cps=1)
    for ticket, n in ((1, 0), (2, 0), (3, 1)):
        fleet.place(n, ticket)
    client.zadd(fleet.queue, {f"a:{fleet.scenes[0].kept.epoch}.ghost": 1})  # long ago
    fleet.run(T0 + HOLD)
    assert fleet.order == [1, 2, 3]
    assert fleet.waiting() == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(came=st.lists(st.integers(0, 2), min_size=4, max_size=12), seed=st.integers(0, 9), cps=st.integers(1, 4))
def test_the_order_is_kept_whatever_the_hurry(client: redis.Redis, came: list[int], seed: int, cps: int) -> None:
    fleet = Fleet(client, "a", "b", "c", cps=cps)
    for ticket, n in enumerate(came):
        fleet.place(n, ticket)
    fleet.run(T0 + HOLD, Random(seed))
    assert fleet.order == sorted(fleet.order)
    left = sorted(at for scene in fleet.scenes for at, _ in scene.left)
    assert all(sum(t <= u < t + SPAN for u in left) <= cps for t in left)
    assert len(left) >= min(len(came), 2 * cps), "and no place is wasted"
