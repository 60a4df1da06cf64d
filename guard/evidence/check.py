"""Whether an extract is what the guard signed, found with nothing but the file and the public key.

Everything is looked at, so that what was changed is named as exactly as can be: the file of the archive, and the entry.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Final, TypeVar
from zipfile import BadZipFile, ZipFile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from guard.evidence import extract
from guard.evidence.books import BookWalk
from guard.evidence.extract import Manifest, PolicyParts, Row, SignedRow
from guard.evidence.keys import good, word
from guard.evidence.walk import Walk
from guard.ledger import checkpoint
from guard.policy.digest import Parts, digest

T = TypeVar("T", bound=Struct)
MAX_LINE: Final = 16 << 20  # octets: no line of an extract comes near; a hostile file must not fill the memory
MAX_MANIFEST: Final = 64 << 20  # octets
MAX_FILE: Final = 256 << 20  # octets of one file of a policy, or of a letter
MAX_FAULTS: Final = 20  # that are told one by one
BLOCK: Final = 1 << 20

_MANIFEST: Final = msgspec.json.Decoder(Manifest)
_ROW: Final = msgspec.json.Decoder(Row)
_SIGNED: Final = msgspec.json.Decoder(SignedRow)
_PARTS: Final = msgspec.json.Decoder(PolicyParts)
# What reading an archive raises where its octets were changed: they choose the method that unpacks, too.
DAMAGED: Final = (
    *(BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError),
    *(NotImplementedError, RuntimeError, OverflowError),
)


class Report(Struct, frozen=True, kw_only=True):
    """What was found. `faults` is empty where all is as it was signed; `remarks` are no faults. `keys` signed it, and
    `trusted` tells that a key was given to hold it against."""

    ok: bool
    file: str
    site: str = ""
    month: str = ""
    entries: int = 0
    calls: int = 0
    erased: int = 0
    checkpoints: int = 0
    first: int = 0
    last: int = 0
    keys: tuple[str, ...] = ()
    trusted: bool = False
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class NotAnExtract(Exception):
    """A file that cannot even be looked into; the message names it and the reason."""


def check(path: Path, keys: frozenset[bytes]) -> Report:
    """Look at everything. Without `keys`, the one in the extract is taken, which proves no origin. Raises
    NotAnExtract."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise NotAnExtract(f"{path}: cannot be read: {error.strerror or error}") from error
    with stream:
        try:
            archive = ZipFile(stream)
        except DAMAGED as error:
            raise NotAnExtract(f"{path}: no extract, or one whose end was cut off: {error}") from error
        with archive:
            return _Check(path, archive, keys).run()


class _Check:
    def __init__(self, path: Path, archive: ZipFile, keys: frozenset[bytes]) -> None:
        self._path = path
        self._archive = archive
        self._keys = keys
        self._faults: list[str] = []
        self._more = 0
        self._remarks: list[str] = []
        self._signers: dict[bytes, None] = {}
        self._checkpoints = 0
        self._books = BookWalk(0, "", self._fault)

    def run(self) -> Report:
        manifest = self._manifest()
        if manifest is None:
            return self._report(None, None)
        self._files(manifest)
        walk = Walk(manifest, self._fault)
        for row in self._rows(extract.CHAIN, _ROW):
            walk.take(row)
        walk.finish()
        self._books = BookWalk(manifest.books, manifest.books_hash, self._fault)
        self._beside()
        self._signed(manifest, walk)
        self._derived(manifest, walk)
        self._policies(manifest, walk)
        return self._report(manifest, walk)

    def _beside(self) -> None:
        """The books follow from each other, and the letters are those that they name."""
        for row in self._rows(extract.BOOKS, _ROW):
            self._books.take(row)
        self._books.finish()
        for document in self._books.letters.values():
            self._books.letter(document, self._whole(f"{extract.LETTERS}/{document.kept}", MAX_FILE))

    def _report(self, manifest: Manifest | None, walk: Walk | None) -> Report:
        told = [*self._faults]
        if self._more:
            told.append(f"and {self._more} more")
        return Report(
            ok=not told,
            file=str(self._path),
            site=manifest.site if manifest else "",
            month=manifest.month if manifest else "",
            entries=walk.entries if walk else 0,
            calls=len(walk.calls) if walk else 0,
            erased=walk.erased if walk else 0,
            checkpoints=self._checkpoints,
            first=manifest.first if manifest else 0,
            last=manifest.last if manifest else 0,
            keys=tuple(word(key) for key in self._signers),
            trusted=bool(self._keys),
            faults=tuple(told),
            remarks=tuple(self._remarks),
        )

    def _fault(self, text: str) -> None:
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(text)
        else:
            self._more += 1  # only counted: a hostile file may have one in each of millions of lines

    def _manifest(self) -> Manifest | None:
        data = self._whole(extract.MANIFEST, MAX_MANIFEST)
        signature = self._whole(extract.SIGNATURE, 64)
        if data is None:
            return None
        try:
            manifest = _MANIFEST.decode(data)
            key = bytes.fromhex(manifest.key)
        except (msgspec.DecodeError, ValueError) as error:
            self._fault(f"{extract.MANIFEST}: cannot be read: {error}")
            return None
        self._signers[key] = None
        if self._keys and key not in self._keys:
            self._fault(f"signed by another key than the one given: {word(key)}")
        if signature is not None and not good(key, data, signature):
            self._fault(f"{extract.MANIFEST}: not what was signed")
        return manifest

    def _whole(self, name: str, limit: int) -> bytes | None:
        """A file of the archive; None, and a fault, where it is not there or not whole."""
        try:
            with self._archive.open(name) as stream:
                data = stream.read(limit + 1)
        except KeyError:
            self._fault(f"{name}: missing")
            return None
        except DAMAGED as error:
            self._fault(f"{name}: damaged ({error})")
            return None
        if len(data) > limit:
            self._fault(f"{name}: longer than any such file")
            return None
        return data

    def _files(self, manifest: Manifest) -> None:
        """Each file is there once, and has the octets that the manifest names; and there is no other."""
        wanted = {one.name: one for one in manifest.files}
        there = self._archive.namelist()
        for name in sorted(set(there) - wanted.keys() - {extract.MANIFEST, extract.SIGNATURE}):
            self._fault(f"{name}: inserted, the manifest does not name it")
        for name in sorted({n for n in there if there.count(n) > 1}):
            self._fault(f"{name}: stands twice in the archive")
        for name, one in wanted.items():
            try:
                with self._archive.open(name) as stream:
                    size, hashed = _hashed(stream, one.size)
            except KeyError:
                self._fault(f"{name}: missing")
                continue
            except DAMAGED as error:
                self._fault(f"{name}: damaged ({error})")
                continue
            if size != one.size or hashed != one.sha256:
                self._fault(f"{name}: changed")

    def _rows(self, name: str, decoder: msgspec.json.Decoder[T]) -> Iterator[T]:
        """The lines of a file, as far as they can be read. What is wrong with the file as such was told before."""
        try:
            for number, data in enumerate(self._lines(name), 1):
                try:
                    yield decoder.decode(data)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    self._fault(f"{name}: line {number} cannot be read: {error}")
        except (KeyError, *DAMAGED):
            return

    def _lines(self, name: str) -> Iterator[bytes]:
        with self._archive.open(name) as stream:
            while data := stream.readline(MAX_LINE):
                yield data

    def _signed(self, manifest: Manifest, walk: Walk) -> None:
        """The checkpoints follow from each other, are signed, and say what the chain says."""
        last: bytes | None = None
        for place, row in enumerate(self._rows(extract.CHECKPOINTS, _SIGNED), 1):
            name = f"checkpoint {place} of {extract.CHECKPOINTS}"
            try:
                message, key, signature = row.message.encode(), bytes.fromhex(row.key), bytes.fromhex(row.signature)
                said = checkpoint.decode(message)
            except (msgspec.DecodeError, ValueError) as error:
                self._fault(f"{name}: cannot be read: {error}")
                continue
            name = f"checkpoint {said.n}"
            self._signers[key] = None
            if not good(key, message, signature):
                self._fault(f"{name}: forged: the signature is not the key's")
            elif self._keys and key not in self._keys:
                self._fault(f"{name}: signed by another key than the one given: {word(key)}")
            elif not self._keys and key != bytes.fromhex(manifest.key):
                self._remarks.append(f"{name} was signed by another key than the extract: {word(key)}")
            reason = checkpoint.fault(last, message) if last is not None else ""
            if reason:
                self._fault(f"{name}: {reason}")
            elif last is not None and said.at < checkpoint.decode(last).at:
                self._remarks.append(f"the clock went back before {name}")
            if said.books:
                self._books.signed(name, said.books, said.books_hash)
            last = message
            self._checkpoints += 1
            self._agrees(manifest, walk, name, said)

    def _agrees(self, manifest: Manifest, walk: Walk, name: str, said: checkpoint.Checkpoint) -> None:
        if said.seq < manifest.first - 1 or said.seq > manifest.last:
            self._fault(f"{name}: speaks of entry {said.seq}, which is not in {extract.CHAIN}")
        elif (tip := walk.tip(said.seq)) is not None and tip.hex() != said.hash:
            self._fault(f"{name}: the log up to entry {said.seq} is not what was signed")

    def _derived(self, manifest: Manifest, walk: Walk) -> None:
        """What was made from the chain is what would be made from it again."""
        try:
            zone = ZoneInfo(manifest.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            self._remarks.append(
                f'{extract.RECORDS}: not compared: this machine knows no time zone "{manifest.timezone}"'
            )
        else:
            self._same(extract.RECORDS, extract.record_lines(walk.calls.values(), zone), spare=0)
        self._same(extract.STATEMENT, extract.statement_lines(walk.calls.values()), spare=1)

    def _same(self, name: str, wanted: Iterator[bytes], spare: int) -> None:
        """`spare` lines at the end are not of the chain."""
        try:
            there = list(self._lines(name))
        except (KeyError, *DAMAGED):
            return
        made = list(wanted)
        if len(there) - spare != len(made):
            self._fault(f"{name}: {len(there) - spare} lines where the chain makes {len(made)}")
        for number, (mine, theirs) in enumerate(zip(made, there, strict=False), 1):
            if mine != theirs:
                self._fault(f"{name}: line {number} is not what the chain says")
                return

    def _policies(self, manifest: Manifest, walk: Walk) -> None:
        named = {call.body.policy for call in walk.calls.values()} - {""}
        for name in sorted(named | {n for n, there in manifest.policies.items() if there}):
            if not manifest.policies.get(name, False):
                self._remarks.append(f"policy {name} is named by calls and is not in the extract")
            elif not self._policy(name):
                self._fault(f"policy {name}: its files are not those that have this name")

    def _policy(self, name: str) -> bool:
        folder = f"{extract.POLICIES}/{name.replace(':', '-')}"
        listed = next(iter(self._rows(f"{folder}/{extract.POLICY}", _PARTS)), None)
        if listed is None:
            return False
        files: dict[str, bytes] = {}
        for path in listed.files:
            body = self._whole(f"{folder}/{extract.FILES}/{path}", MAX_FILE)
            if body is None:
                return False
            files[path] = body
        return digest(Parts(files=files, lists=listed.lists, settings=listed.settings.encode())) == name


def _hashed(stream: IO[bytes], limit: int) -> tuple[int, str]:
    """Size and SHA-256 of a file; no further than just past the size that it should have."""
    found, size = sha256(), 0
    while size <= limit and (block := stream.read(BLOCK)):
        found.update(block)
        size += len(block)
    return size, found.hexdigest()
