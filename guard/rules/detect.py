"""traffic.*: what detection says of a call, since something alarms of its line, its number or the service it calls.

Detectors measure (guard/detectors); the policy says which values alarm, and what becomes of calls while they do.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from guard.detectors.words import FEATURES, Clause, Evidence, Feature, Kind, Pattern, Per, Signal
from guard.model import SECOND
from guard.rules import base

MINUTE: Final = 60 * SECOND
SHUT: Final = "source.quarantined"
# For texts. Bounds and shares (`calls_limit`, `calls_share`) are facts too, but only of what a pattern bounds.
FACTS: Final = frozenset(
    {
        "subject", "kind", "minutes", "why", "because_en", "because_fr", "passes_en", "passes_fr",
        *FEATURES,
    }
)  # fmt: skip
CERTAIN: Final = {"stopped": FACTS}
STATISTICAL: Final = {"seen": FACTS, "stopped": FACTS}
BY_HAND: Final = frozenset({"subject", "kind", "why"})

_WORDS: Final[dict[Feature, tuple[str, str]]] = {
    "calls": ("calls", "appels"),
    "short_rings": ("numbers that rang for a moment", "numéros sonnés un instant"),
    "called_back": ("called back", "ont rappelé"),
    "hyper_short": ("answered calls under 2 s", "appels décrochés de moins de 2 s"),
    "in_order": ("numbers in order", "numéros qui se suivent"),
    "regularity": ("percent of variation between calls", "pour cent d’écart entre appels"),
    "costly": ("cents of cost", "centimes de coût"),
    "received": ("calls received", "appels reçus"),
    "refused": ("calls refused by the other side", "appels refusés en face"),
    "origins": ("new addresses, agents or numbers", "adresses, agents ou numéros nouveaux"),
}
KIND: Final[dict[Kind, tuple[str, str]]] = {
    "line": ("line", "ligne"), "number": ("number", "numéro"), "service": ("service", "service"),
    "source": ("source", "source"),
}  # fmt: skip


class Settings(base.Settings, frozen=True):
    """A detector: the `clauses` that alarm, of lines, presented numbers or premium services (`per`).

    `hold_minutes` is how long an alarm lasts. `quarantine_minutes`
    shuts the subject off for so long (-1: until a person releases it; 0: it is not). `usages`: only lines declared so.
    `but`: subjects that are exempt, such as `pbx/2*`.
    """

    per: tuple[Per, ...] = ("line",)
    clauses: tuple[Clause, ...] = ()
    hold_minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60
    quarantine_minutes: Annotated[int, Meta(ge=-1, le=525_600)] = 0
    usages: tuple[str, ...] = ()
    but: tuple[str, ...] = ()


class Prices(Settings, frozen=True):
    """traffic.toll-fraud's own: what a minute abroad is taken to cost, in cents, where no tariff says it."""

    cents_high: Annotated[int, Meta(ge=0, le=10_000)] = 150
    cents_elevated: Annotated[int, Meta(ge=0, le=10_000)] = 60
    cents_foreign: Annotated[int, Meta(ge=0, le=10_000)] = 20


class Detect(Struct, frozen=True):
    """A rule that judges by signals of detection. Rules of one `family` are one signal: they see the same thing."""

    id: str
    family: str
    certain: bool
    settings: type[Settings] = Settings

    @property
    def says(self) -> dict[str, frozenset[str]]:
        """Each of its texts, and the facts that it may use."""
        if self.id == SHUT:
            return {**CERTAIN, "by_hand": BY_HAND}
        return CERTAIN if self.certain else STATISTICAL

    def pattern(self, settings: Settings, since: int, until: int) -> Pattern:
        """What the watch is to look for."""
        shut = settings.quarantine_minutes
        return Pattern(
            rule=self.id,
            family=self.family,
            certain=self.certain,
            per=settings.per,
            clauses=settings.clauses,
            hold=settings.hold_minutes * MINUTE,
            quarantine=shut * MINUTE if shut > 0 else shut,
            usages=settings.usages,
            but=settings.but,
            since=since,
            until=until,
        )


def hit(signal: Signal) -> base.Hit:
    """What a signal says of the call, with its evidence: `seen` where it only tells, `stopped` where it acts."""
    evidence = signal.evidence
    if evidence.rule == SHUT:  # a person did it
        return base.Hit("by_hand", {"subject": evidence.subject, "kind": evidence.kind, "why": signal.says})
    return base.Hit("seen" if signal.says == "alone" else "stopped", {**facts(evidence), "why": signal.says})


def facts(evidence: Evidence) -> dict[str, str | int | bool]:
    """Every feature with its value; of those that the pattern bounds also the bound and the share in percent."""
    out: dict[str, str | int | bool] = {
        "subject": evidence.subject,
        "kind": evidence.kind,
        "minutes": max(evidence.span_s // 60, 1),
    }
    for measure in evidence.measures:
        out[measure.feature] = measure.value
        if measure.limit is not None:
            out[f"{measure.feature}_limit"] = measure.limit
            out[f"{measure.feature}_share"] = measure.share
    for i, lang in enumerate(("en", "fr")):
        bounded = [m for m in evidence.measures if m.limit is not None]
        limit = ("limit", "seuil")[i]
        out[f"because_{lang}"] = ", ".join(
            f"{m.value} {_WORDS[m.feature][i]} ({limit} {m.limit}, {m.share} %)" for m in bounded
        )
        feature, value = evidence.passes
        out[f"passes_{lang}"] = f"{value} {_WORDS[feature][i]}"
    return out


DETECTS: Final = (
    Detect("traffic.ping-call", "ring", certain=True),
    Detect("traffic.short-calls", "talk", certain=False),
    Detect("traffic.sva-short-calls", "talk", certain=True),
    Detect("traffic.concentration", "volume", certain=False),
    Detect("traffic.unbalanced", "balance", certain=False),
    Detect("traffic.sva-continuous", "money", certain=False),
    Detect("traffic.automated", "cadence", certain=False),
    Detect("traffic.scan", "order", certain=False),
    Detect("traffic.toll-fraud", "money", certain=False, settings=Prices),
    Detect("traffic.hacked-account", "origin", certain=False),
    Detect("traffic.gateway", "passage", certain=False),
    Detect("traffic.unusual", "habit", certain=False),
)
QUARANTINED: Final = Detect(SHUT, "", certain=True)
