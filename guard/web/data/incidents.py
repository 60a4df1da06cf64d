"""Incidents with their deadlines and what a missed step costs, as the books beside the log have them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from guard.ledger.incidentrecord import IncidentRecord, incident_record, masked_incident
from guard.ledger.incidents import STEPS, Incident, Step, deadlines
from guard.ledger.masking import masked
from guard.ledger.record import CallRecord
from guard.store.books import Books
from guard.store.reader import SqliteReader

PAGE: Final = 50  # incidents of a page unasked
MAX_PAGE: Final = 200
FAR: Final = 1 << 62  # later than any deadline


class IncidentPage(Struct, frozen=True, kw_only=True):
    """Incidents, the nearest deadline that still runs first; `more` is how many there are beyond this page, `open` how
    many are not closed in all, `missed` of how many of them a deadline has passed unmet."""

    incidents: tuple[IncidentRecord, ...]
    start: int
    more: int
    open: int
    missed: int


class IncidentView(Struct, frozen=True, kw_only=True):
    """One incident, and the steps that can be taken now."""

    incident: IncidentRecord
    can: tuple[Step, ...]


def page(
    reader: SqliteReader, now: int, *, closed: bool = False, start: int = 0, limit: int = PAGE, full: bool = False
) -> IncidentPage:
    """What is open, with `closed` all there is; from the `start`th on, `limit` at most (1 to MAX_PAGE)."""
    with Books(reader.path, reader.zone) as books:
        every = list(books.incidents().values())
    live = [i for i in every if i.live]
    found = sorted(every if closed else live, key=lambda i: (_next(reader, i, now), -i.id))
    start, limit = max(start, 0), min(max(limit, 1), MAX_PAGE)
    shown = found[start : start + limit]
    return IncidentPage(
        incidents=tuple(_record(reader, i, now, full=full) for i in shown),
        start=start,
        more=max(0, len(found) - start - len(shown)),
        open=len(live),
        missed=sum(any(d.missed and d.met is None for d in deadlines(i, now, reader.zone)) for i in live),
    )


def one(reader: SqliteReader, wanted: int, now: int, *, full: bool = False) -> IncidentView | None:
    """The incident of a number (12 for INC-12); None where there is none."""
    with Books(reader.path, reader.zone) as books:
        found = books.incidents().get(wanted)
    if found is None:
        return None
    return IncidentView(incident=_record(reader, found, now, full=full), can=tuple(STEPS[found.state]))


def of_line(reader: SqliteReader, source: str, line: str, now: int, *, full: bool = False) -> list[IncidentRecord]:
    """The incidents of a line, the newest first."""
    with Books(reader.path, reader.zone) as books:
        every = list(books.incidents().values())
    names = {line, f"{source}/{line}"}
    mine = [i for i in every if i.subject_kind == "line" and i.subject in names]
    return [_record(reader, i, now, full=full) for i in reversed(mine)]


def of_call(reader: SqliteReader, record: CallRecord, now: int) -> IncidentRecord | None:
    """The incident that a call belongs to: of its caller, service, line, source or trunk, of a rule that spoke, opened
    before the call was over long; an open one before a closed one, then the newest. Numbers are in full."""
    rules = {f.rule for f in record.findings}
    if not rules:
        return None
    subjects = {
        "number": {record.caller, record.presented},
        "sva": {record.callee, record.caller, record.presented},
        "line": {record.line, f"{record.source}/{record.line}"},
        "source": {record.source},
        "trunk": {record.trunk},
        "invoice": set(),
    }
    with Books(reader.path, reader.zone) as books:
        every = list(books.incidents().values())
    mine = [
        i
        for i in every
        if i.subject in subjects[i.subject_kind] and i.subject and i.trunk in {record.trunk, ""} and i.rule in rules
    ]
    best = max(mine, key=lambda i: (i.live, i.id), default=None)
    return _record(reader, best, now, full=True) if best is not None else None


def hidden(record: IncidentRecord) -> IncidentRecord:
    """The same with its numbers masked; a line's name too, where it is a number."""
    return masked_incident(record)


def shown(number: str, *, full: bool) -> str:
    """A number, or a line that may be one, as it is shown."""
    return number if full else masked(number)


def _record(reader: SqliteReader, incident: Incident, now: int, *, full: bool) -> IncidentRecord:
    record = incident_record(incident, now, reader.zone)
    return record if full else masked_incident(record)


def _next(reader: SqliteReader, incident: Incident, now: int) -> int:
    due = [d.due for d in deadlines(incident, now, reader.zone) if d.met is None]
    return min(due, default=FAR) if incident.live else FAR + 1
