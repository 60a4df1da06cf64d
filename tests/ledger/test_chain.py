"""The chain is what docs/records.md says: computed here from the definition, without the product's functions."""

from __future__ import annotations

import hashlib
import struct

import pytest

from guard.ledger.chain import GENESIS, SALT_SIZE, Link, body_hash, fault, link


def test_the_formulas_of_the_documentation() -> None:
    salt, body, before = bytes(range(16)), b'{"at":1}', b"\x07" * 32
    digest = hashlib.sha256(salt + body).digest()
    assert body_hash(salt, body) == digest
    assert (
        link(before, 258, "decision", digest)
        == hashlib.sha256(before + struct.pack(">Q", 258) + b"decision" + digest).digest()
    )
    assert (GENESIS, SALT_SIZE) == (b"\0" * 32, 16)


def entry(seq: int = 2, **changes: object) -> Link:
    salt, body = b"s" * 16, b"{}"
    digest = body_hash(salt, body)
    values = {"seq": seq, "kind": "end", "body_hash": digest, "hash": link(GENESIS, seq, "end", digest)}
    return Link(**{**values, "salt": salt, "body": body, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (entry(), ""),
        (entry(salt=None, body=None), ""),  # erased
        (entry(body=b"{ }"), "its body is not what was written"),
        (entry(salt=None), "its body or its salt alone is gone"),
        (entry(body=None), "its body or its salt alone is gone"),
        (entry(kind="lost"), "its hash does not follow from the entry before it"),
        (entry(kind="é"), 'its kind "é" is none of this log'),
        (entry(hash=GENESIS), "its hash does not follow from the entry before it"),
        (entry(3), "entry 2 is missing"),
        (entry(5), "entries 2 to 4 are missing"),
        (entry(1), "its number is not one of this log"),
    ],
)
def test_what_is_wrong_with_an_entry(found: Link, reason: str) -> None:
    assert fault(GENESIS, 2, found) == reason


def test_an_entry_follows_from_one_before_only() -> None:
    assert fault(b"\1" * 32, 2, entry()) == "its hash does not follow from the entry before it"
