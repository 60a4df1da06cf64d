"""cli.identity-mismatch: several identities in one message that name different numbers; told, nothing more."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "cli.identity-mismatch"
SAYS = {"differ": frozenset({"numbers", "count"})}


class Settings(base.Settings, frozen=True):
    """No parameters."""


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """From, PAI, PPI and RPID that disagree."""
    if len(case.presented) < 2:
        return ()
    values = sorted({i.number.value for i in case.presented if i.number.value})
    if len(values) < 2:
        return ()
    return (base.Hit("differ", {"numbers": " ".join(values), "count": len(values)}),)


RULE = base.Judge(ID, SAYS, Settings, judge)
