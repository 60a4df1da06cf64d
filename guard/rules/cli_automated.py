"""cli.automated-range: an automated calling system presents only numbers of the roots made for it."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "cli.automated-range"
SAYS = {
    "other": frozenset({"number", "header"}),
    "platform": frozenset({"number", "header"}),
    "nothing": frozenset({"header"}),
}


class Settings(base.Settings, frozen=True):
    """`roots`: the public plan's, for trunks whose contract names none. `accepted`: further prefixes that the operator
    agreed to in writing, or exceptions of ARCEP that the site relies on (E.164, or a short number's first digits)."""

    roots: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Each number outside the roots, or none presented at all, from a source declared automated."""
    if "automated" not in case.call.usage:
        return ()
    allowed = (case.terms.automated_roots or settings.roots) + settings.accepted
    hits: dict[str, base.Hit] = {}
    named = False
    for identity in case.presented:
        value = identity.number.value
        if not value:
            continue
        named = True
        if value.startswith(allowed) or value in hits or case.terms.automated_exception:
            continue  # who claims the exception is counted by cli.automated-exception
        # The clause on platforms is the narrower one: it speaks of the same call, so the root is no plain breach.
        platform = "platform" in case.call.usage and value.startswith(case.terms.platform_roots or ("~",))
        facts: dict[str, str | int | bool] = {"number": value, "header": identity.header}
        hits[value] = base.Hit("platform" if platform else "other", facts)
    if not named:
        return (base.Hit("nothing", {"header": "from"}),)
    return tuple(hits.values()) if hits else ()


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No automated system."""
    del settings
    return "automated" not in kind.usage


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
