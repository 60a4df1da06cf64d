"""The policies in force at an instant, with the texts that they rest on."""

from __future__ import annotations

from msgspec import Struct

from guard.config import Config
from guard.ledger.record import iso
from guard.policy.inforce import PlacesInForce, RuleInForce, places_in_force, rules_in_force
from guard.policy.load import Policy


class ContractInForce(Struct, frozen=True, kw_only=True):
    """The contract of a trunk, the file that it is written in, and the reading of its contradictory amounts."""

    trunk: str
    contract: str
    title: str
    reading: str


class PoliciesView(Struct, frozen=True, kw_only=True):
    """What decides at `at` (ISO 8601), under the digest that records name; rules in the order in which they speak."""

    at: str
    digest: str
    mode: str
    rules: tuple[RuleInForce, ...]
    places: tuple[PlacesInForce, ...]
    contracts: tuple[ContractInForce, ...]


def inforce(config: Config, policy: Policy, at: int) -> PoliciesView:
    """What is in force at an instant (Unix time, µs)."""
    return PoliciesView(
        at=iso(at, config.zone),
        digest=policy.digest,
        mode=config.file.mode,
        rules=tuple(rules_in_force(policy, at, config.zone)),
        places=tuple(places_in_force(config.policies, at)),
        contracts=tuple(
            ContractInForce(
                trunk=t.name,
                contract=t.contract,
                title=policy.contracts[t.contract].title if t.contract in policy.contracts else "",
                reading=t.reading,
            )
            for t in config.file.trunk
        ),
    )
