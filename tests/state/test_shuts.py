"""Who is shut off at one guard is so at all: what guards tell each other by a real Redis, in whatever order."""

from __future__ import annotations

from random import Random

import redis
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.model import SECOND
from guard.state.part import SILENT
from guard.state.shared import RETAIN
from guard.state.shuts import FOR_GOOD, MAX_BODY, MAX_SHUT, PAGE, RELEASED, SAME, Change, Shuts
from tests.state.kept import BASE, Kept
from tests.state.test_fleet import fleet

HOUR = 3600 * SECOND
LINE = "l:pbx/200"


def listening(guard: Kept) -> list[tuple[str, int]]:
    """What it hears of others from now on."""
    heard: list[tuple[str, int]] = []
    guard.shared.shuts.heard = lambda change: heard.append((change.name, change.until))
    return heard


def say(guard: Kept, until: int = FOR_GOOD, at: int = 0, name: str = LINE) -> bool:
    return guard.shared.shuts.say(name, until, "what it is", BASE + at)


def test_what_one_says_the_others_hear_once_and_who_comes_later_hears_it_too(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    heard = listening(b)
    assert say(a)
    assert a.shared.waiting
    for now in (1, 2, 3):
        a.beat(now)
        b.beat(now)
    assert heard == [(LINE, FOR_GOOD)]
    late = Kept(client, a.site, "late")
    also = listening(late)
    late.hello(4)
    late.beat(5)
    assert also == [(LINE, FOR_GOOD)]
    assert say(b, RELEASED, 6)
    for guard in (b, a, late):
        guard.beat(7)
    assert also == [(LINE, FOR_GOOD), (LINE, RELEASED)]
    assert a.shared.shuts.known[LINE].until == RELEASED


def test_what_is_known_is_not_said_again(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    say(a, BASE + HOUR)
    a.beat(1)
    b.beat(1)
    assert say(b, BASE + HOUR + SAME, 2), "the same end, by another clock"
    assert not b.shared.waiting
    assert say(b, BASE + 2 * HOUR, 3), "longer"
    assert b.shared.waiting


def test_a_release_is_not_undone_by_a_guard_that_was_away(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    heard = listening(b)
    say(a)
    a.beat(1)
    b.beat(1)
    b.shared.lost(2, "gone")
    say(a, RELEASED, 3)
    a.beat(3)
    b.hello(4)
    b.beat(5)
    a.beat(6)
    assert heard == [(LINE, FOR_GOOD), (LINE, RELEASED)]
    assert a.shared.shuts.known[LINE].until == RELEASED


def test_nor_when_redis_has_lost_it_all(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    say(a)
    a.beat(1)
    b.beat(1)
    for guard in (a, b):
        guard.shared.lost(2, "gone")
    assert say(a, RELEASED, 3)
    client.delete(*a.shared.beat().keys)
    b.hello(4)  # whoever comes first tells what it knows, and the later change holds
    b.beat(5)
    a.hello(6)
    a.beat(7)
    b.beat(8)
    assert {g.shared.shuts.known[LINE].until for g in (a, b)} == {RELEASED}


def test_what_is_old_news_does_not_hold(client: redis.Redis) -> None:
    """The books of a guard that was stopped say shut off; since then it was released elsewhere."""
    a, b = fleet(client, "a", "b")
    say(a, RELEASED, 10)
    a.beat(11)
    b.beat(12)
    assert not say(b, FOR_GOOD, 9)
    assert say(b, FOR_GOOD, 11)


def test_a_clock_an_hour_off_neither_wins_nor_loses_by_it_and_ends_are_the_same_instant(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    heard = listening(b)
    a.shared.shuts.clock(HOUR)  # a's is ahead
    assert say(a, BASE + 3 * HOUR, HOUR + 1)
    a.beat(2)
    b.beat(2)
    assert heard == [(LINE, BASE + 2 * HOUR)]
    assert say(b, RELEASED, 5), "later, though b's clock says less"
    b.beat(6)
    a.beat(7)
    known = a.shared.shuts.known[LINE]
    assert known.until == RELEASED
    assert a.shared.shuts.instant(known) == BASE + HOUR + 5


def test_what_the_books_said_before_the_server_was_met_is_of_its_clock_too() -> None:
    shuts = Shuts(lambda: None)
    shuts.say(LINE, BASE + 3 * HOUR, "", BASE + HOUR)
    shuts.clock(HOUR)
    assert shuts.known[LINE].version == BASE
    assert shuts.page() == [0, [[LINE, BASE, BASE + 2 * HOUR, ""]]]
    shuts.clock(HOUR + 5)
    assert shuts.known[LINE].version == BASE


def test_more_than_a_page_is_told_and_read_at_once_page_by_page(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    heard = listening(b)
    for n in range(2 * PAGE + 1):
        say(a, name=f"l:pbx/{n}")
    beats = 0
    while a.shared.waiting:
        a.beat(beats := beats + 1)
    assert beats in {3, 4}
    b.beat(9)
    while b.shared.waiting:
        b.beat(9)
    assert len(heard) == 2 * PAGE + 1


def test_there_is_a_bound_here_and_in_the_server(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    shuts = a.shared.shuts
    assert say(a, name="l:large")
    assert shuts.say("l:x", FOR_GOOD, "x" * (MAX_BODY + 1), BASE)
    assert shuts.dropped == 1
    for n in range(MAX_SHUT + 3):
        shuts.say(f"l:{n}", FOR_GOOD, "", BASE + n)
        if n % PAGE == 0:
            a.beat(1)
    while shuts._tell:
        a.beat(1)
    assert len(shuts.known) == MAX_SHUT
    shut, log = a.shared.beat().keys[3:]
    assert client.hlen(shut) == client.zcard(log) == MAX_SHUT
    assert not client.hexists(shut, "l:large"), "the oldest change goes first"
    client.delete(shut, log)


def test_what_is_long_over_is_let_go_and_the_keys_expire(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    say(a, BASE + 1, name="l:over")
    say(a, RELEASED, name="l:released")
    say(a, FOR_GOOD, name="l:for-good")
    a.beat(1)
    shut, log = a.shared.beat().keys[3:]
    later = RETAIN + 10
    a.hello(later)
    say(a, at=later, name="l:new")
    a.beat(later)
    assert set(client.hkeys(shut)) == {b"l:for-good", b"l:new"}
    assert all(0 < client.pttl(key) <= RETAIN // 1000 for key in (shut, log))


def test_a_guard_that_is_silent_keeps_what_it_knows(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    say(a)
    a.beat(1)
    b.beat(1)
    b.shared.lost(SILENT, "gone")
    assert b.shared.shuts.known[LINE].until == FOR_GOOD


UNTILS = st.sampled_from([RELEASED, FOR_GOOD, BASE + HOUR, BASE + 2 * HOUR])


@given(st.lists(st.tuples(st.integers(1, 4), UNTILS), min_size=1), st.randoms())
def test_in_whatever_order_changes_arrive_all_come_to_the_same(told: list[tuple[int, int]], dice: Random) -> None:
    changes = [Change(LINE, version, until, "") for version, until in told]
    ends = set()
    for _ in range(2):
        dice.shuffle(changes)
        shuts = Shuts(lambda: None)
        for n, change in enumerate(changes):
            shuts.merge(n, [LINE.encode(), b"%d:%d:" % (change.version, change.until)])
        ends.add(replace(shuts.known[LINE], body=""))
    assert len(ends) == 1
