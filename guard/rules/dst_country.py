"""dst.country: calls go to the countries that are allowed, and to none that is blocked. It says nothing until either is
written down: in the contract of a trunk, or as a setting.

Emergency calls are never judged, and numbers that are free to call are let be. A number that several countries share
(+1) is refused only where each of them is.
"""

from __future__ import annotations

from typing import Final

from guard.numbering.number import MIN_DIGITS, Number
from guard.numbering.plan import FOREIGN
from guard.rules import base
from guard.rules.case import Case
from guard.rules.destinations import Country

ID = "dst.country"
FRANCE: Final = "FR"  # whose plan the numbers of services are of, which belong to no territory
SAYS = {
    "not-allowed": frozenset({"number", "country"}),
    "blocked": frozenset({"number", "country"}),
    "nowhere": frozenset({"number"}),
    "unreadable": frozenset({"number", "reason"}),
}


class Settings(base.Settings, frozen=True):
    """`allowed` countries (ISO 3166; none: all), under those of the contract, and `blocked` ones. `free` are categories
    of numbers that are never touched."""

    allowed: tuple[Country, ...] = ()
    blocked: tuple[Country, ...] = ()
    free: tuple[str, ...] = ()


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """The number called, where its country is not to be called. With a list of allowed countries a number of none
    (+870…), and one that cannot be read, are not to be called either: the operator may read it another way."""
    contract = case.terms.countries
    lists = [allowed for allowed in (contract, settings.allowed) if allowed]
    if not lists and not settings.blocked:
        return ()
    callee = case.call.callee
    if not callee.value:
        return _unreadable(callee) if lists else ()
    category = case.category(callee)
    if category.id in settings.free:
        return ()
    countries = category.countries
    if not countries and category.id != FOREIGN.id:
        countries = (FRANCE if callee.kind == "e164" else case.terms.country,)
    facts: dict[str, str | int | bool] = {"number": callee.value, "country": "/".join(countries)}
    if not countries:
        return (base.Hit("nowhere", facts),) if lists else ()
    if all(c in settings.blocked for c in countries):
        return (base.Hit("blocked", facts),)
    if any(not any(c in allowed for c in countries) for allowed in lists):
        return (base.Hit("not-allowed", facts),)
    return ()


def _unreadable(callee: Number) -> tuple[base.Hit, ...]:
    """A name, and a short code of the operator's, lead to no country: only what has the digits of a number counts."""
    if sum(c.isdigit() for c in callee.raw) < MIN_DIGITS:
        return ()
    return (base.Hit("unreadable", {"number": callee.raw, "reason": callee.reason}),)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Every country may be called."""
    return not (kind.terms.countries or settings.allowed or settings.blocked)


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
