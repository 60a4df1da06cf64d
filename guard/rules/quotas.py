"""What a monthly quota counts by: a trunk, or a line of a source."""

from __future__ import annotations

from typing import Literal

from guard.model import CallAttempt
from guard.rules import base

Per = Literal["", "trunk", "line"]


def counted(call: CallAttempt, terms: base.Terms, key: str, per: str, limit: int) -> tuple[int, str, str]:
    """`limit`, the key of what is counted and its name for people; 0 where nothing limits this call: it comes in, it
    is an emergency call, or no line of it is known where lines are counted."""
    if not limit or call.direction == "inbound" or call.emergency or (per == "line" and not call.line):
        return 0, "", ""
    name = f"{call.source}/{call.line}" if per == "line" else terms.trunk
    return limit, f"{key}:{per}:{name}", f"line {call.line}" if per == "line" else f"trunk {terms.trunk}"
