"""What tests of states ask for, and what they hear."""

from __future__ import annotations

from typing import Final

from guard.model import SECOND
from guard.state.contract import Reading, State, Touch
from tests.state.kept import BASE

SPAN: Final = SECOND
MONTH: Final = BASE - BASE % (3600 * SECOND)  # an hour begins: so do months


def gauge(ident: str, limit: int | None = 2, *, key: str = "channels:t", force: bool = False) -> Touch:
    return Touch(kind="gauge", key=key, ident=ident, limit=limit, force=force)


def window(ident: str, limit: int | None = 1) -> Touch:
    return Touch(kind="window", key="cps:t", ident=ident, limit=limit, span_us=SPAN)


def tally(ident: str, member: str = "", limit: int | None = 2, *, at: int = 0, key: str = "callees:t") -> Touch:
    return Touch(kind="tally", key=key, ident=ident, limit=limit, member=member, since=MONTH, at=MONTH + at)


def total(ident: str, limit: int | None = None, *, since: int = MONTH) -> Touch:
    return Touch(kind="sum", key="talk:t", ident=ident, limit=limit, since=since, at=MONTH)


def one(state: State, touch: Touch, now: int = 0) -> Reading:
    (reading,) = state.touch((touch,), now)
    return reading


def taken(state: State, touch: Touch, now: int = 0) -> bool:
    return one(state, touch, now).taken
