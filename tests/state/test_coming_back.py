"""Guards that lose each other and the server, and come back: nobody waits for longer than the second needs it, and
the second holds whatever is lost on the way."""

from __future__ import annotations

from random import Random

import pytest
import redis

from guard.model import SECOND
from guard.state.part import SILENT, Part
from guard.state.wire import Op
from tests.state.conftest import LONG_AGO
from tests.state.kept import LEASE, Kept, load
from tests.state.test_fleet import QUIET, beats, fleet
from tests.state.touches import one, taken, window

MS = 1_000
DEADLINE = 50 * MS
AGAIN = 100 * MS  # as in guard.lua
AWAY = SILENT + 100 * MS


def left(guard: Kept, first: int, count: int, limit: int, now: int) -> list[bool]:
    """So many calls of a guard that shares its counters, each of which leaves at once."""
    out = []
    for n in range(first, first + count):
        out.append(taken(guard, window(str(n), limit), now))
        if out[-1]:
            guard.departed(str(n), now)
    return out


def alone(guard: Kept, first: int, count: int, limit: int, now: int) -> list[bool]:
    """The same of one that is alone."""
    out = []
    for n in range(first, first + count):
        out.append(guard.shared.touch((window(str(n), limit),), now)[0].taken)
        if out[-1]:
            guard.shared.departed(str(n), now)
    return out


def test_the_only_guard_goes_on_at_once_within_the_limit(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    assert left(a, 0, 4, 5, 0) == [True] * 4
    a.shared.lost(MS, "late")
    assert alone(a, 10, 2, 5, MS) == [True, False]
    assert a.shared.touch((window("20", 5),), MS)[0].free_at == SECOND
    assert alone(a, 30, 5, 5, SECOND) == [True] * 4 + [False], "the one of a millisecond later is in this second too"


def test_and_finds_the_server_as_open_as_it_left_it(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    a.shared.lost(MS, "late")
    assert alone(a, 0, 3, 5, AWAY) == [True] * 3
    a.hello(AWAY + MS)
    assert left(a, 10, 3, 5, AWAY + MS) == [True, True, False]


def test_the_only_guard_that_another_left_waits_for_what_that_one_did(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    assert left(b, 0, 5, 5, 0) == [True] * 5
    b.call(Op("bye", b.shared.heads, []))
    a.beat(MS)
    a.shared.lost(2 * MS, "late")
    assert alone(a, 10, 1, 5, SECOND) == [False]
    assert alone(a, 20, 1, 5, SECOND + MS) == [True]


def test_windows_open_when_the_last_guard_has_told_what_it_did(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    for guard in (a, b):
        guard.shared.lost(0, "late")
    opens = SILENT + DEADLINE + SECOND
    assert alone(a, 0, 9, 5, opens) == [True] * 3 + [False] * 6
    assert alone(b, 0, 9, 5, opens) == [True] * 2 + [False] * 7
    now = opens + MS
    a.hello(now)
    full = one(a, window("20", 5), now)
    assert (full.taken, full.free_at) == (False, now + QUIET), "what b did is not known"
    b.hello(now + 1, tells=False)
    assert not taken(a, window("21", 5), now + 2)
    b.flush(now + 3)
    reading = one(a, window("22", 5), now + 4)
    assert (reading.taken, reading.value, reading.free_at) == (False, 5, opens + SECOND), "both told: five left"
    assert taken(a, window("23", 6), now + 5)


def test_it_is_not_enough_that_the_last_one_came_back(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    for guard in (a, b):
        guard.shared.lost(0, "late")
        guard.hello(AWAY, tells=False)
    b.flush(AWAY)
    assert one(b, window("1", 5), AWAY).free_at == AWAY + QUIET
    a.flush(AWAY)
    assert taken(b, window("2", 5), AWAY)


def test_one_that_does_not_come_back_is_waited_for(client: redis.Redis) -> None:
    a, b, _ = fleet(client, "a", "b", "c")
    a.hello(AWAY)
    b.hello(AWAY)
    assert one(a, window("1", 5), AWAY + 1).free_at == AWAY + QUIET
    beats([a, b], AWAY + QUIET)
    assert taken(a, window("2", 5), AWAY + QUIET)


def test_what_a_guard_told_before_the_silence_does_not_count(client: redis.Redis) -> None:
    """b was told of in this epoch, but that was before all were silent."""
    a, b = fleet(client, "a", "b")
    b.hello(0)
    a.hello(AWAY)
    assert not taken(a, window("1", 5), AWAY + 1)


def test_nobody_tells_what_a_guard_did_alone_that_was_killed(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    a.hello(AWAY)
    again = Kept(client, a.site, "b", life="2")
    again.hello(AWAY)
    assert one(a, window("1", 5), AWAY).free_at == AWAY + QUIET
    del b


def test_a_server_that_was_restarted_waits_for_the_whole_time(client: redis.Redis) -> None:
    """Who joined in its last moments may be missing from its data."""
    (a,) = fleet(client, "a")
    load(client)  # as after a restart: this library has served nobody
    a.hello(MS)
    assert one(a, window("1", 5), MS).free_at == MS + QUIET
    a.shared.lost(2 * MS, "gone")
    assert alone(a, 10, 1, 5, SECOND) == [False], "nor does the guard know that it is the only one"


def test_a_new_guard_waits_until_the_only_one_knows_of_it(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    new = Kept(client, a.site, "n")
    new.hello(MS)
    reading = one(new, window("1", 5), MS)
    assert (reading.taken, reading.free_at) == (False, MS + AGAIN)
    assert alone_at_once(a, 2 * MS), "it does not know: all of the limit is its own"


def alone_at_once(guard: Kept, now: int) -> bool:
    guard.shared.lost(now, "late")
    return alone(guard, 90, 5, 5, now) == [True] * 5


def test_and_no_longer(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    new = Kept(client, a.site, "n")
    new.hello(MS)
    a.beat(2 * MS)
    assert not taken(new, window("1", 5), 2 * MS), "whether it heard the answer is not known"
    hasty = [a.shared.hasty]
    a.beat(3 * MS)
    assert [*hasty, a.shared.hasty] == [True, False]
    assert left(new, 2, 6, 5, 3 * MS) == [True] * 5 + [False]
    a.shared.lost(4 * MS, "late")
    assert alone(a, 10, 1, 5, 4 * MS) == [False]


def test_an_answer_that_is_lost_has_told_nothing(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    new = Kept(client, a.site, "n")
    new.hello(MS)
    a.call(a.shared.beat())
    assert not taken(new, window("1", 5), 2 * MS)
    for now in (300 * MS, AWAY):
        new.beat(now)
        assert not taken(new, window("2", 5), now + MS)
    assert a.shared.own.part == Part(of=1)
    assert alone_at_once(a, AWAY + 2 * MS)


def test_nor_has_one_to_hello(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    new = Kept(client, a.site, "n")
    new.hello(MS)
    a.shared.lost(2 * MS, "late")
    a.call(a.shared.hello(LEASE))
    new.beat(3 * MS)
    assert not taken(new, window("1", 5), 4 * MS)
    assert alone(a, 90, 5, 5, 4 * MS) == [True] * 5


def test_the_part_of_one_that_comes_back_is_kept_until_it_has_told(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    b.shared.lost(0, "late")
    opens = SILENT + DEADLINE + SECOND
    for now in range(0, opens, SILENT // 2):
        a.beat(now)
    assert alone(b, 0, 2, 4, opens) == [True, True]
    a.beat(opens)
    b.hello(opens, tells=False)
    assert left(a, 0, 3, 4, opens) == [True, True, False]
    b.flush(opens)
    assert one(a, window("9", 4), opens).value == 4


def test_a_guard_that_never_tells_is_waited_for_no_longer_than_for_a_silent_one(client: redis.Redis) -> None:
    """As one of another version of this program."""
    a, b = fleet(client, "a", "b")
    b.hello(0, tells=False)
    a.beat(SILENT)
    b.beat(SILENT)
    assert left(a, 0, 4, 4, SILENT + 1) == [True] * 4


# ---- whatever happens ------------------------------------------------------------------------------------------------

LIMIT = 5
BEAT = 150 * MS


class Member:
    """A guard in a world in which answers are lost and lines are cut."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.cut = False
        self.beat_at = 0
        self.calls = 0
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
        """Whether all know of all: who joins while another does not hear of it may have a part of that one's."""
        of = len(self.members)
        return all(m.kept.shared.own.part.of == of and not m.kept.shared.hasty for m in self.members)

    def joined(self) -> None:
        """One guard more."""
        kept = Kept(self.client, self.members[0].kept.site, f"m{len(self.members)}")
        kept.hello(self.now)
        self.members.append(Member(kept))

    def step(self) -> None:
        """Some time goes by, and whatever may happen does."""
        chance = self.random.random
        self.now += self.random.choice((1, 5, 20, 80, 250)) * MS
        served = not any(m.cut or m.kept.shared.alone for m in self.members)
        if len(self.members) < 4 and served and self.settled and chance() < 0.05:
            self.joined()
        trouble = self.settled
        self.random.shuffle(self.members)
        for m in self.members:
            if trouble and chance() < (0.02 if m.cut else 0.01):
                m.cut = not m.cut
            self._turn(m, deaf=trouble and chance() < 0.04)

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
    assert min(world.used.values()) > 20
    assert len(world.members) > 1
    for n, at in enumerate(world.departures):
        within = sum(at <= later < at + SECOND for later in world.departures[n:])
        assert within <= LIMIT, f"from {at} µs on"
