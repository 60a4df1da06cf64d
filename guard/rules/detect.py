"""traffic.*: what detection says of a call, since something alarms of its line, its number or the service it calls.

Detectors measure (guard/detectors); the policy says which values alarm, and what becomes of calls while they do.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from guard.detectors.words import FEATURES, MINUTE, Clause, Evidence, Pattern, Per, Signal
from guard.rules import base, saying
from guard.rules.destinations import E164Prefix

SHUT: Final = "source.quarantined"
# For texts. Bounds and shares (`calls_limit`, `calls_share`) are facts too, but only of what a pattern bounds.
FACTS: Final = frozenset(
    {
        "subject", "kind", "subject_en", "subject_fr", "seconds", "span_en", "span_fr", "because_en", "because_fr",
        "passes_en", "passes_fr", "why", "why_en", "why_fr", *FEATURES,
    }
)  # fmt: skip
CERTAIN: Final = {"stopped": FACTS}
STATISTICAL: Final = {"seen": FACTS, "stopped": FACTS}
BY_HAND: Final = frozenset({"subject", "kind", "subject_en", "subject_fr", "why"})


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
    """traffic.toll-fraud's own: what a minute abroad is taken to cost, in cents, where no tariff says it.

    `known` are prefixes of E.164 that the site calls by habit: as any other country, whatever fraud likes. A premium
    number is costly where a minute of it is `cents_costly` or more.
    """

    cents_high: Annotated[int, Meta(ge=0, le=10_000)] = 150
    cents_elevated: Annotated[int, Meta(ge=0, le=10_000)] = 60
    cents_foreign: Annotated[int, Meta(ge=0, le=10_000)] = 20
    cents_costly: Annotated[int, Meta(ge=0, le=10_000)] = 50
    known: tuple[E164Prefix, ...] = ()


class Detect(Struct, frozen=True):
    """A rule that judges by signals of detection."""

    id: str
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
        return base.Hit("by_hand", {**_named(evidence), "why": signal.says})
    said = {"why": signal.says, "why_en": saying.why(signal, "en"), "why_fr": saying.why(signal, "fr")}
    return base.Hit("seen" if signal.says == "alone" else "stopped", {**_measured(evidence), **said})


def late(evidence: Evidence) -> dict[str, str | int | bool]:
    """The facts of an alarm that began with the end of a call: nothing is stopped any more."""
    return {**_measured(evidence), "why": "late", "why_en": saying.LATE["en"], "why_fr": saying.LATE["fr"]}


def _named(evidence: Evidence) -> dict[str, str | int | bool]:
    kind, subject = evidence.kind, evidence.subject
    return {
        "subject": subject,
        "kind": kind,
        "subject_en": saying.subject(kind, subject, "en"),
        "subject_fr": saying.subject(kind, subject, "fr"),
    }


def _measured(evidence: Evidence) -> dict[str, str | int | bool]:
    """Every feature with its value; of those that the pattern bounds also the bound and the share in percent."""
    out = {**_named(evidence), "seconds": evidence.span_s}
    for measure in evidence.measures:
        out[measure.feature] = measure.value
        if measure.limit is not None:
            out[f"{measure.feature}_limit"] = measure.limit
            out[f"{measure.feature}_share"] = measure.share
    for lang in saying.LANGS:
        out[f"span_{lang}"] = saying.span(evidence.span_s, lang)
        out[f"because_{lang}"] = saying.because(evidence.measures, lang)
        out[f"passes_{lang}"] = saying.passes(evidence, lang)
    return out


DETECTS: Final = (
    Detect("traffic.ping-call", certain=True),
    Detect("traffic.short-calls", certain=False),
    Detect("traffic.sva-short-calls", certain=True),
    Detect("traffic.concentration", certain=False),
    Detect("traffic.unbalanced", certain=False),
    Detect("traffic.sva-continuous", certain=False),
    Detect("traffic.automated", certain=False),
    Detect("traffic.scan", certain=False),
    Detect("traffic.toll-fraud", certain=False, settings=Prices),
    Detect("traffic.hacked-account", certain=False),
    Detect("traffic.gateway", certain=False),
    Detect("traffic.unusual", certain=False),
)
QUARANTINED: Final = Detect(SHUT, certain=True)
