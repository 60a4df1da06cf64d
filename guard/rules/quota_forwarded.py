"""quota.forwarded: forwarded and transferred calls are outside a flat plan: told, so that the bill surprises nobody."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "quota.forwarded"
SAYS = {"forwarded": frozenset({"number", "contract"})}


class Settings(base.Settings, frozen=True):
    """No parameters: contracts say it."""


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """A forwarded call on a trunk whose flat plan leaves such calls out."""
    if not case.terms.forwarded_excluded or not case.forwarded:
        return ()
    number = next(d.number.value for d in case.call.diversions if d.number.value and case.rightful(d.number))
    return (base.Hit("forwarded", {"number": number, "contract": case.terms.contract}),)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Flat plans that forwarded calls are part of."""
    del settings
    return not kind.terms.forwarded_excluded


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
