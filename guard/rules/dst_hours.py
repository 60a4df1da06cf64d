"""dst.prospecting-hours: consumers are canvassed on certain days and at certain hours, in their own time zone."""

from __future__ import annotations

from datetime import time
from functools import lru_cache

from guard.prospecting.hours import Grid, within, zone_of
from guard.rules import base
from guard.rules.case import Case
from guard.rules.prospects import USAGE, consumer

ID = "dst.prospecting-hours"
_FACTS = frozenset({"number", "there", "zone"})
SAYS = {"holiday": _FACTS, "day": _FACTS, "hour": _FACTS}


class Settings(base.Settings, frozen=True):
    """`weekdays` (1 is Monday) and `hours` (`10:00-13:00`) in which calls may be made. `lifted_by` names the lists that
    lift them: `appointments` at their exact time, `tolerance_minutes` around it, or `consents`."""

    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    hours: tuple[str, ...] = ("10:00-13:00", "14:00-20:00")
    lifted_by: tuple[str, ...] = ("appointments",)
    tolerance_minutes: int = 0


@lru_cache(maxsize=32)
def _grid(weekdays: tuple[int, ...], hours: tuple[str, ...]) -> Grid:
    spans = []
    for span in hours:
        begin, _, end = span.partition("-")
        spans.append((time.fromisoformat(begin), time.fromisoformat(end)))
    return Grid(tuple(d - 1 for d in weekdays), tuple(spans))


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """A call outside the grid that nothing lifts."""
    number = consumer(case.call, case.lists)
    if not number:
        return ()
    at = case.call.at
    zone = zone_of(number)
    inside, why, there = within(_grid(settings.weekdays, settings.hours), at, zone)
    if inside or _lifted(case, number, settings):
        return ()
    return (base.Hit(why, {"number": number, "there": there.strftime("%Y-%m-%d %H:%M"), "zone": zone.key}),)


def _lifted(case: Case, number: str, settings: Settings) -> bool:
    at = case.call.at
    for name in settings.lifted_by:
        if name != "appointments":
            if case.lists[name].at(number, at) is not None:
                return True
            continue
        slack = settings.tolerance_minutes * 60_000_000
        for entry in case.lists[name].of(number):
            until = entry.until if entry.until < 2**62 else entry.since
            if entry.since - slack <= at <= until + slack + 59_999_999:  # an appointment is kept within its minute
                return True
    return False


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Nobody is canvassed."""
    del settings
    return USAGE not in kind.usage


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
