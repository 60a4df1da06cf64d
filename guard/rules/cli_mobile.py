"""cli.automated-mobile and cli.mobile-on-trunk: 06 and 07 are for a person on a mobile network, held or not."""

from __future__ import annotations

from typing import Final

from guard.rules import base
from guard.rules.case import Case


class Settings(base.Settings, frozen=True):
    """`prefixes` of mobile numbers (E.164), `except_prefixes` of other numbers among them, and `convergence`: the
    operator agreed that this trunk carries mobile lines."""

    prefixes: tuple[str, ...] = ()
    except_prefixes: tuple[str, ...] = ()
    convergence: bool = False


_FACTS: Final = frozenset({"number", "header"})


def _judge(case: Case, settings: Settings, *, automated: bool) -> tuple[base.Hit, ...]:
    """Each mobile number presented, by automated systems or by the others."""
    call = case.call
    if ("automated" in call.usage) is not automated or settings.convergence:
        return ()
    hits: dict[str, base.Hit] = {}
    for identity in case.presented:
        value = identity.number.value
        if not value.startswith(settings.prefixes) or value.startswith(settings.except_prefixes) or value in hits:
            continue
        kept = not automated and call.forwarded == "trust-diversion" and case.forwarded
        hits[value] = base.Hit("forwarded" if kept else "presented", {"number": value, "header": identity.header})
    return tuple(hits.values()) if hits else ()


def _idle(kind: base.Kind, settings: Settings, *, automated: bool) -> bool:
    return ("automated" in kind.usage) is not automated or settings.convergence


def heads(settings: Settings) -> tuple[str, ...]:
    """Mobile numbers."""
    return settings.prefixes


AUTOMATED = base.Judge(
    "cli.automated-mobile",
    {"presented": _FACTS},
    Settings,
    lambda case, s: _judge(case, s, automated=True),
    lambda kind, s: _idle(kind, s, automated=True),
    heads,
)
ON_TRUNK = base.Judge(
    "cli.mobile-on-trunk",
    {"presented": _FACTS, "forwarded": _FACTS},
    Settings,
    lambda case, s: _judge(case, s, automated=False),
    lambda kind, s: _idle(kind, s, automated=False),
    heads,
)
