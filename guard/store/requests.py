"""What another process asks of the one that writes the log, by way of the log's file: one row a request.

Only the writer may add to the chain; a person's command hands its wish over and waits for the answer. The number that
a request is about goes from the row with the answer.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final, Literal

import msgspec
from msgspec import Struct

from guard.store.errors import StoreError
from guard.store.reader import SqliteReader
from guard.store.schema import READ_BUSY_MS, check_identity, explained

Kind = Literal["erase", "purge"]
POLL: Final = 0.2  # seconds between looks for the answer


class Answer(Struct, frozen=True, kw_only=True):
    """What was done, or the `error` that it was not."""

    calls: int = 0
    entries: int = 0
    error: str = ""


_ANSWER: Final = msgspec.json.Decoder(Answer)


class Request(Struct, frozen=True, kw_only=True):
    """One that waits. `argument` is the number to erase."""

    id: int
    kind: str
    argument: str


def ask(path: str, kind: Kind, argument: str, at: int, patience: float) -> Answer:
    """Hand a request to the guard that writes the log, and wait for its answer. StoreError where none comes."""
    try:
        with closing(sqlite3.connect(path, timeout=READ_BUSY_MS / 1000, isolation_level=None)) as db:
            check_identity(db, path)
            db.execute("PRAGMA secure_delete = ON")
            made = db.execute("INSERT INTO requests(kind, argument, at) VALUES (?, ?, ?)", (kind, argument, at))
            number = made.lastrowid
            try:
                return _waited(db, path, number or 0, time.monotonic() + patience)
            finally:
                db.execute("DELETE FROM requests WHERE id = ?", (number,))
    except sqlite3.Error as error:
        raise explained(path, error) from error


def _waited(db: sqlite3.Connection, path: str, number: int, until: float) -> Answer:
    while time.monotonic() < until:
        (answer,) = db.execute("SELECT answer FROM requests WHERE id = ?", (number,)).fetchone() or (None,)
        if answer is not None:
            return _ANSWER.decode(answer)
        time.sleep(POLL)
    raise StoreError(f"{path}: the guard that writes this log did not answer in time; nothing tells whether it will")


def waiting(reader: SqliteReader) -> list[Request]:
    """Requests without an answer, oldest first."""
    rows = reader.fetch("SELECT id, kind, argument FROM requests WHERE answer IS NULL ORDER BY id")
    return [Request(id=row[0], kind=row[1], argument=row[2]) for row in rows]


def answering(number: int, answer: Answer) -> Callable[[sqlite3.Connection], None]:
    """What writes an answer, for `SqliteWriter.errand`."""
    text = msgspec.json.encode(answer).decode()

    def work(db: sqlite3.Connection) -> None:
        db.execute("UPDATE requests SET answer = ?, argument = '' WHERE id = ?", (text, number))

    return work


def settle(path: str) -> None:
    """Move what was written into the database itself and empty the file beside it (WAL), which still holds what was
    erased; nothing where somebody reads or writes just now: later commits write over it."""
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            raise explained(path, error) from error
