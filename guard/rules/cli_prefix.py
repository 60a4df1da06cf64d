"""Rules that speak of a presented number only for what it is: each an id of its own, with its prefixes as data."""

from __future__ import annotations

from typing import Final

from guard.rules import base
from guard.rules.case import Case


class Settings(base.Settings, frozen=True):
    """`prefixes` of E.164 numbers (`except_prefixes` of them left out) and of short ones (`short`, whole numbers when
    `whole`) that the rule speaks of; `usages` of calls that it speaks of, all when empty, but those of `not_usages`."""

    prefixes: tuple[str, ...] = ()
    except_prefixes: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    whole: bool = False
    usages: tuple[str, ...] = ()
    not_usages: tuple[str, ...] = ()


SAYS: Final = {"presented": frozenset({"number", "header"})}


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Each number that the settings name, once."""
    if settings.usages and not any(u in settings.usages for u in case.call.usage):
        return ()
    if settings.not_usages and any(u in settings.not_usages for u in case.call.usage):
        return ()
    hits: dict[str, base.Hit] = {}
    for identity in case.presented:
        value = identity.number.value
        if not value or value in hits:
            continue
        if identity.number.kind == "e164":
            found = value.startswith(settings.prefixes) and not value.startswith(settings.except_prefixes)
        else:
            found = value in settings.short if settings.whole else value.startswith(settings.short)
        if found:
            hits[value] = base.Hit("presented", {"number": value, "header": identity.header})
    return tuple(hits.values()) if hits else ()


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Usages that it does not speak of."""
    wanted, exempt = settings.usages, settings.not_usages
    return bool(wanted and not any(u in wanted for u in kind.usage)) or any(u in exempt for u in kind.usage)


def heads(settings: Settings) -> tuple[str, ...]:
    """Its prefixes."""
    return settings.prefixes


def rule(name: str) -> base.Judge[Settings]:
    """A rule of this kind."""
    return base.Judge(name, SAYS, Settings, judge, idle, heads)
