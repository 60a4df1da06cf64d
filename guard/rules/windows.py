"""Whether an instant is within days and hours as a site writes them, in its own time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from guard.prospecting.hours import holidays

MINUTE: Final = 60_000_000  # microseconds
DAY: Final = 24 * 60  # minutes
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Window(Struct, frozen=True, kw_only=True):
    """Every part that is there must hold. `weekdays` (Monday is 0); `spans` of minutes of the day, each from (included)
    to (left out), over midnight where it ends before it begins; days from `first` to `last`, both included."""

    zone: ZoneInfo
    weekdays: frozenset[int] = frozenset()
    spans: tuple[tuple[int, int], ...] = ()
    dates: frozenset[date] = frozenset()
    first: date = date.min
    last: date = date.max
    holidays: bool | None = None

    def has(self, at: int) -> bool:
        """Whether an instant (µs of Unix time) is in it. The day is that of the instant, also after midnight."""
        day, weekday, minute = _there(at // MINUTE, self.zone)
        if self.weekdays and weekday not in self.weekdays:
            return False
        if self.spans and not any(
            (begin <= minute < end) if begin < end else (minute >= begin or minute < end) for begin, end in self.spans
        ):
            return False
        if self.dates and day not in self.dates:
            return False
        if not self.first <= day <= self.last:
            return False
        return self.holidays is None or (day in holidays(day.year)) is self.holidays


@lru_cache(maxsize=64)
def _there(minute: int, zone: ZoneInfo) -> tuple[date, int, int]:
    """The day, weekday and minute of the day in a zone; calls of one minute share them."""
    there = (EPOCH + timedelta(minutes=minute)).astimezone(zone)
    return there.date(), there.weekday(), there.hour * 60 + there.minute


class BadWindow(ValueError):
    """What is no weekday, or no hour: the text says so."""


def weekdays(written: str) -> frozenset[int]:
    """`sat`, or `mon-fri`; over the week's end where the first is later. Raises BadWindow."""
    first, dash, last = (part.strip().lower() for part in written.partition("-"))
    ends = [first, last] if dash else [first]
    for name in ends:
        if name not in WEEKDAYS:
            raise BadWindow(f'"{name}" is no weekday: write {", ".join(WEEKDAYS)}, or a span such as mon-fri')
    begin, end = WEEKDAYS.index(ends[0]), WEEKDAYS.index(ends[-1])
    return frozenset((begin + n) % 7 for n in range((end - begin) % 7 + 1))


def hours(written: str) -> tuple[int, int]:
    """`08:00-20:00` in minutes of the day. Raises BadWindow."""
    wanted = f'"{written}" is no span of hours: write it as 08:00-20:00'
    begin, dash, end = written.partition("-")
    if not dash:
        raise BadWindow(wanted)
    span = _minutes(begin.strip(), wanted), _minutes(end.strip(), wanted)
    if span[0] == DAY or span[0] == span[1]:
        raise BadWindow(wanted)
    return span


def _minutes(text: str, wanted: str) -> int:
    hour, colon, minute = text.partition(":")
    good = colon and len(hour) == len(minute) == 2 and (hour + minute).isascii() and (hour + minute).isdigit()
    if not good or int(minute) > 59 or int(hour) * 60 + int(minute) > DAY:
        raise BadWindow(wanted)
    return int(hour) * 60 + int(minute)
