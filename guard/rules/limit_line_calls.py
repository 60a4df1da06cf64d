"""limit.line-calls: calls at once of one line."""

from __future__ import annotations

from guard.model import CallAttempt
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "limit.line-calls"
KEY = "line"
SAYS = {"full": frozenset({"line", "limit", "in_use"})}


class Settings(base.Settings, frozen=True):
    """`calls` at once per line where the contract names none (0: no limit); `retry_s`: what a refused caller is told
    to wait."""

    calls: int = 0
    retry_s: int = 5


def _limit(terms: base.Terms, settings: Settings) -> int:
    """The stricter of the contract's figure and the site's own."""
    both = [n for n in (terms.line_calls or 0, settings.calls) if n]
    return min(both) if both else 0


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """A place of the line."""
    at_most = _limit(terms, settings)
    if not at_most or not call.line or call.direction == "inbound":
        return None
    return Touch(kind="gauge", key=f"line:{call.source}/{call.line}", ident=ident, limit=at_most)


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `full` when the line has its calls."""
    at_most = _limit(terms, settings)
    if reading.value < at_most:
        return None
    return base.Hit("full", {"line": call.line, "limit": at_most, "in_use": reading.value})


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No limit, or calls that come in."""
    return kind.direction == "inbound" or not _limit(kind.terms, settings)


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
