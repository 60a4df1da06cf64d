"""What is to be told and was not yet: messages in the order in which they are to go, in an SQLite file beside the log.

It is `<log>-outbox`. One thread of the guard has it; `guard alerts` reads it. Of a call only its place in the log is
kept: what the log no longer says is no longer told. A message stays until somebody has taken it, also over kill -9.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from guard.store.errors import StoreDamaged, StoreError
from guard.store.reader import Row
from guard.store.schema import FILE_MODE, JOURNAL_LIMIT, MEMORY, explained

SUFFIX: Final = "-outbox"  # after the log's name
APPLICATION_ID: Final = 0x53495051  # "SIPQ"
VERSION: Final = 1
BUSY_MS: Final = 2_000  # who reads it for a person takes milliseconds
_MAKE: Final = (
    # AUTOINCREMENT: a place is never given twice, or what was sent last could be taken for what comes next.
    "CREATE TABLE IF NOT EXISTS messages(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, topic TEXT NOT NULL,"
    " retain INTEGER NOT NULL, call INTEGER NOT NULL, payload BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS messages_topic ON messages(topic)",
    "CREATE TABLE IF NOT EXISTS notes(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS incidents(id INTEGER PRIMARY KEY, told TEXT NOT NULL, phase TEXT NOT NULL)",
)
_COLUMNS: Final = "id, kind, topic, retain, call, payload"


class Waiting(Struct, frozen=True):
    """One message that waits. `call` is its place in the log where it is a call's (then `payload` is empty), else 0."""

    id: int
    kind: str
    topic: str
    retain: bool
    call: int
    payload: bytes


def path_of(log: str) -> str:
    """The outbox of a log; of one that nobody keeps, one that nobody keeps."""
    return MEMORY if log == MEMORY else log + SUFFIX


class Outbox:
    """The file at `path`, made where there is none. StoreError names it; StoreDamaged where it is broken anywhere."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            if self.path != MEMORY:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
            self._db = sqlite3.connect(self.path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be opened for writing: {error.strerror}") from error
        except sqlite3.Error as error:
            raise _said(self.path, error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise _said(self.path, error) from error
        except StoreError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        db = self._db
        _known(db, self.path)
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]  # of `[mqtt] keep` messages at most
        if found != "ok":
            raise _said(self.path, sqlite3.DatabaseError(f"malformed: {found}"))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT}")
        db.execute("PRAGMA secure_delete = ON")  # what was sent is gone from here, numbers and all
        with self.writing():
            for statement in _MAKE:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _said(self.path, error) from error

    def add(self, kind: str, topic: str, *, retain: bool = False, call: int = 0, payload: bytes = b"") -> None:
        """A message behind all others; within `writing`."""
        self._run(
            "INSERT INTO messages(kind, topic, retain, call, payload) VALUES (?, ?, ?, ?, ?)",
            (kind, topic, retain, call, payload),
        )

    def put(self, place: int, kind: str, topic: str, payload: bytes) -> None:
        """A message in the place of one that was given up; within `writing`."""
        self._run("INSERT INTO messages VALUES (?, ?, ?, 0, 0, ?)", (place, kind, topic, payload))

    def page(self, limit: int, after: int = 0) -> list[Waiting]:
        """The oldest that wait, behind the place `after`."""
        rows = self._fetch(f"SELECT {_COLUMNS} FROM messages WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [Waiting(row[0], row[1], row[2], bool(row[3]), row[4], row[5]) for row in rows]

    def taken(self, upto: int) -> None:
        """Those up to this place were taken."""
        with self.writing():
            self._run("DELETE FROM messages WHERE id <= ?", (upto,))

    def remove(self, places: Iterable[int]) -> None:
        """Give some up; within `writing`."""
        try:
            self._db.executemany("DELETE FROM messages WHERE id = ?", [(place,) for place in places])
        except sqlite3.Error as error:
            raise _said(self.path, error) from error

    def outdated(self, after: int) -> list[int]:
        """Places, behind `after`, of retained messages that a later one of their topic replaces."""
        return [
            row[0]
            for row in self._fetch(
                "SELECT id FROM messages m WHERE retain = 1 AND id > ?"
                " AND EXISTS (SELECT 1 FROM messages n WHERE n.topic = m.topic AND n.id > m.id)",
                (after,),
            )
        ]

    def count(self) -> int:
        """How many wait."""
        return int(self._fetch("SELECT count(*) FROM messages", ())[0][0])

    def waits(self, topic: str) -> bool:
        """Whether a message of this topic waits."""
        return bool(self._fetch("SELECT 1 FROM messages WHERE topic = ? LIMIT 1", (topic,)))

    def note(self, name: str) -> bytes | None:
        """What was noted under a name."""
        rows = self._fetch("SELECT value FROM notes WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def set_note(self, name: str, value: bytes) -> None:
        """Note something; within `writing`."""
        self._run("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def incidents(self) -> dict[int, tuple[str, str]]:
        """What was last told of each incident: a digest, and the phase."""
        return {row[0]: (row[1], row[2]) for row in self._fetch("SELECT id, told, phase FROM incidents", ())}

    def set_incident(self, number: int, told: str, phase: str) -> None:
        """What was last told of one; nothing (`phase` empty) forgets it. Within `writing`."""
        if phase:
            self._run("INSERT OR REPLACE INTO incidents VALUES (?, ?, ?)", (number, told, phase))
        else:
            self._run("DELETE FROM incidents WHERE id = ?", (number,))

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, sql: str, values: tuple[str | int | bytes, ...]) -> None:
        try:
            self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise _said(self.path, error) from error

    def _fetch(self, sql: str, values: tuple[str | int, ...]) -> list[Row]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _said(self.path, error) from error


def looked_at(path: str) -> Callable[[int], list[Waiting]]:
    """For commands: what waits behind a place, asked again and again, in a file that only the guard writes."""
    if not Path(path).exists():
        raise StoreError(f"{path}: no such outbox (has the guard run with this [mqtt]?)")

    def page(after: int) -> list[Waiting]:
        try:
            db = sqlite3.connect(Path(path).absolute().as_uri() + "?mode=ro", uri=True, timeout=BUSY_MS / 1000)
            try:
                _known(db, path)
                rows = db.execute(f"SELECT {_COLUMNS} FROM messages WHERE id > ? ORDER BY id", (after,)).fetchall()
            finally:
                db.close()
        except sqlite3.Error as error:
            raise _said(path, error) from error
        return [Waiting(row[0], row[1], row[2], bool(row[3]), row[4], row[5]) for row in rows]

    return page


def _known(db: sqlite3.Connection, path: str) -> None:
    """StoreError unless the file is empty, or an outbox of this version."""
    identity = int(db.execute("PRAGMA application_id").fetchone()[0])
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if identity != APPLICATION_ID and (identity or tables):
        raise StoreError(f"{path}: another program's database, not an outbox of the guard")
    if version > VERSION:
        raise StoreError(f"{path}: made by a newer guard")


def _said(path: str, error: sqlite3.Error) -> StoreError:
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return StoreDamaged(
            f"{path}: damaged ({text}): move it away, what waits in it is lost, and the log has all calls"
        )
    return explained(path, error)
