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


# Code du travail L.3133-1, without those of Alsace-Moselle: month and day, and days after Easter Sunday.
_FIXED: Final = ((1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25))
_AFTER_EASTER: Final = (1, 39, 50)  # Easter Monday, Ascension, Whit Monday


@lru_cache(maxsize=16)
def holidays(year: int) -> frozenset[date]:
    """The eleven public holidays of Code du travail L.3133-1.

    The law's own list, not the package `holidays`: to import the calendars of the world took a fifth of a start.
    """
    easter = _easter(year)
    moving = (easter + timedelta(days=n) for n in _AFTER_EASTER)
    return frozenset((*(date(year, month, day) for month, day in _FIXED), *moving))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous algorithm, as Meeus has it: Astronomical Algorithms 8)."""
    century, within_it = divmod(year, 100)
    leaps, rest = divmod(century, 4)
    moon = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * (year % 19) + century - leaps - moon + 15) % 30
    weekday = (32 + 2 * rest + 2 * (within_it // 4) - epact - within_it % 4) % 7
    late = (year % 19 + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


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
