"""What a detector or a rule has seen of a subject, before it is an incident. Pure."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from guard.ledger.incidents import NO_TERMS, Quarantine, Subject, Terms

Key = tuple[Subject, str, str]
Topic = tuple[Key, str]


class Sighting(Struct, frozen=True, kw_only=True):
    """Something seen at `at` (Unix time, µs) of a subject on a trunk, by a rule or a detector, which `rule` names.
    `quarantine` where it was shut off.

    `reached` when something of it reached the operator. `text` is what to remember: no number but the subject's.
    `terms` are those of the trunk's contract; whoever has none leaves them out (guard/incidents.py adds them).
    """

    subject_kind: Subject
    subject: str
    trunk: str
    rule: str
    at: int
    reached: bool
    text: str
    terms: Terms = NO_TERMS
    quarantine: Quarantine | None = None

    @property
    def key(self) -> Key:
        """What one incident is of."""
        return self.subject_kind, self.subject, self.trunk

    @property
    def topic(self) -> Topic:
        """What one step of an incident is of: a subject, and what was seen of it."""
        return self.key, self.rule


def both(one: Sighting, other: Sighting) -> Sighting:
    """Two sightings of one topic as one: the later, which has reached the operator where either has, and shuts off as
    long as either does."""
    late, early = (other, one) if other.at >= one.at else (one, other)
    if early.quarantine is not None and early.quarantine.beyond(late.quarantine):
        late = replace(late, quarantine=early.quarantine)
    return replace(late, reached=True) if early.reached and not late.reached else late
