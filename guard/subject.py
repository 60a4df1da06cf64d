"""What the log and the books hold about one number, and its erasure: for `guard subject` and for the web page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from guard.evidence.keys import BadKey, load
from guard.ledger.incidents import Incident
from guard.numbering.number import Dial, normalise
from guard.store import erasures, requests
from guard.store.bookentries import PassedOn
from guard.store.books import Books
from guard.store.errors import StoreError, StoreLocked
from guard.store.reader import SqliteReader
from guard.store.requests import Answer, Kind
from guard.store.retention import about
from guard.store.sqlite import SqliteWriter
from guard.wanted import Mistake

Advance = Callable[[int, int], None]


class Held(Struct, frozen=True, kw_only=True):
    """What there is of a number: how many calls, the incidents and the penalties entered by hand that would go, and the
    incidents that stay (`waiting`): they are open, claims under way."""

    calls: int
    incidents: tuple[Incident, ...]
    entries: tuple[tuple[int, PassedOn], ...]
    waiting: tuple[Incident, ...]

    def __bool__(self) -> bool:
        return bool(self.calls or self.incidents or self.entries)


def number_of(word: str) -> str:
    """A telephone number as the log has it (`+33145678900`, `3949`), from how people write it. Mistake."""
    found = normalise(word.strip(), Dial()).value
    if not found:
        raise Mistake("number", "is no telephone number: write it as dialled, or as +33145678900")
    return found


def held(reader: SqliteReader, books: Books, number: str, advance: Advance, *, with_open: bool) -> Held:
    """What there is. Every body of the log is looked at: `advance` hears (entry, of how many). StoreError."""
    calls = sum(1 for _ in about(reader, number, advance))
    return with_books(books, number, calls, with_open=with_open)


def with_books(books: Books, number: str, calls: int, *, with_open: bool) -> Held:
    """The same where the calls were counted already."""
    incidents, entries = books.about(number)
    waiting = () if with_open else tuple(i for i in incidents if i.live)
    gone = tuple(i for i in incidents if i not in waiting)
    return Held(calls=calls, incidents=gone, entries=tuple(entries), waiting=waiting)


def erase_books(books: Books, found: Held, now: int) -> tuple[int, int]:
    """Erase what the books hold at `now` (Unix time, µs): how many entries and letters. The amounts stay, without a
    name. StoreError."""
    if not found.incidents and not found.entries:
        return 0, 0
    return books.erase(found.incidents, found.entries, "request", now)


def have_done(
    path: str, kind: Kind, argument: str, now: int, patience: float, *, site: str, key: Path, say: Callable[[str], None]
) -> Answer:
    """Have calls erased: by the guard that is writing this log (`patience` seconds), or here where none is. `site` and
    `key` sign the checkpoint that is left then; "" leaves none. `say` hears why none is left. StoreError."""
    try:
        signer = load(key)
    except BadKey as error:
        signer = None
        say(f"no checkpoint is left: {error}")
    try:
        with closing(SqliteWriter(path, site=site, signer=signer if site else None)) as writer:
            if kind == "purge":
                answer = erasures.purge(writer, now, int(argument))
            else:
                answer = erasures.forget(writer, argument, now, lambda _done, _of: None)
    except StoreLocked:
        answer = requests.ask(path, kind, argument, now, patience)
    else:
        requests.settle(path)
    if answer.error:
        raise StoreError(f"{path}: {answer.error}")
    return answer
