"""Calls, decisions and ends for the tests of the record: shapes like those of the daemon, nothing of its code."""

from __future__ import annotations

from guard.model import Action, CallAttempt, CallEnded, Decision, Finding, Identity, Mode, Outcome, Text, Verdict
from guard.numbering.number import NONE, Number

AT = 1_795_251_600_000_000  # 2026-11-21 10:00:00 in Paris (09:00 UTC), microseconds
SECOND = 1_000_000
CALLER = "+33145678900"
CALLEE = "+33612345678"


def number(value: str, raw: str = "") -> Number:
    """A good number, as received in `raw`."""
    return Number(value, "e164" if value.startswith("+") else "short", raw or value)


def attempt(
    n: int = 0,
    *,
    at: int = AT,
    caller: str = CALLER,
    callee: str = CALLEE,
    trunk: str = "operator",
    line: str = "200",
    call_id: str = "",
    emergency: str = "",
    identities: tuple[Identity, ...] = (),
) -> CallAttempt:
    """The `n`th call."""
    return CallAttempt(
        call_id=call_id or f"call-{n}@pbx",
        from_tag=f"tag{n}",
        at=at,
        source="pbx",
        source_address="192.0.2.5",
        trunk=trunk,
        line=line,
        callee=number(callee),
        caller=number(caller, "0" + caller[3:]) if caller else NONE,
        emergency=emergency,
        identities=identities,
    )


def finding(rule: str, action: Action = "block", mode: Mode = "enforce") -> Finding:
    """What `rule` says."""
    return Finding(
        rule=rule,
        action=action,
        article=("003_742b69a7556570e9.txt IV-8.1.4.1",),
        text=Text(f"{rule} was broken.", f"{rule} n’est pas respectée."),
        facts={"presented": CALLER, "count": 3, "held": True},
        mode=mode,
    )


def decision(
    verdict: Verdict = "allowed", *findings: Finding, presented: str = CALLER, held_us: int = 0, masked: bool = False
) -> Decision:
    """A decision that the first finding brought about."""
    return Decision(
        verdict=verdict,
        findings=findings,
        rule=findings[0].rule if findings else "",
        status=403 if verdict == "blocked" else 0,
        presented="" if verdict == "blocked" else presented,
        masked=masked,
        held_us=held_us,
        policy="sha256:0123",
    )


def ended(outcome: Outcome = "answered", *, at: int = AT + 60 * SECOND) -> CallEnded:
    """An end: 2.5 s of ringing, 30.004 s of talk."""
    return CallEnded(at=at, outcome=outcome, ring_us=2_500_000, talk_us=30_004_000, final_status=200, by="caller")
