"""The file of the books: entries that are only added, chained by hash, in SQLite; what an entry said can be erased.

Several processes may write: each append is one transaction that reads the tip first. Of an erased entry the hashes
stay, and an entry `erased` that names its place: so the chain still verifies.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from guard.ledger import chain
from guard.store.errors import StoreDamaged, StoreError
from guard.store.reader import Row
from guard.store.schema import FILE_MODE, explained

APPLICATION_ID: Final = 0x53495042  # "SIPB"
VERSION: Final = 1
BUSY_MS: Final = 5_000  # two people at once: each append takes milliseconds
LOOK_MS: Final = 250  # who only asks for the tip (the log's own thread) waits no longer than for its own file
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS entries(seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, body_hash BLOB NOT NULL,"
    " hash BLOB NOT NULL, salt BLOB, body BLOB)"
)
# Cast: whoever edits the file by hand may leave text where octets were.
_ROWS: Final = (
    "SELECT seq, CAST(kind AS TEXT), CAST(body_hash AS BLOB), CAST(hash AS BLOB), CAST(salt AS BLOB),"
    " CAST(body AS BLOB) FROM entries ORDER BY seq"
)
_TIP: Final = "SELECT seq, CAST(hash AS BLOB) FROM entries ORDER BY seq DESC LIMIT 1"


class BookFile:
    """The file at `path`. Nothing is made until something is written; StoreError names the file."""

    def __init__(self, path: str, salts: Callable[[int], bytes] = os.urandom, busy_ms: int = BUSY_MS) -> None:
        self.path = path
        self._salts = salts
        self._busy_ms = busy_ms
        self._db: sqlite3.Connection | None = None

    def links(self) -> list[chain.Link]:
        """Every entry as it is kept, in order. StoreError where one is no entry: SQLite takes what was cut off for
        zeros."""
        return [self._link(place, row) for place, row in enumerate(self._fetched(_ROWS), 1)]

    def tip(self) -> tuple[int, bytes]:
        """Place and hash of the last entry; 0 and GENESIS where there is none."""
        for seq, found in self._fetched(_TIP):
            if isinstance(seq, int) and isinstance(found, bytes) and len(found) == len(chain.GENESIS):
                return seq, found
            raise StoreDamaged(f"{self.path}: damaged: its last entry cannot be read")
        return 0, chain.GENESIS

    def _link(self, place: int, row: Row) -> chain.Link:
        link = chain.Link(*row)
        hashes = (link.body_hash, link.hash)
        if not all(isinstance(h, bytes) and len(h) == len(chain.GENESIS) for h in hashes) or not link.kind:
            raise StoreDamaged(f"{self.path}: damaged: what should be entry {place} is none; put its last copy back")
        return link

    def stamp(self) -> tuple[int, int]:
        """What tells that the file was written: its time of change (ns) and its size; zeros where there is none."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return 0, 0
        return found.st_mtime_ns, found.st_size

    def append(self, db: sqlite3.Connection, kind: str, data: bytes) -> int:
        """Add an entry, within `writing`; its place."""
        last, tip = self.tip()
        seq = last + 1
        salt = self._salts(chain.SALT_SIZE)
        digest = chain.body_hash(salt, data)
        row = (seq, kind, digest, chain.link(tip, seq, kind, digest), salt, data)
        db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
        return seq

    def erase(self, db: sqlite3.Connection, seqs: Iterable[int]) -> None:
        """Overwrite what entries said, within `writing`."""
        db.executemany("UPDATE entries SET salt = NULL, body = NULL WHERE seq = ?", [(seq,) for seq in seqs])

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, that no other process writes beside; on disk when it ends well."""
        self.close()
        db = self._db = self._connected(writing=True)
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                self._whole()
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            try:
                db.execute("COMMIT")
            except sqlite3.Error:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise explained(self.path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _fetched(self, sql: str) -> list[Row]:
        if self._db is None:
            if not Path(self.path).exists():
                return []
            self._db = self._connected(writing=False)
        try:
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return []  # just made, and nothing written yet
            return self._db.execute(sql).fetchall()
        except sqlite3.Error as error:
            raise explained(self.path, error) from error

    def _whole(self) -> None:
        """Nothing is written behind entries that are not what was written."""
        wrong = chain_fault(self.links(), None)
        if wrong is not None:
            raise StoreError(
                f"{self.path}: entry {wrong[0]}: {wrong[1]}: nothing is written to it; put its last copy back"
            )

    def _connected(self, *, writing: bool) -> sqlite3.Connection:
        try:
            if writing:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
            uri = f"{Path(self.path).absolute().as_uri()}?mode={'rw' if writing else 'ro'}"
            wait = self._busy_ms / 1000
            db = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None, check_same_thread=False)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be opened: {error.strerror}") from error
        except sqlite3.Error as error:
            raise explained(self.path, error) from error
        try:
            self._check(db, writing=writing)
        except sqlite3.Error as error:
            db.close()
            raise explained(self.path, error) from error
        except StoreError:
            db.close()
            raise
        return db

    def _check(self, db: sqlite3.Connection, *, writing: bool) -> None:
        identity = int(db.execute("PRAGMA application_id").fetchone()[0])
        tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if identity != APPLICATION_ID and (tables or identity):
            raise StoreError(f"{self.path}: another program's database, not the books of the guard")
        if version > VERSION:
            raise StoreError(f"{self.path}: made by a newer guard (version {version}, this one knows {VERSION})")
        if writing:
            db.execute("PRAGMA synchronous = FULL")  # few entries, each worth money
            db.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten, not just forgotten
            if not tables:
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
                db.execute(_TABLE)


def path_of(log: str) -> str:
    """The file of the books beside a log."""
    return f"{log}-books"


def tip_of(log: str) -> tuple[int, bytes] | None:
    """How far the books beside a log have come: place and hash of the last entry (0 and GENESIS where nothing was ever
    written); None where that cannot be read now."""
    file = BookFile(path_of(log), busy_ms=LOOK_MS)
    try:
        return file.tip()
    except StoreError:
        return None
    finally:
        file.close()


def damage_of(log: str) -> str:
    """What keeps anybody from reading the books beside a log, "" where nothing does: damage, not a file that is another
    program's or a disk that refuses for now."""
    file = BookFile(path_of(log), busy_ms=LOOK_MS)
    try:
        file.links()
    except StoreDamaged as error:
        return str(error)
    except StoreError:
        return ""
    finally:
        file.close()
    return ""


def chain_fault(links: Iterable[chain.Link], kinds: Collection[str] | None) -> tuple[int, str] | None:
    """The first entry that is not what was written, or (where they are named) of none of these kinds, and why; None
    where all are."""
    tip, expected = chain.GENESIS, 1
    for found in links:
        wrong = chain.fault(tip, expected, found, (found.kind,) if kinds is None else kinds)
        if wrong:
            return expected, wrong
        tip, expected = found.hash, expected + 1
    return None
