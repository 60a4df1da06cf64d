"""Counters that nobody reads any more do not fill the memory: what is past their span is forgotten."""

from __future__ import annotations

from itertools import pairwise

from guard.state.contract import Touch
from guard.state.tally import MAX_MEMBERS, SWEEP, SWEPT, Tallies

ALL = SWEEP // SWEPT  # members with which all of so many counters are looked at
SPAN = 1_000
NOW = 10**12


def touch(key: str, at: int, span: int = SPAN, member: str = "") -> Touch:
    return Touch(kind="tally", key=key, ident=f"{key}@{at}", span_us=span, member=member, since=at - SPAN, at=at)


def fill(tallies: Tallies, count: int, at: int, span: int = SPAN) -> None:
    """So many counters with a member each."""
    for n in range(count):
        made = touch(f"{at}-{n}", at, span)
        tallies.take(made)
        tallies.departed(made.ident)


def test_a_walk_over_many_keys_leaves_only_those_of_its_span() -> None:
    tallies = Tallies()
    for step in range(10):
        fill(tallies, SWEEP, NOW + step * 10 * SPAN)
        assert tallies.members <= 2 * SWEEP + 1
    assert len(tallies._tallies) <= 2 * SWEEP + 1
    assert len(tallies._spans) <= 2 * SWEEP + 1


def test_what_is_within_its_span_stays() -> None:
    tallies = Tallies()
    fill(tallies, SWEEP, NOW)
    fill(tallies, SWEEP + 1, NOW + SPAN)
    assert tallies.members == 2 * SWEEP + 1
    assert tallies.look(touch(f"{NOW}-0", NOW + SPAN))[0] == 1


def test_counters_of_a_month_are_not_swept() -> None:
    tallies = Tallies()
    fill(tallies, SWEEP, NOW, span=0)
    fill(tallies, SWEEP, NOW + 100 * SPAN)
    assert tallies.look(touch(f"{NOW}-0", NOW + SPAN, span=0))[0] == 1


def test_a_counter_that_was_swept_begins_anew() -> None:
    tallies = Tallies()
    fill(tallies, SWEEP, NOW)
    fill(tallies, ALL, NOW + 10 * SPAN)
    assert tallies.members == ALL
    again = touch(f"{NOW}-0", NOW + 10 * SPAN)
    tallies.take(again)
    assert tallies.members == ALL + 1
    assert tallies.look(again) == (1, True, True, 0)
    tallies.forget(again.ident)
    assert tallies.members == ALL


def test_a_member_that_is_counted_pays_for_a_few_others_only() -> None:
    tallies = Tallies()
    fill(tallies, SWEEP, NOW)
    left = []
    for n in range(ALL):
        tallies.take(touch(f"new {n}", NOW + 10 * SPAN))
        left.append(tallies.members - n - 1)
    assert all(a - b <= SWEPT for a, b in pairwise([SWEEP, *left]))
    assert left[-1] == 0


def test_one_that_is_read_meanwhile_is_swept_but_once() -> None:
    tallies = Tallies()
    fill(tallies, SWEEP, NOW)
    for n in range(ALL):
        tallies.take(touch(f"new {n}", NOW + 10 * SPAN))
        tallies.look(touch(f"{NOW}-{n}", NOW + 10 * SPAN))  # which forgets it, before or after the sweep
    assert tallies.members == ALL


def test_a_full_memory_is_swept_again_and_again() -> None:
    tallies = Tallies()
    tallies.members = MAX_MEMBERS - SWEEP  # as many that stay for a month
    fill(tallies, SWEEP // 2, NOW)
    fill(tallies, SWEEP - 1, NOW + 10 * SPAN)
    assert tallies.members == MAX_MEMBERS - 1
