"""cli.forwarded: where inbound calls pass the guard, a forwarded caller is believed only with the inbound leg it saw.

A Diversion that nothing came before is the classic way round the right to use a number.
"""

from __future__ import annotations

from typing import Final

from guard.model import CallAttempt
from guard.rules import base
from guard.state.contract import Reading, Touch

ID = "cli.forwarded"
KEY = "leg"
SECOND: Final = 1_000_000  # µs
SAYS = {"no-leg": frozenset({"number", "within_s"})}


class Settings(base.Settings, frozen=True):
    """`within_s`: how long before the forwarded call its inbound leg may have come: the callee's phone rang first."""

    within_s: int = 180


def touch(call: CallAttempt, terms: base.Terms, ident: str, settings: Settings) -> Touch | None:
    """Remembers the caller of an inbound call; looks for him when a forwarded call presents him."""
    number = call.caller.value
    if call.forwarded != "require-inbound" or not number or call.emergency:
        return None
    since = call.at - settings.within_s * SECOND
    if call.direction == "inbound":
        return Touch(kind="tally", key=f"{KEY}:{call.source}", ident=ident, member=number, since=since, at=call.at)
    held = terms.held
    ours = any(held.right(d.number.value, call.at) for d in call.diversions if d.number.value)
    if not ours or held.right(number, call.at):
        return None
    return Touch(
        kind="tally", key=f"{KEY}:{call.source}", ident=ident, member=number, since=since, at=call.at, take=False
    )


def judge(call: CallAttempt, terms: base.Terms, reading: Reading, settings: Settings) -> base.Hit | None:
    """Says `no-leg` when this caller did not call in."""
    if reading.known:
        return None
    return base.Hit("no-leg", {"number": call.caller.value, "within_s": settings.within_s})


def idle(kind: base.Kind, settings: Settings) -> bool:
    """Where no inbound leg is asked for."""
    del settings
    return kind.forwarded != "require-inbound"


RULE = base.Count(ID, KEY, SAYS, Settings, touch, judge, idle=idle)
