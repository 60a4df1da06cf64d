"""Reads the log of another process (or of this one) while it is being written."""

from __future__ import annotations

import os
import sqlite3
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from guard.ledger.late import whole_money
from guard.ledger.penalties import Exposure
from guard.ledger.record import CallRecord, DecisionBody, EndBody, Money, to_record
from guard.store.contract import Query
from guard.store.erasing import PREFIX, token
from guard.store.errors import StoreError
from guard.store.filters import NO_SEQ, PREFIX_END, Value, matches, names, select
from guard.store.schema import explained, open_reader, user_version
from guard.store.searching import Found, Search

Row = tuple[Any, ...]  # what SQLite gives for a row: its types are those of the statement

PAGE = 500  # records fetched at a time: no read transaction lasts longer, so a slow consumer never holds up the WAL

_DECISION = msgspec.json.Decoder(DecisionBody)
_END = msgspec.json.Decoder(EndBody)


class Detail(Struct, frozen=True, kw_only=True):
    """One call as `guard explain` shows it: the record, and all that was kept of it; `end_seq` 0 while it goes on."""

    record: CallRecord
    body: DecisionBody
    end: EndBody | None
    end_seq: int

    @property
    def money(self) -> Money:
        """What the call costs: what its decision says, and what was found when it was over."""
        return whole_money(self.body, self.end)


class EntryNote(Struct, frozen=True, kw_only=True):
    """One entry of the log as it is kept: `call` is the decision's seq where it is an end; no `body` when erased."""

    kind: str
    call: int | None
    body: bytes | None


class SqliteReader:
    """Reads the log at `path`; times come out in `timezone`. StoreError, naming the file, where it cannot.

    A log that is just being made has no records yet. A record whose body was erased no longer comes out. `view` makes
    of each call what may be seen of it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        timezone: str = "Europe/Paris",
        shared: tuple[sqlite3.Connection, threading.Lock] | None = None,
        view: Callable[[Detail], Detail] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.zone = ZoneInfo(timezone)
        self._own = shared is None
        self._lock = shared[1] if shared else nullcontext()
        self._db = shared[0] if shared else open_reader(self.path)
        self._made = False
        self._parted = False
        self._view = view

    def records(self, query: Query) -> Iterator[CallRecord]:
        """Records that fit, by rising seq (or falling with `newest_first`); `limit` takes the first of that order."""
        return (d.record for d in self.details(query))

    def details(self, query: Query) -> Iterator[Detail]:
        """The same with all that was kept of each call."""
        yield from self.of(self._seqs(query))

    def of(self, seqs: Sequence[int]) -> Iterator[Detail]:
        """The calls whose decisions are these entries, in this order."""
        for start in range(0, len(seqs), PAGE):
            yield from self._page(seqs[start : start + PAGE])

    def standing(self, seqs: Sequence[int]) -> dict[int, tuple[str, bool]]:
        """By the entries of their decisions, but for those that were erased: Call-IDs, and whether the calls are
        over. Tens of thousands are asked for at once, so no body is read."""
        found: dict[int, tuple[str, bool]] = {}
        for start in range(0, len(seqs), PAGE):
            page = tuple(seqs[start : start + PAGE])
            rows = self.fetch(
                "SELECT d.seq, c.call_id, x.seq IS NOT NULL FROM entries d JOIN calls c ON c.seq = d.seq"
                " LEFT JOIN ends x ON x.call_seq = d.seq WHERE d.kind = 'decision' AND d.body IS NOT NULL"
                f" AND d.seq IN ({','.join('?' * len(page))})",
                page,
            )
            found |= {seq: (call_id, bool(over)) for seq, call_id, over in rows}
        return found

    def search(self, query: Query) -> Found:
        """The seqs of what fits, in the order asked for: `limit` of them (PAGE where it says none) or fewer, as Found
        tells. No search takes long, whatever it is for."""
        limit = PAGE if query.limit is None else query.limit
        if self._searches(query):
            return Search(self.fetch, query, lambda: self.names("rule")).run(limit)
        sql, values = select(msgspec.structs.replace(query, limit=limit))
        return Found([row[0] for row in self.fetch(sql, values)], None)

    def parted(self) -> bool:
        """Whether the log's indexes are parted by runs, as searches need it: not in one of an older guard that nobody
        writes to any more."""
        self._parted = self._parted or self.has("call_runs")  # an upgrade may come while we read
        return self._parted

    def calls(self) -> tuple[str, str]:
        """What a statement selects calls `c` of one line or Call-ID from, and what it orders by before `c.seq`."""
        return ("call_runs r CROSS JOIN calls c ON c.run = r.run", "r.run") if self.parted() else ("calls c", "c.seq")

    def _searches(self, query: Query) -> bool:
        return query.ended is None and self.parted()

    def exposures(self, since: int, until: int) -> Iterator[Exposure]:
        """The money of the calls from `since` until before `until` (Unix time, microseconds), by rising seq.

        In place of a number that was erased stands its token; so too where only some of its calls were, lest one
        number be taken for two.
        """
        after = 0
        sql = (
            "SELECT seq, at, trunk, line, number, fined_rule, accrued, avoided, per_number, contract, reading"
            " FROM exposures WHERE at >= ? AND at < ? AND seq > ? ORDER BY seq LIMIT ?"
        )
        same = self._tokens(since, until)
        while rows := self.fetch(sql, (since, until, after, PAGE)):
            after = rows[-1][0]
            for row in rows:
                yield _exposure(row, same.get(row[0]) or row[4])

    def _tokens(self, since: int, until: int) -> dict[int, str]:
        """The tokens of numbers that stand under their token elsewhere, by the seqs where they do not."""
        span = "x.at >= ? AND x.at < ? AND x.per_number > 0"
        found = self.fetch(
            f"SELECT DISTINCT number FROM exposures x WHERE {span} AND number >= ? AND number < ?",
            (since, until, PREFIX, PREFIX + PREFIX_END),
        )
        if not found:
            return {}
        erased = {row[0] for row in found}
        keys: dict[str, bytes] = dict(self.fetch("SELECT period, key FROM token_keys"))
        rows = self.fetch(
            f"SELECT x.seq, f.period, x.number FROM exposures x JOIN fined_numbers f ON f.seq = x.seq WHERE {span}",
            (since, until),
        )
        made = {seq: token(keys[period], number) for seq, period, number in rows if period in keys}
        return {seq: one for seq, one in made.items() if one in erased}

    def count(self, query: Query) -> int:
        """How many records fit, whatever the limit."""
        if self._walks(query):
            return sum(1 for _ in self._searched(query, NO_SEQ))
        sql, values = select(msgspec.structs.replace(query, limit=None))
        rows = self.fetch(f"SELECT count(*) FROM ({sql})", values)
        return int(rows[0][0]) if rows else 0

    def _walks(self, query: Query) -> bool:
        """Whether all that fit have to be searched for: no index of the whole log has the column."""
        return self._searches(query) and bool(query.caller or query.callee or query.line or query.call_id)

    def fitting(self, query: Query, most: int) -> tuple[int, bool]:
        """How many records fit, whatever the limit, and whether that is all of them: it is counted up to about `most`,
        and not for long."""
        if not self._searches(query):
            return self.count(query), True
        found = self.search(msgspec.structs.replace(query, limit=most + 1))
        if query.limit is not None and found.beyond is not None:  # at least what is shown, however rare it is
            shown = sum(1 for _ in self._searched(query, query.limit + 1))
            return max(len(found.seqs), min(shown, query.limit)), shown <= query.limit
        return min(len(found.seqs), most), found.beyond is None and len(found.seqs) <= most

    def names(self, what: Literal["rule", "trunk"]) -> frozenset[str]:
        """The rules, or the trunks, that any record of this log names."""
        sql = names(what, "call_rules" if what == "rule" else "calls")
        return frozenset(row[0] for row in self.fetch(sql, ()))

    def call_ids(self, beginning: str, limit: int) -> list[str]:
        """Call-IDs that begin so, for a person who has only the first part of one."""
        condition, given = matches("c.call_id", beginning + "*")
        calls, _ = self.calls()
        sql = f"SELECT DISTINCT c.call_id FROM {calls} WHERE {condition} LIMIT ?"
        return sorted(row[0] for row in self.fetch(sql, (*given, limit)))

    def entry(self, seq: int) -> EntryNote | None:
        """What entry `seq` is, whatever its kind; None when there is none."""
        rows = self.fetch("SELECT kind, call_seq, body FROM entries WHERE seq = ?", (seq,))
        return EntryNote(kind=rows[0][0], call=rows[0][1], body=rows[0][2]) if rows else None

    def has(self, table: str) -> bool:
        """Whether the log has a table: one of an older guard, or just being made, may not."""
        return bool(self.fetch("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)))

    def last_seq(self) -> int:
        """The last entry's seq, 0 for an empty log: what to follow from."""
        rows = self.fetch("SELECT max(seq) FROM entries", ())
        return (rows[0][0] or 0) if rows else 0

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read within is of one instant. Not for long: what is written meanwhile piles up in the WAL."""
        self.fetch("BEGIN", made=False)
        try:
            yield
        finally:
            self.fetch("ROLLBACK", made=False)

    def version(self) -> int:
        """A number that changes when another process has committed: cheap to ask, again and again."""
        rows = self.fetch("PRAGMA data_version", (), made=False)
        return int(rows[0][0])

    def close(self) -> None:
        """Let go of the file."""
        if self._own:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _seqs(self, query: Query) -> array[int]:
        """All that fit, as seqs: eight bytes each, so a page can be fetched later without asking again."""
        found: array[int] = array("q")
        if (query.limit is not None and self._searches(query)) or self._walks(query):
            found.extend(self._searched(query, NO_SEQ if query.limit is None else query.limit))
        else:
            sql, values = select(query)
            found.extend(row[0] for row in self.fetch(sql, values))
        if query.tail:
            found.reverse()
        return found

    def _searched(self, query: Query, limit: int) -> Iterator[int]:
        """The first `limit`, however often the search is broken off."""
        falling = query.newest_first or query.tail
        while limit:
            found = self.search(msgspec.structs.replace(query, limit=limit))
            yield from found.seqs
            limit -= len(found.seqs)
            if found.beyond is None:
                return
            beyond = found.beyond
            query = msgspec.structs.replace(query, **({"upto": beyond - 1} if falling else {"after": beyond}))

    def _page(self, seqs: Sequence[int]) -> Iterator[Detail]:
        marks = ",".join("?" * len(seqs))
        sql = (
            "SELECT d.seq, d.hash, d.body, e.body, e.seq FROM entries d LEFT JOIN ends x ON x.call_seq = d.seq"
            f" LEFT JOIN entries e ON e.seq = x.seq WHERE d.kind = 'decision' AND d.seq IN ({marks})"
        )
        rows = {row[0]: row for row in self.fetch(sql, tuple(seqs))}
        for seq in seqs:
            _, digest, decided, ended, end_seq = rows.get(seq, (0, b"", None, None, None))
            if decided is not None:
                body, end = self._bodies(seq, decided, ended)
                record = to_record(seq, digest, body, end, self.zone)
                detail = Detail(record=record, body=body, end=end, end_seq=end_seq or 0)
                yield self._view(detail) if self._view is not None else detail

    def _bodies(self, seq: int, decided: bytes, ended: bytes | None) -> tuple[DecisionBody, EndBody | None]:
        try:
            return _DECISION.decode(decided), _END.decode(ended) if ended is not None else None
        except (msgspec.DecodeError, TypeError) as error:
            raise StoreError(
                f"{self.path}: entry {seq} cannot be read ({error}); `guard log --verify` tells what was changed"
            ) from error

    def fetch(self, sql: str, values: Sequence[Value] = (), *, made: bool = True) -> list[Row]:
        """Rows of a statement, all at once; none of a log that is still being made. For this package only."""
        try:
            with self._lock:
                if made and not self._made:
                    self._made = user_version(self._db) > 0
                    if not self._made:
                        return []
                return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise explained(self.path, error) from error


def _exposure(row: Row, number: str) -> Exposure:
    seq, at, trunk, line, _, rule, accrued, avoided, per_number, contract, reading = row
    return Exposure(
        at=at,
        trunk=trunk,
        line=line,
        number=number,
        rule=rule,
        accrued=accrued,
        avoided=avoided,
        per_number=per_number,
        contract=contract,
        reading=reading,
        seq=seq,
    )
