"""Checkpoints in the log's file: signed by the writer, read by whoever checks."""

from __future__ import annotations

import sqlite3
from typing import Protocol

from guard.ledger.checkpoint import Signed, encode, following


class Signer(Protocol):
    """Who signs. `public` is the Ed25519 public key, 32 octets."""

    @property
    def public(self) -> bytes:
        """The key that checks signatures."""

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 octets."""


def sign(
    db: sqlite3.Connection,
    signer: Signer,
    *,
    site: str,
    at: int,
    seq: int,
    tip: bytes,
    books: tuple[int, bytes] | None = None,
) -> None:
    """Add the checkpoint over the log whose last entry is `seq`, of the hash `tip`; and over the books beside it."""
    last = db.execute("SELECT message FROM checkpoints ORDER BY n DESC LIMIT 1").fetchone()
    made = following(last[0] if last else None, site=site, at=at, seq=seq, tip=tip, books=books)
    message = encode(made)
    db.execute(
        "INSERT INTO checkpoints(n, seq, at, message, signature, key) VALUES (?, ?, ?, ?, ?, ?)",
        (made.n, seq, at, message, signer.sign(message), signer.public),
    )


def signed(row: tuple[object, ...]) -> Signed | None:
    """A checkpoint from its message, signature and key; None where a column is not of its type."""
    message, signature, key = row
    if isinstance(message, bytes) and isinstance(signature, bytes) and isinstance(key, bytes):
        return Signed(message=message, signature=signature, key=key)
    return None
