"""cli.not-authorised: every number presented is one that we hold, or whose assignee agreed, on that day.

From and each asserted identity are judged alike. A call that we forward keeps its caller's number when its Diversion
or History-Info names a number of ours; cli.forwarded asks for its inbound leg where inbound calls pass the guard.
"""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "cli.not-authorised"
_FACTS = frozenset({"number", "header", "holder"})
SAYS = {"unknown": _FACTS, "expired": _FACTS, "not-yet": _FACTS}


class Settings(base.Settings, frozen=True):
    """No parameters: numbers and consents are the configuration's."""


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Each distinct number presented without right."""
    hits: dict[str, base.Hit] = {}
    at = case.at
    held = case.held
    for identity in case.presented:
        value = identity.number.value
        if not value or held.right(value, at) or value in hits:
            continue
        if identity.number.kind == "short" and not case.category(identity.number).id:
            continue  # an extension of the IPBX and no number of the plan: cli.malformed speaks of it
        standing, holder = held.standing(value, at)
        hits[value] = base.Hit(standing, {"number": value, "header": identity.header, "holder": holder})
    if hits and case.forwarded:
        return ()  # whether its inbound leg was seen is cli.forwarded's to ask, where it has to be
    return tuple(hits.values()) if hits else ()


RULE = base.Judge(ID, SAYS, Settings, judge)
