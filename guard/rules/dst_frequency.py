"""dst.prospecting-frequency: a consumer is tried only so often in a rolling month, answered or not."""

from __future__ import annotations

from typing import Final

from guard.model import CallAttempt
from guard.rules import base
from guard.rules.prospects import USAGE, consumer
from guard.state.contract import Reading, Touch

ID = "dst.prospecting-frequency"
KEY = "tries"
DAY: Final = 24 * 3600 * 1_000_000  # µs
SAYS = {"often": frozenset({"number", "limit", "days"})}


class Settings(base.Settings, frozen=True):
    """`tries` in `days` (rolling), of one consumer by all of this site's sources."""

    tries: int = 0
    days: int = 30


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """One more try of this consumer."""
    number = consumer(call, terms.lists)
    if not number or not settings.tries or call.emergency or call.direction == "inbound":
        return None
    since = call.at - settings.days * DAY
    return Touch(kind="tally", key=f"{KEY}:{number}", ident=ident, limit=settings.tries, since=since, at=call.at)


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `often` when he was tried as often as he may be."""
    if reading.value < settings.tries:
        return None
    number = consumer(call, terms.lists)
    return base.Hit("often", {"number": number, "limit": settings.tries, "days": settings.days})


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Nobody is canvassed, or as often as you like."""
    return USAGE not in kind.usage or not settings.tries or kind.direction == "inbound"


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
