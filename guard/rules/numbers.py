"""The numbers that may be presented, compiled from `[[number]]`: one bisection, however many there are."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, Literal

from msgspec import Struct

ALWAYS: Final = -(2**62)  # before any instant
NEVER: Final = 2**61  # after any instant; beyond 2**62 - 1, compiled code would compare objects
_END: Final = "~"  # sorts after every digit

Standing = Literal["held", "consent", "expired", "not-yet", "unknown"]


class Held(Struct, frozen=True, kw_only=True):
    """Numbers from `low` to `high` (same length, E.164 or short), or every number beginning with `low` when `prefix`.

    They may be presented from `since` (included) to `until` (left out), µs of Unix time.
    """

    low: str
    high: str
    prefix: bool = False
    own: bool = True
    holder: str = "self"
    since: int = ALWAYS
    until: int = NEVER

    def meets(self, other: Held) -> bool:
        """Whether some number is of both."""
        if self.prefix or other.prefix or len(self.low) == len(other.low):
            return self.low < other.end and other.low < self.end
        return False

    @property
    def end(self) -> str:
        """Sorts after every number of these."""
        return (self.low if self.prefix else self.high) + _END


class _Span:
    """One entry as each call asks for it: compiled, and read without a call into Python."""

    __slots__ = ("held", "high", "length", "low", "prefix", "since", "until")

    def __init__(self, held: Held) -> None:
        self.held = held
        self.low = held.low
        self.high = held.high
        self.length = len(held.low)
        self.prefix = held.prefix
        self.since = held.since
        self.until = held.until

    def has(self, value: str) -> bool:
        """Whether a number is one of these, at whatever time."""
        if self.prefix:
            return value.startswith(self.low)
        return len(value) == self.length and self.low <= value <= self.high


class HeldNumbers:
    """All of them. Cells between the borders of ranges are found by bisection."""

    def __init__(self, numbers: tuple[Held, ...]) -> None:
        self.all = numbers
        borders = sorted({b for n in numbers for b in (n.low, n.end)})
        place = {b: i for i, b in enumerate(borders)}
        cells: list[list[_Span]] = [[] for _ in borders]
        for number in numbers:
            span = _Span(number)
            for i in range(place[number.low], place[number.end]):
                cells[i].append(span)
        self._borders = borders
        self._cells = cells

    def _of(self, value: str) -> list[_Span]:
        i = bisect_right(self._borders, value) - 1
        return self._cells[i] if i >= 0 else []

    def right(self, value: str, at: int) -> bool:
        """Whether `value` may be presented at `at` (µs of Unix time)."""
        return any(span.since <= at < span.until and span.has(value) for span in self._of(value))

    def standing(self, value: str, at: int) -> tuple[Standing, str]:
        """The right to `value` at `at`, and its holder: why not, where there is none."""
        worst: tuple[Standing, str] = ("unknown", "")
        for span in self._of(value):
            if not span.has(value):
                continue
            holder = span.held.holder
            if span.since <= at < span.until:
                return ("held" if span.held.own else "consent"), holder
            worst = ("expired" if at >= span.until else "not-yet"), holder
        return worst


NO_NUMBERS: Final = HeldNumbers(())
