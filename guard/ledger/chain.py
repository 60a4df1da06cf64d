"""The hash chain that makes the log tamper-evident: pure functions on bytes.

Every entry of the log, whatever its kind, is one link:

    body_hash = SHA-256(salt || body)                 body: the canonical JSON of the entry
    hash      = SHA-256(previous hash || seq, 8 octets big-endian || kind, ASCII || body_hash)

Every part of `hash` but the kind has a fixed length, so no two different entries run together to the same input. The
salt makes it impossible to guess an erased body (a telephone number has few possible values) from the hash that
stays, so a body and its salt may be erased and the chain still verifies.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from typing import Literal, get_args

from msgspec import Struct

Kind = Literal["decision", "end", "lost", "erased"]

GENESIS = bytes(32)  # what stands for the previous hash before the first entry
SALT_SIZE = 16  # octets: 128 bits, beyond trying out


def body_hash(salt: bytes, body: bytes) -> bytes:
    """The digest that stands for `body` in the chain."""
    return sha256(salt + body).digest()


def link(previous: bytes, seq: int, kind: str, digest: bytes) -> bytes:
    """The hash of entry `seq`, given the hash of the one before and the digest of its body."""
    return sha256(previous + seq.to_bytes(8, "big") + kind.encode("ascii") + digest).digest()


class Link(Struct, frozen=True):
    """One entry as it is kept, whatever a stranger may have made of it; body and salt None where it was erased."""

    seq: int
    kind: str
    body_hash: bytes
    hash: bytes
    salt: bytes | None
    body: bytes | None


def fault(previous: bytes, seq: int, entry: Link, kinds: Collection[str] = get_args(Kind)) -> str:
    """What is wrong with `entry`, which should be `seq` after one of the hash `previous`; "" for nothing."""
    if entry.seq != seq:
        if entry.seq < seq:
            return "its number is not one of this log"
        gone = f"entry {seq} is" if entry.seq == seq + 1 else f"entries {seq} to {entry.seq - 1} are"
        return f"{gone} missing"
    if entry.kind not in kinds:
        return f'its kind "{entry.kind}" is none of this log'
    if entry.body is not None and entry.salt is not None:
        if body_hash(entry.salt, entry.body) != entry.body_hash:
            return "its body is not what was written"
    elif entry.body is not None or entry.salt is not None:
        return "its body or its salt alone is gone"
    if link(previous, seq, entry.kind, entry.body_hash) != entry.hash:
        return "its hash does not follow from the entry before it"
    return ""
