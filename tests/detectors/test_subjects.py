"""All subjects: bounded, the settled outlast a flood of the young, what rests comes back."""

from __future__ import annotations

import pytest

from guard.detectors.subject import Subject
from guard.detectors.subjects import SETTLED, YOUNG_PART, Subjects
from tests.detectors.making import START, past


def settled(subjects: Subjects, key: str, calls: int = SETTLED) -> Subject:
    """One that has called often enough."""
    one = subjects.of(key, START)
    for n in range(calls):
        one.called(past(100 - n, n + 1))
    return one


def test_one_that_is_not_known_is_not_made_up() -> None:
    subjects = Subjects(100, 10)
    assert subjects.find("a") is None
    assert len(subjects) == 0
    one = subjects.of("a", START)
    assert subjects.find("a") is one
    assert subjects.of("a", START + 1) is one
    assert one.first == START


def test_who_rests_comes_back() -> None:
    subjects = Subjects(100, 3)
    settled(subjects, "a")
    for n in range(10):
        subjects.of(f"b{n}", START)
    found = subjects.find("a")
    assert found is not None
    assert (found.calls, len(found.recent)) == (SETTLED, SETTLED)
    assert subjects.dropped == 0


def test_who_was_asked_for_last_rests_last() -> None:
    subjects = Subjects(100, 2)
    one = settled(subjects, "a")
    subjects.of("b", START)
    assert subjects.find("a") is one
    subjects.of("c", START)
    assert subjects.find("a") is one, "b rests, a was asked for since"


def test_a_million_strangers_do_not_push_out_one_who_is_known() -> None:
    """Nothing that a caller sends grows memory without end, or makes the guard forget the others."""
    subjects = Subjects(most=400, at_work=20)
    for n in range(200):
        settled(subjects, f"known{n}")
    for n in range(1_000_000):
        subjects.of(f"{n}", START)
    assert len(subjects) <= 400 + 20
    assert all(subjects.find(f"known{n}") is not None for n in range(200))
    assert subjects.dropped >= 1_000_000 - 400 - 20


def test_every_one_that_is_let_go_is_counted() -> None:
    subjects = Subjects(most=8, at_work=1)
    for n in range(50):
        subjects.of(f"{n}", START)
    assert len(subjects) == 50 - subjects.dropped
    assert len(subjects) == 8 // YOUNG_PART + 1
    assert subjects.find("48") is not None
    assert subjects.find("1") is None, "the oldest of the young go first"


def test_too_many_that_are_settled_push_out_those_that_have_rested_longest() -> None:
    subjects = Subjects(most=8, at_work=1)
    for n in range(12):
        settled(subjects, f"{n}")
    assert len(subjects) == 7
    assert subjects.dropped == 5
    assert [n for n in range(12) if subjects.find(f"{n}") is not None] == [0, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("calls", [SETTLED - 1, SETTLED])
def test_how_many_calls_make_it_settled(calls: int) -> None:
    subjects = Subjects(most=40, at_work=1)
    settled(subjects, "a", calls)
    for n in range(1000):
        subjects.of(f"{n}", START)
    assert (subjects.find("a") is not None) is (calls == SETTLED)
