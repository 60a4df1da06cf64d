"""dst.premium: calls to premium (SVA) numbers: what they may cost is told, and flagged above a price that is set."""

from __future__ import annotations

from typing import Final

from guard.rules import base
from guard.rules.case import Case

ID = "dst.premium"
CENT: Final = 10_000  # micro-euros
_FACTS = frozenset({"number", "name_en", "name_fr"})
_PRICED = _FACTS | {"cents_per_minute", "cents_per_call"}
SAYS = {"told": _PRICED, "above": _PRICED, "unpriced": _FACTS}


class Settings(base.Settings, frozen=True):
    """Prices, VAT included, above which a call is flagged (or what `action` says); neither set: it is only told."""

    above_cents_per_minute: int | None = None
    above_cents_per_call: int | None = None


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """The number called, by the ceiling of its tariff band."""
    number = case.callee
    band = case.terms.destinations.band(number, case.at)
    if band is None:
        return ()
    facts: dict[str, str | int | bool] = {"number": number, "name_en": band.name_en, "name_fr": band.name_fr}
    if band.per_minute is None or band.per_call is None:
        return (base.Hit("unpriced", facts),)
    minute, call = settings.above_cents_per_minute, settings.above_cents_per_call
    above = (minute is not None and band.per_minute > minute * CENT) or (
        call is not None and band.per_call > call * CENT
    )
    facts |= {"cents_per_minute": band.per_minute // CENT, "cents_per_call": band.per_call // CENT}
    return (base.Hit("above" if above else "told", facts),)


RULE = base.Judge(ID, SAYS, Settings, judge)
