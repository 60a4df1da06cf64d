"""dst.emergency: an emergency call always passes; judged before every other rule and instead of them."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "dst.emergency"
SAYS = {"emergency": frozenset({"number"})}


class Settings(base.Settings, frozen=True):
    """No parameters: nothing about it can be set."""


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Speaks of every emergency call; numbers in any dialled form were already made plain."""
    call = case.call
    return (base.Hit("emergency", {"number": call.emergency}),) if call.emergency else ()


RULE = base.Judge(ID, SAYS, Settings, judge)
