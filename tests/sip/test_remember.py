"""What is remembered is bounded, in number and in length."""

from __future__ import annotations

from guard.sip.remember import LONGEST, Table, keep


def test_results_are_at_hand_and_bounded_and_the_oldest_makes_room() -> None:
    table: Table[tuple[bytes, int], int] = Table(3)
    for raw in (b"a", b"b", b"c"):
        assert keep(table, (raw, 1), raw, len(raw)) == 1
    assert list(table.known) == [(b"a", 1), (b"b", 1), (b"c", 1)]
    keep(table, (b"d", 1), b"d", 1)
    assert list(table.known) == [(b"b", 1), (b"c", 1), (b"d", 1)]
    for _ in range(100):  # twice, as two threads may
        keep(table, (b"d", 1), b"d", 1)
        assert 0 < len(table.known) <= 3
    table.clear()
    assert table.known == {}
    keep(table, (b"f", 1), b"f", 7)
    assert table.known == {(b"f", 1): 7}


def test_long_inputs_are_not_kept() -> None:
    table: Table[bytes, int] = Table()
    for size in (LONGEST, LONGEST + 1):
        assert keep(table, b"x" * size, b"x" * size, size) == size
    assert list(table.known.values()) == [LONGEST]
