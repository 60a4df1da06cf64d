"""rate.cps: in no window of one second do more set-ups than the contract's limit leave for the operator.

The excess waits, first come first served, and is refused only after `hold_ms`.
"""

from __future__ import annotations

from guard.model import SECOND, CallAttempt
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "rate.cps"
KEY = "cps"
_FACTS = frozenset({"trunk", "limit", "waited_ms"})
SAYS = {"waits": _FACTS, "waited": _FACTS, "refused": _FACTS, "over": _FACTS}
MS = 1000  # microseconds


class Settings(base.Settings, frozen=True):
    """`limit` set-ups a second where neither trunk nor contract names one (0: no limit). `hold_ms` is how long one may
    wait, `max_held` how many may on a trunk. `margin_ms` widens the second by the jitter between our departure and the
    operator's clock."""

    limit: int = 0
    hold_ms: int = 2500
    margin_ms: int = 20
    max_held: int = 1000


def limit(terms: base.Terms, settings: Settings) -> int:
    """Set-ups a second on this trunk, 0 when nothing limits them."""
    return terms.cps or settings.limit


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """A place in the trunk's second."""
    at_most = limit(terms, settings)
    if not at_most or call.direction == "inbound":
        return None
    span = SECOND + settings.margin_ms * MS
    return Touch(kind="window", key=f"cps:{terms.trunk}", ident=ident, limit=at_most, span_us=span)


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `over` when the second is full; what follows (waiting, refusing) is the engine's to say."""
    at_most = limit(terms, settings)
    if reading.value < at_most:
        return None
    return base.Hit("over", {"trunk": terms.trunk, "limit": at_most, "waited_ms": 0})


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No limit, or calls that come in."""
    return kind.direction == "inbound" or not limit(kind.terms, settings)


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
