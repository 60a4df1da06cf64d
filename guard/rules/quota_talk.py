"""quota.talk-time: hours of talk in a month, by a trunk's channels or by a line: beyond it the flat plan ends.

What a call has talked is added when it ends, so the next call is the first that can be over.
"""

from __future__ import annotations

from typing import Final

from guard.model import CallAttempt
from guard.rules import base, quotas
from guard.rules.months import month_of, month_start
from guard.state.contract import Reading, Touch

ID = "quota.talk-time"
KEY = "talk"
HOUR: Final = 3_600_000_000  # µs
_FACTS = frozenset({"of", "limit_hours", "minutes", "month"})
SAYS = {"over": _FACTS, "warning": _FACTS | {"percent"}}


class Settings(base.Settings, frozen=True):
    """`hours` of talk a month (0: the contract's), counted `per` trunk or line ("": as the contract does).
    `warn_percent`: parts of it that the first call after them is flagged at."""

    hours: int = 0
    per: quotas.Per = ""
    warn_percent: tuple[int, ...] = (50, 80, 95)


def allowed(terms: base.Terms, settings: Settings) -> tuple[quotas.Per, int]:
    """What is counted by, and the quota of a month in hours; 0 where there is none."""
    per, hours = terms.talk_hours
    return settings.per or per, settings.hours or hours


def _quota(call: CallAttempt, terms: base.Terms, settings: Settings) -> tuple[int, str, str]:
    """Hours, key and name of what is counted; 0 where nothing limits this call."""
    per, hours = allowed(terms, settings)
    return quotas.counted(call, terms, KEY, per, hours)


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """The talk of the month so far."""
    hours, key, _ = _quota(call, terms, settings)
    if not hours:
        return None
    since = month_start(call.at, terms.zone)
    return Touch(kind="sum", key=key, ident=ident, limit=hours * HOUR, since=since, at=call.at)


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Over the quota, or the first call since a part of it was reached."""
    hours, _, of = _quota(call, terms, settings)
    limit, value = hours * HOUR, reading.value
    over = value >= limit
    reached = [p for p in settings.warn_percent if not over and reading.before * 100 < p * limit <= value * 100]
    if not over and not reached:
        return None
    facts: dict[str, str | int | bool] = {
        "of": of,
        "limit_hours": hours,
        "minutes": value // (HOUR // 60),
        "month": month_of(call.at, terms.zone),
    }
    return base.Hit("over", facts) if over else base.Hit("warning", {**facts, "percent": max(reached)})


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No quota, or calls that come in."""
    return kind.direction == "inbound" or not allowed(kind.terms, settings)[1]


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
