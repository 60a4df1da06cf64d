"""Counters over days and months, rebuilt from the log when the guard starts: no second copy of them is kept.

It runs beside the calls, so that a restart delays none of them; until it is done, quotas know only of calls since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from guard.engine import Engine
from guard.ledger.past import attempt_of_body
from guard.ledger.record import DecisionBody, EndBody
from guard.model import CallEnded
from guard.rules import rate_cps
from guard.state.contract import State

SPAN: Final = (
    32 * 24 * 3600 * 1_000_000
)  # µs: the longest month, and the thirty days of canvassing, with a day to spare
STEP: Final = 100  # calls between which others may work: about two milliseconds

Past = tuple[int, DecisionBody, EndBody | None]


def recount(engine: Engine, state: State, past: Iterable[Past]) -> Iterator[int]:
    """Count calls of the past (seq, decision, end); yields how many were, now and then. `State.restored` comes last."""
    counted = 0
    for seq, body, end in past:
        if body.verdict == "blocked" or body.emergency or _gave_up(body):
            continue
        call = attempt_of_body(body)
        for touch in engine.counted(call):
            state.restore(replace(touch, ident=f"#{seq}"))
        if end is not None and body.direction == "inbound":
            for touch in engine.after(call, _ended(end)):
                state.restore(replace(touch, ident=f"#{seq}"))
        if end is not None and end.talk_us:
            for key in engine.sums(call):
                state.used(key, end.at, end.talk_us)
        counted += 1
        if counted == STEP:
            yield counted
            counted = 0
    yield counted


def _ended(end: EndBody) -> CallEnded:
    return CallEnded(at=end.at, outcome=end.outcome, ring_us=end.ring_us, talk_us=end.talk_us)


def _gave_up(body: DecisionBody) -> bool:
    """Whether the caller gave up while the call was held: it never left."""
    return body.rule == rate_cps.ID and body.verdict == "flagged" and any(f.action == "hold" for f in body.findings)
