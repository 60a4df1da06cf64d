"""Alarms as incidents, and quarantines as detection and as the books have them. Pure.

A subject that is shut off stays so while an incident in the books says it: a restart takes it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast, get_args

from msgspec import Struct

from guard.detectors import alarms
from guard.detectors.watch import Watch
from guard.detectors.words import FEATURES, Evidence, Feature, Kind, Measure, Sense, key_of
from guard.ledger.incidents import FOR_GOOD, Incident, Quarantine, State, Subject
from guard.ledger.sightings import Sighting
from guard.model import Finding
from guard.rules.detect import SHUT

KINDS: Final[dict[Kind, Subject]] = {"line": "line", "number": "number", "service": "sva", "source": "source"}
_KIND_OF: Final[dict[Subject, Kind]] = {subject: kind for kind, subject in KINDS.items()}

Name = tuple[Kind, str]  # of a subject, as detection calls it


class Standing(Struct, frozen=True):
    """What the books say of subjects: which are shut off and until when, and which incidents are closed."""

    shut: dict[Name, tuple[Quarantine, str]]  # with the incident's trunk
    closed: dict[int, tuple[Name, int]]  # by the incident's id: its subject, and when it was closed (Unix time, µs)
    freed: dict[Name, tuple[int, State]]  # who was shut off once: when that was last closed, and how


def standing(incidents: Iterable[Incident], now: int) -> Standing:
    """What holds at an instant (Unix time, µs). A subject of several open incidents is shut off as long as any says."""
    shut: dict[Name, tuple[Quarantine, str]] = {}
    closed: dict[int, tuple[Name, int]] = {}
    freed: dict[Name, tuple[int, State]] = {}
    for incident in incidents:
        name = named(incident)
        if name is None:
            continue
        if incident.closed is not None:
            closed[incident.id] = name, incident.closed
            if incident.quarantine is not None:
                freed[name] = max(freed.get(name, (0, incident.state)), (incident.closed, incident.state))
        found = incident.shut_off(now)
        if found is not None and found.beyond(shut[name][0] if name in shut else None):
            shut[name] = found, incident.trunk
    return Standing(shut, closed, freed)


def named(incident: Incident) -> Name | None:
    """Whom an incident is of, as detection calls it; None for what it does not know."""
    kind = _KIND_OF.get(incident.subject_kind)
    if incident.quarantine is not None:  # it has the whole name, however long
        word = incident.quarantine.kind
        return (cast("Kind", word), incident.quarantine.subject) if word in get_args(Kind) else None
    return (kind, incident.subject) if kind is not None else None


def shut_off(watch: Watch, quarantine: Quarantine, trunk: str) -> None:
    """Shut a subject off, as the books say."""
    watch.alarms.closed.pop(key_of(cast("Kind", quarantine.kind), quarantine.subject), None)
    until = alarms.FOR_GOOD if quarantine.until == FOR_GOOD else quarantine.until
    watch.alarms.shut(evidence_of(quarantine, trunk), until)


def evidence_of(quarantine: Quarantine, trunk: str) -> Evidence:
    """What a detector saw, again. A feature that is measured no more is left out; by hand: by `SHUT`, no measures."""
    known = set(FEATURES)
    how = {f: (most, cast("Sense", sense)) for f, most, sense in quarantine.how if sense in get_args(Sense)}
    plain: tuple[bool, Sense] = (False, "")
    measures = tuple(Measure(f, v, b, s, *how.get(f, plain)) for f, v, b, s in quarantine.measures if f in known)
    passes = quarantine.passes if quarantine.passes[0] in known else ("calls", 0)
    return Evidence(
        rule=quarantine.rule if measures else SHUT,
        kind=cast("Kind", quarantine.kind),
        subject=quarantine.subject,
        trunk=trunk,
        at=quarantine.at,
        span_s=quarantine.span_s,
        measures=measures,
        passes=cast("tuple[Feature, int]", passes),
    )


def quarantine_of(evidence: Evidence, until: int) -> Quarantine:
    """What the books keep of a subject that a detector shut off."""
    return Quarantine(
        kind=evidence.kind,
        subject=evidence.subject,
        until=FOR_GOOD if until >= alarms.FOR_GOOD else until,
        rule=evidence.rule,
        at=evidence.at,
        span_s=evidence.span_s,
        measures=tuple((m.feature, m.value, m.limit, m.share) for m in evidence.measures),
        how=tuple((m.feature, m.most, m.sense) for m in evidence.measures if m.most or m.sense),
        passes=evidence.passes,
    )


def sightings(watch: Watch, late: Callable[[Evidence], Finding | None]) -> list[Sighting]:
    """Takes away the alarms that began since the last time, as what incidents are made of. `late` words them."""
    fresh, watch.alarms.fresh = watch.alarms.fresh, []
    return [_sighting(watch, one, late(one)) for one in fresh]


def _sighting(watch: Watch, evidence: Evidence, said: Finding | None) -> Sighting:
    shut = watch.alarms.closed.get(key_of(evidence.kind, evidence.subject))
    return Sighting(
        subject_kind=KINDS[evidence.kind],
        subject=evidence.subject,
        trunk=evidence.trunk,
        rule=evidence.rule,
        at=evidence.at,
        reached=watch.reached(evidence),
        text=said.text.en if said is not None else "",
        quarantine=quarantine_of(evidence, shut.until) if shut is not None and shut.evidence is evidence else None,
    )
