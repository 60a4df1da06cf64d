"""A signed statement of how far the log had come at an instant: pure functions on bytes.

A checkpoint names the last entry and its hash, and so everything before it. Each also names the checkpoint before it,
so that one that is taken away leaves a gap. The signature (Ed25519, RFC 8032) is over the message as it stands, octet
for octet: `openssl pkeyutl -verify` is enough to check one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Literal

import msgspec
from msgspec import Struct

GENESIS: Final = ""  # `previous` of the first checkpoint


class Checkpoint(Struct, frozen=True, kw_only=True):
    """What is signed. `n` counts checkpoints from 1; `seq` and `hash` (hexadecimal) are the last entry's (0 and 32 zero
    octets of an empty log); `count` is how many entries came since the checkpoint before; `at` is Unix time in
    microseconds; `previous` is the SHA-256 of the message of the checkpoint before, in hexadecimal. `books` and
    `books_hash` are the last entry of the books beside the log (0 and "" where there are none, or were not to be read
    then: this checkpoint says nothing of them).
    """

    type: Literal["sip-guard checkpoint 1"] = "sip-guard checkpoint 1"
    site: str
    n: int
    at: int
    seq: int
    hash: str
    count: int
    previous: str = GENESIS
    books: int = 0
    books_hash: str = ""


class Signed(Struct, frozen=True, kw_only=True):
    """A checkpoint as it is kept: the octets that were signed, the signature, and the public key (32 octets)."""

    message: bytes
    signature: bytes
    key: bytes


_DECODER: Final = msgspec.json.Decoder(Checkpoint)


def encode(checkpoint: Checkpoint) -> bytes:
    """The octets to sign."""
    return msgspec.json.encode(checkpoint, order="sorted")


def decode(message: bytes) -> Checkpoint:
    """What was signed. Raises msgspec.DecodeError."""
    return _DECODER.decode(message)


def digest(message: bytes) -> str:
    """How the next checkpoint names this one."""
    return sha256(message).hexdigest()


def following(
    last: bytes | None, *, site: str, at: int, seq: int, tip: bytes, books: tuple[int, bytes] | None = None
) -> Checkpoint:
    """The checkpoint after the one of the message `last` (None: the first), over a log whose last entry is `seq`, and
    over the books beside it up to their last entry."""
    before = decode(last) if last is not None else None
    return Checkpoint(
        site=site,
        n=before.n + 1 if before else 1,
        at=at,
        seq=seq,
        hash=tip.hex(),
        count=seq - (before.seq if before else 0),
        previous=digest(last) if last is not None else GENESIS,
        books=books[0] if books else 0,
        books_hash=books[1].hex() if books and books[0] else "",
    )


def fault(last: bytes | None, message: bytes) -> str:
    """What is wrong with the checkpoint `message` after the one of the message `last`; "" for nothing.

    A clock that went back is no fault: `at` may be before the last one's.
    """
    try:
        this = decode(message)
        before = decode(last) if last is not None else None
    except msgspec.DecodeError as error:
        return f"it cannot be read: {error}"
    wanted = before.n + 1 if before else 1
    if this.n != wanted:
        return f"it is number {this.n} where number {wanted} belongs"
    if this.previous != (digest(last) if last is not None else GENESIS):
        return "it does not follow from the checkpoint before it"
    if before is not None and this.seq < before.seq:
        return f"it ends at entry {this.seq}, and the checkpoint before it at entry {before.seq}"
    if this.count != this.seq - (before.seq if before else 0):
        return "its count of entries is wrong"
    return ""
