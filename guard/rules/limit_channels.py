"""limit.channels: calls at once on a trunk, both directions, up to the channels that were bought."""

from __future__ import annotations

from guard.model import CallAttempt
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "limit.channels"
KEY = "channels"
SAYS = {"full": frozenset({"trunk", "limit", "in_use"})}


class Settings(base.Settings, frozen=True):
    """`retry_s`: what a refused caller is told to wait, as nobody knows when a call will end."""

    retry_s: int = 5


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """A channel of the trunk. Inbound calls take one whatever there is: they are here already."""
    channels = terms.channels
    if not channels:
        return None
    key, inbound = f"channels:{terms.trunk}", call.direction == "inbound"
    return Touch(kind="gauge", key=key, ident=ident, limit=channels, force=inbound)


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `full` when every channel is in use."""
    at_most = terms.channels or 0
    if reading.value < at_most or call.direction == "inbound":
        return None
    return base.Hit("full", {"trunk": terms.trunk, "limit": at_most, "in_use": reading.value})


def idle(kind: base.Kind, settings: Settings) -> bool:
    """As many channels as you like."""
    del settings
    return not kind.terms.channels


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
