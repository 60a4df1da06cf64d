"""Every policy that was ever in force, kept in the log's file: files once by their content, and what names them."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from guard.policy.digest import Parts
from guard.store.reader import SqliteReader


class Kept(Struct, frozen=True, kw_only=True):
    """How the parts of a policy are kept: each file by the SHA-256 (hexadecimal) of its content."""

    files: dict[str, str]
    lists: dict[str, str]
    settings: str


_KEPT: Final = msgspec.json.Decoder(Kept)


def keep(digest: str, at: int, parts: Parts) -> Callable[[sqlite3.Connection], None]:
    """What writes a policy into the log's file, for `SqliteWriter.errand`."""
    hashes = {name: sha256(body).digest() for name, body in parts.files.items()}
    kept = Kept(
        files={name: hashed.hex() for name, hashed in hashes.items()},
        lists=parts.lists,
        settings=parts.settings.decode(),
    )
    listed = msgspec.json.encode(kept)
    packed = [(hashed, zlib.compress(parts.files[name])) for name, hashed in hashes.items()]

    def work(db: sqlite3.Connection) -> None:
        if db.execute("SELECT 1 FROM policies WHERE digest = ?", (digest,)).fetchone() is None:
            db.executemany("INSERT OR IGNORE INTO policy_files VALUES (?, ?)", packed)
            db.execute("INSERT INTO policies VALUES (?, ?, ?)", (digest, at, listed))

    return work


def kept(reader: SqliteReader, digest: str) -> Parts | None:
    """The policy of a digest as it was kept; None where it was not, or where what was kept cannot be read.

    Whoever asks checks that the parts have the digest that was asked for.
    """
    if not reader.has("policies"):
        return None
    rows = reader.fetch("SELECT parts FROM policies WHERE digest = ?", (digest,))
    if not rows:
        return None
    try:
        listed = _KEPT.decode(rows[0][0])
        files: dict[str, bytes] = {}
        for name, hashed in listed.files.items():
            (row,) = reader.fetch("SELECT content FROM policy_files WHERE sha256 = ?", (bytes.fromhex(hashed),))
            files[name] = zlib.decompress(row[0])
    except (msgspec.DecodeError, ValueError, TypeError, zlib.error):
        return None
    return Parts(files=files, lists=listed.lists, settings=listed.settings.encode())
