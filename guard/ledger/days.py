"""Time limits of contracts, on calendars: hours, days, business days with their public holidays, months, years.

Civil days are counted as French law counts them (Code de procédure civile, art. 640 to 642): the day that starts the
limit does not count, and the last one counts whole. Two readings are the prudent one, since no contract here writes
them: a limit of calendar days that ends on a Sunday is *not* put off to the Monday, and business days ("jours
ouvrés") are Monday to Friday without the public holidays of the contract's country (Alsace and Moselle have two more).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

Unit = Literal["hours", "days", "business-days", "months", "years"]
HOUR: Final = 3_600_000_000  # microseconds
SATURDAY: Final = 5
LAST_YEAR: Final = 9990  # so that every limit of a sane length still ends in a year that a date can name
KNOWN: Final = frozenset({"FR", "BE", "LU"})  # countries of the contracts; another's holidays count as none


class Limit(Struct, frozen=True):
    """So long, in calendar terms."""

    value: int
    unit: Unit


def ends(start: int, limit: Limit, zone: tzinfo, country: str = "FR") -> int:
    """The last instant of a limit that `start` (Unix time, microseconds) begins: microseconds too.

    Hours run exactly; all else ends with the last microsecond of a civil day in `zone`.
    """
    if limit.unit == "hours":
        return start + limit.value * HOUR
    first = datetime.fromtimestamp(start // 1_000_000, zone).date()
    if first.year > LAST_YEAR:
        raise ValueError(f"{first} is too late for a time limit")
    after = datetime.combine(_last_day(first, limit, country) + timedelta(days=1), time(), zone)
    return int(after.astimezone(UTC).timestamp()) * 1_000_000 - 1


def _last_day(first: date, limit: Limit, country: str) -> date:
    if limit.unit == "days":
        return first + timedelta(days=limit.value)
    if limit.unit == "business-days":
        day, left = first, limit.value
        while left:
            day += timedelta(days=1)
            left -= is_business_day(day, country)
        return day
    months = limit.value * (12 if limit.unit == "years" else 1)
    return _months_later(first, months)


def _months_later(first: date, months: int) -> date:
    """The day of the same number; the last of the month where it has no such day (art. 641)."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return min(date(year, month + 1, 1) + timedelta(days=first.day - 1), following - timedelta(days=1))


def is_business_day(day: date, country: str = "FR") -> bool:
    """Whether `day` is a Monday to Friday that is no public holiday."""
    return day.weekday() < SATURDAY and day not in _holidays(country, day.year)


@lru_cache(maxsize=64)
def _holidays(country: str, year: int) -> frozenset[date]:
    if country not in KNOWN:
        return frozenset()
    import holidays  # only where a limit of business days is counted: it takes a tenth of a second to import

    return frozenset(holidays.country_holidays(country, years=year))
