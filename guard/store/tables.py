"""How rows get into the tables of the log: the usual ones straight, many in a statement, the others through the view
`intake`, whose triggers know where each part of them belongs.

Straight takes a quarter less of a whole commit, but three statements instead of one, and for each of them the
interpreter's lock is let go and had again: while a busy loop has it, that is one of Python's turns each time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from time import sleep
from typing import Final, Literal

from msgspec import Struct

from guard.ledger.chain import Kind
from guard.store.migrations import CALL, ENTRY, EXPOSURE, INTAKE, PUT_RUN, RUN_BITS, SLACK

Value = str | int | bytes | None

# Who else is there: nobody; a loop that is made way for; a loop that brings more than can be written, for which the
# thread makes no way, since each turn that it lets go before costs it one of Python's (calls waited a second).
Pace = Literal["alone", "polite", "behind"]

GROUP: Final = 16  # rows in one statement: binding them holds the interpreter
PAUSE: Final = 50e-6  # s: who only lets go of the interpreter has it again before the loop, just woken, is on its way
# Rows in one statement for the view: the smallest that holds them all is taken, and filled up with empty rows, so that
# few statements need preparing and one is enough.
GROUPS: Final = (1, 4, GROUP, 64, 256)
# What stands for None where it is bound, and the columns in which it is made None again: elsewhere nobody looks at it
# (the callers of an end, the outcome of a decision, the money of neither).
ABSENT: Final = ""
ABSENTEES: Final = frozenset({"seq", "call_seq", "rules"})
NO_CALL: Final[tuple[Value, ...]] = (None,) * len(CALL)
NO_EXPOSURE: Final[tuple[Value, ...]] = (None,) * len(EXPOSURE)


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """One entry and what of it goes into the index: `call` are the columns CALL, of a decision; `rules` those that
    spoke, as a JSON array; `exposure` the columns EXPOSURE where there is money."""

    seq: int
    kind: Kind
    call_seq: int | None
    at: int
    body_hash: bytes
    hash: bytes
    salt: bytes
    body: bytes
    call: tuple[Value, ...] = NO_CALL
    rules: str | None = None
    outcome: str | None = None
    exposure: tuple[Value, ...] = NO_EXPOSURE

    @property
    def usual(self) -> bool:
        """Whether no rule spoke, and nothing is owed or spared."""
        return self.rules is None and self.exposure == NO_EXPOSURE


class Tables:
    """The tables of one log. It remembers the times of the last run of entries as `call_runs` has them."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._run = -1
        self._first = self._last = 0

    def forget(self) -> None:
        """The transaction was rolled back: only the file knows."""
        self._run = -1

    def put(self, rows: Sequence[Row], pace: Pace = "alone") -> None:
        """Write rows in their order, all of them or none, and what else this transaction has begun with."""
        size = GROUPS[-1] if pace == "behind" else GROUP
        if len(rows) > size:
            self._begin()
        for start in range(0, len(rows), size):
            if start and pace == "polite":
                sleep(PAUSE)
            group = rows[start : start + size]
            if pace != "behind" and len(group) > 1 and all(row.usual for row in group):
                self._straight(group)
            else:
                through_view(self._db, group)
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _straight(self, rows: Sequence[Row]) -> None:
        """At most GROUP usual rows."""
        self._begin()
        entries: list[Value | bytearray] = []
        calls: list[Value] = []
        ends: list[Value] = []
        for r in rows:
            seq, at = r.seq, r.at
            entries += (
                seq, r.kind, r.call_seq or 0, at,
                bytearray(r.body_hash), bytearray(r.hash), bytearray(r.salt), bytearray(r.body),
            )  # fmt: skip
            if r.kind == "decision":
                calls += (seq, at, *r.call)
                if seq >> RUN_BITS != self._run or not self._first <= at <= self._last:
                    self._widen(seq >> RUN_BITS, at)
            elif r.kind == "end":
                ends += (r.call_seq, seq, at, r.outcome)
        self._db.execute(_entries(len(rows)), entries)
        if calls:
            self._db.execute(_calls(len(calls) // len(_OF_CALL)), calls)
        if ends:
            self._db.execute(_ends(len(ends) // len(_OF_END)), ends)
        self._db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (rows[-1].seq, bytearray(rows[-1].hash)))

    def _widen(self, run: int, at: int) -> None:
        self._db.execute(PUT_RUN, (run, at, at + SLACK))
        self._first = min(self._first, at) if run == self._run else at
        self._last = max(self._last, at + SLACK) if run == self._run else at + SLACK
        self._run = run


def through_view(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Hand rows to the view `intake`, as many as GROUPS has at most, in one statement."""
    size = next(g for g in GROUPS if g >= len(rows))
    values = [_bound(value) for row in rows for value in _columns(row)]
    values.extend(ABSENT for _ in range(len(INTAKE) * (size - len(rows))))
    db.execute(_into_view(size), values)


def _columns(r: Row) -> tuple[Value, ...]:
    """The columns INTAKE."""
    entry = (r.seq, r.kind, r.call_seq, r.at, r.body_hash, r.hash, r.salt, r.body)
    return (*entry, *r.call, r.rules, r.outcome, *r.exposure)


def _bound(value: Value) -> int | str | bytearray:
    """A value as sqlite3 binds it quickest: for None and for bytes it asks around for an adapter each time (3 300
    instructions, a third of all that a commit costs)."""
    if value is None:
        return ABSENT
    return bytearray(value) if isinstance(value, bytes) else value


_OF_CALL: Final = ("seq", "at", *CALL)
_OF_END: Final = ("call_seq", "seq", "at", "outcome")


def _marks(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


@lru_cache(maxsize=GROUP)
def _entries(rows: int) -> str:
    taken = ", ".join(f"nullif(column{n + 1}, 0)" if c == "call_seq" else f"column{n + 1}" for n, c in enumerate(ENTRY))
    return f"INSERT INTO entries({', '.join(ENTRY)}) SELECT {taken} FROM (VALUES {_marks(len(ENTRY), rows)})"


@lru_cache(maxsize=GROUP)
def _calls(rows: int) -> str:
    return f"INSERT INTO calls({', '.join(_OF_CALL)}) VALUES {_marks(len(_OF_CALL), rows)}"


@lru_cache(maxsize=GROUP)
def _ends(rows: int) -> str:
    # a second end of one call stays in the log and out of the index
    return f"INSERT OR IGNORE INTO ends({', '.join(_OF_END)}) VALUES {_marks(len(_OF_END), rows)}"


@lru_cache(maxsize=len(GROUPS))
def _into_view(rows: int) -> str:
    taken = (f"nullif(column{n + 1}, '')" if c in ABSENTEES else f"column{n + 1}" for n, c in enumerate(INTAKE))
    return f"INSERT INTO intake SELECT {', '.join(taken)} FROM (VALUES {_marks(len(INTAKE), rows)})"
