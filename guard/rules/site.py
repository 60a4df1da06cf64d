"""What a site's own rule sees of a call: conditions, compiled once into one closure for each rule.

None of them ever sees an emergency call: those are judged before, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Literal
from zoneinfo import ZoneInfo

from guard.model import CallAttempt, Usage
from guard.numbering.number import Number
from guard.rules import base
from guard.rules.case import Case
from guard.rules.patterns import Test
from guard.rules.windows import EPOCH, Window

Condition = Callable[[Case], bool]
Who = Literal["caller", "callee"]
Network = IPv4Network | IPv6Network
MAX_FACT: Final = 200  # characters of a text that a caller chose, in the record and in the refusal
SAY: Final = "matched"  # the one thing that a site's rule says
UNKNOWN: Final = "unknown"  # as a category: a number of no range of the plan


class Settings(base.Settings, frozen=True):
    """No parameters: its conditions are its own."""


# ---- conditions ------------------------------------------------------------------------------------------------------


def number(who: Who, test: Test) -> Condition:
    """The number in From, or the number called."""
    return (
        (lambda case: test(case.call.callee.value)) if who == "callee" else (lambda case: test(case.call.caller.value))
    )


def presented(test: Test) -> Condition:
    """Any of the numbers presented: From's, and the asserted ones."""
    return lambda case: any(test(i.number.value) for i in case.presented)


def forwarded_by(test: Test) -> Condition:
    """Any of the numbers that forwarded the call, as the call itself says."""
    return lambda case: any(test(d.number.value) for d in case.call.diversions)


def kind(who: Who, kinds: frozenset[str]) -> Condition:
    """What a number is at first sight: of E.164, short, withheld, malformed, or none at all."""
    return lambda case: _number(case, who).kind in kinds


def category(who: Who, ids: frozenset[str]) -> Condition:
    """The plan's category of a number, at the call's instant."""

    def fits(case: Case) -> bool:
        one = _number(case, who)
        return bool(one.value) and (case.category(one).id or UNKNOWN) in ids

    return fits


def territory(who: Who, codes: frozenset[str]) -> Condition:
    """Where a number belongs: a country or overseas territory; one that belongs nowhere (08, short) fits none."""

    def fits(case: Case) -> bool:
        one = _number(case, who)
        return bool(one.value) and not codes.isdisjoint(case.category(one).countries)

    return fits


def text(get: Callable[[CallAttempt], str], test: Test) -> Condition:
    """A text of the call: its line, source, trunk, the source's country."""
    return lambda case: test(get(case.call))


def address(networks: Sequence[Network]) -> Condition:
    """The address that the call came from."""
    known = tuple(networks)

    @lru_cache(maxsize=1024)
    def inside(written: str) -> bool:
        try:
            one = ip_address(written.partition("%")[0])
        except ValueError:
            return False
        return any(one in network for network in known)

    return lambda case: inside(case.call.source_address)


def usage(usages: frozenset[Usage]) -> Condition:
    """Any of the call's usages."""
    return lambda case: not usages.isdisjoint(case.call.usage)


def forwarded(wanted: bool) -> Condition:
    """Whether the call says that it was forwarded (Diversion, History-Info)."""
    return lambda case: bool(case.call.diversions) is wanted


def privacy(wanted: bool) -> Condition:
    """Whether the caller asks to be hidden (Privacy)."""
    return lambda case: case.call.privacy is wanted


def header(name: str, test: Test) -> Condition:
    """A header of the request (`name` in small letters), its first value."""
    return lambda case: any(n == name and test(value) for n, value in case.call.headers)


def when(window: Window) -> Condition:
    """The instant of the call."""
    return lambda case: window.has(case.call.at)


def every(conditions: Sequence[Condition]) -> Condition:
    """All of them."""
    if len(conditions) == 1:
        return conditions[0]
    first, others = conditions[0], every(conditions[1:])  # a loop over them would cost more than they do
    return lambda case: first(case) and others(case)


def either(conditions: Sequence[Condition]) -> Condition:
    """Any of them."""
    parts = tuple(conditions)
    return lambda case: any(part(case) for part in parts)


def negated(condition: Condition) -> Condition:
    """Not that."""
    return lambda case: not condition(case)


def _number(case: Case, who: Who) -> Number:
    return case.call.callee if who == "callee" else case.call.caller


# ---- what it says ----------------------------------------------------------------------------------------------------

_FACTS: Final[dict[str, Callable[[Case], str]]] = {
    "caller": lambda case: _shown(case.call.caller),
    "callee": lambda case: _shown(case.call.callee),
    "presented": lambda case: ", ".join(_shown(i.number) for i in case.presented) or "none",
    "line": lambda case: case.call.line,
    "source": lambda case: case.call.source,
    "address": lambda case: case.call.source_address,
    "trunk": lambda case: case.call.trunk,
    "country": lambda case: case.call.country,
    "usage": lambda case: ", ".join(case.call.usage),
    "user_agent": lambda case: case.call.user_agent,
    "forwarded_by": lambda case: ", ".join(_shown(d.number) for d in case.call.diversions) or "none",
    "caller_category": lambda case: case.category(case.call.caller).id or UNKNOWN,
    "callee_category": lambda case: case.category(case.call.callee).id or UNKNOWN,
    "there": lambda case: "",  # replaced for each rule: it needs the site's zone
}
FACTS: Final = frozenset(_FACTS)


def _shown(one: Number) -> str:
    return one.value or one.raw or "none"


def rule(name: str, fits: Condition, facts: Sequence[str], zone: ZoneInfo, *, masks: bool) -> base.AnyJudge:
    """A rule that speaks where `fits`, and tells these facts. One that masks hides every number presented; where there
    is none, nothing is left to hide, and it says nothing."""
    tells = {name: _FACTS[name] for name in facts}
    if "there" in tells:
        tells["there"] = lambda case: (
            f"{(EPOCH + timedelta(microseconds=case.call.at)).astimezone(zone):%Y-%m-%d %H:%M}"
        )

    def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
        del settings
        if not fits(case) or (masks and not case.presented):
            return ()
        told: dict[str, str | int | bool] = {n: get(case)[:MAX_FACT] for n, get in tells.items()}
        hidden = tuple(dict.fromkeys(i.number.value for i in case.presented if i.number.value)) if masks else ()
        return (base.Hit(SAY, told, hidden),)

    return base.Judge(name, {SAY: frozenset(facts)}, Settings, judge)
