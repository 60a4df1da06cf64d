"""Several guards on one real Redis, in step: leases, silence, restarts, lost data, clocks, foreign keys."""

from __future__ import annotations

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.model import SECOND
from guard.state.contract import Touch
from guard.state.memory import MAX_CALL_US
from guard.state.part import SILENT, Part
from tests.state.conftest import LONG_AGO
from tests.state.kept import BASE, LEASE, Kept, set_clock
from tests.state.touches import gauge, one, taken, tally, total, window

HOUR = 3600 * SECOND
QUIET = 1_500_000


def fleet(client: redis.Redis, *names: str, share: float = 0, at: int = 0) -> list[Kept]:
    """Guards of one site that are at work at `at`."""
    first = Kept(client, name=names[0], share=share)
    guards = [first, *(Kept(client, first.site, name, share=share) for name in names[1:])]
    for guard in guards:
        guard.hello(at + LONG_AGO)
    beats(guards, at)
    beats(guards, at)  # each says that it heard of the others
    return guards


def beats(guards: list[Kept], now: int) -> None:
    for guard in guards:
        guard.beat(now)


def test_a_limit_is_of_all_guards_together(client: redis.Redis) -> None:
    a, b, c = fleet(client, "a", "b", "c")
    assert [taken(g, gauge(str(n), 4)) for n, g in enumerate((a, b, c, a, b, c))] == [True] * 4 + [False] * 2
    assert [taken(g, window(str(n), 4)) for n, g in enumerate((a, b, c, a, b, c))] == [True] * 4 + [False] * 2
    assert [taken(g, tally(str(n), f"m{n}", 4)) for n, g in enumerate((a, b, c, a, b, c))] == [True] * 4 + [False] * 2
    a.used("talk:t", BASE, 10)
    b.used("talk:t", BASE, 5)
    assert one(c, total("x")).value == 15
    c.release("2", 1)
    assert taken(a, gauge("9", 4))


def test_the_same_ident_in_two_guards_is_two_calls(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    assert taken(a, window("1", 1))
    assert not taken(b, window("1", 1))


def test_a_guard_that_dies_gives_its_channels_back_by_lease(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    assert taken(a, gauge("1", 1))
    last = 0
    for last in range(0, LEASE, SILENT // 2):
        b.beat(last)
    assert not taken(b, gauge("2", 1), last)
    b.beat(LEASE + 1)
    assert taken(b, gauge("2", 1), LEASE + 1)


def test_a_guard_that_starts_again_has_no_channels_of_its_last_life(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    assert taken(a, gauge("1", 1))
    again = Kept(client, a.site, "a", life="2")
    again.hello(SILENT)
    assert taken(b, gauge("2", 1), SILENT)
    assert taken(b, window("1", 1), SILENT)
    assert not taken(again, window("1", 1), SILENT), "a ticket of another life is another call"


def test_two_guards_of_one_name_are_told(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    other = Kept(client, a.site, "a", life="2")
    with pytest.raises(redis.ResponseError, match="GUARDTWICE"):
        other.hello(SILENT - 1)
    a.beat(SILENT)


def test_who_was_forgotten_or_replaced_has_to_say_hello(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    assert taken(a, gauge("1", 1))
    b.beat(LEASE + 1)
    assert taken(b, gauge("2", 1), LEASE + 1)
    a.shared.ask("3", (gauge("3", 1),), 0)
    with pytest.raises(redis.ResponseError, match="GUARDSTALE"):
        a.flush(LEASE + 2)
    a.hello(LEASE + 3)
    assert one(b, gauge("4", 3), LEASE + 3).value == 2, "it told which calls it carries"


def test_what_comes_late_is_not_done(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    set_clock(client, 100)
    with pytest.raises(redis.ResponseError, match="GUARDLATE"):
        a.call(a.shared._keys.note([]), expires=BASE + 99)


def test_after_lost_data_no_window_opens_until_all_had_time_to_come_back(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    for n in range(3):
        assert taken(a, window(str(n), 3))
        a.departed(str(n), 0)
    client.delete(*client.keys(f"{{guard:{a.site}}}*"))
    for guard in (a, b):
        guard.shared.ask("x", (window("x", 3),), 0)
        with pytest.raises(redis.ResponseError, match="GUARDSTALE"):
            guard.flush(10)
        guard.shared.lost(10, "test")
    assert b.hello(20)[0], "the data were lost"
    full = one(b, window("y", 3), 30)
    assert (full.taken, full.value, full.free_at) == (False, 3, 20 + QUIET)
    assert not a.hello(SECOND - 10)[0]
    assert one(b, window("y", None), SECOND - 5).value == 3, "a brought back what left"
    a.beat(QUIET)
    assert taken(b, window("y", 3), 20 + QUIET)


def test_after_a_silence_of_all_no_window_opens_at_once(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    a.hello(SILENT + 2)
    beats([a], SECOND)
    beats([a], 2 * SECOND)
    assert not taken(a, window("1", 3), SILENT + 1 + QUIET)
    assert taken(a, window("2", 3), SILENT + 2 + QUIET)
    del b


def test_what_a_silent_guard_may_take_alone_is_kept_for_it(client: redis.Redis) -> None:
    a, b, c = fleet(client, "a", "b", "c")
    beats([a, b], SILENT)
    now = SILENT + 1
    assert [taken(a, window(str(n), 10), now) for n in range(8)] == [True] * 7 + [False]
    assert one(a, window("9", 10), now).value == 10
    assert c.shared.own.part == Part(of=3, rank=2)
    assert c.shared.own.part.of_limit(10) == 3
    c.hello(now + 1)
    assert taken(b, window("x", 10), now + 2)


def test_a_share_that_is_set_is_kept_instead(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b", share=0.25)
    a.beat(SILENT)
    assert [taken(a, window(str(n), 8), SILENT + 1) for n in range(7)] == [True] * 6 + [False]
    del b


@given(st.integers(1, 40), st.integers(1, 12))
def test_equal_parts_make_the_whole(limit: int, of: int) -> None:
    assert sum(Part(of=of, rank=r).of_limit(limit) for r in range(of)) == limit


def test_a_clock_that_is_put_back_an_hour_holds_nobody_for_an_hour(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b", at=HOUR)
    for n in range(2):
        assert taken(a, window(str(n), 2), HOUR)
    a.departed("0", HOUR)
    now = 0
    for guard in (a, b):
        guard.hello(now)
    beats([a, b], QUIET)
    full = one(a, window("x", 2), QUIET)
    assert not full.taken, "it is not known how long ago those left"
    beats([a, b], QUIET + SECOND)
    assert one(a, window("x", 2), QUIET + SECOND).value == 1, "one left; the other is on its way for a minute at most"
    assert taken(a, window("x", 2), QUIET + SECOND)


def test_a_clock_that_is_put_forward_opens_no_window_early(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    assert taken(a, window("0", 1))
    a.departed("0", 0)
    a.hello(HOUR)
    assert not taken(a, window("1", 1), HOUR + SECOND)
    beats([a], HOUR + QUIET)
    assert taken(a, window("1", 1), HOUR + QUIET)
    del b


def test_months_go_by_each_guards_own_clock_and_nothing_is_forgotten(client: redis.Redis) -> None:
    """One guard is an hour ahead, and in the next month already."""
    a, b = fleet(client, "a", "b")
    for n in range(3):
        assert taken(a, tally(str(n), f"m{n}", 3, at=n))
    a.used("talk:t", BASE, 7)
    ahead = BASE + HOUR - BASE % HOUR
    new = Touch(kind="tally", key="callees:t", ident="x", limit=3, member="new", since=ahead, at=ahead + 5)
    assert one(b, new).value == 0
    assert one(b, total("s", since=ahead)).value == 0
    assert not taken(a, tally("9", "m9", 3, at=9)), "its month goes on"
    assert one(a, total("s")).value == 7


def test_what_is_counted_again_is_never_put_back_in_time(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    assert taken(a, tally("1", "m", at=9))
    a.restore(tally("#0", "m", at=5))
    assert one(a, replace(tally("2", "m"), since=tally("", at=6).at)).known


def test_restoring_again_counts_nothing_twice(client: redis.Redis) -> None:
    """A guard that starts again reads its log: what Redis has of it is not added a second time."""
    a, b = fleet(client, "a", "b")
    for n in range(3):
        assert taken(a, tally(str(n), at=n, limit=None))
        a.used("talk:t", BASE + n, 10)
    again = Kept(client, a.site, "a", life="2")
    again.hello(SILENT)
    for n in range(3):
        again.restore(tally(f"#{n}", at=n, limit=None))
        again.used("talk:t", BASE + n, 10)
    b.beat(SILENT)
    assert one(b, tally("x", at=9, limit=None)).value == 3
    assert one(b, total("x")).value == 30


@pytest.mark.parametrize("kind", ["window", "gauge", "tally", "sum"])
def test_a_foreign_key_under_our_name_is_told_with_its_name(client: redis.Redis, kind: str) -> None:
    (a,) = fleet(client, "a")
    touch = {"window": window("1"), "gauge": gauge("1"), "tally": tally("1", "m"), "sum": total("1")}[kind]
    name = a.shared._keys.name(kind[0], touch.key)
    client.set(name, "somebody else's")
    others = (gauge("1", 1, key="other"),)
    a.shared.ask("1", (touch, *others), 0)
    with pytest.raises(redis.ResponseError, match=f"GUARDKEY {name}: WRONGTYPE".replace("{", r"\{")):
        a.flush(0)
    assert client.get(name) == b"somebody else's"
    assert one(a, gauge("2", 1, key="other")).value == 0, "nothing was taken"


def test_a_foreign_key_costs_only_what_was_told_of_it(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    client.set(a.shared._keys.name("s", "talk:u"), "x")
    a.shared.used("talk:u", BASE, 1)
    a.shared.used("talk:t", BASE, 2)
    a.flush(0)
    assert len(a.wrong) == 1
    assert "GUARDKEY" in a.wrong[0]
    assert one(a, total("1")).value == 2


def test_keys_of_another_version_are_left_alone(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    client.hset(a.shared.heads[0], "v", "2")
    with pytest.raises(redis.ResponseError, match="GUARDVERSION"):
        a.hello(10)


def test_every_key_is_in_one_slot_and_expires(client: redis.Redis) -> None:
    a, _ = fleet(client, "a", "b")
    a.touch((window("1"), gauge("1"), tally("1", "m"), total("1")), 0)
    a.departed("1", 0)
    a.used("talk:t", BASE, 2)
    keys = client.keys(f"{{guard:{a.site}}}*")
    assert len(keys) == 7
    assert all(0 < client.pttl(key) <= 33 * 24 * HOUR // 1000 for key in keys)
    assert all(str(key).startswith(f"b'{{guard:{a.site}}}:") for key in keys), "what is in braces is the slot"


def test_the_channels_of_a_long_call_are_not_forgotten_before_its_end(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    assert taken(a, gauge("1", 1, key="line:x"))
    left = client.pttl(a.shared._keys.name("g", "line:x"))
    assert MAX_CALL_US // 1000 - 60_000 < left <= MAX_CALL_US // 1000


def test_an_empty_gauge_is_no_key(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    assert taken(a, gauge("1", 1, key="line:x"))
    a.release("1", 0)
    assert not client.exists(a.shared._keys.name("g", "line:x"))
