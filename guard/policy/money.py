"""The money of contracts: what the ledger counts by, what an incident may cost, when an invoice is contested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from guard.config import Config
from guard.configschema import micro_euros
from guard.ledger.days import Limit
from guard.ledger.incidents import NO_TERMS, Clock, Terms
from guard.ledger.penalties import Figures
from guard.policy.schema import Contract, Span

ABNORMAL: Final = "abnormal-traffic"  # the use that such clauses prohibit
TARIFF: Final = "undetermined-origin-tariff"  # the consequence that bears the article of that tariff


def figures_of(config: Config, contracts: Mapping[str, Contract]) -> dict[str, Figures]:
    """The penalties of each trunk whose contract fixes some, by the trunk's name."""
    out: dict[str, Figures] = {}
    for trunk in config.file.trunk:
        contract = contracts.get(trunk.contract)
        if contract is None:
            continue
        by = {p.per: p for p in contract.penalty}
        fixed = [by[per] for per in ("calling-number", "call-or-attempt") if per in by]
        tariff = next((c.article for c in contract.consequence if c.kind == TARIFF), "")
        if not fixed and not tariff:
            continue
        amounts = {p.per: p.amount(trunk.reading) for p in fixed}
        articles = dict.fromkeys(f"{contract.file} {p.article}" for p in fixed)
        out[trunk.name] = Figures(
            contract=contract.id,
            per_number=amounts.get("calling-number", 0),
            per_attempt=amounts.get("call-or-attempt", 0),
            rules=contract.penal_rules if fixed else (),
            zone=config.zone,
            reading=trunk.reading,
            period=config.file.ledger.per_number,
            mask_accrues=False,  # the number that may not be shown never reached the operator
            article=", ".join(articles),
            origin_rate=micro_euros(trunk.undetermined_origin) if tariff else 0,
            origin_article=f"{contract.file} {tariff}" if tariff else "",
        )
    return out


def incident_terms(contract: Contract | None, reading: Literal["digits", "words"] = "digits") -> Terms:
    """What a contract has to say of an incident: the clocks that the operator's letters start, and what misses cost."""
    if contract is None:
        return NO_TERMS
    by = {p.per: p for p in contract.penalty}
    late = by.get("sva-not-put-right")
    clocks = []
    for clause in (*contract.grounds(), *contract.contesting):
        if not clause.letter or clause.within is None:
            continue
        fined = late is not None and clause.letter == "breach" and late.within is not None
        clocks.append(
            Clock(
                letter=clause.letter,
                value=clause.within.value,
                unit=clause.within.unit,
                article=f"{contract.file} {clause.article}",
                says=clause.says,
                cost=late.amount(reading) if late is not None and fined else 0,
                kind="sva-not-put-right" if fined else None,
            )
        )
    each, again = by.get("sva-number"), by.get("sva-repeated-in-a-year")
    return Terms(
        contract=contract.id,
        reading=reading,
        country=contract.country,
        clocks=tuple(clocks),
        subject_cost=each.amount(reading) if each else 0,
        repeat_cost=again.amount(reading) if again else 0,
        repeat=_limit(again.within) if again and again.within else None,
        article=f"{contract.file} {each.article}" if each else "",
    )


def _limit(span: Span) -> Limit:
    return Limit(span.value, span.unit)


def abnormal_rules(contract: Contract | None) -> frozenset[str]:
    """The rules that find what a contract calls abnormal traffic, where that costs a penalty per SVA number."""
    if contract is None or not any(p.per == "sva-number" for p in contract.penalty):
        return frozenset()
    return frozenset(rule for k in contract.prohibited if ABNORMAL in k.uses for rule in k.rules)
