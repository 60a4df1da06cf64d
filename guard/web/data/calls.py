"""The log of calls, page by page, and one call with all that is known of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from guard.ladder import Step, read
from guard.ledger.incidentrecord import IncidentRecord
from guard.ledger.record import CallRecord
from guard.store.contract import Query
from guard.store.filters import NO_SEQ
from guard.store.reader import Detail, SqliteReader
from guard.store.whole import Whole, masked, whole
from guard.wanted import Mistake, Wanted, query_of
from guard.web import hidden
from guard.web.data import incidents

PAGE: Final = 50  # calls of a page unasked
MAX_PAGE: Final = 500  # and asked for: what the store fetches at a time
RELATED: Final = 5  # calls before and after, by each of what they share
SAME_ID: Final = 20  # records of one Call-ID that are shown: more are a loop, and the filter shows them
NUMBER: Final = re.compile(r"#?([0-9]{1,18})\Z", re.ASCII)  # as the Reason header of a refusal names a record
CURSOR: Final = re.compile(r"[0-9]{1,19}\Z", re.ASCII)
Shared = Literal["caller", "line", "callee"]


class CallPage(Struct, frozen=True, kw_only=True):
    """Calls, the newest first. `older` and `newer` are cursors of the pages beside it, null where the log ends: `newer`
    is only null in an empty log, since calls may come at any time; what it asks for may be empty yet.

    A page may hold fewer calls than asked for, or none, and have an `older` one: looking for what is rare stops after
    so many calls and goes on from there, so that no page takes long.
    """

    calls: tuple[CallRecord, ...]
    older: int | None
    newer: int | None


class Related(Struct, frozen=True, kw_only=True):
    """Calls near one that share its caller, line or callee, the newest first, and the filter that shows them all."""

    by: Shared
    value: str
    calls: tuple[CallRecord, ...]


class CallView(Struct, frozen=True, kw_only=True):
    """One call in full: its record and what was kept beside it; its SIP messages, null where some were left out; other
    records of the same Call-ID; the calls around it; the incident that it belongs to."""

    call: Whole
    steps: tuple[Step | None, ...]
    same: tuple[CallRecord, ...]
    related: tuple[Related, ...]
    incident: IncidentRecord | None


def cursor_of(name: str, text: str | None) -> int | None:
    """A cursor as a page gave it. Raises Mistake for anything else."""
    if text is None:
        return None
    if not CURSOR.match(text) or int(text) >= NO_SEQ:
        raise Mistake(name, "is no cursor of a page: take `older` or `newer` of one as it stands")
    return int(text)


def wanted_query(
    reader: SqliteReader, wanted: Wanted, trunks: Callable[[], frozenset[str]], *, full: bool, privacy: bool
) -> Query:
    """The filters as a query of this log. `full` is whether numbers are shown in full, `privacy` whether its reader may
    see them so. Raises Mistake, Refused (403) for what masks hide."""
    words, by_call = hidden.split(wanted)
    query = query_of(words, reader.zone, reader.names, trunks)
    if not full:
        hidden.check_query(query, privacy=privacy)
    return replace(query, **{field: hidden.value_of(reader, field, seq) for field, seq in by_call.items()})


def page(
    reader: SqliteReader,
    query: Query,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int = PAGE,
    full: bool = False,
) -> CallPage:
    """The newest calls that fit; those `before` a cursor, or the nearest `after` one. Raises Mistake where both are
    given, or for a `limit` that is not from 1 to MAX_PAGE."""
    if before is not None and after is not None:
        raise Mistake("after", "goes on forward and `before` backward: one of them")
    if not 1 <= limit <= MAX_PAGE:
        raise Mistake("limit", f"{limit} is not from 1 to {MAX_PAGE}")
    if after is not None:
        return _forward(reader, query, after, limit, full=full)
    upto = None if before is None else before - 1
    found = reader.search(replace(query, upto=upto, newest_first=True, limit=limit + 1))
    seqs = found.seqs[:limit]
    more = len(found.seqs) > limit
    older = seqs[-1] if more else found.beyond
    newer = seqs[0] if seqs else upto if upto is not None else reader.last_seq()
    return CallPage(calls=shown(reader, seqs, full=full), older=older, newer=newer or None)


def _forward(reader: SqliteReader, query: Query, after: int, limit: int, *, full: bool) -> CallPage:
    found = reader.search(replace(query, after=after, newest_first=False, limit=limit))
    seqs = list(found.seqs)[::-1]
    newer = seqs[0] if len(seqs) == limit else found.beyond or (seqs[0] if seqs else after)
    return CallPage(calls=shown(reader, seqs, full=full), older=after + 1 if after else None, newer=newer or None)


def one(reader: SqliteReader, wanted: str, now: int, *, full: bool = False) -> CallView | None:
    """The call of a Call-ID (its last record), else of a record's number (`#123`); None where there is none."""
    detail = _found(reader, wanted)
    if detail is None:
        return None
    record = detail.record
    same = Query(call_id=record.call_id, all=True, newest_first=True, limit=SAME_ID + 1)
    others = [r for r in reader.records(same) if r.seq != record.seq][:SAME_ID] if record.call_id else []
    found = incidents.of_call(reader, record, now)
    seen = detail if full else masked(detail)
    return CallView(
        call=whole(seen),
        steps=read(detail.end.steps) if detail.end is not None else (),
        same=shown(reader, [r.seq for r in others], full=full),
        related=tuple(r for by in ("caller", "line", "callee") for r in _related(reader, detail, by, full=full)),
        incident=found if full or found is None else incidents.hidden(found),
    )


def _found(reader: SqliteReader, wanted: str) -> Detail | None:
    if wanted:
        named = Query(call_id=wanted, all=True, newest_first=True, limit=1)
        found = next(reader.details(named), None)
        if found is not None:
            return found
    number = NUMBER.match(wanted)
    if number is None:
        return None
    return hidden.detail_of(reader, int(number.group(1)))


def _related(reader: SqliteReader, detail: Detail, by: Shared, *, full: bool) -> list[Related]:
    record = detail.record
    value: str = getattr(record, by)
    if not value or value.endswith("*"):
        return []
    query = {"caller": Query(caller=value, all=True), "line": Query(line=value, all=True)}.get(
        by, Query(callee=value, all=True)
    )
    later = reader.search(replace(query, after=record.seq, limit=RELATED)).seqs
    earlier = reader.search(replace(query, upto=record.seq - 1, newest_first=True, limit=RELATED)).seqs
    seqs = [*reversed(later), *earlier]
    value = getattr(record if full else masked(detail).record, by)
    return [Related(by=by, value=value, calls=shown(reader, seqs, full=full))] if seqs else []


def shown(reader: SqliteReader, seqs: list[int], *, full: bool) -> tuple[CallRecord, ...]:
    """These calls, as they may be seen."""
    details = reader.of(seqs)
    return tuple(d.record if full else masked(d).record for d in details)
