"""What entries said is erased; that they were there stays. All in the writer's thread, in the note's own transaction.

Bodies and salts go, and with them every row of the index that repeats what they said. What a call cost stays, without
its line, and under a token in place of its number: sums of a month must not change because a person was forgotten, and
a number whose penalty was counted must not be counted again. A token is a keyed hash, with a key a billing month, and
the key is destroyed once the whole month is past its retention.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from guard.ledger.late import whole_money
from guard.ledger.lines import surcharge
from guard.ledger.penalties import ORIGIN
from guard.ledger.record import DecisionBody, EndBody, ErasedBody
from guard.store.entries import Erase
from guard.store.filters import names

PREFIX: Final = "#"  # no number begins so
TOKEN_SIZE: Final = 12  # octets: 96 bits; two numbers of one month do not meet
KEY_SIZE: Final = 32  # octets
_STAYS: Final = "seq, kind, call_seq, at, body_hash, hash"  # of an entry: all but its salt and its body
PURGED: Final = "purged"  # the mark of the last entry that retention has dealt with

Span = tuple[int, int]
_DECISION: Final = msgspec.json.Decoder(DecisionBody)
_END: Final = msgspec.json.Decoder(EndBody)


def spans(seqs: Sequence[int]) -> tuple[Span, ...]:
    """Rising numbers as runs: first and last of each."""
    out: list[Span] = []
    for seq in seqs:
        if out and seq == out[-1][1] + 1:
            out[-1] = (out[-1][0], seq)
        else:
            out.append((seq, seq))
    return tuple(out)


class Tokens:
    """What stands for an erased number in the sums of a period."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._keys: dict[str, bytes] | None = None

    def find(self, period: str, number: str) -> str | None:
        """The token of a number in a period; None where no number of that period was erased."""
        key = self._known().get(period)
        return None if key is None else token(key, number)

    def make(self, period: str, number: str) -> str:
        """The same, with a key made where there is none. A token stands for itself."""
        if number.startswith(PREFIX):
            return number
        keys = self._known()
        if period not in keys:
            keys[period] = os.urandom(KEY_SIZE)
            self._db.execute("INSERT INTO token_keys VALUES (?, ?)", (period, keys[period]))
        return token(keys[period], number)

    def forget(self) -> None:
        """The transaction was rolled back, or keys were destroyed: only the file knows now."""
        self._keys = None

    def _known(self) -> dict[str, bytes]:
        if self._keys is None:
            self._keys = dict(self._db.execute("SELECT period, key FROM token_keys"))
        return self._keys


def token(key: bytes, number: str) -> str:
    """What stands for an erased number in the sums of the period that has this key."""
    return PREFIX + blake2b(number.encode(), key=key, digest_size=TOKEN_SIZE).hexdigest()


class Eraser:
    """Erases what entries said."""

    def __init__(self, db: sqlite3.Connection, tokens: Tokens) -> None:
        self._db = db
        self._tokens = tokens

    def erase(self, asked: Erase) -> ErasedBody:
        """Erase, within a transaction that is begun here where there is none; the note to be written in it.

        Whoever knows numbers or keys of tokens beside the file forgets them then (`Tokens.forget`).
        """
        db = self._db
        if not db.in_transaction:
            db.execute("BEGIN IMMEDIATE")
        marks = _marks(asked.seqs)
        found = db.execute(
            f"SELECT seq, kind, call_seq FROM entries WHERE seq IN ({marks}) AND body IS NOT NULL"
            " AND kind IN ('decision', 'end') ORDER BY seq",
            asked.seqs,
        ).fetchall()
        seqs = [seq for seq, _, _ in found]
        self._costs(seqs)
        self._money(seqs, keep=asked.reason == "request")
        self._index(seqs, [(call, seq) for seq, kind, call in found if kind == "end"])
        self._bodies(seqs)
        if asked.mark:
            db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (PURGED, asked.mark))
        if asked.forget:
            for table in ("token_keys", "fined_numbers"):
                db.execute(f"DELETE FROM {table} WHERE period <> '' AND period < ?", (asked.forget,))
        return ErasedBody(at=asked.at, reason=asked.reason, entries=len(seqs), spans=spans(seqs))

    def _bodies(self, seqs: list[int]) -> None:
        """Bodies and salts go. What stays of a row is taken out and put back: a row that only shrinks keeps its page to
        itself, and the file would never have room again for what is written next; rows that go have SQLite join
        their pages."""
        db, marks = self._db, _marks(seqs)
        rows = db.execute(f"SELECT {_STAYS} FROM entries WHERE seq IN ({marks}) ORDER BY seq", seqs).fetchall()
        db.execute(f"DELETE FROM entries WHERE seq IN ({marks})", seqs)
        db.executemany(f"INSERT INTO entries({_STAYS}) VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _costs(self, seqs: list[int]) -> None:
        """What the bodies say of money, and `exposures` does not."""
        marks, origin = _marks(seqs), _marks(ORIGIN)
        costly = f"SELECT seq FROM exposures WHERE seq IN ({marks})"
        foreign = f"SELECT seq FROM call_rules WHERE rule IN ({origin}) AND seq IN ({marks})"
        rows = self._db.execute(
            "SELECT e.seq, e.kind, e.body, n.body FROM entries e LEFT JOIN ends x ON x.call_seq = e.seq"
            f" LEFT JOIN entries n ON n.seq = x.seq WHERE e.seq IN ({costly} UNION {foreign})",
            (*seqs, *ORIGIN, *seqs),
        ).fetchall()
        made = [row for row in (_kept(*row) for row in rows) if row is not None]
        self._db.executemany("INSERT OR REPLACE INTO erased_money VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", made)

    def _money(self, seqs: list[int], *, keep: bool) -> None:
        """Sums stay, numbers and lines go. What counts a number once goes too, unless its period may still run."""
        db, marks = self._db, _marks(seqs)
        owed = db.execute(
            f"SELECT seq, trunk, period, number, state FROM fined_numbers WHERE seq IN ({marks})", seqs
        ).fetchall()
        tokens = {seq: self._tokens.make(period, number) for seq, _, period, number, _ in owed}
        db.execute(f"UPDATE exposures SET number = '', line = '' WHERE seq IN ({marks})", seqs)
        db.executemany("UPDATE exposures SET number = ? WHERE seq = ?", [(t, seq) for seq, t in tokens.items()])
        for seq, trunk, period, number, state in owed:
            key = (trunk, period, number, state)
            if keep or not period:
                db.execute(
                    "UPDATE OR REPLACE fined_numbers SET number = ?"
                    " WHERE trunk = ? AND period = ? AND number = ? AND state = ?",
                    (tokens[seq], *key),
                )
            else:
                db.execute("DELETE FROM fined_numbers WHERE trunk = ? AND period = ? AND number = ? AND state = ?", key)

    def _index(self, seqs: list[int], ends: list[tuple[int, int]]) -> None:
        db, marks = self._db, _marks(seqs)
        # The key of call_rules begins with the rule: one look a rule and call, where seqs alone would read every row.
        for (rule,) in db.execute(names("rule", "call_rules")).fetchall() if seqs else ():
            db.execute(f"DELETE FROM call_rules WHERE rule = ? AND seq IN ({marks})", (rule, *seqs))
        of = [*seqs, *(call for call, _ in ends)]  # what was found when a call was over stands under the call
        for (rule,) in db.execute(names("rule", "late_rules")).fetchall() if seqs else ():
            db.execute(f"DELETE FROM late_rules WHERE rule = ? AND seq IN ({_marks(of)})", (rule, *of))
        db.execute(f"DELETE FROM calls WHERE seq IN ({marks})", seqs)
        db.executemany("DELETE FROM ends WHERE call_seq = ? AND seq = ?", ends)


def _kept(seq: int, kind: str, data: bytes, ended: bytes | None) -> tuple[int | str, ...] | None:
    """The row of `erased_money` of one entry; None where it has nothing for it."""
    if kind == "end":
        end = _END.decode(data)
        money = end.money
        return (seq, end.at, "", money.rule, money.contract, money.reading, money.article, 0, "", 0)
    body = _DECISION.decode(data)
    last = _END.decode(ended) if ended is not None else None
    money, origin = body.money, surcharge(body, last)
    if not money.article and not origin:
        return None
    whole = whole_money(body, last)
    calls = 0 if whole.accrued or whole.avoided else 1
    names = (money.rule, money.contract, money.reading, money.article)
    return (seq, body.at, body.trunk, *names, origin, money.origin_article if origin else "", calls)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
