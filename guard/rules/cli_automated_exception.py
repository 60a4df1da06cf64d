"""cli.automated-exception: an automated system that calls few numbers, or far less than it is called, may present an
ordinary number while that holds.

Off unless `numbers` or `received_percent` is set: whoever sets one claims ARCEP's exception for his systems (payment
terminals, alarms), and has it counted here. Mobile numbers know no exception: cli.automated-mobile still holds.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from guard.model import CallAttempt
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "cli.automated-exception"
KEY = "auto"
DAY: Final = 24 * 3600 * 1_000_000  # µs
SAYS = {
    "many": frozenset({"number", "limit", "days"}),
    "more": frozenset({"number", "sent", "received", "percent", "days"}),
}


class Settings(base.Settings, frozen=True):
    """`numbers`: different numbers that one presented number may call in `days` (rolling); `received_percent`: how many
    calls it may send for a hundred that it received. 0: that exception is not claimed; of two the first is taken."""

    numbers: Annotated[int, Meta(ge=0)] = 0
    received_percent: Annotated[int, Meta(ge=0, le=100)] = 0
    days: Annotated[int, Meta(ge=1, le=31)] = 30


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """The number called, among those that this presented number called of late; or one call sent against those that
    were received."""
    since = call.at - settings.days * DAY
    if call.direction == "inbound":
        if not settings.received_percent or not call.callee.value:
            return None
        return Touch(kind="tally", key=f"{KEY}:got:{call.callee.value}", ident=ident, since=since, at=call.at)
    number = call.caller.value
    outside = not number.startswith(terms.automated_roots) if terms.automated_roots else True
    if "automated" not in call.usage or not number or not outside or call.emergency:
        return None
    if settings.numbers:
        member = call.callee.value or call.callee.raw
        key = f"{KEY}:{number}"
        return Touch(kind="tally", key=key, ident=ident, limit=settings.numbers, member=member, since=since, at=call.at)
    if settings.received_percent:
        return Touch(
            kind="tally",
            key=f"{KEY}:sent:{number}",
            ident=ident,
            limit=0,
            since=since,
            at=call.at,
            against=f"{KEY}:got:{number}",
            percent=settings.received_percent,
        )
    return None


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `many` when one more number, and `more` when one more call, would be too many."""
    del terms
    if call.direction == "inbound":
        return None
    number = call.caller.value
    if settings.numbers:
        if reading.known or reading.value < settings.numbers:
            return None
        return base.Hit("many", {"number": number, "limit": settings.numbers, "days": settings.days})
    if (reading.value + 1) * 100 <= reading.before * settings.received_percent:
        return None
    return base.Hit(
        "more",
        {
            "number": number,
            "sent": reading.value,
            "received": reading.before,
            "percent": settings.received_percent,
            "days": settings.days,
        },
    )


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Nobody claims an exception; calls of people; calls received that none are held against."""
    if kind.direction == "inbound":
        return not settings.received_percent
    return "automated" not in kind.usage or not (settings.numbers or settings.received_percent)


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
