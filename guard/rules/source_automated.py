"""source.automated-banned: a source declared automated on a trunk whose contract bans robots."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "source.automated-banned"
SAYS = {"banned": frozenset({"source", "trunk"})}


class Settings(base.Settings, frozen=True):
    """`accepted_trunks`: names of trunks whose operator agreed in writing."""

    accepted_trunks: tuple[str, ...] = ()


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Any call of such a source, whatever it presents."""
    call, terms = case.call, case.terms
    if "automated" not in call.usage or not terms.automated_banned or terms.trunk in settings.accepted_trunks:
        return ()
    return (base.Hit("banned", {"source": call.source, "trunk": terms.trunk}),)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """People, and trunks where robots may call."""
    del settings
    return "automated" not in kind.usage or not kind.terms.automated_banned


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
