"""What is remembered is bounded, in number and in length."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from guard.sip import remember
from guard.sip.remember import LONGEST, keep


@pytest.mark.interpreted
def test_results_are_at_hand_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "REMEMBERED", 3)
    known: OrderedDict[tuple[bytes, int], int] = OrderedDict()
    for raw in (b"a", b"b", b"c"):
        assert keep(known, (raw, 1), raw, len(raw)) == 1
    assert list(known) == [(b"a", 1), (b"b", 1), (b"c", 1)]
    keep(known, (b"d", 1), b"d", 1)
    assert list(known) == [(b"b", 1), (b"c", 1), (b"d", 1)]


def test_long_inputs_are_not_kept() -> None:
    known: OrderedDict[bytes, int] = OrderedDict()
    for size in (LONGEST, LONGEST + 1):
        assert keep(known, b"x" * size, b"x" * size, size) == size
    assert list(known.values()) == [LONGEST]
