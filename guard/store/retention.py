"""What is due to be erased: by age, or because it is about one number. Only reads; the writer erases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from guard.ledger.record import DecisionBody
from guard.numbering.number import Dial, normalise
from guard.store.erasing import PURGED
from guard.store.errors import StoreError
from guard.store.reader import Detail, SqliteReader
from guard.store.sqlite import ERASE_LIMIT

DAY: Final = 86_400_000_000  # microseconds
SIGNIFICANT: Final = 9  # last digits by which a number is looked for in bodies: those of a French one without its 0
_DIAL: Final = Dial()
_DECISION: Final = msgspec.json.Decoder(DecisionBody)


class Due(Struct, frozen=True, kw_only=True):
    """What retention asks for: entries after `first`, before `end`; keys of months before `forget` may go."""

    first: int
    end: int
    forget: str


def due(reader: SqliteReader, now: int, days: int) -> Due:
    """What is older than so many days at the instant `now` (Unix time, microseconds).

    A run from the beginning of the log: up to the first entry that is young enough. So an entry that a clock that had
    jumped back called old is not erased before what was written before it; and one that a clock that had jumped
    forward called young does not keep all after it for ever.
    """
    cutoff = now - days * DAY
    marks = reader.fetch("SELECT value FROM marks WHERE name = ?", (PURGED,)) if reader.has("marks") else []
    first = int(marks[0][0]) if marks else 0
    young = reader.fetch(
        "SELECT seq FROM entries WHERE seq > ? AND at >= ? AND at <= ? ORDER BY seq LIMIT 1", (first, cutoff, now)
    )
    end = int(young[0][0]) if young else reader.last_seq() + 1
    # One month of room: a billing month begins in the site's zone, this one in UTC.
    month = datetime.fromtimestamp(max(cutoff, 0) // 1_000_000, UTC).replace(day=1) - timedelta(days=1)
    return Due(first=first, end=max(end, first + 1), forget=month.strftime("%Y-%m"))


_KEPT: Final = "FROM entries WHERE seq > ? AND seq < ? AND body IS NOT NULL AND kind IN ('decision', 'end')"


def count(reader: SqliteReader, wanted: Due) -> tuple[int, int]:
    """How many calls, and how many entries in all, are due."""
    rows = reader.fetch(f"SELECT sum(kind = 'decision'), count(*) {_KEPT}", (wanted.first, wanted.end))
    return (int(rows[0][0] or 0), int(rows[0][1])) if rows else (0, 0)


def slices(reader: SqliteReader, wanted: Due) -> Iterator[tuple[tuple[int, ...], int]]:
    """The entries that are due, some at a time, each with the mark of how far that comes."""
    after = wanted.first
    sql = f"SELECT seq {_KEPT} ORDER BY seq LIMIT ?"
    while rows := reader.fetch(sql, (after, wanted.end, ERASE_LIMIT)):
        seqs = tuple(int(row[0]) for row in rows)
        after = seqs[-1]
        yield seqs, after


class About(Struct, frozen=True, kw_only=True):
    """One call that a number is part of, with the entries that say so: its decision and its end."""

    detail: Detail
    seqs: tuple[int, ...]


def about(reader: SqliteReader, number: str, advance: Callable[[int, int], None]) -> Iterator[About]:
    """The calls that a number (E.164, or short) is part of, wherever it stands: as caller, as presented, as callee, in
    another identity that was asserted, as who forwarded, as a line. `advance` hears (entry, of how many).

    Every body is looked at: an index of the numbers in identities is not worth its place for what is asked so rarely.
    """
    digits = number.removeprefix("+")[-SIGNIFICANT:].encode()
    last = reader.last_seq()
    after = 0
    sql = (
        "SELECT seq, body FROM entries WHERE seq > ? AND seq <= ? AND kind = 'decision' AND body IS NOT NULL"
        " AND instr(body, ?) > 0 ORDER BY seq LIMIT ?"
    )
    step = ERASE_LIMIT * 20
    while after < last:
        upto = min(after + step, last)
        found = []
        while rows := reader.fetch(sql, (after, upto, digits, ERASE_LIMIT)):
            after = int(rows[-1][0])
            found += [int(seq) for seq, body in rows if _names(reader.path, seq, body, number)]
        after = upto
        for detail in reader.of(found):
            seqs = (detail.record.seq, detail.end_seq) if detail.end_seq else (detail.record.seq,)
            yield About(detail=detail, seqs=seqs)
        advance(after, last)


def names(body: DecisionBody, number: str) -> bool:
    """Whether a decision's body names a number: as what was received was understood, or as it was dialled."""
    texts = [body.caller, body.callee, body.presented, body.line, body.money.number, *body.masked_numbers]
    texts += [i.value or i.raw for i in body.identities]
    texts += [str(v) for f in body.findings for v in f.facts.values()]
    return any(text == number or (text and normalise(text, _DIAL).value == number) for text in set(texts))


def _names(path: str, seq: int, body: bytes, number: str) -> bool:
    try:
        return names(_DECISION.decode(body), number)
    except msgspec.DecodeError as error:
        text = f"{path}: entry {seq} cannot be read ({error}); `guard log --verify` tells what was changed"
        raise StoreError(text) from error
