"""What is decided, and said, of calls that a fault of ours left without a decision or without its counters."""

from __future__ import annotations

from typing import Final

from guard.model import Decision, Finding, Text

FAULT: Final = "fault"
FAULT_STATUS: Final = 480  # what a call gets that is stopped for a fault of ours: no rule refused it
FAULT_RETRY: Final = 5  # seconds


def faulty(part: str, error: str, *, passes: bool, policy: str = "") -> Decision:
    """The decision on a call that a fault of ours (`part`: engine, state, store) left without one."""
    text = Text(
        f"the guard's {part} failed: the call was {'let through' if passes else 'stopped'}",
        f"défaillance du garde ({part}) : appel {'laissé passer' if passes else 'arrêté'}",
    )
    facts: dict[str, str | int | bool] = {"error": error} if error else {}
    rule = f"{FAULT}.{part}"
    finding = Finding(rule=rule, action="flag" if passes else "block", article=(), text=text, facts=facts)
    if passes:
        return Decision(verdict="flagged", findings=(finding,), rule=rule, policy=policy)
    return Decision(
        verdict="blocked", findings=(finding,), rule=rule, status=FAULT_STATUS, retry_after=FAULT_RETRY, policy=policy
    )


def apart(error: str) -> Finding:
    """What is said of a call that is counted without the counters that several guards share."""
    text = Text(
        f"counted by this guard alone, within its part of the limits: shared counters {error}",
        f"compté par ce garde seul, dans sa part des limites ; compteurs partagés : {error}",
    )
    return Finding(rule=f"{FAULT}.state", action="allow", article=(), text=text, facts={"error": error})
