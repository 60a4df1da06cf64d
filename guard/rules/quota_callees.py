"""quota.callees: different numbers called in a month, by a trunk's channels or by a line: beyond it the flat plan ends.

The number of a consumer is counted as it is called; calls to emergency numbers are not counted.
"""

from __future__ import annotations

from guard.model import CallAttempt
from guard.rules import base, quotas
from guard.rules.months import month_of, month_start
from guard.state.contract import Reading, Touch

ID = "quota.callees"
KEY = "callees"
_FACTS = frozenset({"of", "limit", "numbers", "month"})
SAYS = {"over": _FACTS, "warning": _FACTS | {"percent"}}


class Settings(base.Settings, frozen=True):
    """`limit` different numbers a month (0: the contract's), counted `per` trunk or line ("": as the contract does).
    `warn_percent`: at which parts of it the call that reaches them is flagged. With `action = "block"` numbers already
    called in the month still pass."""

    limit: int = 0
    per: quotas.Per = ""
    warn_percent: tuple[int, ...] = (50, 80, 95)


def allowed(terms: base.Terms, settings: Settings) -> tuple[quotas.Per, int]:
    """What is counted by, and the quota of a month; 0 where there is none."""
    per, limit = terms.callees
    return settings.per or per, settings.limit or limit


def _quota(call: CallAttempt, terms: base.Terms, settings: Settings) -> tuple[int, str, str]:
    """Limit, key and name of what is counted; 0 where nothing limits this call."""
    per, limit = allowed(terms, settings)
    return quotas.counted(call, terms, KEY, per, limit)


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """The number called, among those of its month."""
    limit, key, _ = _quota(call, terms, settings)
    if not limit:
        return None
    return Touch(
        kind="tally",
        key=key,
        ident=ident,
        limit=limit,
        member=call.callee.value or call.callee.raw,
        since=month_start(call.at, terms.zone),
        at=call.at,
    )


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Over the quota with a number not called before, or a call that reaches a part of it."""
    if reading.known:
        return None
    limit, _, of = _quota(call, terms, settings)
    value = reading.value
    over = value >= limit
    reached = [p for p in settings.warn_percent if not over and value * 100 < p * limit <= (value + 1) * 100]
    if not over and not reached:
        return None
    facts: dict[str, str | int | bool] = {
        "of": of,
        "limit": limit,
        "numbers": value + 1,
        "month": month_of(call.at, terms.zone),
    }
    return base.Hit("over", facts) if over else base.Hit("warning", {**facts, "percent": max(reached)})


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No quota, or calls that come in."""
    return kind.direction == "inbound" or not allowed(kind.terms, settings)[1]


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
