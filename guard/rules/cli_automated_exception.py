"""cli.automated-exception: an automated system that calls few numbers may present an ordinary one, while they stay few.

Off unless `numbers` is set: whoever sets it claims ARCEP's exception for his systems (payment terminals, alarms), and
has it counted here. Mobile numbers know no exception: cli.automated-mobile still holds.
"""

from __future__ import annotations

from typing import Final

from guard.model import CallAttempt
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "cli.automated-exception"
KEY = "auto"
DAY: Final = 24 * 3600 * 1_000_000  # µs
SAYS = {"many": frozenset({"number", "limit", "days"})}


class Settings(base.Settings, frozen=True):
    """`numbers` different numbers that one presented number may call in `days` (rolling); 0: nobody claims it."""

    numbers: int = 0
    days: int = 30


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """The number called, among those that this presented number called of late."""
    number = call.caller.value
    outside = not number.startswith(terms.automated_roots) if terms.automated_roots else True
    if not settings.numbers or "automated" not in call.usage or not number or not outside or call.emergency:
        return None
    return Touch(
        kind="tally",
        key=f"{KEY}:{number}",
        ident=ident,
        limit=settings.numbers,
        member=call.callee.value or call.callee.raw,
        since=call.at - settings.days * DAY,
        at=call.at,
    )


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `many` when one more number would be too many."""
    if reading.known or reading.value < settings.numbers:
        return None
    facts: dict[str, str | int | bool] = {
        "number": call.caller.value,
        "limit": settings.numbers,
        "days": settings.days,
    }
    return base.Hit("many", facts)


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge)
