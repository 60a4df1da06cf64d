"""What is remembered is bounded, in number and in length."""

from __future__ import annotations

import pytest

from guard.sip import remember
from guard.sip.remember import AT_ONCE, LONGEST, keep, room


@pytest.mark.interpreted
def test_results_are_at_hand_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "REMEMBERED", 3)
    known: dict[tuple[bytes, int], int] = {}
    for raw in (b"a", b"b", b"c"):
        assert keep(known, (raw, 1), raw, len(raw)) == 1
    assert list(known) == [(b"a", 1), (b"b", 1), (b"c", 1)]
    keep(known, (b"d", 1), b"d", 1)
    assert list(known) == [(b"b", 1), (b"c", 1), (b"d", 1)]


def test_of_a_full_table_the_oldest_are_forgotten_a_few_at_a_time() -> None:
    known = {n: n for n in range(4 * AT_ONCE)}
    room(known)
    assert list(known) == list(range(5, 4 * AT_ONCE))
    one = {"one": 1}
    room(one)
    assert one == {}


def test_long_inputs_are_not_kept() -> None:
    known: dict[bytes, int] = {}
    for size in (LONGEST, LONGEST + 1):
        assert keep(known, b"x" * size, b"x" * size, size) == size
    assert list(known.values()) == [LONGEST]
