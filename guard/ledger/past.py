"""A decided call of the log as rules see calls: to judge it anew by another policy, or to rebuild what it counted."""

from __future__ import annotations

from typing import Final, Literal, cast

from guard.ledger.record import DecisionBody, SeenIdentity
from guard.model import CallAttempt, Decision, Finding, Identity
from guard.numbering.number import NONE, Dial, Number, normalise

DIVERTED: Final = frozenset({"diversion", "history-info"})  # headers that say who forwarded a call
_DIAL: Final = Dial()


def attempt_of_body(body: DecisionBody, dial: Dial = _DIAL) -> CallAttempt:
    """The call attempt that a kept decision was made on.

    The same as was judged then, but for one thing: what was odd about a good number (`Number.note`) is not kept, and is
    found again as the source's `dial` reads the number now.
    """
    return CallAttempt(
        call_id=body.call_id,
        from_tag=body.from_tag,
        at=body.at,
        source=body.source,
        source_address=body.source_address,
        trunk=body.trunk,
        line=body.line,
        callee=_shown(body.callee, body.callee_raw, body.callee_reason, dial),
        direction=body.direction,
        usage=body.usage,
        country=body.country,
        forwarded=cast("Literal['trust-diversion', 'require-inbound']", body.forwarded),
        caller=_shown(body.caller, body.caller_raw, body.caller_reason, dial),
        identities=tuple(_identity(i, dial) for i in body.identities if i.header not in DIVERTED),
        diversions=tuple(_identity(i, dial) for i in body.identities if i.header in DIVERTED),
        emergency=body.emergency,
        privacy=body.privacy,
        user_agent=body.user_agent,
        odd=body.odd,
        headers=body.headers,
    )


def decision_of_body(body: DecisionBody) -> Decision:
    """The decision that was kept, as far as money asks for it."""
    return Decision(
        verdict=body.verdict,
        findings=tuple(
            Finding(rule=f.rule, action=f.action, article=f.article, text=f.text, facts=f.facts, mode=f.mode)
            for f in body.findings
        ),
        rule=body.rule,
        status=body.status,
        presented=body.presented,
        masked=body.masked,
        masked_numbers=body.masked_numbers,
        held_us=body.held_us,
        held_until=1 if body.withdrawn else 0,
        policy=body.policy,
    )


def _identity(seen: SeenIdentity, dial: Dial) -> Identity:
    return Identity(seen.header, _number(seen.value, seen.raw, seen.reason, dial))


def _shown(shown: str, raw: str, reason: str, dial: Dial) -> Number:
    """A number from what `record.shown` made of it: what it means, or as received where it means nothing."""
    means = shown.removeprefix("+").isdigit()
    return _number(shown if means else "", raw or shown, reason, dial)


def _number(value: str, raw: str, reason: str, dial: Dial) -> Number:
    if reason:
        return Number("", "malformed", raw, reason)
    if value:
        again = normalise(raw, dial)
        note = again.note if again.value == value else ""
        return Number(value, "e164" if value.startswith("+") else "short", raw, note=note)
    if not raw:
        return NONE
    return Number("", "anonymous" if normalise(raw, dial).kind == "anonymous" else "none", raw)
