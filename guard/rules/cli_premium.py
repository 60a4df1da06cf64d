"""cli.premium: premium numbers are not presented: 089B is masked, 3BPQ other than 30 and 31, and 118XYZ are refused."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "cli.premium"
SAYS = {
    "masked": frozenset({"number", "header"}),
    "short": frozenset({"number", "header"}),
    "directory": frozenset({"number", "header"}),
}


class Settings(base.Settings, frozen=True):
    """Prefixes: `masked` of E.164 numbers; `short` of short numbers of `short_digits` digits; `directory` of those of
    `directory_digits`."""

    masked: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    short_digits: int = 0
    directory: tuple[str, ...] = ()
    directory_digits: int = 0


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Each premium number presented, wherever it stands."""
    hits: dict[str, base.Hit] = {}
    for identity in case.presented:
        number = identity.number
        value = number.value
        if not value or value in hits:
            continue
        facts: dict[str, str | int | bool] = {"number": value, "header": identity.header}
        if number.kind == "e164":
            if value.startswith(settings.masked):
                hits[value] = base.Hit("masked", facts, mask=(value,))
        elif len(value) == settings.short_digits and value.startswith(settings.short):
            hits[value] = base.Hit("short", facts)
        elif len(value) == settings.directory_digits and value.startswith(settings.directory):
            hits[value] = base.Hit("directory", facts)
    return tuple(hits.values()) if hits else ()


def heads(settings: Settings) -> tuple[str, ...]:
    """Those that are masked."""
    return settings.masked


RULE = base.Judge(ID, SAYS, Settings, judge, heads=heads)
