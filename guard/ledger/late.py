"""Money of what was found only when a call was over: it had reached the operator, so it accrues. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from guard.ledger.past import attempt_of_body, decision_of_body
from guard.ledger.penalties import COSTLY, Figures, Stake, assess, calling_number, period_of
from guard.ledger.record import DecisionBody, EndBody, FindingRecord, Money


def late_stake(body: DecisionBody, late: Sequence[FindingRecord], figures: Figures) -> Stake | None:
    """What late findings put at stake, as they would have at the decision; None when nothing: an emergency call, one
    that never left, no fined breach, or one whose decision is fined already (a call is one attempt)."""
    fined = [f for f in late if f.action in COSTLY and figures.fines(f.rule)]
    if not fined or body.emergency or body.verdict == "blocked" or body.withdrawn:
        return None
    call = attempt_of_body(body)
    known = assess(call, decision_of_body(body), figures)
    if known is not None and known.fined:
        return None
    return Stake(
        state="accrued",
        rule=fined[0].rule,
        number=calling_number(call),
        period=period_of(body.at, figures),
        figures=figures,
    )


def whole_money(body: DecisionBody, end: EndBody | None) -> Money:
    """What a call costs: what its decision says, and what was found when it was over."""
    if end is None or not end.money.accrued:
        return body.money
    return replace(end.money, origin_rate=body.money.origin_rate, origin_article=body.money.origin_article)
