"""dst.sector-banned and dst.request-expired: sectors that may not canvass at all, save customers and short answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from guard.prospecting.hours import holidays, zone_of
from guard.rules import base
from guard.rules.case import Case
from guard.rules.prospects import USAGE, consumer, customer

_FACTS = frozenset({"number", "sector"})


class Settings(base.Settings, frozen=True):
    """`sectors` that are banned, and the `working_days` within which a person's own request may be answered (0: none
    may)."""

    sectors: tuple[str, ...] = ()
    working_days: int = 5


def _judge(case: Case, settings: Settings, *, expired: bool) -> tuple[base.Hit, ...]:
    """One rule speaks where there was a request, the other where there was none."""
    number = consumer(case.call, case.lists)
    at = case.call.at
    if not number or case.sector not in settings.sectors or customer(case.lists, number, at):
        return ()
    asked = [e.since for e in case.lists["requests"].of(number) if e.since <= at]
    if bool(asked) is not expired:
        return ()
    if asked and settings.working_days and at < _after(max(asked), settings.working_days, number):
        return ()
    return (base.Hit("late" if expired else "banned", {"number": number, "sector": case.sector}),)


def _after(at: int, working_days: int, number: str) -> int:
    """The end of the nth working day after an instant, where the consumer lives."""
    there = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(zone_of(number))
    while working_days:
        there += timedelta(days=1)
        if there.weekday() < 5 and there.date() not in holidays(there.year):
            working_days -= 1
    end = (there + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (end - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Nobody is canvassed."""
    del settings
    return USAGE not in kind.usage


BANNED = base.Judge(
    "dst.sector-banned", {"banned": _FACTS}, Settings, lambda case, s: _judge(case, s, expired=False), idle
)
EXPIRED = base.Judge(
    "dst.request-expired", {"late": _FACTS}, Settings, lambda case, s: _judge(case, s, expired=True), idle
)
