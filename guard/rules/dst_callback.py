"""dst.callback: calls back to a number that rang here for a moment only, and is dear to call: what a ping call is for.

Remembered are inbound calls that their caller gave up after a short ring, from premium numbers, from prefixes of
policies/destinations and from abroad: a French number that rang once is called back every day for good reasons.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from guard.model import CallAttempt, CallEnded
from guard.numbering.plan import FRENCH
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "dst.callback"
KEY = "ping"
MS: Final = 1_000  # µs
DAY: Final = 24 * 3600 * 1_000_000  # µs
SAYS = {"back": frozenset({"number", "days", "ring_ms"})}


class Settings(base.Settings, frozen=True):
    """`ring_ms`: the longest ring of a ping call, in milliseconds. `days`: how long one is remembered (0: none is; at
    most 31, since no more of the log is read at a start)."""

    ring_ms: Annotated[int, Meta(ge=0)] = 5_000
    days: Annotated[int, Meta(ge=0, le=31)] = 7


def _dear(number: str, terms: base.Terms, at: int) -> bool:
    if number[:1] == "+" and not number.startswith(FRENCH):
        return True
    return terms.destinations.band(number, at) is not None


def _touch(terms: base.Terms, ident: str, number: str, at: int, settings: Settings, *, take: bool) -> Touch:
    since = at - settings.days * DAY
    return Touch(kind="tally", key=f"{KEY}:{terms.trunk}", ident=ident, member=number, since=since, at=at, take=take)


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """Looks for the number called among those that rang here."""
    number = call.callee.value
    if not settings.days or call.direction == "inbound" or call.emergency or not _dear(number, terms, call.at):
        return None
    return _touch(terms, ident, number, call.at, settings, take=False)


def ended(call: CallAttempt, terms: base.Terms, end: CallEnded, settings: Settings) -> Touch | None:
    """Remembers the caller of an inbound call that rang for a moment."""
    if not settings.days or call.direction != "inbound":
        return None
    if end.outcome != "cancelled" or end.ring_us > settings.ring_ms * MS:
        return None
    number = call.caller.value
    if not number or not _dear(number, terms, call.at):
        return None
    return _touch(terms, "", number, end.at, settings, take=True)


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `back` where the number rang here in these days."""
    if not reading.known:
        return None
    facts: dict[str, str | int | bool] = {
        "number": call.callee.value,
        "days": settings.days,
        "ring_ms": settings.ring_ms,
    }
    return base.Hit("back", facts)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """None is remembered, or calls that come in."""
    return not settings.days or kind.direction == "inbound"


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, ended, idle)
