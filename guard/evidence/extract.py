"""What an extract of the log is made of: a ZIP archive of JSON Lines, and a signed list of what is in it.

The format is public (docs/evidence.md); names and meanings stay, new ones may be added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import tzinfo
from typing import Final, Literal

import msgspec
from msgspec import Struct

from guard.ledger.lines import LedgerLine, lines_of, put_off
from guard.ledger.record import DecisionBody, EndBody, to_record

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
CHAIN: Final = "chain.jsonl"
RECORDS: Final = "records.jsonl"
STATEMENT: Final = "statement.jsonl"
CHECKPOINTS: Final = "checkpoints.jsonl"
BOOKS: Final = "books.jsonl"
LETTERS: Final = "letters"
PUBLIC: Final = "public-key.pem"
README: Final = "README.txt"
POLICIES: Final = "policies"
POLICY: Final = "policy.json"
FILES: Final = "files"

README_TEXT: Final = """\
An extract of the log of a telephony guard (sip-guard), signed.

  chain.jsonl        the entries of the log: those of the month in full, and what links those between and around them
  records.jsonl      the calls of the month, as `guard log --json` shows them; made from chain.jsonl
  statement.jsonl    the money at stake under the operators' contracts, line by line; made from chain.jsonl
  checkpoints.jsonl  the guard's signed statements of how far its log had come, each hour
  books.jsonl        the books: incidents and penalties entered by hand that concern the month; links of all others
  letters/           the operator's letters that they name
  policies/          the rules that were in force, by the digest that records name
  public-key.pem     the key that signed: compare it with the one that the guard's owner made known
  manifest.json      what is in this archive, with the SHA-256 of each file; manifest.sig is its Ed25519 signature

To check it: guard evidence verify FILE --key KEY, or by hand as docs/evidence.md of sip-guard tells. First of all:
  openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in manifest.json -sigfile manifest.sig
"""


class File(Struct, frozen=True, kw_only=True):
    """One file of the archive."""

    name: str
    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What is signed. `first` and `last` are the seqs of chain.jsonl, `previous` the hash (hexadecimal) of the entry
    before the first; `calls` counts the month's, `erased` the entries of the span whose bodies are gone. `policies`
    tells of each digest that the month's calls name whether it is in the archive. `key` is the public key in
    hexadecimal. `books` and `books_hash` are the last entry of books.jsonl, 0 and "" where there are none.
    """

    type: Literal["sip-guard evidence 1"] = "sip-guard evidence 1"
    site: str
    month: str
    timezone: str
    first: int
    last: int
    previous: str
    calls: int
    erased: int
    policies: dict[str, bool]
    key: str
    files: tuple[File, ...]
    books: int = 0
    books_hash: str = ""


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry in chain.jsonl or books.jsonl: hashes and salt in hexadecimal; `body` as it was written, for those of
    the month. `erased` tells that the log has its body no more; else one without a body is only a link."""

    seq: int
    kind: str
    body_hash: str
    hash: str
    salt: str | None = None
    body: str | None = None
    erased: bool = False


class SignedRow(Struct, frozen=True, kw_only=True):
    """One checkpoint: the text that was signed, the signature and the public key in hexadecimal."""

    message: str
    signature: str
    key: str


class PolicyParts(Struct, frozen=True, kw_only=True):
    """What names a policy, beside its files: the order of these, digests of the site's lists, and its settings."""

    files: tuple[str, ...]
    lists: dict[str, str]
    settings: str


class Erased(Struct, frozen=True, kw_only=True):
    """The last line of statement.jsonl: money of the month's calls whose bodies are gone, in micro-euros. It is as the
    log's index says; nothing in the archive proves it."""

    erased_calls: int
    accrued: int
    avoided: int


class Call(Struct, frozen=True):
    """A decision of the month and its end."""

    seq: int
    hash: bytes
    body: DecisionBody
    end: EndBody | None


def line(value: Struct) -> bytes:
    """One line of a .jsonl file: keys sorted, no spaces."""
    return msgspec.json.encode(value, order="sorted") + b"\n"


def record_lines(calls: Iterable[Call], zone: tzinfo) -> Iterator[bytes]:
    """The lines of records.jsonl."""
    for one in calls:
        yield line(to_record(one.seq, one.hash, one.body, one.end, zone))


def statement_lines(calls: Iterable[Call]) -> Iterator[bytes]:
    """The lines of statement.jsonl but for the last."""
    lines: list[LedgerLine] = [found for one in calls for found in lines_of(one.seq, one.body, one.end)]
    for found in put_off(lines):
        yield line(found)
