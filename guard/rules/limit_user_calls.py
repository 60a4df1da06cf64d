"""limit.user-calls: calls at once of a user of a flat plan (a line, here); beyond them the plan ends."""

from __future__ import annotations

from guard.model import CallAttempt
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "limit.user-calls"
KEY = "user"
SAYS = {"full": frozenset({"line", "limit", "in_use"})}


class Settings(base.Settings, frozen=True):
    """`calls` at once where the contract names none (0: no limit); `retry_s`: what a refused caller is told to wait."""

    calls: int = 0
    retry_s: int = 5


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """A place of the user's."""
    at_most = settings.calls or terms.user_calls
    if not at_most or not call.line or call.direction == "inbound":
        return None
    return Touch(kind="gauge", key=f"{KEY}:{call.source}/{call.line}", ident=ident, limit=at_most)


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `full` when the user has the calls of his plan."""
    at_most = settings.calls or terms.user_calls
    if reading.value < at_most:
        return None
    return base.Hit("full", {"line": call.line, "limit": at_most, "in_use": reading.value})


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No limit, or calls that come in."""
    return kind.direction == "inbound" or not (settings.calls or kind.terms.user_calls)


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
