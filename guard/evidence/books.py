"""The books in an extract: every entry's link, and in full what concerns the month; the letters that these name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from guard.evidence.extract import BOOKS, LETTERS, Row
from guard.ledger.chain import GENESIS, Link, fault
from guard.ledger.incidents import Document, Event, Incident
from guard.store.bookentries import KINDS, Entry, Erased, read, run
from guard.store.books import Books

Tell = Callable[[str], None]


class Chosen(Struct, frozen=True, kw_only=True):
    """What of the books goes into an extract: rows in order, and the letters that bodies among them name."""

    rows: tuple[Row, ...]
    letters: tuple[Document, ...]
    hash: str


def chosen(books: Books, since: int, until: int) -> Chosen:
    """In full: notes of erasures, penalties of the month, and every step of the incidents that were open in it."""
    links = books.links()
    incidents = books.incidents()
    rows: list[Row] = []
    letters: dict[str, Document] = {}
    for link in links:
        row = Row(
            seq=link.seq,
            kind=link.kind,
            body_hash=link.body_hash.hex(),
            hash=link.hash.hex(),
            erased=link.body is None,
        )
        if link.body is not None and link.salt is not None:
            entry = read(link.kind, link.body)
            if _concerns(link.seq, entry, incidents, since, until):
                row = msgspec.structs.replace(row, salt=link.salt.hex(), body=link.body.decode())
                document = document_of(entry)
                if document is not None:
                    letters[document.kept] = document
        rows.append(row)
    tip = links[-1].hash.hex() if links else ""
    return Chosen(rows=tuple(rows), letters=tuple(letters[name] for name in sorted(letters)), hash=tip)


def _concerns(seq: int, entry: Entry, incidents: dict[int, Incident], since: int, until: int) -> bool:
    if isinstance(entry, Erased):
        return True
    if not isinstance(entry, Event):
        return since <= entry.at < until
    incident = incidents[entry.incident or seq]
    return incident.opened < until and (incident.closed is None or incident.closed >= since)


def document_of(entry: Entry) -> Document | None:
    """The letter that an entry names."""
    return None if isinstance(entry, Erased) else entry.document


def letter(folder: Path, document: Document) -> Iterator[bytes]:
    """The octets of a letter. Raises OSError."""
    yield (folder / document.kept).read_bytes()


class BookWalk:
    """Along the books of an extract, in the order of the file: every fault is named, and the walk goes on behind it."""

    def __init__(self, entries: int, tip: str, tell: Tell) -> None:
        self._entries = entries
        self._last = tip
        self._tell = tell
        self._tip: bytes = GENESIS
        self._tips: dict[int, str] = {}
        self._next = 1
        self._gone: set[int] = set()
        self._noted: set[int] = set()
        self.letters: dict[str, Document] = {}

    def take(self, row: Row) -> None:
        """The next row."""
        try:
            digest, hashed = bytes.fromhex(row.body_hash), bytes.fromhex(row.hash)
            salt = bytes.fromhex(row.salt) if row.salt is not None else None
        except ValueError:
            self._tell(f"{BOOKS}: entry {row.seq}: its hashes cannot be read")
            return
        link = Link(row.seq, row.kind, digest, hashed, salt, row.body.encode() if row.body is not None else None)
        reason = fault(self._tip, self._next, link, KINDS)
        if reason:
            self._tell(f"{BOOKS}: entry {min(row.seq, self._next)}: {reason}")
        if row.seq < self._next:
            return
        self._next, self._tip = row.seq + 1, hashed
        self._tips[row.seq] = row.hash
        if row.erased:
            self._gone.add(row.seq)
        elif link.body is not None and link.kind in KINDS:
            self._read(link.seq, link.kind, link.body)

    def finish(self) -> None:
        """There are no more rows."""
        if self._next - 1 != self._entries or self._tips.get(self._entries, "") != self._last:
            self._tell(f"{BOOKS}: ends at entry {self._next - 1}, and the manifest names another as the last")
        for seq in sorted(self._gone - self._noted)[:1]:
            self._tell(f"{BOOKS}: entry {seq}: what it said is gone, and no entry says that it was erased")

    def signed(self, name: str, seq: int, hashed: str) -> None:
        """A checkpoint says that entry `seq` had this hash."""
        there = self._tips.get(seq)
        if there is None:
            self._tell(f"{name}: names entry {seq} of the books, which is not in {BOOKS}")
        elif there != hashed:
            self._tell(f"{name}: the books up to entry {seq} are not what was signed")

    def letter(self, document: Document, data: bytes | None) -> None:
        """The octets of a letter that an entry names; None where the archive has none."""
        name = f"{LETTERS}/{document.kept}"
        if data is not None and sha256(data).hexdigest() != document.sha256:
            self._tell(f"{name}: not the letter that {BOOKS} names")

    def _read(self, seq: int, kind: str, body: bytes) -> None:
        try:
            entry = read(kind, body)
        except msgspec.DecodeError as error:
            self._tell(f"{BOOKS}: entry {seq}: its body cannot be read: {error}")
            return
        if isinstance(entry, Erased):
            self._noted |= {n for span in entry.spans for n in run(span)}
            return
        document = document_of(entry)
        if document is not None:
            self.letters[document.kept] = document
