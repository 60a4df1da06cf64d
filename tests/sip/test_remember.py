"""What is remembered is bounded, in number and in length, and says what the function itself says."""

from __future__ import annotations

import pytest

from guard.sip import remember
from guard.sip.remember import LONGEST, remembered


@pytest.mark.interpreted
def test_results_are_at_hand_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "REMEMBERED", 3)
    asked: list[bytes] = []

    @remembered
    def size(raw: bytes, more: int) -> int:
        asked.append(raw)
        return len(raw) + more

    assert [size(b"a", 0), size(b"a", 0), size(b"a", 1), size(b"a", 1)] == [1, 1, 2, 2]
    assert len(asked) == 2
    for raw in (b"b", b"c", b"d"):
        size(raw, 0)
    size(b"a", 0)
    assert asked.count(b"a") == 3


def test_long_inputs_are_not_kept() -> None:
    asked: list[int] = []

    @remembered
    def size(raw: bytes) -> int:
        asked.append(len(raw))
        return len(raw)

    for _ in range(2):
        size(b"x" * LONGEST)
        size(b"x" * (LONGEST + 1))
    assert asked == [LONGEST, LONGEST + 1, LONGEST + 1]


def test_errors_are_no_results() -> None:
    @remembered
    def fails(raw: bytes) -> None:
        raise ValueError(raw)

    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            fails(b"a")
