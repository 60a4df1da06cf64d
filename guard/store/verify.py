"""Whether a log is what was written: the chain from the first entry to the head, the index against the bodies, every
erased body against the notes of erasures, and the checkpoints against the chain.

What this cannot see: a log whose last entries were cut off together with its head and its checkpoints, or that was made
anew by who has its key. Any record or checkpoint kept elsewhere shows that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec import Struct

from guard.ledger import checkpoint
from guard.ledger.chain import GENESIS, Link, fault
from guard.ledger.record import Body, DecisionBody, EndBody, ErasedBody, LostBody
from guard.store.migrations import CALL, EXPOSURE, LATE
from guard.store.reader import SqliteReader
from guard.store.rows import call_columns, exposure_columns
from guard.store.signing import signed

PAGE = 1_000  # entries fetched at a time: no read transaction lasts longer than that
BEFORE_ALL = -(1 << 63)  # SQLite's smallest integer: nothing hides before the first entry

_DECODERS: dict[str, Callable[[bytes], Body]] = {
    "decision": msgspec.json.Decoder(DecisionBody).decode,
    "end": msgspec.json.Decoder(EndBody).decode,
    "lost": msgspec.json.Decoder(LostBody).decode,
    "erased": msgspec.json.Decoder(ErasedBody).decode,
}

Check = Callable[[checkpoint.Signed], str]  # what is wrong with a checkpoint's signature, "" for nothing

Cells = tuple[object, ...]  # of one row, whatever a stranger may have put there


class Verified(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What was found: `entries` looked at, the last one's `seq` and `hash`; where not `ok`, the first that is `broken`.

    `erased` counts bodies that are gone while their hashes stay; `lost` the entries that the log itself says it could
    not keep; `checkpoints` those that fit. Where one does not fit, `checkpoint` is its number, and `broken` the last
    entry that it speaks of. `books` are the entries of the books beside the log, `books_reason` what is wrong there:
    both are for who looks at them too (guard/store/books.py).
    """

    ok: bool
    entries: int
    seq: int
    hash: str
    erased: int = 0
    lost: int = 0
    broken: int | None = None
    reason: str = ""
    checkpoints: int = 0
    checkpoint: int | None = None
    books: int = 0
    books_reason: str = ""


class _Fault(Exception):
    """Found at entry `seq`."""

    def __init__(self, seq: int, reason: str, number: int | None = None) -> None:
        super().__init__(reason)
        self.seq = seq
        self.reason = reason
        self.number = number


def verify(reader: SqliteReader, advance: Callable[[int, int], None], check: Check = lambda _: "") -> Verified:
    """Walk the whole log, up to what was its last entry at the start. `advance` hears (entries done, of how many);
    `check` looks at each checkpoint's signature."""
    walk = _Walk(reader, check)
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
    f" {', '.join(f'n.{n}' for n in _END)}, o.at, o.trunk, o.line FROM entries e LEFT JOIN calls c ON c.seq = e.seq"
    " LEFT JOIN exposures x ON x.seq = e.seq LEFT JOIN ends n ON e.kind = 'end' AND n.call_seq = e.call_seq"
    " LEFT JOIN calls o ON e.kind = 'end' AND o.seq = e.call_seq"
    " WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?"
)
_CALL_AT = 8
_MONEY_AT = _CALL_AT + 1 + len(_CALL)
_END_AT = _MONEY_AT + 1 + len(_MONEY)
_OF_AT = _END_AT + len(_END)  # of the call that an end is of
# Rows of the index that no entry stands behind; each one statement, and so of one instant.
_ORPHANS = (
    *(
        f"SELECT min(t.seq) FROM {table} t LEFT JOIN entries e ON e.seq = t.seq WHERE e.seq IS NULL"
        for table in ("calls", "call_rules", "exposures")
    ),
    "SELECT min(t.seq) FROM ends t LEFT JOIN entries e ON e.seq = t.seq AND e.call_seq = t.call_seq"
    " WHERE e.kind IS NOT 'end'",
)
# The same of what a log has that is searched: what finds calls by their run and time, and by rules that spoke at their
# ends.
_SEARCHED = (
    "SELECT min(c.seq) FROM calls c LEFT JOIN call_runs r ON r.run = c.run"
    " WHERE r.run IS NULL OR c.at < r.first_at OR c.at > r.last_at",
    f"SELECT min(seq) FROM ({LATE} EXCEPT SELECT rule, seq FROM late_rules)",
    f"SELECT min(seq) FROM (SELECT rule, seq FROM late_rules EXCEPT {LATE})",
)


class _Walk:
    def __init__(self, reader: SqliteReader, check: Check) -> None:
        self._reader = reader
        self._check = check
        self._entries = self._erased = self._lost = self._seq = self._signed = 0
        self._tip = GENESIS
        self._gone: list[tuple[int, int]] = []  # runs of erased entries
        self._noted: list[tuple[int, int]] = []  # runs that the log says it erased
        self._marked: dict[int, bytes] = {}  # hashes of the entries that checkpoints end at

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
            checkpoints=self._signed,
            checkpoint=found.number if found else None,
        )

    def run(self, advance: Callable[[int, int], None]) -> None:
        checkpoints = signatures(self._reader)  # before the end of the log is looked up: none is beyond it
        self._marked = {row[0]: b"" for row in checkpoints if isinstance(row[0], int)}
        after = BEFORE_ALL
        while True:
            # one statement, so that all is of one instant while another process writes
            rows = self._reader.fetch(
                "SELECT (SELECT max(seq) FROM entries), (SELECT seq FROM head), (SELECT hash FROM head)"
            )
            last, head, hashed = rows[0] if rows else (None, None, None)
            after = self._walk(after, last or 0, advance)
            self._head(head, hashed)
            bare = next(uncovered(self._gone, self._noted), None)
            if bare is None:
                break
            if self._reader.last_seq() == last:
                raise _Fault(bare, "what it said is gone, and the log has no note that it was erased")
            # erased while we looked: the note stands behind what was the end
        self._checkpoints(checkpoints)
        for sql in _ORPHANS if rows else ():
            orphan = self._reader.fetch(sql)[0][0]
            if orphan is not None:
                raise _Fault(orphan, "the index has it, the log has no such entry")
        for sql in _SEARCHED if rows and self._reader.has("call_runs") else ():
            hidden = self._reader.fetch(sql)[0][0]
            if hidden is not None:
                raise _Fault(hidden, "what finds it by its time or its rules does not say what its body says")

    def _walk(self, after: int, last: int, advance: Callable[[int, int], None]) -> int:
        """Look at the entries after one, up to another; the one that was looked at last."""
        while page := self._reader.fetch(_ENTRIES, (after, last, PAGE)):
            spoken: set[tuple[str, int]] = set()
            for row in page:
                self._entry(row, spoken)
            self._rules(page[0][0], page[-1][0], spoken)
            after = page[-1][0]
            advance(self._entries, last)
        return after

    def _entry(self, row: Cells, spoken: set[tuple[str, int]]) -> None:
        link = _link(row, self._seq + 1)
        reason = fault(self._tip, self._seq + 1, link)
        if reason:
            raise _Fault(min(link.seq, self._seq + 1), reason)
        self._seq, self._tip = link.seq, link.hash
        self._entries += 1
        if link.seq in self._marked:
            self._marked[link.seq] = link.hash
        if link.body is None:
            self._erased += 1
            if self._gone and self._gone[-1][1] == link.seq - 1:
                self._gone[-1] = (self._gone[-1][0], link.seq)
            else:
                self._gone.append((link.seq, link.seq))
            if row[_CALL_AT] is not None:
                raise _Fault(link.seq, "it was erased and the index still has it")
            return
        try:
            body = _DECODERS[link.kind](link.body)
        except msgspec.DecodeError as error:
            raise _Fault(link.seq, f"its body cannot be read: {error}") from error
        if isinstance(body, LostBody):
            self._lost += body.entries
        elif isinstance(body, ErasedBody):
            self._noted.extend(body.spans)
        if not _indexed(row, body):
            raise _Fault(link.seq, "the index does not say what its body says")
        if isinstance(body, DecisionBody | EndBody):
            spoken.update((f.rule, link.seq) for f in body.findings)

    def _rules(self, first: int, last: int, spoken: set[tuple[str, int]]) -> None:
        names = sorted(self._reader.names("rule") | {rule for rule, _ in spoken})
        sql = f"SELECT rule, seq FROM call_rules WHERE rule IN ({','.join('?' * len(names))}) AND seq BETWEEN ? AND ?"
        rows = self._reader.fetch(sql, (*names, first, last))
        odd = {seq for _, seq in spoken.symmetric_difference((rule, seq) for rule, seq in rows)}
        for seq in sorted(odd):
            if not self._reader.fetch("SELECT 1 FROM entries WHERE seq = ? AND body IS NULL", (seq,)) or any(
                at == seq for _, at in rows
            ):
                raise _Fault(seq, "the index of rules does not say what its body says")
            # else it was erased since its page was read

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

    def _checkpoints(self, rows: list[Cells]) -> None:
        last: bytes | None = None
        for seq, *cells in rows:
            number = self._signed + 1
            found = signed(tuple(cells))
            if found is None or not isinstance(seq, int):
                raise _Fault(self._seq, f"checkpoint {number}: a column is not of its type", number)
            reason = checkpoint.fault(last, found.message) or self._check(found) or self._covers(seq, found.message)
            if reason:
                raise _Fault(seq, f"checkpoint {number}: {reason}", number)
            last = found.message
            self._signed = number

    def _covers(self, seq: int, message: bytes) -> str:
        said = checkpoint.decode(message)
        if said.seq != seq:
            return f"it speaks of entry {said.seq}, and stands at entry {seq}"
        tip = self._marked.get(seq) or b"" if seq else GENESIS
        if not tip and seq > self._seq:
            return f"it was signed over entry {seq}: the end of the log was cut off"
        return "" if tip.hex() == said.hash else f"the log up to entry {seq} is not what was signed"


def signatures(reader: SqliteReader) -> list[Cells]:
    """The checkpoints in order, each its seq, message, signature and key; none in a log of before there were any."""
    if not reader.has("checkpoints"):
        return []
    return reader.fetch("SELECT seq, message, signature, key FROM checkpoints ORDER BY n")


def signed_books(reader: SqliteReader) -> set[tuple[int, str]]:
    """The entries of the books that checkpoints name: places and hashes (hexadecimal)."""
    out: set[tuple[int, str]] = set()
    for _, *cells in signatures(reader):
        found = signed(tuple(cells))
        if found is None:
            continue  # `verify` names it
        try:
            said = checkpoint.decode(found.message)
        except msgspec.DecodeError:
            continue
        if said.books:
            out.add((said.books, said.books_hash))
    return out


def uncovered(gone: Sequence[tuple[int, int]], noted: Sequence[tuple[int, int]]) -> Iterator[int]:
    """The first of each run that is gone and not noted, in order."""
    noted = sorted(noted)
    place = 0
    for first, last in gone:
        while first <= last:
            while place < len(noted) and noted[place][1] < first:
                place += 1
            if place == len(noted) or noted[place][0] > first:
                yield first
                break
            first = noted[place][1] + 1


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
    call, money, end = row[_CALL_AT:_MONEY_AT], row[_MONEY_AT:_END_AT], row[_END_AT:_OF_AT]
    seq, call_seq, at = row[0], row[6], row[7]
    no_call, no_money = (None,) * len(call), (None,) * len(money)
    if at != body.at or call_seq != (body.call if isinstance(body, EndBody) else None):
        return False
    if isinstance(body, DecisionBody):
        exposure = exposure_columns(body.money)
        stake = (seq, at, body.trunk, body.line, *exposure) if exposure[0] is not None else no_money
        return call == (seq, at, *call_columns(body)) and money == stake
    if call != no_call:
        return False
    exposure = exposure_columns(body.money) if isinstance(body, EndBody) else (None,)
    of = row[_OF_AT:]
    if exposure[0] is None or of[0] is None:  # what the call of an end was may be erased
        if money != no_money and exposure[0] is None:
            return False
    elif money != (seq, *of, *exposure):
        return False
    if isinstance(body, EndBody):
        # a second end of one call is in the log and not in the index, where the first stands
        return end == (seq, at, body.outcome) or (isinstance(end[0], int) and isinstance(seq, int) and end[0] < seq)
    return True
