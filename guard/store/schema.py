"""The log's file: how it is made, known again, and opened for writing and for reading."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Final, Literal

from guard.store.errors import StoreDamaged, StoreError
from guard.store.migrations import MIGRATIONS

_log = logging.getLogger("guard.store")

Durability = Literal["process", "power"]

MEMORY: Final = ":memory:"
APPLICATION_ID: Final = 0x53495047  # "SIPG": tells our file from another program's database
FILE_MODE: Final = 0o600  # who called whom is personal data: the guard's own user only
BUSY_MS: Final = 250  # a commit waits this long for another process's lock; a caller waits for the answer meanwhile
READ_BUSY_MS: Final = 5_000  # a reader has time; it meets a lock only while the file is being made or recovered
TELL: Final = 100_000  # entries of a log whose upgrade takes long enough to be told of: about half a second
JOURNAL_LIMIT: Final = 64 << 20  # octets: what the WAL shrinks back to after a burst


def open_writer(path: str, durability: Durability, *, upto: int | None = None) -> sqlite3.Connection:
    """A connection that writes, its file made (mode 0600) and brought to the newest version (or that of `upto`) where
    need be."""
    if path != MEMORY:
        _make(path)
    try:
        db = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise explained(path, error) from error
    try:
        check_identity(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
        db.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT}")
        db.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten, not just forgotten
        _migrate(db, path, len(MIGRATIONS) if upto is None else upto)
    except sqlite3.Error as error:
        db.close()
        raise explained(path, error) from error
    except StoreError:
        db.close()
        raise
    return db


def _make(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened for writing: {error.strerror}") from error


def _migrate(db: sqlite3.Connection, path: str, upto: int) -> None:
    there = user_version(db)
    entries = db.execute("SELECT max(seq) FROM entries").fetchone()[0] or 0 if there else 0
    begun = time.monotonic()
    if there < upto and entries > TELL:
        _log.warning(
            "%s: a log of %s entries is brought from version %d to %d; calls wait until it is done",
            *(path, f"{entries:,}", there, upto),
        )
    for version in range(there, upto):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[version]:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {version + 1}")
            db.execute("COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    if there < upto and entries > TELL:
        _log.warning("%s: done in %.1f s", path, time.monotonic() - begun)


def user_version(db: sqlite3.Connection) -> int:
    """How many migrations the file has had."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_identity(db: sqlite3.Connection, path: str) -> None:
    """StoreError unless the file is empty, or a log of this version or an older one."""
    identity = int(db.execute("PRAGMA application_id").fetchone()[0])
    tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if identity != APPLICATION_ID and (tables or identity):
        raise StoreError(f"{path}: another program's database, not a log of the guard")
    version = user_version(db)
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: made by a newer guard (version {version} of the log, this one knows {len(MIGRATIONS)})"
        )


def open_reader(path: str) -> sqlite3.Connection:
    """A connection that only reads, beside a writer at work in another process.

    A log at rest in a folder where nothing can be written (an archive, another user's) is read as it stands.
    """
    file = Path(path)
    if not file.exists():
        raise StoreError(f"{path}: no such log (has the guard run with this [store] path?)")
    uri = file.absolute().as_uri()
    try:
        return _probe(uri + "?mode=ro", path)
    except sqlite3.OperationalError as error:
        if Path(path + "-wal").exists() or not os.access(path, os.R_OK):
            raise explained(path, error) from error
    try:
        return _probe(uri + "?immutable=1", path)
    except sqlite3.Error as error:
        raise explained(path, error) from error


def _probe(uri: str, path: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, timeout=READ_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA query_only = 1")
        check_identity(db, path)
    except sqlite3.OperationalError:
        db.close()
        raise
    except sqlite3.Error as error:
        db.close()
        raise explained(path, error) from error
    except StoreError:
        db.close()
        raise
    return db


def damaging(error: sqlite3.Error) -> bool:
    """Whether an error says that the file itself is broken, and not that the disk refuses for now."""
    return "malformed" in str(error)


def explained(path: str, error: sqlite3.Error) -> StoreError:
    """SQLite's error as one that names the file and says what a person can make of it."""
    text = str(error)
    if "not a database" in text:
        return StoreDamaged(f"{path}: not a log of the guard (the file is no database)")
    if damaging(error):
        return StoreDamaged(f"{path}: damaged ({text}); `guard log --verify` tells how far it can be trusted")
    if "disk I/O" in text:
        text = f"damaged ({text}); `guard log --verify` tells how far it can be trusted"
    return StoreError(f"{path}: {text}")
