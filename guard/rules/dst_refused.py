"""dst.refused and dst.opposed: whoever said no is not called, until he consents anew or a time has passed."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case
from guard.rules.prospects import USAGE, consumer, customer

DAY = 24 * 3600 * 1_000_000  # microseconds


class Settings(base.Settings, frozen=True):
    """`days` for which a refusal holds; 0: without end."""

    days: int = 0


def _refused(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """A refusal that no later consent lifted."""
    number = consumer(case.call, case.lists)
    if not number:
        return ()
    at = case.call.at
    oldest = at - settings.days * DAY if settings.days else -(2**62)
    said = [e.since for e in case.lists["refusals"].of(number) if oldest < e.since <= at]
    if not said or any(max(said) < e.since <= at < e.until for e in case.lists["consents"].of(number)):
        return ()
    return (base.Hit("refused", {"number": number, "days_ago": (at - max(said)) // DAY}),)


class OpposedSettings(base.Settings, frozen=True):
    """No parameters: the opposition list is one of `[prospecting]`."""


def _opposed(case: Case, settings: OpposedSettings) -> tuple[base.Hit, ...]:
    """On the opposition list, and no customer."""
    number = consumer(case.call, case.lists)
    at = case.call.at
    if not number or case.lists["opposition"].at(number, at) is None or customer(case.lists, number, at):
        return ()
    return (base.Hit("listed", {"number": number}),)


def idle(kind: base.Kind, settings: base.Settings) -> bool:
    """Nobody is canvassed."""
    del settings
    return USAGE not in kind.usage


REFUSED = base.Judge("dst.refused", {"refused": frozenset({"number", "days_ago"})}, Settings, _refused, idle)
OPPOSED = base.Judge("dst.opposed", {"listed": frozenset({"number"})}, OpposedSettings, _opposed, idle)
