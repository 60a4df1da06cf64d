"""Guards that lose each other and the server, and come back: nobody waits for longer than the second needs it, and
the second holds whatever is lost on the way."""

from __future__ import annotations

import redis

from guard.model import SECOND
from guard.state.part import SILENT, Part
from guard.state.shared import MAX_TOLD
from guard.state.wire import Op
from tests.state.kept import LEASE, Kept, load, set_clock
from tests.state.test_fleet import QUIET, beats, fleet
from tests.state.touches import gauge, one, taken, window

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


def only(client: redis.Redis) -> Kept:
    """The only guard of its site, for a second at least."""
    (a,) = fleet(client, "a", at=-SECOND)
    a.beat(0)
    return a


def test_the_only_guard_goes_on_at_once_within_the_limit(client: redis.Redis) -> None:
    a = only(client)
    assert left(a, 0, 4, 5, 0) == [True] * 4
    a.shared.lost(MS, "late")
    assert alone(a, 10, 2, 5, MS) == [True, False]
    assert a.shared.touch((window("20", 5),), MS)[0].free_at == SECOND
    assert alone(a, 30, 5, 5, SECOND) == [True] * 4 + [False], "the one of a millisecond later is in this second too"


def test_and_finds_the_server_as_open_as_it_left_it(client: redis.Redis) -> None:
    a = only(client)
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
    assert (full.taken, full.free_at) == (False, now + AGAIN), "what b did is not known; it may be at any time"
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
    assert one(b, window("1", 5), AWAY).free_at == AWAY + AGAIN
    a.flush(AWAY)
    assert taken(b, window("2", 5), AWAY)


def test_one_that_does_not_come_back_is_waited_for(client: redis.Redis) -> None:
    a, b, _ = fleet(client, "a", "b", "c")
    a.hello(AWAY)
    b.hello(AWAY)
    beats([a, b], AWAY + QUIET - 1)
    assert one(a, window("1", 5), AWAY + QUIET - 1).free_at == AWAY + QUIET
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
    a = only(client)
    load(client)  # as after a restart: this library has served nobody
    a.hello(MS)
    assert one(a, window("1", 5), MS).free_at == MS + QUIET
    a.shared.lost(2 * MS, "gone")
    assert alone(a, 10, 1, 5, SECOND) == [False], "nor does the guard know that it is the only one"


def test_a_new_guard_waits_until_the_only_one_knows_of_it(client: redis.Redis) -> None:
    a = only(client)
    new = Kept(client, a.site, "n")
    new.hello(MS)
    reading = one(new, window("1", 5), MS)
    assert (reading.taken, reading.free_at) == (False, MS + AGAIN)
    assert alone_at_once(a, 2 * MS), "it does not know: all of the limit is its own"


def alone_at_once(guard: Kept, now: int) -> bool:
    guard.shared.lost(now, "late")
    return alone(guard, 90, 5, 5, now) == [True] * 5


def test_and_no_longer(client: redis.Redis) -> None:
    a = only(client)
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
    a = only(client)
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
    a = only(client)
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


# ---- what is known less well than it seems ---------------------------------------------------------------------------


def test_however_late_the_only_guard_was_heard_last(client: redis.Redis) -> None:
    """Its beat says that it knows of nobody, the answer is lost: 0.6 s after the other came it is not silent yet."""
    a = only(client)
    new = Kept(client, a.site, "n")
    new.hello(MS)
    set_clock(client, 150 * MS)
    a.call(a.shared.beat())
    a.shared.lost(200 * MS, "late")
    assert alone(a, 0, 5, 5, 210 * MS) == [True] * 5
    for now in (400, 600, 602, 700, 749, 751):
        new.beat(now * MS)
        assert not taken(new, window(str(now), 5), now * MS)


def test_a_second_silence_makes_nothing_sure_again(client: redis.Redis) -> None:
    """Redis came back without who joined last. That the rest of them is lost once more does not bring that one back."""
    a, _ = fleet(client, "a", "d")
    client.hdel(a.shared.heads[2], "d")
    client.zrem(a.shared.heads[1], "d")
    load(client)
    a.hello(0)
    a.shared.lost(50 * MS, "late")
    a.hello(AWAY)
    assert one(a, window("1", 5), AWAY).free_at == AWAY + QUIET


def test_the_only_one_that_an_empty_server_knows_is_not_sure_to_be(client: redis.Redis) -> None:
    a, d = fleet(client, "a", "d")
    for guard in (a, d):
        guard.shared.lost(-2 * SECOND, "gone")
    client.delete(*client.keys(f"{{guard:{a.site}}}*"))
    a.hello(0)
    a.beat(MS)
    a.shared.lost(50 * MS, "late")
    assert left_alone(d, 249 * MS) == 2
    assert left_alone(a, SECOND + 2 * MS) == 0
    assert left_alone(a, 50 * MS + SILENT + DEADLINE + SECOND) == 5, "it knows of nobody, and waited for all"


def left_alone(guard: Kept, now: int) -> int:
    return sum(alone(guard, now, 9, 5, now))


def test_who_says_good_bye_before_it_told_will_not_tell(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    for guard in (b, a):
        guard.shared.lost(-2 * SECOND, "late")
    assert left_alone(b, 0) == 2
    b.hello(AWAY, tells=False)
    a.hello(AWAY, tells=False)
    b.call(Op("bye", b.shared.heads, []))
    a.flush(AWAY)
    assert one(a, window("1", 5), AWAY).free_at == AWAY + QUIET


def test_what_is_kept_is_the_larger_of_two_parts(client: redis.Redis) -> None:
    """The second of two has none of one place; the first of three has it."""
    a, b = fleet(client, "a", "b")
    a.call(Op("bye", a.shared.heads, []))
    others = [Kept(client, a.site, name) for name in ("e", "f")]
    for other in others:
        other.hello(MS)
    b.beat(2 * MS)
    b.shared.lost(3 * MS, "late")
    assert b.shared.own.part == Part(of=3, rank=0)
    opens = 3 * MS + SILENT + DEADLINE + SECOND
    for now in range(MS, opens, SILENT // 2):
        beats([*others, *others], now)
    assert alone(b, 0, 1, 1, opens) == [True]
    assert not taken(others[0], window("1", 1), opens)


def test_a_clock_that_is_put_back_makes_nobody_known(client: redis.Redis) -> None:
    a = only(client)
    new = Kept(client, a.site, "n")
    new.hello(300 * MS)
    assert alone_at_once(a, 310 * MS)
    assert not taken(new, window("1", 5), 320 * MS - 300 * MS)


def test_what_one_is_not_known_to_have_heard_is_kept_for_a_lease_and_no_longer(client: redis.Redis) -> None:
    """However often its hellos arrive whose answers it gives up."""
    a = only(client)
    new = Kept(client, a.site, "n")
    new.hello(MS)
    a.shared.lost(2 * MS, "late")
    for now in range(MS, LEASE + SECOND, SILENT // 2):
        set_clock(client, now)
        a.call(a.shared.hello(LEASE))
        new.beat(now)
        if now in {MS, SECOND + MS}:
            assert left(new, now, 5, 5, now) == [False] * 5
    assert sum(left(new, 0, 5, 5, LEASE + SECOND)) == 2, "but for what every guard has that has not told what it did"


def test_held_calls_look_again_while_windows_may_open_early(client: redis.Redis) -> None:
    a, b = fleet(client, "a", "b")
    a.hello(AWAY)
    a.shared.ask("1", (window("1", 5),), AWAY, wait=SECOND)
    (reading,) = a.flush(AWAY)["1"]
    assert reading.free_at == AWAY + AGAIN
    b.hello(AWAY + MS)
    assert taken(a, window("1", 5), reading.free_at)


def test_nothing_is_kept_of_guards_that_are_gone(client: redis.Redis) -> None:
    (a,) = fleet(client, "a")
    client.hset(a.shared.heads[0], mapping={"back:x": 1, "said:y": "1:0:5"})
    for n in range(3):
        other = Kept(client, a.site, f"n{n}")
        other.hello(n)
        other.call(Op("bye", other.shared.heads, []))
    a.beat(LEASE)
    Kept(client, a.site, "z").hello(LEASE)
    fields = {str(field) for field in client.hkeys(a.shared.heads[0])}
    assert {f for f in fields if ":" in f} == {"b'back:a'", "b'back:z'"}


def test_calls_of_many_lines_are_told_whole(client: redis.Redis) -> None:
    """However many counters there are, the server hears of all of them, and once."""
    a = only(client)
    for n in range(MAX_TOLD + 10):
        a.shared.mirror.touch((gauge(str(n), None, key=f"line:{n}"),), 0)
    a.hello(MS)
    assert not a.shared.overrun
    assert one(a, gauge("x", None, key=f"line:{MAX_TOLD + 9}"), MS).value == 1
