"""Reads the log of another process (or of this one) while it is being written."""

from __future__ import annotations

import os
import sqlite3
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Self
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from guard.ledger.penalties import Exposure
from guard.ledger.record import CallRecord, DecisionBody, EndBody, to_record
from guard.store.contract import Query
from guard.store.schema import explained, open_reader, user_version

PAGE = 500  # records fetched at a time: no read transaction lasts longer, so a slow consumer never holds up the WAL
PREFIX_END = "\U0010ffff"  # sorts after every character: prefix <= x < prefix + this

_DECISION = msgspec.json.Decoder(DecisionBody)
_END = msgspec.json.Decoder(EndBody)

Value = str | int


class Detail(Struct, frozen=True, kw_only=True):
    """One call as `guard explain` shows it: the record, and all that was kept of it."""

    record: CallRecord
    body: DecisionBody
    end: EndBody | None


class SqliteReader:
    """Reads the log at `path`; times come out in `timezone`. StoreError, naming the file, where it cannot.

    A log that is just being made has no records yet. A record whose body was erased no longer comes out.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        timezone: str = "Europe/Paris",
        shared: tuple[sqlite3.Connection, threading.Lock] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.zone = ZoneInfo(timezone)
        self._own = shared is None
        self._lock = shared[1] if shared else nullcontext()
        self._db = shared[0] if shared else open_reader(self.path)
        self._made = False

    def records(self, query: Query) -> Iterator[CallRecord]:
        """Records that fit, by rising seq (or falling with `newest_first`); `limit` takes the first of that order."""
        return (d.record for d in self.details(query))

    def details(self, query: Query) -> Iterator[Detail]:
        """The same with all that was kept of each call."""
        found = self._seqs(query)
        for start in range(0, len(found), PAGE):
            yield from self._page(found[start : start + PAGE])

    def exposures(self, since: int, until: int) -> Iterator[Exposure]:
        """The money of the calls from `since` until before `until` (Unix time, microseconds), by rising seq."""
        after = 0
        sql = (
            "SELECT seq, at, trunk, line, number, fined_rule, accrued, avoided, counted, contract, reading FROM exposures"
            " WHERE at >= ? AND at < ? AND seq > ? ORDER BY seq LIMIT ?"
        )
        while rows := self._fetch(sql, (since, until, after, PAGE)):
            after = rows[-1][0]
            for row in rows:
                yield _exposure(row)

    def last_seq(self) -> int:
        """The last entry's seq, 0 for an empty log: what to follow from."""
        rows = self._fetch("SELECT max(seq) FROM entries", ())
        return (rows[0][0] or 0) if rows else 0

    def version(self) -> int:
        """A number that changes when another process has committed: cheap to ask, again and again."""
        rows = self._fetch("PRAGMA data_version", (), made=False)
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
        sql, values = select(query)
        found: array[int] = array("q")
        found.extend(row[0] for row in self._fetch(sql, values))
        return found

    def _page(self, seqs: Sequence[int]) -> Iterator[Detail]:
        marks = ",".join("?" * len(seqs))
        sql = (
            "SELECT d.seq, d.hash, d.body, e.body FROM entries d LEFT JOIN ends x ON x.call_seq = d.seq"
            f" LEFT JOIN entries e ON e.seq = x.seq WHERE d.seq IN ({marks})"
        )
        rows = {row[0]: row for row in self._fetch(sql, tuple(seqs))}
        for seq in seqs:
            _, digest, decided, ended = rows.get(seq, (0, b"", None, None))
            if decided is not None:
                body = _DECISION.decode(decided)
                end = _END.decode(ended) if ended is not None else None
                yield Detail(record=to_record(seq, digest, body, end, self.zone), body=body, end=end)

    def _fetch(self, sql: str, values: Sequence[Value], *, made: bool = True) -> list[tuple]:  # type: ignore[type-arg]
        try:
            with self._lock:
                if made and not self._made:
                    self._made = user_version(self._db) > 0
                    if not self._made:
                        return []
                return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise explained(self.path, error) from error


def _exposure(row: tuple) -> Exposure:  # type: ignore[type-arg]
    _, at, trunk, line, number, rule, accrued, avoided, counted, contract, reading = row
    return Exposure(
        at=at,
        trunk=trunk,
        line=line,
        number=number,
        rule=rule,
        accrued=accrued,
        avoided=avoided,
        counted=counted,
        contract=contract,
        reading=reading,
    )


def select(query: Query) -> tuple[str, tuple[Value, ...]]:
    """The statement that finds the seqs of the calls that fit, and its values."""
    where: list[str] = []
    values: list[Value] = []

    def add(condition: str, *given: Value) -> None:
        where.append(condition)
        values.extend(given)

    if query.after:
        add("seq > ?", query.after)
    if query.since is not None:
        # the range of seqs first, from the index of times alone: it keeps the order that the limit needs
        add("seq >= (SELECT ifnull(min(seq), 0) FROM calls WHERE at >= ?) AND at >= ?", query.since, query.since)
    if query.until is not None:
        add("at < ?", query.until)
    if query.verdict is not None:
        add("verdict = ?", query.verdict)
    if not query.all and query.verdict != "allowed":
        add("verdict <> 'allowed'")
    for column in ("trunk", "line", "call_id", "direction"):
        if value := getattr(query, column):
            add(f"{column} = ?", value)
    if query.rule:
        condition, given = _matches("rule", query.rule)
        add(f"seq IN (SELECT seq FROM call_rules WHERE {condition})", *given)
    if query.callee:
        condition, given = _matches("callee", query.callee)
        add(condition, *given)
    if query.caller:
        caller, given = _matches("caller", query.caller)
        presented, _ = _matches("presented", query.caller)
        add(
            f"seq IN (SELECT seq FROM calls WHERE {caller}"
            f" UNION ALL SELECT seq FROM calls WHERE {presented} AND presented <> caller)",
            *given,
            *given,
        )
    sql = f"SELECT seq FROM calls WHERE {' AND '.join(where) or '1'} ORDER BY seq"
    if query.newest_first:
        sql += " DESC"
    if query.limit is not None:
        sql += " LIMIT ?"
        values.append(query.limit)
    return sql, tuple(values)


def _matches(column: str, pattern: str) -> tuple[str, tuple[Value, ...]]:
    if pattern.endswith("*"):
        return f"{column} >= ? AND {column} < ?", (pattern[:-1], pattern[:-1] + PREFIX_END)
    return f"{column} = ?", (pattern,)
