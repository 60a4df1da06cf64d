"""What a call is taken to cost, and whether its destination is one that fraud likes: for detection, not for bills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from guard.detectors.words import FREE, HOUR, Price
from guard.numbering.plan import FRENCH
from guard.prospecting.hours import holidays
from guard.rules.destinations import Destinations
from guard.rules.detect import Prices

CENT: Final = 10_000  # micro-euros
MORNING, EVENING = 7, 20  # the hours at which an office opens and closes, at the latest and at the earliest
SATURDAY: Final = 5
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def price_of(value: str, at: int, destinations: Destinations, prices: Prices) -> Price:
    """The price of a call to a number (E.164 or short) at an instant (µs of Unix time): the ceiling of its band for
    premium services (that of a minute where their prices differ), what `prices` say for a number abroad; calls in
    France are taken to cost nothing.

    Dear are prefixes of high risk: firms call those of elevated risk every day, and nobody's calls to his neighbours
    are stopped on a suspicion. No more are those to cheap premium numbers, or to some that may cost nothing.
    """
    band = destinations.band(value, at)
    if band is not None:
        minute, call = (band.per_minute or 0) // CENT, 0 if band.varies else (band.per_call or 0) // CENT
        costly = minute >= prices.cents_costly and not band.varies
        return Price(minute, call, sva=True, costly=costly) if minute or call else FREE
    risk = destinations.risk(value, at)
    if risk is not None and not value.startswith(prices.known):
        dear = risk.level == "high"
        return Price(prices.cents_high if dear else prices.cents_elevated, dear=dear, costly=dear)
    if value.startswith("+") and not value.startswith(FRENCH):
        return Price(prices.cents_foreign)
    return FREE


def is_closed(at: int, zone: tzinfo) -> bool:
    """Whether offices are closed at an instant: at night, at weekends, on public holidays, in their own time zone."""
    return _closed(at // HOUR, zone)


@lru_cache(maxsize=64)
def _closed(hour: int, zone: tzinfo) -> bool:
    local = (EPOCH + timedelta(hours=hour)).astimezone(zone)
    if not MORNING <= local.hour < EVENING or local.weekday() >= SATURDAY:
        return True
    return local.date() in holidays(local.year)
