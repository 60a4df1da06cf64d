"""When a consumer may be called: days and hours in his own time zone, French public holidays left out.

Code de la consommation D.223-9 (decree 2022-1313 from 2023-03-01, decree 2026-662 from 2026-08-11): Monday to Friday,
10:00 to 13:00 and 14:00 to 20:00, not on the holidays of Code du travail L.3133-1.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

# The zone of whoever is called, by the country code of the number; +262 is shared by two islands.
ZONES: Final = {
    "+262269": "Indian/Mayotte",
    "+262639": "Indian/Mayotte",
    "+2629478": "Indian/Mayotte",
    "+2629398": "Indian/Mayotte",
    "+262": "Indian/Reunion",
    "+508": "America/Miquelon",
    "+590": "America/Guadeloupe",
    "+594": "America/Cayenne",
    "+596": "America/Martinique",
    "+33": "Europe/Paris",
}


class Grid(Struct, frozen=True):
    """Weekdays (Monday is 0) and the spans of a day, each from (included) to (left out), in which calls may be made."""

    weekdays: tuple[int, ...]
    spans: tuple[tuple[time, time], ...]
    holidays: bool = False  # whether public holidays are days like others


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous computus of 1876)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = b // 4, b % 4
    f = (b + 8) // 25
    g = (b - f + 1) // 3
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


@lru_cache(maxsize=16)
def holidays(year: int) -> frozenset[date]:
    """The eleven public holidays of Code du travail L.3133-1."""
    sunday = easter(year)
    moving = {sunday + timedelta(days=n) for n in (1, 39, 50)}  # Easter Monday, Ascension, Whit Monday
    fixed = {(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)}
    return frozenset(moving | {date(year, m, d) for m, d in fixed})


def zone_of(number: str) -> ZoneInfo:
    """The time zone of whoever has an E.164 number; Paris for numbers of other countries, which the law is not for."""
    for length in (8, 7, 4, 3):
        name = ZONES.get(number[:length])
        if name is not None:
            return ZoneInfo(name)
    return ZoneInfo("Europe/Paris")


def within(grid: Grid, at: int, zone: ZoneInfo) -> tuple[bool, str, datetime]:
    """Whether calls may be made at an instant (µs of Unix time), why not (`holiday`, `day`, `hour`, or ""), and the
    instant there."""
    there = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(zone)
    if not grid.holidays and there.date() in holidays(there.year):
        return False, "holiday", there
    if there.weekday() not in grid.weekdays:
        return False, "day", there
    clock = there.time()
    inside = any(begin <= clock < end for begin, end in grid.spans)
    return inside, "" if inside else "hour", there
