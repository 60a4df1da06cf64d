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


@lru_cache(maxsize=16)
def holidays(year: int) -> frozenset[date]:
    """The eleven public holidays of Code du travail L.3133-1 (without those of Alsace-Moselle)."""
    from holidays import country_holidays  # ten milliseconds, only where somebody calls consumers to sell

    return frozenset(country_holidays("FR", years=year))


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
