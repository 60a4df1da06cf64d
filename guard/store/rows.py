"""From entries handed over to the rows that are written: encoding, hashing, money. All in the writer's thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from time import sleep

import msgspec
from msgspec.structs import replace

from guard.ledger import chain
from guard.ledger.late import late_stake
from guard.ledger.penalties import Figures, Stake, assess
from guard.ledger.record import (
    NO_MONEY,
    Body,
    DecisionBody,
    EndBody,
    ErasedBody,
    LostBody,
    Money,
    decision_body,
    encode,
    end_body,
)
from guard.store.entries import Chained, Decided, Ended, Entry, Erase, Errand, Mark, Sign
from guard.store.erasing import Eraser, Tokens
from guard.store.migrations import CALL, EXPOSURE, INTAKE
from guard.store.signing import Signer, sign

Value = str | int | bytes | None
Row = tuple[Value, ...]

FINED_CACHE = 4096  # numbers whose penalties are remembered as counted, so that a flood from one asks the file once
# Rows in one statement: the smallest that holds them all is taken, and filled up with empty rows, so that few
# statements need preparing and one is enough (see migrations).
GROUPS = (1, 4, 16, 64, 256)
# Entries after which the thread lets others have interpreter and core, some 0.1 ms where caches are cold: Python's own
# turns are a millisecond. And rows in one statement, of which binding holds it as long. It sleeps for so many s: who
# only lets go has it again before the loop, just woken, is on its way.
POLITE = 4
SHORT = 16
PAUSE = 50e-6
# Entries in one batch, some of which calls wait for: so many come together where the thread cannot keep up. It makes
# way for nobody then: each turn that a busy loop is let go before costs it one of Python's, and calls waited a second.
BEHIND = 256
BODY = INTAKE.index("body")
_DECISION = msgspec.json.Decoder(DecisionBody)
# What stands for None where it is bound, and the columns in which it is made None again: elsewhere nobody looks at it
# (the callers of an end, the outcome of a decision, the money of neither).
ABSENT = ""
ABSENTEES = frozenset({"seq", "call_seq", "rules"})
NO_CALL: tuple[None, ...] = (None,) * (len(CALL) + 1)
NO_EXPOSURE: tuple[None, ...] = (None,) * len(EXPOSURE)


KINDS: dict[type, chain.Kind] = {DecisionBody: "decision", EndBody: "end", LostBody: "lost", ErasedBody: "erased"}


class Fined:
    """Which numbers' penalties are counted already, exactly: a table with a unique key, in the entries' transaction."""

    def __init__(self, db: sqlite3.Connection, tokens: Tokens) -> None:
        self._db = db
        self._tokens = tokens
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
        if states is not None and (stake.state in states or "accrued" in states):
            return False
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        if states is None:
            # a number that was erased is still counted, under its token
            also = self._tokens.find(stake.period, stake.number) or stake.number
            found = self._db.execute(
                "SELECT state FROM fined_numbers WHERE trunk = ? AND period = ? AND number IN (?, ?)", (*key, also)
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
        """The transaction was rolled back, or numbers were erased: only the file knows now."""
        self._known.clear()
        self._tokens.forget()


class Builder:
    """Makes rows of entries, and does what else is asked. `money` is each trunk's figures, by the trunk's name; `salts`
    gives so many octets; without a `signer` there are no checkpoints; `books` tells how far the books have come."""

    def __init__(
        self,
        db: sqlite3.Connection,
        site: str,
        money: Mapping[str, Figures],
        salts: Callable[[int], bytes] = os.urandom,
        signer: Signer | None = None,
        books: Callable[[], tuple[int, bytes] | None] = lambda: None,
    ) -> None:
        self._db = db
        self._books = books
        self._site = site
        self.money = money
        tokens = Tokens(db)
        self._fined = Fined(db, tokens)
        self._eraser = Eraser(db, tokens)
        self._salts = salts
        self._signer = signer

    def forget(self) -> None:
        """The transaction was rolled back."""
        self._fined.forget()

    def build(self, batch: Sequence[Entry], tip: bytes, *, polite: bool = False) -> tuple[list[Row], bytes]:
        """The rows of `batch` for `intake`, and the hash of its last entry; `tip` is the hash before it. `polite`:
        making way for others on the way."""
        rows: list[Row] = []
        salts = self._salts(chain.SALT_SIZE * len(batch))
        for n, entry in enumerate(batch):
            if polite and n and not n % POLITE:
                sleep(PAUSE)
            if isinstance(entry, Mark | Sign | Errand):
                self._aside(entry, tip)
                continue
            body = self._body(entry, rows)
            salt = salts[n * chain.SALT_SIZE : (n + 1) * chain.SALT_SIZE]
            data = encode(body)
            digest = chain.body_hash(salt, data)
            kind = KINDS[type(body)]
            tip = chain.link(tip, entry.seq, kind, digest)
            call_seq = body.call if isinstance(body, EndBody) else None
            rows.append((entry.seq, kind, call_seq, body.at, digest, tip, salt, data, *index(body)))
        return rows, tip

    def _aside(self, entry: Mark | Sign | Errand, tip: bytes) -> None:
        if isinstance(entry, Mark) or (isinstance(entry, Sign) and self._signer is None):
            return
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        if isinstance(entry, Errand):
            entry.work(self._db)
        elif self._signer is not None:
            books = self._books()
            sign(self._db, self._signer, site=self._site, at=entry.at, seq=entry.seq, tip=tip, books=books)

    def _body(self, entry: Chained, rows: Sequence[Row]) -> Body:
        if isinstance(entry, Decided):
            return decision_body(entry.call, entry.decision, self._site, self._price(entry))
        if isinstance(entry, Ended):
            end = end_body(entry.call, entry.ended)
            return replace(end, money=self._late(end, rows, entry.seq)) if end.findings else end
        if isinstance(entry, Erase):
            note = self._eraser.erase(entry)
            self._fined.forget()  # what it knew names numbers that are gone
            return note
        return entry.body

    def _price(self, entry: Decided) -> Money:
        figures = self.money.get(entry.call.trunk)
        stake = assess(entry.call, entry.decision, figures) if figures else None
        if stake is None:
            return NO_MONEY
        return stake.money(first=self._fined.first(entry.call.trunk, stake, entry.seq))

    def _late(self, end: EndBody, rows: Sequence[Row], seq: int) -> Money:
        """What late findings cost; the decision is on disk, or among the rows of this batch."""
        data = next((row[BODY] for row in reversed(rows) if row[0] == end.call), None)
        if data is None:
            found = self._db.execute("SELECT body FROM entries WHERE seq = ? AND kind = 'decision'", (end.call,))
            data = next((row[0] for row in found), None)
        if not isinstance(data, bytes):
            return NO_MONEY  # it was erased, or never written
        body = _DECISION.decode(data)
        figures = self.money.get(body.trunk)
        stake = late_stake(body, end.findings, figures) if figures else None
        return NO_MONEY if stake is None else stake.money(first=self._fined.first(body.trunk, stake, seq))


def index(body: Body) -> Row:
    """What of a body goes into the index: the columns of `intake` after those of the entry itself."""
    if isinstance(body, EndBody):
        return (*NO_CALL[:-1], rules_of(body), body.outcome, *exposure_columns(body.money))
    if isinstance(body, LostBody | ErasedBody):
        return (*NO_CALL, None, *NO_EXPOSURE)
    return (*call_columns(body), rules_of(body), None, *exposure_columns(body.money))


def call_columns(b: DecisionBody) -> Row:
    """The columns CALL."""
    return (b.verdict, b.caller, b.presented, b.callee, b.source, b.trunk, b.line, b.call_id, b.direction)


def rules_of(body: DecisionBody | EndBody) -> str | None:
    """The rules that spoke, as a JSON array; None when none did."""
    return msgspec.json.encode([f.rule for f in body.findings]).decode() if body.findings else None


def exposure_columns(m: Money) -> Row:
    """The columns EXPOSURE."""
    if not m.accrued and not m.avoided:
        return NO_EXPOSURE
    return (m.number, m.rule, m.accrued, m.avoided, m.per_number, m.contract, m.reading)


def commit(
    db: sqlite3.Connection,
    builder: Builder,
    batch: Sequence[Entry],
    tip: bytes,
    put: Callable[[sqlite3.Connection, Sequence[Row]], None] | None = None,
    *,
    polite: bool = False,
) -> bytes:
    """Write `batch`, all of it or nothing, by `put` (`insert`); the hash of the last entry, given that of the one
    before. `polite`: making way for others on the way."""
    if db.in_transaction:  # one that could not even be rolled back: what is left of it must not go with this one
        db.execute("ROLLBACK")
        builder.forget()
    try:
        rows, tip = builder.build(batch, tip, polite=polite)
        if put is not None:
            put(db, rows)
        else:
            insert(db, rows, SHORT if polite else GROUPS[-1])
    except BaseException:
        builder.forget()
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return tip


def behind(batch: Sequence[Entry]) -> bool:
    """Whether calls wait for records that come faster than they are written."""
    return len(batch) >= BEHIND and any(entry.done is not None for entry in batch)


def insert(db: sqlite3.Connection, rows: Sequence[Row], most: int = GROUPS[-1]) -> None:
    """Write rows, all of them or none, `most` in a statement (one of GROUPS)."""
    if len(rows) > most and not db.in_transaction:
        db.execute("BEGIN IMMEDIATE")
    through_view(db, rows, most)
    if db.in_transaction:
        db.execute("COMMIT")


def through_view(db: sqlite3.Connection, rows: Sequence[Row], most: int = GROUPS[-1]) -> None:
    """Hand rows to the view `intake`, a group of `most` in a statement, with a pause between two short ones."""
    for start in range(0, len(rows), most):
        if start and most == SHORT:
            sleep(PAUSE)
        part = rows[start : start + most]
        size = next(g for g in GROUPS if g >= len(part))
        values = [_bound(value) for row in part for value in row]
        values.extend(ABSENT for _ in range(len(INTAKE) * (size - len(part))))
        db.execute(_statement(size), values)


def _bound(value: Value) -> int | str | bytearray:
    """A value as sqlite3 binds it quickest: for None and for bytes it asks around for an adapter each time (3 300
    instructions, a third of all that a commit costs)."""
    if value is None:
        return ABSENT
    return bytearray(value) if isinstance(value, bytes) else value


@lru_cache(maxsize=len(GROUPS))
def _statement(rows: int) -> str:
    one = f"({', '.join('?' * len(INTAKE))})"
    taken = (f"nullif(column{n + 1}, '')" if c in ABSENTEES else f"column{n + 1}" for n, c in enumerate(INTAKE))
    return f"INSERT INTO intake SELECT {', '.join(taken)} FROM (VALUES {', '.join([one] * rows)})"
