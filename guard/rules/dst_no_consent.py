"""dst.no-consent: a consumer is canvassed only with his prior consent, a year old at most, or within his contract."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case
from guard.rules.prospects import USAGE, consumer, customer

ID = "dst.no-consent"
SAYS = {"none": frozenset({"number"}), "ended": frozenset({"number", "line"})}


class Settings(base.Settings, frozen=True):
    """No parameters: consents and contracts are lists of `[prospecting]`."""


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """No consent in force, none any more, or none since a refusal."""
    number = consumer(case.call, case.lists)
    at = case.call.at
    lists = case.lists
    if not number or customer(lists, number, at) or lists["requests"].at(number, at) is not None:
        return ()
    if lists["consents"].at(number, at) is not None:
        return ()
    over = [e for e in lists["consents"].of(number) if e.until <= at]
    if over:
        return (base.Hit("ended", {"number": number, "line": max(over, key=lambda e: e.until).line}),)
    return (base.Hit("none", {"number": number}),)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Nobody is canvassed."""
    del settings
    return USAGE not in kind.usage


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
