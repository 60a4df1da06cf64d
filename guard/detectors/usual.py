"""The calls an hour that are usual for a line at this hour of the week: its last four weeks, hour by hour.

An hour is kept as one of fifteen levels, each half as much again as the last, so four weeks take 336 octets. What is
usual is the median of the same hour and its two neighbours in those weeks, and the spread their median deviation: a
few odd hours move neither. An hour in which something alarms is not learned. Hours are those of UTC: a clock change
moves them by one, which the neighbours bear.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from mypy_extensions import mypyc_attr

HOURS: Final = 672  # four weeks
WEEK: Final = 168
LEVELS: Final = (0, 1, 2, 3, 4, 6, 9, 13, 20, 30, 45, 68, 101, 152, 228)  # calls an hour, at least
UNKNOWN: Final = 15
NEEDED: Final = 6  # hours of the twelve: two weeks have been watched. Before, it learns and says nothing
SPREADS: Final = 10  # spreads above the median: see docs/detection.md for the rate of false alarms measured with it
FLOOR: Final = 12  # calls an hour that are nobody's alarm: a person who works through a list of customers
COUNTED: Final = 32_767  # calls an hour beyond which counting on tells nothing new
ALARMED: Final = 32_768
CELLS: Final = HOURS // 2  # octets that they take
_NOTHING: Final = b"\xff" * CELLS
_LEVEL: Final = tuple(max(i for i, low in enumerate(LEVELS) if low <= n) for n in range(LEVELS[-1] + 1))


@mypyc_attr(acyclic=True)
class Usual:
    """Four weeks of one line. `hour` is the hour of Unix time that is being counted, `count` the calls in it (no more
    than `COUNTED`); `alarmed` tells that something alarmed of the line in it."""

    __slots__ = ("_cells", "_limit", "alarmed", "count", "hour")

    def __init__(self, cells: bytes = _NOTHING, hour: int = 0, count: int = 0, *, alarmed: bool = False) -> None:
        self._cells = cells
        self.hour = hour
        self.count = count
        self.alarmed = alarmed
        self._limit: int | None = None

    def one_more(self, hour: int, *, frozen: bool) -> int:
        """Count a call; how many there are in this hour. `frozen`, while something alarms: neither the hours since the
        last call are learned, nor this one."""
        if hour > self.hour:
            if self.hour and not frozen and not self.alarmed:
                self._learn(hour)
            self.hour, self.count, self.alarmed, self._limit = hour, 0, False, None
        self.alarmed = self.alarmed or frozen
        if self.count < COUNTED:
            self.count += 1
        return self.count

    def one_less(self, hour: int) -> None:
        """A call of that hour did not come about."""
        if hour == self.hour and self.count:
            self.count -= 1

    def limit(self) -> int:
        """The most calls that are usual in the hour being counted; 0 while it learns."""
        if self._limit is None:
            self._limit = self._work_out()
        return self._limit

    def _learn(self, until: int) -> None:
        """Write down the hour that was counted, and the empty ones after it."""
        if until - self.hour >= HOURS:
            self._cells = bytes(CELLS)  # four empty weeks
            return
        cells = bytearray(self._cells)
        _put(cells, self.hour, _LEVEL[min(self.count, LEVELS[-1])])
        _empty(cells, self.hour + 1, until)
        self._cells = bytes(cells)

    def _work_out(self) -> int:
        cells = self._cells
        found: list[int] = []
        for weeks in (1, 2, 3, 4):
            for beside in (-1, 0, 1):
                place = (self.hour - weeks * WEEK + beside) % HOURS
                level = cells[place >> 1] >> 4 if place & 1 else cells[place >> 1] & 15
                if level != UNKNOWN:
                    found.append(LEVELS[level])
        if len(found) < NEEDED:
            return 0
        found.sort()
        middle = found[len(found) // 2]
        off = sorted(abs(n - middle) for n in found)[len(found) // 2]
        return max(middle + SPREADS * max(off * 3 // 2, isqrt(middle), 1), FLOOR)

    def packed(self) -> bytes:
        """All but what is worked out: `HOURS // 2` octets, or none where nothing is known yet."""
        return b"" if self._cells == _NOTHING else self._cells

    @property
    def counted(self) -> int:
        """The count, and whether something alarmed, in 16 bits."""
        return self.count | (ALARMED if self.alarmed else 0)


def unpacked(cells: bytes, hour: int, counted: int) -> Usual:
    """The same again."""
    return Usual(cells or _NOTHING, hour, counted & COUNTED, alarmed=counted >= ALARMED)


def _put(cells: bytearray, hour: int, level: int) -> None:
    place = hour % HOURS
    kept = cells[place >> 1]
    cells[place >> 1] = (kept & 0x0F) | level << 4 if place & 1 else (kept & 0xF0) | level


def _empty(cells: bytearray, first: int, until: int) -> None:
    """Hours without a call, fewer than four weeks of them: two to an octet."""
    if first % 2 and first < until:
        _put(cells, first, 0)
        first += 1
    if until % 2 and first < until:
        until -= 1
        _put(cells, until, 0)
    if first >= until:
        return
    start, end = first % HOURS >> 1, until % HOURS >> 1
    if start < end:
        cells[start:end] = bytes(end - start)
    else:  # over the end of the four weeks, which is their beginning
        cells[start:] = bytes(CELLS - start)
        cells[:end] = bytes(end)
