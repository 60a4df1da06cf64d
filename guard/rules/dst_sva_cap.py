"""dst.sva-cap: how long a call to a premium (SVA) number may talk, and for how much; then the guard ends it."""

from __future__ import annotations

from typing import Final

from guard.rules import base
from guard.rules.case import Case
from guard.rules.destinations import Caps

ID = "dst.sva-cap"
CENT: Final = 10_000  # micro-euros
SECOND: Final = 1_000_000  # µs
SAYS = {"capped": frozenset({"number", "name_en", "name_fr", "minutes", "seconds"})}


class Settings(base.Settings, frozen=True):
    """A site's own caps, beside the contract's, of which the stricter holds: at most `max_seconds` where a minute costs
    more than `above_cents_per_minute`, and at most `max_cents` a call (0: no such cap).

    `varying`: also for numbers whose price is set number by number (3BPQ), public services among them.
    """

    max_seconds: int = 0
    above_cents_per_minute: int = 0
    max_cents: int = 0
    varying: bool = False


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """The number called, where its talk is limited."""
    number = case.callee
    band = case.terms.destinations.band(number, case.at)
    if band is None or (band.varies and not settings.varying):
        return ()
    own = Caps(
        max_us=settings.max_seconds * SECOND or None,
        above_per_minute=settings.above_cents_per_minute * CENT,
        max_microeuros=settings.max_cents * CENT or None,
    )
    found = [us for caps in (case.terms.sva, own) if (us := caps.talk_us(band))]
    if not found:
        return ()
    minutes, seconds = divmod(min(found) // SECOND, 60)
    facts: dict[str, str | int | bool] = {
        "number": number,
        "name_en": band.name_en,
        "name_fr": band.name_fr,
        "minutes": minutes,
        "seconds": seconds,
    }
    return (base.Hit("capped", facts, max_talk_us=min(found)),)


RULE = base.Judge(ID, SAYS, Settings, judge)
