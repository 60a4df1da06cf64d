"""An extract of the log for one month, signed: the same octets each time, as long as the log says the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import msgspec
from msgspec import Struct

from guard.evidence import extract
from guard.evidence.books import Chosen, chosen, letter
from guard.evidence.extract import Call, Erased, File, Manifest, PolicyParts, Row, SignedRow
from guard.evidence.keys import Key, good, pem, word
from guard.evidence.policies import kept
from guard.ledger import checkpoint
from guard.ledger.chain import GENESIS, Link, fault
from guard.ledger.penalties import month_bounds
from guard.ledger.record import DecisionBody, EndBody, ErasedBody
from guard.policy.digest import Parts, digest
from guard.store.books import Books
from guard.store.erasing import spans
from guard.store.money import erased_sums
from guard.store.reader import SqliteReader
from guard.store.signing import signed
from guard.store.verify import signatures, signed_books, uncovered

FIRST_DAY: Final = (1980, 1, 1, 0, 0, 0)  # of what a ZIP archive can say; no file of it tells when it was made
PAGE: Final = 500  # entries read at a time
FILE_MODE: Final = 0o600

_DECISION: Final = msgspec.json.Decoder(DecisionBody)
_END: Final = msgspec.json.Decoder(EndBody)
_ERASED: Final = msgspec.json.Decoder(ErasedBody)


class CannotExport(Exception):
    """Why there is no extract."""


class Exported(Struct, frozen=True, kw_only=True):
    """What was written."""

    calls: int
    entries: int
    erased: int
    checkpoints: int
    missing: tuple[str, ...]
    warnings: tuple[str, ...]


def export(
    reader: SqliteReader, key: Key, present: Parts | None, *, month: str, output: Path, advance: Advance
) -> Exported:
    """Write the extract of a month (`2026-11`) to a new file. `present` is the policy in force now, for a log that has
    not kept it. Raises CannotExport, StoreError, OSError."""
    with reader.snapshot(), _new(output) as stream, ZipFile(stream, "w") as archive:
        return _Export(reader, key, present, archive, advance).run(month)


Advance = Callable[[int, int], None]


@contextmanager
def _new(output: Path) -> Iterator[IO[bytes]]:
    """A new file that is there when it is whole, and not otherwise."""
    draft = output.with_name(f"{output.name}.part")
    try:
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(fd, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, output)  # fails where there is such a file: one extract does not take another's place
    finally:
        draft.unlink(missing_ok=True)


class _Export:
    def __init__(
        self, reader: SqliteReader, key: Key, present: Parts | None, archive: ZipFile, advance: Advance
    ) -> None:
        self._reader = reader
        self._key = key
        self._present = present
        self._archive = archive
        self._advance = advance
        self._files: list[File] = []
        self._members: set[int] = set()
        self._ends: dict[int, EndBody] = {}
        self._policies: set[str] = set()
        self._site = ""
        self._gone: list[int] = []
        self._tips: dict[int, bytes] = {}

    def run(self, month: str) -> Exported:
        since, until = month_bounds(month, self._reader.zone)
        first, last = self._span(month, since, until)
        before, within, warnings = self._checkpoints(first, last)
        start = checkpoint.decode(before.message).seq + 1 if before else 1
        end = checkpoint.decode(within[-1].message).seq if within else last
        end = max(end, last)
        self._tips = dict.fromkeys((checkpoint.decode(one.message).seq for one in within), b"")
        previous = self._hash(start - 1)
        if before is not None and previous.hex() != checkpoint.decode(before.message).hash:
            raise CannotExport(f"the log up to entry {start - 1} is not what was signed")
        self._add(extract.README, [extract.README_TEXT.encode()])
        self._add(extract.PUBLIC, [pem(self._key.public)])
        self._add(extract.CHAIN, self._chain(previous, start, end, since, until))
        for one in within:
            said = checkpoint.decode(one.message)
            if self._tips[said.seq].hex() != said.hash:
                raise CannotExport(f"checkpoint {said.n}: the log up to entry {said.seq} is not what was signed")
        self._noted()
        self._add(extract.RECORDS, extract.record_lines(self._calls(), self._reader.zone))
        self._add(extract.STATEMENT, self._statement(since, until))
        listed = [*([before] if before else []), *within]
        self._add(extract.CHECKPOINTS, (extract.line(_row(one)) for one in listed))
        beside = self._books(since, until)
        found = {name: self._policy(name) for name in sorted(self._policies - {""})}
        manifest = Manifest(
            site=self._site,
            month=month,
            timezone=self._reader.zone.key,
            first=start,
            last=end,
            previous=previous.hex(),
            calls=len(self._members),
            erased=len(self._gone),
            policies=found,
            key=self._key.public.hex(),
            files=tuple(self._files),
            books=len(beside.rows),
            books_hash=beside.hash,
        )
        data = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1) + b"\n"
        self._add(extract.MANIFEST, [data])
        self._add(extract.SIGNATURE, [self._key.sign(data)])
        return Exported(
            calls=len(self._members),
            entries=end - start + 1,
            erased=len(self._gone),
            checkpoints=len(listed),
            missing=tuple(name for name, there in found.items() if not there),
            warnings=tuple(warnings),
        )

    def _span(self, month: str, since: int, until: int) -> tuple[int, int]:
        """First and last entry of the calls of the month."""
        rows = self._reader.fetch("SELECT min(seq), max(seq) FROM calls WHERE at >= ? AND at < ?", (since, until))
        first, last = rows[0] if rows else (None, None)
        if first is None or last is None:
            raise CannotExport(f"no call of {month} is in the log (none came, or what they said was erased)")
        ends = self._reader.fetch(
            "SELECT max(x.seq) FROM calls c JOIN ends x ON x.call_seq = c.seq WHERE c.at >= ? AND c.at < ?",
            (since, until),
        )
        return int(first), max(int(last), int(ends[0][0] or 0))

    def _hash(self, seq: int) -> bytes:
        if seq == 0:
            return GENESIS
        rows = self._reader.fetch("SELECT hash FROM entries WHERE seq = ?", (seq,))
        if not rows or not isinstance(rows[0][0], bytes):
            raise CannotExport(f"entry {seq} is missing; `guard log --verify` tells more")
        return rows[0][0]

    def _checkpoints(
        self, first: int, last: int
    ) -> tuple[checkpoint.Signed | None, list[checkpoint.Signed], list[str]]:
        """The last checkpoint before the span, and those up to the first that covers all of it."""
        before: checkpoint.Signed | None = None
        within: list[checkpoint.Signed] = []
        whole = False
        for number, (_, *cells) in enumerate(signatures(self._reader), 1):
            one = signed(tuple(cells))
            if one is None or not good(one.key, one.message, one.signature):
                raise CannotExport(f"checkpoint {number}: not what was signed; `guard log --verify` tells more")
            statement = checkpoint.decode(one.message)
            if statement.n != number:
                raise CannotExport(f"checkpoint {number} is missing; `guard log --verify` tells more")
            seq = statement.seq
            if seq < first:
                before = one
            else:
                within.append(one)
                whole = seq >= last
                if whole:
                    break
        said = [] if whole else ["no checkpoint covers the last entries yet: the extract's own signature does"]
        used = {one.key for one in (*([before] if before else []), *within)} - {self._key.public}
        said += [f"some checkpoints were signed by another key: {word(other)}" for other in sorted(used)]
        return before, within, said

    def _chain(self, tip: bytes, start: int, end: int, since: int, until: int) -> Iterator[bytes]:
        seq = start - 1
        sql = (
            # Cast: whoever edits the file by hand may leave text where octets were.
            "SELECT seq, CAST(kind AS TEXT), CAST(call_seq AS INTEGER), CAST(at AS INTEGER), CAST(body_hash AS BLOB),"
            " CAST(hash AS BLOB), CAST(salt AS BLOB), CAST(body AS BLOB) FROM entries"
            " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        )
        while rows := self._reader.fetch(sql, (seq, end, PAGE)):
            for row in rows:
                link = Link(row[0], row[1], row[4], row[5], row[6], row[7])
                reason = fault(tip, seq + 1, link)
                if reason:
                    raise CannotExport(f"entry {link.seq}: {reason}; `guard log --verify` tells more")
                seq, tip = link.seq, link.hash
                if seq in self._tips:
                    self._tips[seq] = tip
                yield self._row(link, row[2], row[3], since, until)
            self._advance(seq - start + 1, end - start + 1)
        if seq != end:
            raise CannotExport(f"entry {seq + 1} is missing; `guard log --verify` tells more")

    def _row(self, link: Link, call: int | None, at: int, since: int, until: int) -> bytes:
        if link.kind == "decision":
            mine = since <= at < until
        else:
            mine = call in self._members if link.kind == "end" else since <= at < until
        made = Row(
            seq=link.seq,
            kind=link.kind,
            body_hash=link.body_hash.hex(),
            hash=link.hash.hex(),
            erased=link.body is None,
        )
        if link.body is None or link.salt is None:
            self._gone.append(link.seq)
        elif mine:
            made = msgspec.structs.replace(made, salt=link.salt.hex(), body=link.body.decode())
            if link.kind == "decision":
                self._members.add(link.seq)
                body = _DECISION.decode(link.body)
                self._policies.add(body.policy)
                self._site = body.site
            elif call is not None and call not in self._ends:
                self._ends[call] = _END.decode(link.body)
        return extract.line(made)

    def _noted(self) -> None:
        """Every body of the span that is gone was erased on purpose: the log has a note of it."""
        if not self._gone:
            return
        rows = self._reader.fetch(
            "SELECT body FROM entries WHERE seq > ? AND kind = 'erased' AND body IS NOT NULL", (self._gone[0],)
        )
        noted = [span for (body,) in rows for span in _ERASED.decode(body).spans]
        for bare in uncovered(spans(self._gone), noted):
            raise CannotExport(f"entry {bare}: what it said is gone, and the log has no note that it was erased")

    def _calls(self) -> Iterator[Call]:
        for detail in self._reader.of(sorted(self._members)):
            seq = detail.record.seq
            yield Call(seq, bytes.fromhex(detail.record.hash), detail.body, self._ends.get(seq))

    def _statement(self, since: int, until: int) -> Iterator[bytes]:
        yield from extract.statement_lines(self._calls())
        calls, accrued, avoided = erased_sums(self._reader, since, until)
        yield extract.line(Erased(erased_calls=calls, accrued=accrued, avoided=avoided))

    def _books(self, since: int, until: int) -> Chosen:
        """Put the books into the archive, as they stand now, with the letters that they name for the month."""
        with Books(self._reader.path, self._reader.zone) as books:
            wrong = books.verify(signed_books(self._reader))
            if wrong:
                raise CannotExport(wrong)
            found = chosen(books, since, until)
            if found.rows:
                self._add(extract.BOOKS, map(extract.line, found.rows))
            for document in found.letters:
                self._add(f"{extract.LETTERS}/{document.kept}", letter(books.folder, document))
        return found

    def _policy(self, name: str) -> bool:
        """Put a policy into the archive; whether there is one."""
        found = kept(self._reader, name)
        if found is None or digest(found) != name:
            found = self._present
        if found is None or digest(found) != name:
            return False
        folder = f"{extract.POLICIES}/{name.replace(':', '-')}"
        listed = PolicyParts(files=tuple(found.files), lists=found.lists, settings=found.settings.decode())
        self._add(f"{folder}/{extract.POLICY}", [extract.line(listed)])
        for path, body in found.files.items():
            self._add(f"{folder}/{extract.FILES}/{path}", [body])
        return True

    def _add(self, name: str, parts: Iterable[bytes] | Sequence[bytes]) -> None:
        info = ZipInfo(name, FIRST_DAY)
        info.compress_type = ZIP_DEFLATED
        info.external_attr = FILE_MODE << 16
        info.create_system = 3  # Unix, also where this is not
        hashed, size = sha256(), 0
        with self._archive.open(info, "w", force_zip64=True) as stream:
            for part in parts:
                stream.write(part)
                hashed.update(part)
                size += len(part)
        self._files.append(File(name=name, size=size, sha256=hashed.hexdigest()))


def _row(one: checkpoint.Signed) -> SignedRow:
    return SignedRow(message=one.message.decode(), signature=one.signature.hex(), key=one.key.hex())
