"""cli.malformed: what is presented must be a telephone number that can be called back (PNN 2.2.2).

A From that never was meant as a number (an extension, a name) is not a false number: the operator then takes the
asserted identity, so with a rightful one beside it the call is only flagged.
"""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "cli.malformed"
SAYS = {
    "malformed": frozenset({"number", "header", "reason"}),
    "short": frozenset({"number", "header"}),
    "extension": frozenset({"number", "header"}),
    "overseas": frozenset({"number", "header", "presented"}),
}
_OVERSEAS = "overseas-under-33"


class Settings(base.Settings, frozen=True):
    """`names`: reasons of a malformed number that tell a name or an extension from a false number.
    `extension_digits`: a short From of at most so many digits that the plan does not know is an extension.
    `judged_elsewhere`: categories of short numbers that have a rule of their own or may be presented when held."""

    names: tuple[str, ...] = ()
    extension_digits: int = 0
    judged_elsewhere: tuple[str, ...] = ()


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Each presented value that is no presentable number."""
    hits: list[base.Hit] = []
    for identity in case.presented:
        number = identity.number
        kind = number.kind
        if kind == "e164":
            if number.note == _OVERSEAS:
                facts = {"number": number.value, "header": identity.header, "presented": number.raw}
                hits.append(base.Hit("overseas", dict(facts)))
        elif kind == "malformed":
            named = identity.header == "from" and number.reason in settings.names and _vouched(case)
            facts = {"number": number.raw, "header": identity.header, "reason": number.reason}
            hits.append(base.Hit("extension" if named else "malformed", dict(facts)))
        elif kind == "short":
            category = case.category(number).id
            if category in settings.judged_elsewhere:
                continue
            named = identity.header == "from" and len(number.value) <= settings.extension_digits
            say = "extension" if named and not category and _vouched(case) else "short"
            hits.append(base.Hit(say, {"number": number.value, "header": identity.header}))
    return tuple(hits) if hits else ()


def _vouched(case: Case) -> bool:
    """Whether an asserted identity beside From names a number that we may present."""
    return any(i.number.kind == "e164" and case.rightful(i.number) for i in case.call.identities)


RULE = base.Judge(ID, SAYS, Settings, judge)
