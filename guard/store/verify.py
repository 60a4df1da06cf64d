"""Whether a log is what was written: the chain from the first entry to the head, and the index against the bodies.

What this cannot see: a log whose last entries were cut off together with its head, or that was made anew from
somewhere on. Any record kept elsewhere (its `seq` and `hash`) shows that.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from guard.ledger.chain import GENESIS, Link, fault
from guard.ledger.record import Body, DecisionBody, EndBody, LostBody
from guard.store.migrations import CALL, EXPOSURE
from guard.store.reader import SqliteReader
from guard.store.rows import call_columns, exposure_columns

PAGE = 1_000  # entries fetched at a time: no read transaction lasts longer than that
BEFORE_ALL = -(1 << 63)  # SQLite's smallest integer: nothing hides before the first entry

_DECODERS: dict[str, Callable[[bytes], Body]] = {
    "decision": msgspec.json.Decoder(DecisionBody).decode,
    "end": msgspec.json.Decoder(EndBody).decode,
    "lost": msgspec.json.Decoder(LostBody).decode,
}

Cells = tuple[object, ...]  # of one row, whatever a stranger may have put there


class Verified(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What was found: `entries` looked at, the last one's `seq` and `hash`; where not `ok`, the first that is `broken`.

    `erased` counts bodies that are gone while their hashes stay; `lost` the entries that the log itself says it could
    not keep.
    """

    ok: bool
    entries: int
    seq: int
    hash: str
    erased: int = 0
    lost: int = 0
    broken: int | None = None
    reason: str = ""


class _Fault(Exception):
    """Found at entry `seq`."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq
        self.reason = reason


def verify(reader: SqliteReader, advance: Callable[[int, int], None]) -> Verified:
    """Walk the whole log, up to what was its last entry at the start. `advance` hears (entries done, of how many)."""
    walk = _Walk(reader)
    try:
        walk.run(advance)
    except _Fault as found:
        return walk.result(found)
    return walk.result(None)


_CALL = ("at", *CALL)
_MONEY = ("at", "trunk", "line", *EXPOSURE)
_END = ("seq", "at", "outcome")
_ENTRIES = (
    "SELECT e.seq, e.kind, e.body_hash, e.hash, e.salt, e.body, e.call_seq, e.at,"
    f" c.seq, {', '.join(f'c.{n}' for n in _CALL)}, x.seq, {', '.join(f'x.{n}' for n in _MONEY)},"
    f" {', '.join(f'n.{n}' for n in _END)} FROM entries e LEFT JOIN calls c ON c.seq = e.seq"
    " LEFT JOIN exposures x ON x.seq = e.seq LEFT JOIN ends n ON e.kind = 'end' AND n.call_seq = e.call_seq"
    " WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?"
)
_CALL_AT = 8
_MONEY_AT = _CALL_AT + 1 + len(_CALL)
_END_AT = _MONEY_AT + 1 + len(_MONEY)
# Rows of the index that no entry stands behind; each one statement, and so of one instant.
_ORPHANS = (
    *(
        f"SELECT min(t.seq) FROM {table} t LEFT JOIN entries e ON e.seq = t.seq WHERE e.seq IS NULL"
        for table in ("calls", "call_rules", "exposures")
    ),
    "SELECT min(t.seq) FROM ends t LEFT JOIN entries e ON e.seq = t.seq AND e.call_seq = t.call_seq"
    " WHERE e.kind IS NOT 'end'",
)


class _Walk:
    def __init__(self, reader: SqliteReader) -> None:
        self._reader = reader
        self._entries = self._erased = self._lost = self._seq = 0
        self._tip = GENESIS

    def result(self, found: _Fault | None) -> Verified:
        return Verified(
            ok=found is None,
            entries=self._entries,
            seq=self._seq,
            hash=self._tip.hex(),
            erased=self._erased,
            lost=self._lost,
            broken=found.seq if found else None,
            reason=found.reason if found else "",
        )

    def run(self, advance: Callable[[int, int], None]) -> None:
        # one statement, so that all is of one instant while another process writes
        rows = self._reader.fetch(
            "SELECT (SELECT max(seq) FROM entries), (SELECT seq FROM head), (SELECT hash FROM head)"
        )
        last, head, hashed = rows[0] if rows else (None, None, None)
        after = BEFORE_ALL
        while page := self._reader.fetch(_ENTRIES, (after, last or 0, PAGE)):
            spoken: set[tuple[str, int]] = set()
            for row in page:
                self._entry(row, spoken)
            self._rules(page[0][0], page[-1][0], spoken)
            after = page[-1][0]
            advance(self._entries, last)
        self._head(head, hashed)
        for sql in _ORPHANS if rows else ():
            orphan = self._reader.fetch(sql)[0][0]
            if orphan is not None:
                raise _Fault(orphan, "the index has it, the log has no such entry")

    def _entry(self, row: Cells, spoken: set[tuple[str, int]]) -> None:
        link = _link(row, self._seq + 1)
        reason = fault(self._tip, self._seq + 1, link)
        if reason:
            raise _Fault(min(link.seq, self._seq + 1), reason)
        self._seq, self._tip = link.seq, link.hash
        self._entries += 1
        if link.body is None:
            self._erased += 1
            if row[_CALL_AT] is not None:
                raise _Fault(link.seq, "it was erased and the index still has it")
            return
        try:
            body = _DECODERS[link.kind](link.body)
        except msgspec.DecodeError as error:
            raise _Fault(link.seq, f"its body cannot be read: {error}") from error
        if isinstance(body, LostBody):
            self._lost += body.entries
        if not _indexed(row, body):
            raise _Fault(link.seq, "the index does not say what its body says")
        if isinstance(body, DecisionBody):
            spoken.update((f.rule, link.seq) for f in body.findings)

    def _rules(self, first: int, last: int, spoken: set[tuple[str, int]]) -> None:
        names = sorted(self._reader.names("rule") | {rule for rule, _ in spoken})
        sql = f"SELECT rule, seq FROM call_rules WHERE rule IN ({','.join('?' * len(names))}) AND seq BETWEEN ? AND ?"
        rows = self._reader.fetch(sql, (*names, first, last))
        odd = spoken.symmetric_difference((rule, seq) for rule, seq in rows)
        if odd:
            raise _Fault(min(seq for _, seq in odd), "the index of rules does not say what its body says")

    def _head(self, seq: object, hashed: object) -> None:
        if seq is None and self._seq == 0:
            return
        if not isinstance(seq, int) or not isinstance(hashed, bytes):
            raise _Fault(self._seq, "the log's head, which names the last entry, is gone")
        if seq > self._seq:
            raise _Fault(self._seq + 1, f"the end was cut off: the head names entry {seq} as the last")
        if seq < self._seq:
            raise _Fault(seq + 1, "it stands behind what the head names as the last entry")
        if hashed != self._tip:
            raise _Fault(seq, "the head has another hash of it")


def _link(row: Cells, wanted: int) -> Link:
    seq, kind, digest, hashed, salt, body = row[:6]
    if (
        isinstance(seq, int)
        and isinstance(kind, str)
        and isinstance(digest, bytes)
        and isinstance(hashed, bytes)
        and (salt is None or isinstance(salt, bytes))
        and (body is None or isinstance(body, bytes))
    ):
        return Link(seq, kind, digest, hashed, salt, body)
    raise _Fault(seq if isinstance(seq, int) else wanted, "a column is not of its type")


def _indexed(row: Cells, body: Body) -> bool:
    """Whether the index rows of an entry say what its body says."""
    call, money, end = row[_CALL_AT:_MONEY_AT], row[_MONEY_AT:_END_AT], row[_END_AT:]
    seq, call_seq, at = row[0], row[6], row[7]
    no_call, no_money = (None,) * len(call), (None,) * len(money)
    if at != body.at or call_seq != (body.call if isinstance(body, EndBody) else None):
        return False
    if isinstance(body, DecisionBody):
        exposure = exposure_columns(body.money)
        stake = (seq, at, body.trunk, body.line, *exposure) if exposure[0] is not None else no_money
        return call == (seq, at, *call_columns(body)) and money == stake
    if call != no_call or money != no_money:
        return False
    if isinstance(body, EndBody):
        # a second end of one call is in the log and not in the index, where the first stands
        return end == (seq, at, body.outcome) or (isinstance(end[0], int) and isinstance(seq, int) and end[0] < seq)
    return True
