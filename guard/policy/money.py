"""The money of contracts: what the ledger counts by, what an incident may cost, when an invoice is contested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from guard.config import Config
from guard.configschema import micro_euros
from guard.ledger.penalties import Figures
from guard.policy.schema import Contract

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
