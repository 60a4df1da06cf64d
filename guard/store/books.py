"""The books beside the log: incidents worked by people, and penalties entered by hand. Append-only, chained by hash.

They are a file of their own (`<log>-books`, SQLite), so that a command can write while the daemon holds the log. Each
entry is one event; state is always worked out from all of them. Letters are copied into the folder `<log>-files`, under
their SHA-256. Several processes may write (guard/store/bookfile.py).
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import tzinfo
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec.structs import replace

from guard.ledger import chain
from guard.ledger.incidents import Document, Event, Incident, WrongStep, after, costs, earlier, fold, opened
from guard.ledger.lines import LedgerLine
from guard.ledger.sightings import Key, Sighting
from guard.store.bookentries import (
    KINDS,
    Entry,
    Erased,
    PassedOn,
    Reason,
    line_of,
    names,
    nobodys,
    read,
    run,
    texts_of,
)
from guard.store.bookfile import BookFile, chain_fault, path_of
from guard.store.erasing import spans
from guard.store.errors import StoreError
from guard.store.schema import FILE_MODE

FILES: Final = "-files"  # after the log's name: the folder of letters
MAX_LETTER: Final = 64 << 20  # octets of one letter: beyond this it is no letter
FOLDER_MODE: Final = 0o700
LETTER: Final = re.compile(r"[0-9a-f]{32}(\..{1,11})?\Z")  # a name that `keep` gives; anything else is somebody's own
FEED_EVERY: Final = 3_600_000_000  # µs: a detector that sees on and on writes once an hour; the log has every call
DAY: Final = 24 * FEED_EVERY
# A flood of invented numbers opens no more a day on a trunk: nobody works more, and the books stay small.
OPENED_A_DAY: Final = 50
SHUT_A_DAY: Final = 500  # of those that shut somebody off: a restart must not lift these


class Books:
    """The books beside the log at `log`. Nothing is made until something is written; StoreError names the file."""

    def __init__(self, log: str | os.PathLike[str], zone: tzinfo, salts: Callable[[int], bytes] = os.urandom) -> None:
        self._file = BookFile(path_of(os.fspath(log)), salts)
        self.path = self._file.path
        self.folder = folder_of(log)
        self._zone = zone

    def incidents(self) -> dict[int, Incident]:
        """Every incident, by id, in the order in which they were opened."""
        return self._fold()

    def passed_on(self, since: int, until: int) -> list[tuple[int, PassedOn]]:
        """Penalties entered by hand that count for a day from `since` until before `until`, with their places."""
        found = [(seq, body) for seq, body in self._entries() if isinstance(body, PassedOn)]
        return [(seq, body) for seq, body in found if since <= body.at < until]

    def enter(self, entry: PassedOn) -> int:
        """Write a penalty down; its place in the books."""
        with self._file.writing() as db:
            return self._append(db, "passed-on", entry)

    def open(self, event: Event) -> Incident:
        """Open an incident by hand. WrongStep where one of this subject is open already."""
        with self._file.writing() as db:
            known = self._fold()
            live = _live(known, event)
            if live is not None:
                raise WrongStep(f"{live.name} is open for {event.subject} already ({live.state})")
            return self._open(db, event, known)

    def quarantine(self, event: Event) -> Incident:
        """Shut a subject off by hand: a step of its open incident, or a new one. `event` is as for `open`."""
        with self._file.writing() as db:
            known = self._fold()
            live = _live(known, event)
            if live is None:
                return self._open(db, event, known)
            step = replace(event, step="quarantine", incident=live.id)
            stepped = after(live, step)
            self._append(db, "incident", step)
            return stepped

    def step(self, event: Event) -> Incident:
        """Take the next step of an incident. WrongStep where it cannot be taken."""
        with self._file.writing() as db:
            incident = self._fold().get(event.incident)
            if incident is None:
                raise WrongStep(f"there is no incident INC-{event.incident}")
            stepped = after(incident, event)
            self._append(db, "incident", event)
            return stepped

    def seen(self, sightings: Iterable[Sighting]) -> list[tuple[Incident, bool]]:
        """For rules and detectors: feed the open incident of each subject, or open one; each with whether it was opened
        now. One transaction.

        One incident a subject and trunk at a time. What adds nothing is not written: seen again within the hour, and
        known to have reached the operator; or older than the day on which it was put right. Of each trunk at most
        OPENED_A_DAY (SHUT_A_DAY) are opened in a day; what is beyond that is one incident of the trunk.
        """
        with self._file.writing() as db:
            known = _Known(self._fold())
            return [self._saw(db, known, sighting) for sighting in sightings]

    def stamp(self) -> tuple[int, int]:
        """What tells that the books were written: time of change (ns) and size of their file; zeros for none."""
        return self._file.stamp()

    def erased_lines(self, since: int, until: int) -> list[LedgerLine]:
        """The money of erased entries that counts for a day from `since` until before `until`."""
        found = [line for _, body in self._entries() if isinstance(body, Erased) for line in body.lines]
        return [line for line in found if since <= line.at < until]

    def lines(self, since: int, until: int, now: int) -> Iterator[LedgerLine]:
        """The lines of the ledger that rest on no call, of days from `since` until before `until`: penalties entered
        by hand, incidents as they stand at `now`, and what of both was erased."""
        yield from (line_of(seq, entry) for seq, entry in self.passed_on(since, until))
        yield from self.erased_lines(since, until)
        for incident in self._fold().values():
            yield from (line for line in costs(incident, now, self._zone) if since <= line.at < until)

    def about(self, number: str) -> tuple[list[Incident], list[tuple[int, PassedOn]]]:
        """The incidents and the penalties entered by hand that name a number (E.164, short, or a line's)."""
        written = [(seq, body) for seq, body in self._entries() if isinstance(body, PassedOn)]
        return (
            [i for i in self._fold().values() if any(names(text, number) for text in texts_of(i))],
            [(seq, one) for seq, one in written if names(one.number, number) or names(one.reason, number)],
        )

    def old(self, before: int) -> tuple[list[Incident], list[tuple[int, PassedOn]]]:
        """The closed incidents whose last step, and the penalties whose day, lies before an instant (µs)."""
        written = [(seq, body) for seq, body in self._entries() if isinstance(body, PassedOn)]
        return (
            [i for i in self._fold().values() if not i.live and max(e.written for e in i.events) < before],
            [(seq, one) for seq, one in written if max(one.at, one.written) < before],
        )

    def erase(
        self, incidents: Iterable[Incident], entries: Iterable[tuple[int, PassedOn]], reason: Reason, now: int
    ) -> tuple[int, int]:
        """Erase all that was written of incidents, penalties entered by hand, and their letters: how many entries and
        letters. What they cost stays, without whom it was of."""
        ids, places = {i.id for i in incidents}, {seq for seq, _ in entries}
        with self._file.writing() as db:
            gone: list[int] = []
            lines: list[LedgerLine] = []
            kept: set[str] = set()
            letters: set[str] = set()
            for seq, body in self._entries():
                mine = seq in places or (isinstance(body, Event) and (body.incident or seq) in ids)
                document = None if isinstance(body, Erased) else body.document
                if document is not None:
                    (letters if mine else kept).add(document.kept)
                if mine:
                    gone.append(seq)
                    lines += [line_of(seq, body)] if isinstance(body, PassedOn) else []
            if not gone:
                return 0, 0
            lines += [line for n, i in self._fold().items() if n in ids for line in costs(i, now, self._zone)]
            note = Erased(at=now, reason=reason, spans=spans(gone), lines=tuple(map(nobodys, lines)))
            self._append(db, "erased", note)
            self._file.erase(db, gone)
        return len(gone), self._drop(letters - kept)

    def _drop(self, letters: Iterable[str]) -> int:
        """Delete letters; how many there were."""
        count = 0
        for name in letters:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"{self.folder / name}: {error.strerror or error}: delete it by hand") from error
            count += 1
        return count

    def settle(self, seq: int, tip: str) -> int:
        """Delete letters whose entries were erased when a crash came before they were deleted; how many there were.

        Nothing is deleted where the books are not whole, or not those of which the log's last checkpoint names the
        entry `seq` and its hash `tip` (hexadecimal): books that an older copy replaced do not know their letters.
        """
        links = self._file.links()
        if not links or chain_fault(links, KINDS) is not None:
            return 0
        if seq > len(links) or (seq and links[seq - 1].hash.hex() != tip):
            return 0
        named: set[str] = set()
        noted = 0
        for _, body in self._entries():
            if isinstance(body, Erased):
                noted = max(noted, body.at)
            elif body.document is not None:
                named.add(body.document.kept)
        return self._drop(self._left(named, noted)) if noted else 0

    def _left(self, named: set[str], noted: int) -> list[str]:
        """Letters that no entry names, kept before an instant (µs): one that a command keeps now is not named yet."""
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if LETTER.match(path.name) and path.name not in named]
        return sorted(path.name for path in found if path.is_file() and path.stat().st_mtime_ns // 1_000 < noted)

    def keep(self, path: Path) -> Document:
        """Copy a letter beside the log, once, under its SHA-256; read-only for the guard's user alone."""
        try:
            size = path.stat().st_size
            if size > MAX_LETTER:
                raise StoreError(f"{path}: larger than {MAX_LETTER >> 20} MiB")
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}") from error
        digest = sha256(data).hexdigest()
        kept = f"{digest[:32]}{path.suffix[:12]}"
        try:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            _write_whole(self.folder / kept, data)
        except OSError as error:
            raise StoreError(f"{self.folder / kept}: {error.strerror or error}") from error
        return Document(name=path.name, kept=kept, sha256=digest, size=len(data))

    def verify(self, signed: Iterable[tuple[int, str]] = ()) -> str:
        """What is wrong with the books or with a letter kept beside them; "" for nothing. `signed` are the
        places and hashes (hexadecimal) of the entries that the log's checkpoints name."""
        try:
            links = self._file.links()
        except StoreError as error:
            return str(error)
        found = chain_fault(links, KINDS)
        if found is not None:
            return f"{self.path}: entry {found[0]}: {found[1]}"
        for seq, wanted in sorted(signed):
            if seq > len(links):
                gone = f"entry {seq} is" if seq == len(links) + 1 else f"entries {len(links) + 1} to {seq} are"
                return f"{self.path}: {gone} missing: a checkpoint of the log names entry {seq}, the end was cut off"
            if links[seq - 1].hash.hex() != wanted:
                return f"{self.path}: up to entry {seq} it is not what a checkpoint of the log has signed"
        noted = {n for _, body in self._entries() if isinstance(body, Erased) for span in body.spans for n in run(span)}
        for link in links:
            if link.body is None and link.seq not in noted:
                return f"{self.path}: entry {link.seq}: what it said is gone, and no entry says that it was erased"
        return self._letters_fault()

    def _letters_fault(self) -> str:
        for seq, entry in self._entries():
            document = None if isinstance(entry, Erased) else entry.document
            if document is None:
                continue
            letter = self.folder / document.kept
            if not letter.is_file():
                return f"{self.path}: entry {seq}: its letter {letter} is gone"
            if sha256(letter.read_bytes()).hexdigest() != document.sha256:
                return f"{self.path}: entry {seq}: its letter {letter} was changed"
        return ""

    def links(self) -> list[chain.Link]:
        """Every entry as it is kept."""
        return self._file.links()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _saw(self, db: sqlite3.Connection, known: _Known, seen: Sighting) -> tuple[Incident, bool]:
        of = known.of(seen)
        live = next((i for i in of if i.live), None)
        event = Event(
            step="open" if live is None else "feed",
            at=seen.at,
            written=seen.at,
            text=seen.text,
            reached=seen.reached,
            rule=seen.rule,
            quarantine=seen.quarantine,
        )
        if live is not None:
            news = (seen.reached and not live.reached) or seen.rule not in {e.rule for e in live.events}
            news = news or (seen.quarantine is not None and seen.quarantine.beyond(live.quarantine))
            if not news and seen.at - max(e.written for e in live.events) < FEED_EVERY:
                return live, False
            event = replace(event, incident=live.id)
            fed = after(live, event)
            self._append(db, "incident", event)
            known.add(fed)
            return fed, False
        closed = max(of, key=lambda i: i.closed or 0, default=None)
        if closed is not None and (closed.closed or 0) >= seen.at:
            return closed, False
        most = OPENED_A_DAY if seen.quarantine is None else SHUT_A_DAY
        if seen.subject_kind != "trunk" and known.opened_that_day(seen) >= most:
            return self._saw(db, known, _too_many(seen))
        whole = replace(event, subject_kind=seen.subject_kind, subject=seen.subject, trunk=seen.trunk, terms=seen.terms)
        incident = self._open(db, whole, known.all)
        known.add(incident)
        return incident, True

    def _open(self, db: sqlite3.Connection, event: Event, known: dict[int, Incident]) -> Incident:
        before = earlier(
            known.values(), event.subject_kind, event.subject, event.trunk, event.at, event.terms, self._zone
        )
        whole = replace(event, repeats=before.id if before is not None else 0)
        return opened(self._append(db, "incident", whole), whole)

    def _fold(self) -> dict[int, Incident]:
        try:
            return fold((seq, body) for seq, body in self._entries() if isinstance(body, Event))
        except WrongStep as error:
            raise StoreError(f"{self.path}: damaged: {error}") from error

    def _entries(self) -> Iterator[tuple[int, Entry]]:
        for link in self._file.links():
            if link.body is None or link.kind not in KINDS:
                continue
            try:
                yield link.seq, read(link.kind, link.body)
            except msgspec.DecodeError as error:
                raise StoreError(f"{self.path}: entry {link.seq} cannot be read ({error})") from error

    def _append(self, db: sqlite3.Connection, kind: str, body: Entry) -> int:
        return self._file.append(db, kind, msgspec.json.encode(body, order="sorted"))


def folder_of(log: str | os.PathLike[str]) -> Path:
    """Where the letters are that the books beside a log name."""
    return Path(f"{os.fspath(log)}{FILES}")


def _live(known: dict[int, Incident], event: Event) -> Incident | None:
    wanted = (event.subject_kind, event.subject, event.trunk)
    return next((i for i in known.values() if i.live and (i.subject_kind, i.subject, i.trunk) == wanted), None)


class _Known:
    """Incidents, found by their subject and by their trunk."""

    def __init__(self, incidents: dict[int, Incident]) -> None:
        self.all = incidents
        self._of: dict[Key, set[int]] = {}
        self._opened: dict[str, set[int]] = {}
        for incident in incidents.values():
            self.add(incident)

    def add(self, incident: Incident) -> None:
        """One that is new, or as it is now."""
        self.all[incident.id] = incident
        self._of.setdefault((incident.subject_kind, incident.subject, incident.trunk), set()).add(incident.id)
        if not incident.events[0].who:
            self._opened.setdefault(incident.trunk, set()).add(incident.id)

    def of(self, seen: Sighting) -> list[Incident]:
        """Those of a subject."""
        return [self.all[n] for n in self._of.get(seen.key, ())]

    def opened_that_day(self, seen: Sighting) -> int:
        """How many rules and detectors opened on a trunk in the day before a sighting."""
        return sum(1 for n in self._opened.get(seen.trunk, ()) if 0 <= seen.at - self.all[n].opened < DAY)


def _too_many(seen: Sighting) -> Sighting:
    text = f"more than {OPENED_A_DAY} incidents opened in a day: what followed is in the log only"
    return replace(seen, subject_kind="trunk", subject=seen.trunk, text=text, quarantine=None)


def _write_whole(path: Path, data: bytes) -> None:
    """All of it, or no file of that name: a letter that is half there would be taken for changed."""
    if path.exists() and path.read_bytes() == data:
        os.utime(path)  # kept now: no leftover of an erasure before (`Books.settle`)
        return
    part = path.with_name(path.name + f".{os.getpid()}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
