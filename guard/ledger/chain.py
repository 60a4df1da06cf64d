"""The hash chain that makes the log tamper-evident: pure functions on bytes.

Every entry of the log, whatever its kind, is one link:

    body_hash = SHA-256(salt || body)                 body: the canonical JSON of the entry
    hash      = SHA-256(previous hash || seq, 8 octets big-endian || kind, ASCII || body_hash)

Every part of `hash` but the kind has a fixed length, so no two different entries run together to the same input. The
salt makes it impossible to guess an erased body (a telephone number has few possible values) from the hash that
stays, so a body and its salt may be erased and the chain still verifies.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

Kind = Literal["decision", "end", "lost"]

GENESIS = bytes(32)  # what stands for the previous hash before the first entry
SALT_SIZE = 16  # octets: 128 bits, beyond trying out


def body_hash(salt: bytes, body: bytes) -> bytes:
    """The digest that stands for `body` in the chain."""
    return sha256(salt + body).digest()


def link(previous: bytes, seq: int, kind: str, digest: bytes) -> bytes:
    """The hash of entry `seq`, given the hash of the one before and the digest of its body."""
    return sha256(previous + seq.to_bytes(8, "big") + kind.encode("ascii") + digest).digest()
