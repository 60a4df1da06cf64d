"""From entries handed over to the rows that are written: encoding, hashing, money. All in the writer's thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from guard.ledger import chain
from guard.ledger.penalties import Figures, Stake, assess
from guard.ledger.record import (
    NO_MONEY,
    DecisionBody,
    LostBody,
    Money,
    decision_body,
    encode,
    end_body,
)
from guard.model import CallAttempt, CallEnded, Decision

Done = Callable[[BaseException | None], None]
Value = str | int | bytes | None
Row = tuple[Value, ...]

FINED_CACHE = 4096  # numbers whose penalties are remembered as counted, so that a flood from one asks the file once
# Rows in one statement, largest first: one statement is one hand-over of the interpreter's lock to the network's
# thread and back, which under load costs far more than the row itself.
GROUPS = (64, 16, 4, 1)


class Decided(Struct, kw_only=True):
    """A decision handed over, not yet on disk."""

    seq: int
    call: CallAttempt
    decision: Decision
    done: Done | None


class Ended(Struct, kw_only=True):
    """An end handed over; `call` is its decision's seq."""

    seq: int
    call: int
    ended: CallEnded
    done: Done | None = None


class Lost(Struct, kw_only=True):
    """A note of entries that could not be kept."""

    seq: int
    body: LostBody
    done: Done | None = None


class Mark(Struct, kw_only=True):
    """Nothing to write: asks to be told when all before it is on disk."""

    done: Done | None


Entry = Decided | Ended | Lost | Mark

COLUMNS: dict[str, tuple[str, ...]] = {
    "entries": ("seq", "kind", "call_seq", "at", "body_hash", "hash", "salt", "body"),
    "calls": (
        *("seq", "at", "verdict", "caller", "presented", "callee"),
        *("source", "trunk", "line", "call_id", "direction"),
    ),
    "call_rules": ("rule", "seq"),
    "ends": ("call_seq", "seq", "at", "outcome"),
    "exposures": (
        *("seq", "at", "trunk", "line", "number", "rule"),
        *("accrued", "avoided", "counted", "contract", "reading"),
    ),
}


class Fined:
    """Which numbers' penalties are counted already, exactly: a table with a unique key, in the entries' transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[tuple[str, str, str], set[str]] = {}

    def first(self, trunk: str, stake: Stake, seq: int) -> bool:
        """Whether entry `seq` is the first to owe this per-number penalty, and if so note that it is.

        Once accrued, a number's penalty can no longer be avoided in that period. A call without a calling number owes
        none.
        """
        if not stake.number:
            return False
        key = (trunk, stake.period, stake.number)
        states = self._known.get(key)
        if states is None:
            found = self._db.execute(
                "SELECT state FROM fined_numbers WHERE trunk = ? AND period = ? AND number = ?", key
            ).fetchall()
            if len(self._known) >= FINED_CACHE:
                self._known.clear()
            states = self._known[key] = {row[0] for row in found}
        if stake.state in states or "accrued" in states:
            return False
        self._db.execute("INSERT INTO fined_numbers VALUES (?, ?, ?, ?, ?)", (*key, stake.state, seq))
        states.add(stake.state)
        return True

    def forget(self) -> None:
        """The transaction was rolled back: only the file knows now."""
        self._known.clear()


class Builder:
    """Makes rows of entries. `money` is each trunk's figures, by the trunk's name."""

    def __init__(self, site: str, money: Mapping[str, Figures], fined: Fined) -> None:
        self._site = site
        self._money = money
        self._fined = fined

    def build(self, batch: Sequence[Entry], tip: bytes) -> tuple[dict[str, list[Row]], bytes]:
        """The rows of `batch` by table, and the hash of its last entry; `tip` is the hash before it."""
        tables: dict[str, list[Row]] = {name: [] for name in COLUMNS}
        salts = os.urandom(chain.SALT_SIZE * len(batch))
        for n, entry in enumerate(batch):
            if isinstance(entry, Mark):
                continue
            kind, call_seq, at, body = self._one(entry, tables)
            salt = salts[n * chain.SALT_SIZE : (n + 1) * chain.SALT_SIZE]
            digest = chain.body_hash(salt, body)
            tip = chain.link(tip, entry.seq, kind, digest)
            tables["entries"].append((entry.seq, kind, call_seq, at, digest, tip, salt, body))
        return tables, tip

    def _one(self, entry: Decided | Ended | Lost, tables: dict[str, list[Row]]) -> tuple[str, int | None, int, bytes]:
        if isinstance(entry, Decided):
            body = decision_body(entry.call, entry.decision, self._site, self._price(entry))
            for name, row in index_rows(entry.seq, body):
                tables[name].append(row)
            return "decision", None, body.at, encode(body)
        if isinstance(entry, Ended):
            end = end_body(entry.call, entry.ended)
            tables["ends"].append((end.call, entry.seq, end.at, end.outcome))
            return "end", end.call, end.at, encode(end)
        return "lost", None, entry.body.at, encode(entry.body)

    def _price(self, entry: Decided) -> Money:
        figures = self._money.get(entry.call.trunk)
        stake = assess(entry.call, entry.decision, figures) if figures else None
        if stake is None:
            return NO_MONEY
        return stake.money(first=self._fined.first(entry.call.trunk, stake, entry.seq))


def index_rows(seq: int, body: DecisionBody) -> Iterator[tuple[str, Row]]:
    """The rows that index one decision, as (table, row). What `verify` compares with what the file holds."""
    yield (
        "calls",
        (
            *(seq, body.at, body.verdict, body.caller, body.presented, body.callee),
            *(body.source, body.trunk, body.line, body.call_id, body.direction),
        ),
    )
    for rule in dict.fromkeys(f.rule for f in body.findings):
        yield "call_rules", (rule, seq)
    money = body.money
    if money.accrued or money.avoided:
        yield (
            "exposures",
            (
                *(seq, body.at, body.trunk, body.line, money.number, money.rule),
                *(money.accrued, money.avoided, money.counted, money.contract, money.reading),
            ),
        )


def insert(db: sqlite3.Connection, tables: Mapping[str, list[Row]]) -> None:
    """Write rows, many to a statement. A second end of one call stays in the log and out of the index."""
    for name, rows in tables.items():
        start = 0
        for size in GROUPS:
            while len(rows) - start >= size:
                values = [value for row in rows[start : start + size] for value in row]
                db.execute(_statement(name, size), values)
                start += size


@lru_cache(maxsize=64)
def _statement(table: str, rows: int) -> str:
    columns = COLUMNS[table]
    one = f"({', '.join('?' * len(columns))})"
    verb = "INSERT OR IGNORE" if table == "ends" else "INSERT"
    return f"{verb} INTO {table}({', '.join(columns)}) VALUES {', '.join([one] * rows)}"
