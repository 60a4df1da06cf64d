"""The heap and the queues of timers, against a list of what is armed: what fires, when, and how much is kept for it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.proxy.calls import NAP, SILENCE_WAIT
from guard.proxy.timers import KINDS, LINGER, PASSED, UNARMED, Owner, Timers
from tests.proxy.world import SECOND, UP, Leg, World

TIMED = [k for k in range(KINDS) if k != LINGER]
WAITS = (0, 5, 30)


STEP = st.one_of(
    st.tuples(st.just("arm"), st.integers(0, 3), st.sampled_from(TIMED), st.integers(0, 40)),
    st.tuples(st.just("after"), st.integers(0, 3), st.sampled_from(TIMED), st.sampled_from(WAITS)),
    st.tuples(st.just("stop"), st.integers(0, 3), st.sampled_from(TIMED), st.just(0)),
    st.tuples(st.just("linger"), st.integers(0, 3), st.just(LINGER), st.sampled_from(WAITS)),
    st.tuples(st.just("pass"), st.just(0), st.just(0), st.integers(1, 50)),
    st.tuples(st.just("look"), st.just(0), st.just(0), st.just(0)),
)


@settings(max_examples=300)
@given(st.lists(STEP, max_size=60))
def test_everything_fires_at_its_instant_and_nothing_else(steps: list[tuple[str, int, int, int]]) -> None:
    timers, owners, now = Timers(), [Owner() for _ in range(4)], 1
    expected: dict[tuple[int, int], int] = {}
    lingering: list[tuple[int, int]] = []
    for what, who, kind, wait in [*steps, ("pass", 0, 0, 100)]:
        if what == "arm":
            timers.arm(owners[who], kind, now + wait)
            expected[who, kind] = now + wait
        elif what == "after":
            timers.after(owners[who], kind, now, wait)
            expected[who, kind] = now + wait
        elif what == "stop":
            owners[who].armed[kind] = 0
            expected.pop((who, kind), None)
        elif what == "linger":
            timers.linger(owners[who], now, wait)
            lingering.append((now + wait, who))
        elif what == "pass":
            now += wait
            fired = []
            while (due := timers.due(now)) is not None:
                owner, fired_kind = due
                fired.append((owners.index(owner), fired_kind))
            over = sorted([*((at, key) for key, at in expected.items()), *((at, (w, LINGER)) for at, w in lingering)])
            due_now = [(at, key) for at, key in over if at <= now]
            assert sorted(fired) == sorted(key for _, key in due_now)
            instants = []
            for key in fired:  # the earliest of what the same owner waits for comes first
                instants.append(next(at for at, k in due_now if k == key))
                due_now.remove((instants[-1], key))
            assert instants == sorted(instants)
            expected = {key: at for key, at in expected.items() if at > now}
            lingering = [(at, w) for at, w in lingering if at > now]
        soonest = min([*expected.values(), *(at for at, _ in lingering)], default=None)
        at = timers.next()
        assert soonest is None or (at is not None and at <= soonest)
        if what == "pass":
            assert at == soonest
    assert len(timers) == 0


def test_an_owner_stands_once_however_often_it_is_armed_for_later() -> None:
    timers, owner = Timers(), Owner()
    for n in range(100):
        timers.arm(owner, TIMED[n % 3], 1_000 + n)
    assert len(timers) == 1
    for n in range(3):
        timers.arm(owner, TIMED[n], 900 - n)
    assert len(timers) == 4
    assert [timers.due(2_000) for _ in range(4)][-1] is None
    assert len(timers) == 0


def test_a_call_that_is_over_leaves_nothing_for_a_day() -> None:
    """What is armed for the case that no BYE ever comes must not keep every call of a day."""
    w = World()
    Leg(w, call_id="long", branch="long").up()
    for n in range(20):
        leg = Leg(w, call_id=f"c{n}", branch=f"b{n}").up()
        w.later(40)
        leg.bye()
    w.later(NAP / SECOND + 33)
    assert len(w.core._c.timers) == 1  # the long one's


def test_a_day_of_silence_is_counted_from_the_last_word() -> None:
    w = World()
    leg = Leg(w).up()
    w.later(100.5)
    w(leg.from_pbx("UPDATE"), UP)
    w.later(SILENCE_WAIT / SECOND - 0.1)
    assert (w.ended, w.core.calls) == ([], 1)
    w.later(0.2)
    (ended,) = (e for _, e in w.ended)
    assert (ended.by, ended.talk_us) == ("silence", 100_500_000)


def test_those_that_were_stopped_do_not_come_up_all_at_once() -> None:
    timers = Timers()
    waits = Owner()
    for n in range(1_000):
        owner = Owner()
        timers.after(owner, TIMED[0], n, 5_000)
        owner.armed[TIMED[0]] = 0
        if n == 500:
            timers.after(waits, TIMED[0], n, 5_000)
        assert len(timers) <= PASSED + 1 if n <= 500 else timers.next() == 5_500
    assert timers.due(5_500) == (waits, TIMED[0])


def test_who_was_never_armed_shares_what_stands_for_nothing() -> None:
    timers, owners = Timers(), [Owner(), Owner()]
    timers.after(owners[0], TIMED[0], 1, 5)
    timers.arm(owners[0], TIMED[1], 9)
    assert owners[1].armed is UNARMED
    assert UNARMED == [0] * KINDS
    assert owners[0].armed.count(0) == KINDS - 2


def test_whose_turn_comes_first_of_a_queue_and_the_heap() -> None:
    """Of two at once it is who was armed for longer, as in one heap."""
    timers, early, late = Timers(), Owner(), Owner()
    timers.arm(early, TIMED[0], 10)
    timers.after(late, TIMED[0], 5, 5)
    assert [timers.due(10), timers.due(10), timers.due(10)] == [(early, TIMED[0]), (late, TIMED[0]), None]


def test_a_transaction_that_is_over_holds_no_other() -> None:
    """Timer C has it stand for three minutes; the call that it was of must not stand with it."""
    w = World()
    leg = Leg(w)
    leg.answer(180)
    (client,) = w.core._c.layer.clients.values()
    w.later(1)
    leg.answer(486)
    held = [client.server is not None]
    w.later(33)
    held.append(client.server is not None or client.armed is not UNARMED)
    assert held == [True, False]
