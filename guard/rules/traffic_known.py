"""traffic.known-number: calls to, or presenting, numbers that are known for fraud or that nobody can have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from guard.rules import base
from guard.rules.case import Case
from guard.rules.destinations import E164Prefix

ID = "traffic.known-number"
_FACTS = frozenset({"number", "side"})
SAYS = {"listed": _FACTS | {"why"}, "fiction": _FACTS}
E164 = Annotated[str, Meta(pattern=r"\A\+[1-9][0-9]{3,14}\Z", description="a number in E.164, such as +33199001234")]
Why = Annotated[str, Meta(min_length=1, max_length=200)]


class Settings(base.Settings, frozen=True):
    """`numbers`: each number with why it stands there (who reported it, when). `fiction`: how numbers begin that are
    kept for films, and that nobody can have."""

    numbers: dict[E164, Why] = field(default_factory=dict)
    fiction: tuple[E164Prefix, ...] = ()


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """The number called, then those presented; each once."""
    hits: dict[str, base.Hit] = {}
    callee, numbers = case.callee, settings.numbers
    if callee:
        why = numbers.get(callee)
        if why is not None:
            hits[callee] = base.Hit("listed", {"number": callee, "side": "callee", "why": why})
        elif callee.startswith(settings.fiction):
            hits[callee] = base.Hit("fiction", {"number": callee, "side": "callee"})
    if numbers:
        for identity in case.presented:
            value = identity.number.value
            why = numbers.get(value)
            if why is not None and value not in hits:
                hits[value] = base.Hit("listed", {"number": value, "side": "caller", "why": why})
    return tuple(hits.values()) if hits else ()


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No number is known."""
    del kind
    return not settings.numbers and not settings.fiction


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
