"""dst.sva-repeated: one line, or one presented number, that calls the same premium (SVA) number again and again."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from guard.model import CallAttempt
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "dst.sva-repeated"
KEY = "sva"
MINUTE: Final = 60_000_000  # µs
SAYS = {"repeated": frozenset({"number", "calls", "limit", "minutes", "line"})}


class Settings(base.Settings, frozen=True):
    """More than `calls` in `within_minutes`, wherever they begin, are repeated ones (0: none are)."""

    calls: Annotated[int, Meta(ge=0)] = 0
    within_minutes: Annotated[int, Meta(ge=1, le=43_200)] = 60


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """Each call to a number that costs more than a call."""
    number = call.callee.value
    if not settings.calls or call.direction == "inbound" or call.emergency:
        return None
    if terms.destinations.band(number, call.at) is None:
        return None
    span = settings.within_minutes * MINUTE
    return Touch(
        kind="tally",
        key=f"{KEY}:{call.source}/{call.line or call.caller.value}/{number}",
        ident=ident,
        limit=settings.calls,
        span_us=span,
        since=call.at - span,
        at=call.at,
    )


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `repeated` from the call on that is one too many."""
    if reading.value < settings.calls:
        return None
    facts: dict[str, str | int | bool] = {
        "number": call.callee.value,
        "calls": reading.value + 1,
        "limit": settings.calls,
        "minutes": settings.within_minutes,
        "line": call.line or call.caller.value,
    }
    return base.Hit("repeated", facts)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """As often as you like, or calls that come in."""
    return not settings.calls or kind.direction == "inbound"


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
