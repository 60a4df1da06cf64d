"""Calendar months in a site's time zone, as quotas and penalties count them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = 3_600_000_000  # µs; months begin on the hour in every zone


@lru_cache(maxsize=64)
def _month(hour: int, zone: tzinfo) -> tuple[int, str]:
    there = (EPOCH + timedelta(microseconds=hour * HOUR)).astimezone(zone)
    first = there.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (first - EPOCH) // timedelta(microseconds=1), f"{there:%Y-%m}"


def month_start(at: int, zone: tzinfo) -> int:
    """The first instant (µs of Unix time) of the month that `at` falls in, in `zone`."""
    return _month(at // HOUR, zone)[0]


def month_of(at: int, zone: tzinfo) -> str:
    """The month that an instant falls in: `2026-11`."""
    return _month(at // HOUR, zone)[1]
