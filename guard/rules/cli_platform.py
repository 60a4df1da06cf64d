"""cli.platform-range: a technical platform presents only numbers of the roots that the contract keeps for it."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "cli.platform-range"
SAYS = {"other": frozenset({"number", "header"}), "nothing": frozenset({"header"})}


class Settings(base.Settings, frozen=True):
    """`roots`: for trunks whose contract names none; empty, those trunks are free. `accepted`: further prefixes that
    the operator agreed to in writing."""

    roots: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Each number outside the roots, or none presented at all, from a source declared a platform."""
    if "platform" not in case.call.usage:
        return ()
    roots = case.terms.platform_roots or settings.roots
    if not roots:
        return ()
    allowed = roots + settings.accepted
    hits: dict[str, base.Hit] = {}
    named = False
    for identity in case.presented:
        value = identity.number.value
        named = named or bool(value)
        if value and not value.startswith(allowed) and value not in hits:
            hits[value] = base.Hit("other", {"number": value, "header": identity.header})
    if not named:
        return (base.Hit("nothing", {"header": "from"}),)
    return tuple(hits.values()) if hits else ()


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No platform, or one without roots."""
    return "platform" not in kind.usage or not (kind.terms.platform_roots or settings.roots)


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
