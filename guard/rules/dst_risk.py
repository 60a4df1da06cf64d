"""dst.risk-prefix: numbers to which a hacked IPBX calls, and which people call rarely: flagged."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case
from guard.rules.destinations import E164Prefix, Level

ID = "dst.risk-prefix"
_FACTS = frozenset({"number", "prefix", "name_en", "name_fr"})
SAYS = {"reported": _FACTS | {"reported"}, "dear": _FACTS}


class Settings(base.Settings, frozen=True):
    """`level`: from which on a prefix counts. `but`: prefixes that this site calls for good reasons."""

    level: Level = "high"
    but: tuple[E164Prefix, ...] = ()


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """The number called: in a country whose numbers were often reported, or dear by its kind."""
    number = case.callee
    risk = case.terms.destinations.risk(number, case.at)
    if risk is None or (risk.level == "elevated" and settings.level == "high") or number.startswith(settings.but):
        return ()
    facts: dict[str, str | int | bool] = {
        "number": number,
        "prefix": risk.prefix,
        "name_en": risk.name_en,
        "name_fr": risk.name_fr,
    }
    if risk.kind in {"country", "range"}:
        return (base.Hit("reported", {**facts, "reported": risk.reported}),)
    return (base.Hit("dear", facts),)


RULE = base.Judge(ID, SAYS, Settings, judge)
