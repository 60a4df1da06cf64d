"""quota.call-duration: a call of so many minutes makes its operator presume fraud; the guard ends it, if told to."""

from __future__ import annotations

from typing import Final

from guard.rules import base
from guard.rules.case import Case

ID = "quota.call-duration"
MINUTE: Final = 60_000_000  # µs
SAYS = {"ended": frozenset({"minutes"})}


class Settings(base.Settings, frozen=True):
    """`minutes` that one call may last (0: the contract's), and whether the guard is to `end` it then; it is not unless
    that is set: a long call may be right."""

    minutes: int = 0
    end: bool = False


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Says of each call when it will be ended, where it will."""
    minutes = settings.minutes or case.terms.call_minutes
    if not minutes or not settings.end:
        return ()
    return (base.Hit("ended", {"minutes": minutes}, max_talk_us=minutes * MINUTE),)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Calls that nobody ends."""
    return not settings.end or not (settings.minutes or kind.terms.call_minutes)


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
