"""When people and machines call: the hours of a week, and arrivals by them.

Shapes are assumed, after what every small exchange shows (two humps around lunch, little at night, less at weekends);
their sum over a working day is 1, so that a rate is calls a working day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from guard.prospecting.hours import holidays
from sim.labelled.words import HOUR, Placed

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PARIS: Final = ZoneInfo("Europe/Paris")
REUNION: Final = ZoneInfo("Indian/Reunion")
MAX_LATER: Final = 100_000  # calls of one actor that are planned ahead; one more is not made
Hours = tuple[float, ...]


def shape(*parts: tuple[int, float]) -> Hours:
    """Shares of 24 hours from (hour, weight): each weight holds until the next hour named."""
    weights = [0.0] * 24
    for (begin, weight), end in zip(parts, [*(h for h, _ in parts[1:]), 24], strict=True):
        weights[begin:end] = [weight] * (end - begin)
    whole = sum(weights)
    return tuple(w / whole for w in weights)


def flat(begin: int, end: int) -> Hours:
    """The same at every hour from `begin` to `end`."""
    return shape((0, 0.0), (begin, 1.0), (end, 0.0)) if end < 24 else shape((0, 0.0), (begin, 1.0))


class Week(Struct, frozen=True):
    """Shares of a working day's calls in each hour of a working day, a Saturday, a Sunday or holiday, local time."""

    workday: Hours
    saturday: Hours
    sunday: Hours
    zone: ZoneInfo = PARIS

    def share(self, at: int) -> float:
        """The share of the hour that `at` is in."""
        there = local(at, self.zone)
        day = there.weekday()
        if day == 6 or there.date() in holidays(there.year):
            return self.sunday[there.hour]
        return (self.saturday if day == 5 else self.workday)[there.hour]


NEVER: Final[Hours] = (0.0,) * 24
_BUREAU: Final = shape(
    (0, 0.004), (7, 0.15), (8, 0.7), (9, 1.2), (10, 1.3), (11, 1.1), (12, 0.5), (13, 0.6), (14, 1.2), (16, 1.05),
    (17, 0.75), (18, 0.3), (19, 0.1), (20, 0.04), (22, 0.01),
)  # fmt: skip
SATURDAY: Final = 0.06  # of a working day's calls in an office (assumed)
SUNDAY: Final = 0.02
OFFICE: Final = Week(_BUREAU, tuple(w * SATURDAY for w in _BUREAU), tuple(w * SUNDAY for w in _BUREAU))
OFFICE_REUNION: Final = Week(OFFICE.workday, OFFICE.saturday, OFFICE.sunday, REUNION)
SHOP: Final = Week(flat(9, 19), tuple(w * 0.6 for w in flat(10, 17)), NEVER)  # a call centre of customer service
ROBOT: Final = Week(flat(9, 18), NEVER, NEVER)
# Canvassing hours of Code de la consommation D.223-9: Monday to Friday, 10 to 13 and 14 to 20, no holidays.
CANVASSING: Final = Week(shape((0, 0.0), (10, 1.0), (13, 0.0), (14, 1.0), (20, 0.0)), NEVER, NEVER)
_HOTEL: Final = shape((0, 0.25), (5, 0.6), (7, 1.2), (9, 1.6), (12, 0.8), (17, 1.0), (22, 0.5))
HOTEL: Final = Week(_HOTEL, _HOTEL, _HOTEL)
CHECK_OUT: Final = Week(flat(9, 12), flat(9, 12), flat(9, 12))
WAKING: Final = Week(flat(5, 9), flat(5, 9), flat(5, 9))
ALWAYS: Final = Week(flat(0, 24), flat(0, 24), flat(0, 24))


def local(at: int, zone: ZoneInfo = PARIS) -> datetime:
    """An instant on the clocks of a zone."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(zone)


def instant(when: datetime) -> int:
    """µs of Unix time."""
    return (when - EPOCH) // timedelta(microseconds=1)


def arrivals(rng: Random, start: int, end: int, week: Week, per_day: float) -> Iterator[int]:
    """Instants of a Poisson stream of `per_day` calls a working day, in order."""
    spread = rng.expovariate
    at = float(start)
    while at < end:
        until = min(int(at) // HOUR * HOUR + HOUR, end)
        rate = per_day * week.share(int(at)) / HOUR
        if rate > 0.0:
            while (at := at + spread(rate)) < until:
                yield int(at)
        at = float(until)


def regular(rng: Random, start: int, end: int, week: Week, every: int, jitter: float) -> Iterator[int]:
    """Instants `every` so many µs in the hours of a week, each off by a few thousandths (`jitter`, a share)."""
    at = start + int(rng.random() * every)
    while at < end:
        if week.share(at) > 0.0:
            yield at + int(every * jitter * rng.random())
            at += every
        else:
            at = at // HOUR * HOUR + HOUR


def night(at: int, zone: ZoneInfo = PARIS) -> int:
    """The first instant from `at` on at which nobody is at work: at once at weekends and from 22:00 to 05:00, else at
    23:00."""
    there = local(at, zone)
    if there.weekday() >= 5 or there.hour >= 22 or there.hour < 5:
        return at
    return instant(there.replace(hour=23, minute=0, second=0, microsecond=0))


def opening(at: int, week: Week) -> int:
    """The first instant from `at` on, by the hour, at which anybody calls; a fortnight ahead where nobody does."""
    for _ in range(14 * 24):
        if week.share(at) > 0.0:
            return at
        at = at // HOUR * HOUR + HOUR
    return at


class Later:
    """Calls planned ahead, given out in order between those that arrive."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Placed]] = []
        self._count = 0

    def put(self, placed: Placed) -> None:
        """Plan a call."""
        if len(self._heap) < MAX_LATER:
            self._count += 1
            heappush(self._heap, (placed.call.at, self._count, placed))

    def until(self, at: int) -> Iterator[Placed]:
        """Those before `at`."""
        heap = self._heap
        while heap and heap[0][0] < at:
            yield heappop(heap)[2]


def mixed(later: Later, stream: Iterator[Placed], end: int) -> Iterator[Placed]:
    """A stream with what was planned while it ran, up to `end`."""
    for placed in stream:
        yield from later.until(placed.call.at)
        yield placed
    yield from later.until(end)
