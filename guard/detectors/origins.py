"""Where a line calls from: the marks of its addresses, its agents and the numbers that it presents, each with the hour
of Unix time at which it was first seen; the longest unused first.

Those of a line that shows what it showed last, as nearly all do, stay octets, as they were at rest.
"""

from __future__ import annotations

from array import array
from struct import Struct as Layout
from typing import Final

from mypy_extensions import mypyc_attr

from guard.detectors.words import DAY, HOUR, ORIGINS

HOURS: Final = DAY // HOUR
KINDS: Final = 3  # of origins: address, agent, presented number
LONG_AGO: Final = 1  # an hour of Unix time before all others
LATEST: Final = (1 << 32) - 1  # hour that is told apart
WIDTH: Final = 4  # octets of a mark, and of an hour
_WORDS: Final = tuple([Layout(f"<{n}I") for n in range(ORIGINS + 1)])  # so many of either


@mypyc_attr(acyclic=True)
class Origins:
    """Those of one line, `ORIGINS` at most. `marks` and `hours` are their octets, unless they changed since."""

    __slots__ = ("_hours", "_known", "_last", "_marks")

    def __init__(self, marks: bytes = b"", hours: bytes = b"") -> None:
        self._marks = marks
        self._hours = hours
        self._known: dict[int, int] | None = None  # instead of them, since they changed
        self._last: tuple[int, ...] = ()  # what was seen with the last call

    def __len__(self) -> int:
        return len(self._marks) // WIDTH if self._known is None else len(self._known)

    def seen(self, marks: tuple[int, ...], at: int) -> None:
        """Remember what the line showed."""
        if marks == self._last:
            return  # they are the last ones already, and in this order
        self._last = marks
        if self._known is None and self._marks.endswith(_WORDS[len(marks)].pack(*marks)):
            return  # so it was before a rest
        known = self._change()
        for one in marks:
            known[one] = known.pop(one, 0) or min(at // HOUR, LATEST)
        while len(known) > ORIGINS:
            del known[next(iter(known))]

    def new(self, at: int, first: int) -> int:
        """How many were never seen before the last day. Of a line that is itself that young (first heard of at
        `first`), one of each kind belongs to it."""
        since = at // HOUR - HOURS
        new = 0
        known = self._known
        for hour in _WORDS[len(self._hours) // WIDTH].unpack(self._hours) if known is None else known.values():
            if hour > since:
                new += 1
        return max(new - KINDS, 0) if first // HOUR > since else new

    def forgive(self) -> None:
        """All that was seen is the line's own."""
        self._known = dict.fromkeys(self._change(), LONG_AGO)

    def _change(self) -> dict[int, int]:
        known = self._known
        if known is None:
            words = _WORDS[len(self._marks) // WIDTH]
            known = self._known = dict(zip(words.unpack(self._marks), words.unpack(self._hours), strict=True))
        return known

    def packed(self) -> bytes:
        """All marks, then all hours: `WIDTH` octets each."""
        if self._known is not None:
            self._marks = array("I", self._known).tobytes()
            self._hours = array("I", self._known.values()).tobytes()
        return self._marks + self._hours
