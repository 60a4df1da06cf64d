"""One incident's record: the object that `guard incidents --json`, MQTT and the API carry. Pure."""

from __future__ import annotations

from datetime import tzinfo

from msgspec import Struct
from msgspec.structs import replace

from guard.ledger.incidents import (
    FOR_GOOD,
    Document,
    Incident,
    Letter,
    State,
    Step,
    Subject,
    at_stake,
    costs,
    deadlines,
)
from guard.ledger.lines import Kind
from guard.ledger.masking import masked, masked_text
from guard.ledger.penalties import State as Money
from guard.ledger.record import iso


class ShutOff(Struct, frozen=True, kw_only=True):
    """A quarantine that holds; `until` is null where a person has to end it."""

    kind: str
    until: str | None


class Cost(Struct, frozen=True, kw_only=True):
    """What an incident costs, or would have cost."""

    kind: Kind
    state: Money
    amount_microeuros: int
    article: str


class DeadlineRecord(Struct, frozen=True, kw_only=True):
    """A clock that a letter started; `met` is null until it is."""

    letter: Letter
    started: str
    due: str
    met: str | None
    missed: bool
    cost_microeuros: int
    article: str
    says: str


class EventRecord(Struct, frozen=True, kw_only=True):
    """One step: `time` is when it happened, `written` when it was written down."""

    step: Step
    time: str
    written: str
    who: str
    letter: Letter
    text: str
    document: Document | None


class IncidentRecord(Struct, frozen=True, kw_only=True):
    """An incident as it stands. Times are ISO 8601 with microseconds and zone."""

    id: str
    state: State
    kind: Subject
    subject: str
    trunk: str
    rule: str
    opened: str
    closed: str | None
    repeats: str | None
    reached_operator: bool
    quarantine: ShutOff | None
    contract: str
    reading: str
    accrued_microeuros: int
    avoided_microeuros: int
    at_stake_microeuros: int
    costs: tuple[Cost, ...]
    deadlines: tuple[DeadlineRecord, ...]
    events: tuple[EventRecord, ...]


def incident_record(incident: Incident, now: int, zone: tzinfo) -> IncidentRecord:
    """What goes out of an incident at the instant `now` (Unix time, µs)."""
    found = list(costs(incident, now, zone))
    shut = incident.shut_off(now)
    return IncidentRecord(
        id=incident.name,
        state=incident.state,
        kind=incident.subject_kind,
        subject=incident.subject,
        trunk=incident.trunk,
        rule=incident.rule,
        opened=iso(incident.opened, zone),
        closed=iso(incident.closed, zone) if incident.closed is not None else None,
        repeats=f"INC-{incident.repeats}" if incident.repeats else None,
        reached_operator=incident.reached,
        quarantine=None
        if shut is None
        else ShutOff(kind=shut.kind, until=None if shut.until == FOR_GOOD else iso(shut.until, zone)),
        contract=incident.terms.contract,
        reading=incident.terms.reading,
        accrued_microeuros=sum(c.amount for c in found if c.state == "accrued"),
        avoided_microeuros=sum(c.amount for c in found if c.state == "avoided"),
        at_stake_microeuros=at_stake(incident, now, zone),
        costs=tuple(Cost(kind=c.kind, state=c.state, amount_microeuros=c.amount, article=c.article) for c in found),
        deadlines=tuple(
            DeadlineRecord(
                letter=d.clock.letter,
                started=iso(d.started, zone),
                due=iso(d.due, zone),
                met=iso(d.met, zone) if d.met is not None else None,
                missed=d.missed,
                cost_microeuros=d.clock.cost,
                article=d.clock.article,
                says=d.clock.says,
            )
            for d in deadlines(incident, now, zone)
        ),
        events=tuple(
            EventRecord(
                step=e.step,
                time=iso(e.at, zone),
                written=iso(e.written, zone),
                who=e.who,
                letter=e.letter,
                text=e.text,
                document=e.document,
            )
            for e in incident.events
        ),
    )


def masked_incident(record: IncidentRecord) -> IncidentRecord:
    """The same with the numbers in it masked, also those in the names of letters."""
    return replace(record, subject=masked(record.subject), events=tuple(map(_masked_event, record.events)))


def _masked_event(event: EventRecord) -> EventRecord:
    letter = event.document
    if letter is not None:
        letter = replace(letter, name=masked_text(letter.name))
    return replace(event, text=masked_text(event.text), document=letter)
