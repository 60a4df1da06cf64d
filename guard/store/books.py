"""The books beside the log: incidents worked by people, and penalties entered by hand. Append-only, chained by hash.

They are a file of their own (`<log>-books`, SQLite), so that a command can write while the daemon holds the log. Each
entry is one event; state is always worked out from all of them. Letters are copied into the folder `<log>-files`, under
their SHA-256. Several processes may write: each append is one transaction that reads the tip first.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import tzinfo
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from guard.ledger import chain
from guard.ledger.incidents import Document, Event, Incident, Subject, WrongStep, after, earlier, fold, opened
from guard.ledger.lines import LedgerLine
from guard.ledger.sightings import Key, Sighting
from guard.store.errors import StoreError
from guard.store.schema import FILE_MODE, explained

APPLICATION_ID: Final = 0x53495042  # "SIPB"
VERSION: Final = 1
BUSY_MS: Final = 5_000  # two people at once: each append takes milliseconds
MAX_LETTER: Final = 64 << 20  # octets of one letter: beyond this it is no letter
FOLDER_MODE: Final = 0o700
FEED_EVERY: Final = 3_600_000_000  # µs: a detector that sees on and on writes once an hour; the log has every call
DAY: Final = 24 * FEED_EVERY
# A flood of invented numbers opens no more a day on a trunk: nobody works more, and the books stay small.
OPENED_A_DAY: Final = 50
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS entries(seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, body_hash BLOB NOT NULL,"
    " hash BLOB NOT NULL, salt BLOB, body BLOB)"
)
# Cast: whoever edits the file by hand may leave text where octets were.
_ROWS: Final = (
    "SELECT seq, CAST(kind AS TEXT), CAST(body_hash AS BLOB), CAST(hash AS BLOB), CAST(salt AS BLOB),"
    " CAST(body AS BLOB) FROM entries ORDER BY seq"
)


class PassedOn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A penalty that a letter brings: of another operator's, passed on, or a credit note (then it is negative).

    `at` is the day that it counts for, `written` when it was entered (µs); `amount` in micro-euros.
    """

    at: int
    written: int
    amount: int
    reason: str
    trunk: str = ""
    number: str = ""
    contract: str = ""
    article: str = ""
    who: str = ""
    document: Document | None = None


_KINDS: Final[dict[str, type[Event] | type[PassedOn]]] = {"incident": Event, "passed-on": PassedOn}


class Books:
    """The books beside the log at `log`. Nothing is made until something is written; StoreError names the file."""

    def __init__(self, log: str | os.PathLike[str], zone: tzinfo, salts: Callable[[int], bytes] = os.urandom) -> None:
        self.path = os.fspath(log) + "-books"
        self.folder = Path(os.fspath(log) + "-files")
        self._zone = zone
        self._salts = salts
        self._db: sqlite3.Connection | None = None

    def incidents(self) -> dict[int, Incident]:
        """Every incident, by id, in the order in which they were opened."""
        return self._fold()

    def passed_on(self, since: int, until: int) -> list[tuple[int, PassedOn]]:
        """Penalties entered by hand that count for a day from `since` until before `until`, with their places."""
        found = [(seq, body) for seq, body in self._entries() if isinstance(body, PassedOn)]
        return [(seq, body) for seq, body in found if since <= body.at < until]

    def enter(self, entry: PassedOn) -> int:
        """Write a penalty down; its place in the books."""
        with self._writing() as db:
            return self._append(db, "passed-on", entry)

    def open(self, event: Event) -> Incident:
        """Open an incident by hand. WrongStep where one of this subject is open already."""
        with self._writing() as db:
            known = self._fold()
            live = _live(known, event.subject_kind, event.subject, event.trunk)
            if live is not None:
                raise WrongStep(f"{live.name} is open for {event.subject} already ({live.state})")
            return self._open(db, event, known)

    def step(self, event: Event) -> Incident:
        """Take the next step of an incident. WrongStep where it cannot be taken."""
        with self._writing() as db:
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
        OPENED_A_DAY are opened in a day; what is beyond that is one incident of the trunk.
        """
        with self._writing() as db:
            known = _Known(self._fold())
            return [self._saw(db, known, sighting) for sighting in sightings]

    def stamp(self) -> tuple[int, int]:
        """What tells that the file was written: its time of change (ns) and its size; zeros where there is none."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return 0, 0
        return found.st_mtime_ns, found.st_size

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

    def verify(self) -> str:
        """What is wrong with the books or with a letter kept beside them; "" for nothing."""
        tip, expected = chain.GENESIS, 1
        for seq, kind, digest, stored, salt, body in self._rows():
            found = chain.Link(seq, kind, digest, stored, salt, body)
            wrong = chain.fault(tip, expected, found, _KINDS)
            if wrong:
                return f"{self.path}: entry {expected}: {wrong}"
            tip, expected = stored, expected + 1
        for seq, entry in self._entries():
            document = entry.document
            if document is not None:
                letter = self.folder / document.kept
                if not letter.is_file():
                    return f"{self.path}: entry {seq}: its letter {letter} is gone"
                if sha256(letter.read_bytes()).hexdigest() != document.sha256:
                    return f"{self.path}: entry {seq}: its letter {letter} was changed"
        return ""

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

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
        )
        if live is not None:
            news = seen.reached and not live.reached
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
        if seen.subject_kind != "trunk" and known.opened_that_day(seen) >= OPENED_A_DAY:
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

    def _entries(self) -> Iterator[tuple[int, Event | PassedOn]]:
        for seq, kind, _, _, _, body in self._rows():
            shape = _KINDS.get(kind)
            if shape is None or body is None:
                continue
            try:
                yield seq, msgspec.json.decode(body, type=shape)
            except msgspec.DecodeError as error:
                raise StoreError(f"{self.path}: entry {seq} cannot be read ({error})") from error

    def _rows(self) -> list[tuple[int, str, bytes, bytes, bytes | None, bytes | None]]:
        if self._db is None:
            if not Path(self.path).exists():
                return []
            self._db = self._connected(writing=False)
        try:
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return []  # just made, and nothing written yet
            return self._db.execute(_ROWS).fetchall()
        except sqlite3.Error as error:
            raise explained(self.path, error) from error

    def _append(self, db: sqlite3.Connection, kind: str, body: Event | PassedOn) -> int:
        last = db.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        seq, tip = (last[0] + 1, last[1]) if last else (1, chain.GENESIS)
        data = msgspec.json.encode(body, order="sorted")
        salt = self._salts(chain.SALT_SIZE)
        digest = chain.body_hash(salt, data)
        row = (seq, kind, digest, chain.link(tip, seq, kind, digest), salt, data)
        db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
        return int(seq)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, that no other process writes beside; on disk when it ends well."""
        self.close()
        db = self._db = self._connected(writing=True)
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise explained(self.path, error) from error

    def _connected(self, *, writing: bool) -> sqlite3.Connection:
        try:
            if writing:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
            mode = "rw" if writing else "ro"
            uri = f"{Path(self.path).absolute().as_uri()}?mode={mode}"
            db = sqlite3.connect(uri, uri=True, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be opened: {error.strerror}") from error
        except sqlite3.Error as error:
            raise explained(self.path, error) from error
        try:
            self._check(db, writing=writing)
        except sqlite3.Error as error:
            db.close()
            raise explained(self.path, error) from error
        except StoreError:
            db.close()
            raise
        return db

    def _check(self, db: sqlite3.Connection, *, writing: bool) -> None:
        identity = int(db.execute("PRAGMA application_id").fetchone()[0])
        tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if identity != APPLICATION_ID and (tables or identity):
            raise StoreError(f"{self.path}: another program's database, not the books of the guard")
        if version > VERSION:
            raise StoreError(f"{self.path}: made by a newer guard (version {version}, this one knows {VERSION})")
        if writing:
            db.execute("PRAGMA synchronous = FULL")  # few entries, each worth money
            if not tables:
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
                db.execute(_TABLE)


def _live(known: dict[int, Incident], kind: Subject, subject: str, trunk: str) -> Incident | None:
    wanted = (kind, subject, trunk)
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
    return replace(seen, subject_kind="trunk", subject=seen.trunk, text=text)


def _write_whole(path: Path, data: bytes) -> None:
    """All of it, or no file of that name: a letter that is half there would be taken for changed."""
    if path.exists() and path.read_bytes() == data:
        return
    part = path.with_name(path.name + f".{os.getpid()}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


def line_of(seq: int, entry: PassedOn) -> LedgerLine:
    """The line of the ledger that an entry by hand makes."""
    return LedgerLine(
        at=entry.at,
        kind="passed-on",
        state="accrued",
        amount=entry.amount,
        trunk=entry.trunk,
        number=entry.number,
        contract=entry.contract,
        article=entry.article,
        document=entry.document.kept if entry.document else "",
        reason=entry.reason,
        incident=f"#{seq}",
    )
