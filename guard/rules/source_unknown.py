"""source.unknown: a call from an address that no `[[source]]` names gets no answer, but a record."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "source.unknown"
SAYS = {"unknown": frozenset({"address"})}


class Settings(base.Settings, frozen=True):
    """No parameters: sources are the configuration's."""


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """An outbound call of nobody we know."""
    call = case.call
    return () if call.source else (base.Hit("unknown", {"address": call.source_address}),)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Calls of sources that we know."""
    del settings
    return bool(kind.source)


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
