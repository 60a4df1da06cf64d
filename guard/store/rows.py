"""From entries handed over to the rows that are written: encoding, hashing, money. All in the writer's thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
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
from guard.store.signing import Signer, sign
from guard.store.tables import NO_CALL, NO_EXPOSURE, PAUSE, Pace, Row, Tables, Value

FINED_CACHE = 4096  # numbers whose penalties are remembered as counted, so that a flood from one asks the file once
# Entries after which the thread lets others have interpreter and core, some 0.2 ms where caches are cold: Python's own
# turns are milliseconds. Every four entries it was two fifths of all that the thread took.
POLITE = 16
# Entries in one batch, some of which calls wait for: so many come together where the thread cannot keep up.
BEHIND = 256
_DECISION = msgspec.json.Decoder(DecisionBody)


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
        self.tables = Tables(db)

    def forget(self) -> None:
        """The transaction was rolled back."""
        self._fined.forget()
        self.tables.forget()

    def build(self, batch: Sequence[Entry], tip: bytes, pace: Pace = "alone") -> tuple[list[Row], bytes]:
        """The rows of `batch`, and the hash of its last entry; `tip` is the hash before it."""
        rows: list[Row] = []
        salts = self._salts(chain.SALT_SIZE * len(batch))
        for n, entry in enumerate(batch):
            if pace == "polite" and n and not n % POLITE:
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
            rows.append(_row(entry.seq, kind, body, (digest, tip, salt, data)))
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
        data = next((row.body for row in reversed(rows) if row.seq == end.call), None)
        if data is None:
            found = self._db.execute("SELECT body FROM entries WHERE seq = ? AND kind = 'decision'", (end.call,))
            data = next((row[0] for row in found), None)
        if not isinstance(data, bytes):
            return NO_MONEY  # it was erased, or never written
        body = _DECISION.decode(data)
        figures = self.money.get(body.trunk)
        stake = late_stake(body, end.findings, figures) if figures else None
        return NO_MONEY if stake is None else stake.money(first=self._fined.first(body.trunk, stake, seq))


def _row(seq: int, kind: chain.Kind, body: Body, octets: tuple[bytes, bytes, bytes, bytes]) -> Row:
    """An entry's row; `octets` are the digest of its body, its hash, its salt and its body."""
    digest, tip, salt, data = octets
    call: tuple[Value, ...] = NO_CALL
    exposure: tuple[Value, ...] = NO_EXPOSURE
    call_seq = outcome = rules = None
    if isinstance(body, EndBody):
        call_seq, outcome = body.call, body.outcome
    elif isinstance(body, DecisionBody):
        call = call_columns(body)
    if isinstance(body, EndBody | DecisionBody):
        rules, exposure = rules_of(body), exposure_columns(body.money)
    return Row(
        seq=seq, kind=kind, call_seq=call_seq, at=body.at, body_hash=digest, hash=tip, salt=salt, body=data,
        call=call, rules=rules, outcome=outcome, exposure=exposure,
    )  # fmt: skip


def call_columns(b: DecisionBody) -> tuple[str, ...]:
    """The columns CALL."""
    return (b.verdict, b.caller, b.presented, b.callee, b.source, b.trunk, b.line, b.call_id, b.direction)


def rules_of(body: DecisionBody | EndBody) -> str | None:
    """The rules that spoke, as a JSON array; None when none did."""
    return msgspec.json.encode([f.rule for f in body.findings]).decode() if body.findings else None


def exposure_columns(m: Money) -> tuple[Value, ...]:
    """The columns EXPOSURE."""
    if not m.accrued and not m.avoided:
        return NO_EXPOSURE
    return (m.number, m.rule, m.accrued, m.avoided, m.per_number, m.contract, m.reading)


def commit(db: sqlite3.Connection, builder: Builder, batch: Sequence[Entry], tip: bytes, pace: Pace = "alone") -> bytes:
    """Write `batch`, all of it or nothing; the hash of the last entry, given that of the one before."""
    if db.in_transaction:  # one that could not even be rolled back: what is left of it must not go with this one
        db.execute("ROLLBACK")
        builder.forget()
    try:
        rows, tip = builder.build(batch, tip, pace)
        builder.tables.put(rows, pace)
    except BaseException:
        builder.forget()
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return tip


def behind(batch: Sequence[Entry]) -> bool:
    """Whether calls wait for records that come faster than they are written."""
    return len(batch) >= BEHIND and any(entry.done is not None for entry in batch)
