"""What binds the calls of one trunk: its contract's figures, as the rules want them, under what guard.toml sets."""

from __future__ import annotations

from guard.config import Config
from guard.configschema import Trunk
from guard.policy.schema import Contract, SvaCaps
from guard.prospecting.lists import Lists
from guard.rules.base import Per, Terms
from guard.rules.destinations import MINUTE_US, NO_CAPS, Caps, Destinations

# What a contract may count by: quotas by channel are the trunk's as a whole, a user is a line.
_CALLEES: tuple[tuple[str, Per], ...] = (
    ("callees_per_channel", "trunk"),
    ("callees_per_line", "line"),
    ("callees_per_user", "line"),
    ("callees_per_analogue_line", "line"),
    ("callees_per_t0", "trunk"),
)
_TALK: tuple[tuple[str, Per], ...] = (("talk_hours_per_channel", "trunk"), ("talk_hours_per_user", "line"))


def terms_of(
    config: Config, trunk: Trunk, contract: Contract | None, lists: Lists, destinations: Destinations
) -> Terms:
    """The terms of one trunk. A trunk without a contract is bound by what guard.toml says of it alone."""
    claimed = config.file.rules.get("cli.automated-exception")
    exception = (
        claimed is not None
        and claimed.enabled
        and bool(claimed.parameters.get("numbers") or claimed.parameters.get("received_percent"))
    )
    own = Terms(
        automated_exception=exception,
        trunk=trunk.name,
        contract=trunk.contract,
        cps=trunk.cps,
        channels=trunk.channels,
        mask_caller=trunk.mask_caller,
        zone=config.zone,
        held=config.held,
        lists=lists,
        destinations=destinations,
    )
    if contract is None:
        return own
    channels = trunk.channels or (contract.channels.value if contract.channels else None)
    return Terms(
        trunk=trunk.name,
        contract=trunk.contract,
        cps=trunk.cps or (contract.cps.value if contract.cps else None),
        channels=channels,
        line_calls=contract.line_calls.value if contract.line_calls else None,
        automated_roots=contract.automated.roots if contract.automated else (),
        platform_roots=contract.platform.roots if contract.platform else (),
        mask_caller=trunk.mask_caller,
        country=contract.country,
        automated_exception=exception,
        automated_banned=bool(contract.cited("source.automated-banned")),
        undetermined_origin=any(t.undetermined_origin for t in contract.territory),
        user_calls=contract.user_calls.value if contract.user_calls else 0,
        call_minutes=contract.quota["call_minutes"].value if "call_minutes" in contract.quota else 0,
        callees=_quota(contract, _CALLEES, channels),
        talk_hours=_quota(contract, _TALK, channels),
        forwarded_excluded=bool(contract.cited("quota.forwarded")),
        zone=config.zone,
        held=config.held,
        lists=lists,
        countries=contract.destinations.countries if contract.destinations else (),
        sva=_caps(contract.sva) if contract.sva else NO_CAPS,
        destinations=destinations,
    )


def _caps(sva: SvaCaps) -> Caps:
    return Caps(
        max_us=sva.max_minutes * MINUTE_US,
        above_per_minute=sva.above_microeuros_per_minute,
        max_microeuros=sva.max_microeuros_per_call,
    )


def _quota(contract: Contract, names: tuple[tuple[str, Per], ...], channels: int | None) -> tuple[Per, int]:
    """The first quota of these that the contract has: by the channel it is multiplied by the channels bought."""
    for name, per in names:
        figure = contract.quota.get(name)
        if figure is not None:
            return per, figure.value * ((channels or 1) if name.endswith("per_channel") else 1)
    return "trunk", 0
