"""A log that goes away again: what `guard replay` writes where nobody asked to keep it.

The same entries under the same hashes, but nobody waits for one and nobody reads beside: so there is no thread of its
own, which would take turns with the caller's at the interpreter, and no index. Whoever hands an entry over writes all
that wait once they are `BATCH`. It is read in its order, as the records of a whole replay are.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence

from guard.ledger.penalties import Figures
from guard.ledger.record import MS
from guard.model import CallAttempt, CallEnded, Decision, Outcome
from guard.store.entries import Decided, Done, Entry
from guard.store.errors import StoreError
from guard.store.migrations import CALL, ENTRY, INTAKE, SEARCHED
from guard.store.rows import Row, commit, through_view
from guard.store.sqlite import BATCH, FLUSH_PATIENCE, SqliteWriter

_KIND, _CALL_SEQ, _AT, _HASH = (ENTRY.index(name) for name in ("kind", "call_seq", "at", "hash"))
_OF_CALL = slice(len(ENTRY), len(ENTRY) + len(CALL))
_RULES, _OUTCOME, _ACCRUED, _AVOIDED = (INTAKE.index(name) for name in ("rules", "outcome", "accrued", "avoided"))


def _into(table: str, columns: tuple[str, ...]) -> str:
    return f"INTO {table}({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


_INTO_ENTRIES = "INSERT " + _into("entries", ENTRY)
_INTO_CALLS = "INSERT " + _into("calls", ("seq", "at", *CALL))
# Of a call that ended twice the first counts.
_INTO_ENDS = "INSERT OR IGNORE " + _into("ends", ("call_seq", "seq", "at", "outcome"))


class PassingLog(SqliteWriter):
    """Writes the log at `path`, a file of no other use, on the thread that hands over. Salts are all alike, so that the
    same calls make the same hashes. StoreError when the disk refuses: what it refused is tried again with the next."""

    def __init__(self, path: str | os.PathLike[str], *, site: str, money: Mapping[str, Figures] | None = None) -> None:
        super().__init__(path, site=site, money=money, queue_limit=BATCH, overflow="wait", salts=bytes)

    def flush(self, timeout: float = FLUSH_PATIENCE) -> None:
        """Write all that was taken, now. StoreError when the disk refuses it."""
        del timeout  # nobody else is waited for
        while self._backlog:
            if not self._commit():
                raise StoreError(f"{self.path}: {self.last_error}")

    def _begin(self) -> None:
        self._db.execute("PRAGMA synchronous = OFF")
        indexes = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        for (name,) in indexes:
            self._db.execute(f"DROP INDEX {name}")

    def _finish(self) -> None:
        while self._backlog:
            if not self._commit():
                return
        self._db.execute("DELETE FROM call_spans")
        self._db.execute(SEARCHED[0])  # the times of each run of entries, at once

    def _hand_over(self, entry: Entry, *, urgent: bool) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: the log is closed")
        self._taken += 1
        self._backlog.append(entry)
        if urgent:
            self.flush()

    def _transaction(self, batch: list[Entry]) -> None:
        self._tip = commit(self._db, self._builder, batch, self._tip, put)


class SummedLog(PassingLog):
    """The same where only the sums are asked for: an allowed call of which no rule said anything is counted, and not
    written. Its entries have their numbers all the same.

    `allowed` are those calls, `held` how many of them waited for a place, for as long as a record tells, and `outcomes`
    how they ended (None: they did not).
    """

    def __init__(self, path: str | os.PathLike[str], *, site: str, money: Mapping[str, Figures] | None = None) -> None:
        super().__init__(path, site=site, money=money)
        self.allowed = self.held = 0
        self.outcomes: dict[Outcome | None, int] = {}
        self._open: dict[int, Decided] = {}  # until they end: as many as the observer follows

    def decided(self, call: CallAttempt, decision: Decision, done: Done | None) -> int:
        """See `contract.Writer`."""
        if decision.verdict != "allowed" or decision.findings or done is not None:
            return super().decided(call, decision, done)
        self._seq = seq = self._seq + 1
        self._open[seq] = Decided(seq=seq, call=call, decision=decision, done=None)
        return seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        """See `contract.Writer`."""
        silent = self._open.pop(seq, None)
        if silent is not None and ended.findings:
            self._hand_over(silent, urgent=False)
        elif silent is not None:
            self._seq += 1
            self._count(silent, ended.outcome)
            return
        super().ended(seq, ended)

    def _finish(self) -> None:
        for silent in self._open.values():
            self._count(silent, None)
        self._open.clear()
        super()._finish()

    def _count(self, silent: Decided, outcome: Outcome | None) -> None:
        self.allowed += 1
        self.held += silent.decision.held_us >= MS
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def put(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write rows, all of them or none: the usual ones straight into their tables, in less than half the time, and those
    with rules or money through the view `intake`, which knows where their parts belong."""
    if not rows:
        return
    if not db.in_transaction:
        db.execute("BEGIN IMMEDIATE")
    usual = [r for r in rows if r[_RULES] is None and not r[_ACCRUED] and not r[_AVOIDED]]
    decisions = [(r[0], r[_AT], *r[_OF_CALL]) for r in usual if r[_KIND] == "decision"]
    ends = [(r[_CALL_SEQ], r[0], r[_AT], r[_OUTCOME]) for r in usual if r[_KIND] == "end"]
    db.executemany(_INTO_ENTRIES, [r[: len(ENTRY)] for r in usual])
    db.executemany(_INTO_CALLS, decisions)
    db.executemany(_INTO_ENDS, ends)
    through_view(db, [r for r in rows if r[_RULES] is not None or r[_ACCRUED] or r[_AVOIDED]])
    db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (rows[-1][0], rows[-1][_HASH]))
    db.execute("COMMIT")
