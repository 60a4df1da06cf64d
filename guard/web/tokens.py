"""Tokens: 256 random bits, shown once and kept as their SHA-256 in a small file beside the log.

The file is a SQLite database of its own, not the chained log: who may look is no part of what was decided. Several
processes may use it at once (WAL): `guard token` writes, `guard web` reads it for each request, so that what is revoked
is so at once.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from guard.store.errors import StoreError
from guard.web.roles import ROLES, Role

PREFIX: Final = "sgt_"  # so that scanners for secrets know one that was published by mistake
OCTETS: Final = 32
LENGTH: Final = len(PREFIX) + 43  # of its base64url
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}\Z")
MOST: Final = 1_000  # tokens of one site: more is a script gone wild
DAY: Final = 86_400_000_000  # µs
APPLICATION_ID: Final = 0x53475431  # "SGT1"
BUSY_MS: Final = 5_000
FILE_MODE: Final = 0o600
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS tokens (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash BLOB NOT NULL UNIQUE,"
    " roles TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL, made_by TEXT NOT NULL) STRICT"
)
_COLUMNS: Final = "id, name, roles, created, expires, made_by"


class TokenError(Exception):
    """What cannot be done with a token, in words."""


class Token(Struct, frozen=True, kw_only=True):
    """What is kept of a token, but for its hash. Times are µs of Unix time."""

    id: int
    name: str
    roles: tuple[Role, ...]
    created: int
    expires: int
    made_by: str

    def good(self, now: int) -> bool:
        """Whether it has not expired."""
        return now < self.expires


class Tokens:
    """The tokens in the file at `path`. StoreError, naming it, where it cannot be used; it is made by the first
    `create`, and without it nobody has a token."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self._of = (0, 0)  # which file it is: device and inode

    def create(self, name: str, roles: Iterable[Role], *, now: int, days: int, by: str) -> str:
        """Make a token that is good for `days`; the token itself, which is kept nowhere. TokenError."""
        wanted = tuple(dict.fromkeys(roles))
        if not NAME.match(name):
            raise TokenError(f'"{name}" is no name: at most 64 letters, digits, dots, hyphens, underscores and @')
        if not wanted or not set(wanted) <= ROLES.keys():
            raise TokenError(f"a token has roles: {', '.join(ROLES)}")
        secret = PREFIX + secrets.token_urlsafe(OCTETS)
        with self._writing() as db:
            if db.execute("SELECT count(*) FROM tokens").fetchone()[0] >= MOST:
                raise TokenError(f"there are {MOST:,} tokens: revoke some")
            try:
                db.execute(
                    "INSERT INTO tokens (name, hash, roles, created, expires, made_by) VALUES (?, ?, ?, ?, ?, ?)",
                    (name, _hash(secret), " ".join(wanted), now, now + days * DAY, by),
                )
            except sqlite3.IntegrityError as error:
                raise TokenError(f'there is a token "{name}" already: revoke it first') from error
        return secret

    def all(self) -> list[Token]:
        """Every token, in the order in which they were made."""
        return [_token(row) for row in self._rows(f"SELECT {_COLUMNS} FROM tokens ORDER BY id", ())]

    def revoke(self, name: str) -> bool:
        """Take a token away, and with it its sessions; whether there was one."""
        if not self.path.exists():
            return False
        with self._writing() as db:
            return db.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount > 0

    def find(self, secret: str, now: int) -> Token | None:
        """The token that this is, while it is good."""
        if len(secret) != LENGTH or not secret.startswith(PREFIX):
            return None
        return self._one("hash = ?", _hash(secret), now)

    def known(self, id_: int, now: int) -> Token | None:
        """The token of an id, while it is good."""
        return self._one("id = ?", id_, now)

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _one(self, condition: str, value: bytes | int, now: int) -> Token | None:
        rows = self._rows(f"SELECT {_COLUMNS} FROM tokens WHERE {condition}", (value,))
        found = _token(rows[0]) if rows else None
        return found if found is not None and found.good(now) else None

    def _rows(self, sql: str, values: tuple[bytes | int, ...]) -> list[tuple[int, str, str, int, int, str]]:
        if not self._there():
            return []
        try:
            return self._open().execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: tokens cannot be read: {error}") from error

    def _there(self) -> bool:
        """Whether there is a file. One that was taken away, or replaced, is let go of, and all its tokens with it."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self.close()
            return False
        if (found.st_dev, found.st_ino) != self._of:
            self.close()
            self._of = found.st_dev, found.st_ino
        return True

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(self.path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
            try:
                marked = db.execute("PRAGMA application_id").fetchone()[0]
                tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                if not tables:
                    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    marked = APPLICATION_ID
                if marked == APPLICATION_ID:
                    db.execute("PRAGMA journal_mode = WAL")
                    db.execute("PRAGMA secure_delete = 1")
                    db.execute(_TABLE)
            except BaseException:
                db.close()
                raise
            if marked != APPLICATION_ID:
                db.close()
                raise StoreError(f"{self.path}: not a file of tokens")
            self._db = db
        return self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            # made with its mode, before SQLite sees it; its WAL takes the same
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
            self._there()
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: tokens cannot be written: {error}") from error
        except OSError as error:
            raise StoreError(f"{self.path}: tokens cannot be written: {error.strerror or error}") from error


def _hash(secret: str) -> bytes:
    """Plain SHA-256: 256 random bits need no salt and no slow hash."""
    return sha256(secret.encode()).digest()


def _token(row: tuple[int, str, str, int, int, str]) -> Token:
    id_, name, roles, created, expires, by = row
    known = tuple(role for role in ROLES if role in roles.split())
    return Token(id=id_, name=name, roles=known, created=created, expires=expires, made_by=by)
