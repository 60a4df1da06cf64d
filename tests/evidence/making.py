"""Signed logs and extracts for tests."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from guard.evidence.check import Report, check
from guard.evidence.export import Exported, export
from guard.evidence.keys import Key, checker
from guard.evidence.policies import keep
from guard.policy.digest import Parts, digest
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from guard.store.verify import Verified, verify
from tests.store.making import AT
from tests.store.making_log import DIGITS, Call

DAY: Final = 86_400_000_000
MONTH: Final = "2026-11"
SECRET: Final = bytes(range(32))
KEY: Final = Key(Ed25519PrivateKey.from_private_bytes(SECRET))
OTHER: Final = Key(Ed25519PrivateKey.from_private_bytes(bytes(32)))
PARTS: Final = Parts(files={"rules/a.toml": b"[a]\n"}, lists={}, settings=b'["enforce"]')
POLICY: Final = digest(PARTS)


def key_file(path: Path) -> Path:
    """The key in a file of its own."""
    key = Ed25519PrivateKey.from_private_bytes(SECRET)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    os.chmod(path, 0o600)
    return path


def writer(path: Path, key: Key | None = KEY) -> SqliteWriter:
    """The writer of a signed log."""
    return SqliteWriter(path, site="hq", money={"operator": DIGITS}, signer=key)


def write(path: Path, calls: Iterable[Call], *, every: int = 0, keep_policy: bool = True) -> list[int]:
    """Write calls, with a checkpoint after each `every`, and one at the end; the decisions' seqs."""
    seqs = []
    with closing(writer(path)) as log:
        if keep_policy:
            log.errand(keep(POLICY, AT, PARTS))
        for n, (call, decided, *ends) in enumerate(calls, 1):
            seqs.append(log.decided(call, decided, None))
            for ended in ends:
                log.ended(seqs[-1], ended)
            if every and n % every == 0:
                log.sign(call.at)
    return seqs


def exported(path: Path, output: Path, month: str = MONTH, key: Key = KEY) -> Exported:
    """The extract of a month."""
    with SqliteReader(path) as reader:
        return export(reader, key, None, month=month, output=output, advance=lambda _done, _of: None)


def checked(output: Path, *keys: Key) -> Report:
    """What is found of an extract with the key."""
    return check(output, frozenset(key.public for key in keys or (KEY,)))


def verified(path: Path) -> Verified:
    """What `guard log --verify` finds, with the key."""
    with SqliteReader(path) as reader:
        return verify(reader, lambda _done, _of: None, checker(key_file(path.with_name("the-key"))))


def change(path: Path, *statements: str) -> None:
    """What somebody with the log and a database tool would do."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def rewritten(path: Path, name: str, edit: Callable[[bytes], bytes]) -> None:
    """What somebody with the extract and an archiver would do: put another file in the place of one."""
    with ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    if name:
        files[name] = edit(files.get(name, b""))
    with ZipFile(path, "w") as archive:
        for n, data in files.items():
            archive.writestr(n, data)


def lines(path: Path, name: str) -> list[dict[str, object]]:
    """The lines of a .jsonl file of an extract."""
    with ZipFile(path) as archive:
        return [json.loads(line) for line in archive.read(name).splitlines()]
