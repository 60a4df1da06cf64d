"""What is held about one number, handed out or erased: the same as `guard subject`, for who has the role privacy.

Every body of the log is looked at each time, so one such request is answered at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from guard.ledger.incidentrecord import IncidentRecord, incident_record
from guard.ledger.masking import masked_text
from guard.net.say import LOG
from guard.store.bookentries import PassedOn
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.retention import about
from guard.store.whole import Whole, whole
from guard.subject import erase_books, have_done, held, number_of
from guard.wanted import Mistake
from guard.web.problems import Refused

if TYPE_CHECKING:
    from guard.store.reader import SqliteReader
    from guard.subject import Held
    from guard.web.roles import Visitor
    from guard.web.room import Room

MOST: Final = 5_000  # calls that are handed out at once, some 15 MB: of more `guard subject export` makes a file
MAX_REASON: Final = 200  # characters
PATIENCE: Final = 60.0  # seconds that the running guard may take: a proxy before us waits no longer

UNSURE: Final = (
    "nothing tells that what the calls said is erased: the guard that writes the log refused, or did not answer (the"
    " journal says which); incidents and penalties are; ask again"
)


class Penalty(Struct, frozen=True, kw_only=True):
    """A penalty entered by hand, and its place in the books."""

    entry: int
    penalty: PassedOn


class Export(Struct, frozen=True, kw_only=True):
    """All that there is of a number: calls, oldest first, incidents, penalties entered by hand; letters by the names
    that they were given, to be found beside the log."""

    calls: tuple[Whole, ...]
    incidents: tuple[IncidentRecord, ...]
    penalties: tuple[Penalty, ...]
    letters: tuple[str, ...]


class Erasure(Struct, frozen=True, kw_only=True):
    """How much was erased, or would be (`erased` false): calls, incidents, penalties entered by hand. `waiting` are the
    incidents that stay because they are open."""

    erased: bool
    calls: int
    incidents: int
    penalties: int
    waiting: tuple[str, ...]


async def export(room: Room, visitor: Visitor, word: str) -> Export:
    """All that there is of a number. It is noted. Mistake, Refused, StoreError."""
    number = number_of(word)
    await room.note(visitor, "subject export")
    async with room.alone("subjects"):
        return await room.read(lambda reader: _export(reader, number, room.clock()))


async def look(room: Room, visitor: Visitor, word: str, *, with_open: bool) -> Erasure:
    """How much would be erased. It is noted: it tells whether somebody has called. Mistake, Refused, StoreError."""
    number = number_of(word)
    await room.note(visitor, "subject look")
    async with room.alone("subjects"):
        return await room.read(lambda reader: _told(_held(reader, number, with_open=with_open), erased=False))


async def erase(room: Room, visitor: Visitor, word: str, reason: str, *, with_open: bool) -> Erasure:
    """Erase, for good: the same as `guard subject erase`. That it was asked for, by whom and why is noted first, with
    digits of the reason masked. Mistake, Refused, StoreError."""
    number = number_of(word)
    why = " ".join(reason.split())
    if not why:
        raise Mistake("reason", "is needed: who asked, and how he showed that the number is his")
    if len(why) > MAX_REASON:
        raise Mistake("reason", f"has more than {MAX_REASON} characters")
    await room.note(visitor, "subject erase", ["with_open"] if with_open else [], reason=masked_text(why))
    async with room.alone("subjects"):
        try:
            return await room.read(lambda reader: _erase(room, reader, number, with_open=with_open))
        finally:
            room.live.forget()


def _held(reader: SqliteReader, number: str, *, with_open: bool) -> Held:
    with Books(reader.path, reader.zone) as books:
        return held(reader, books, number, _quiet, with_open=with_open)


def _erase(room: Room, reader: SqliteReader, number: str, *, with_open: bool) -> Erasure:
    now = room.clock()
    with Books(reader.path, reader.zone) as books:
        found = held(reader, books, number, _quiet, with_open=with_open)
        erase_books(books, found, now)  # first: where the guard does not answer, at least these are gone
    if found.calls:
        config = room.config
        try:
            have_done(
                reader.path, "erase", number, now, PATIENCE, site=config.site, key=config.key_path, say=LOG.warning
            )
        except StoreError as error:
            LOG.warning("web: %s", error)
            raise Refused(503, UNSURE, headers={"Retry-After": "60"}) from error
    return _told(found, erased=True)


def _told(found: Held, *, erased: bool) -> Erasure:
    return Erasure(
        erased=erased,
        calls=found.calls,
        incidents=len(found.incidents),
        penalties=len(found.entries),
        waiting=tuple(i.name for i in found.waiting),
    )


def _export(reader: SqliteReader, number: str, now: int) -> Export:
    calls: list[Whole] = []
    for one in about(reader, number, _quiet):
        if len(calls) == MOST:
            raise Refused(413, f"more than {MOST:,} calls: guard subject export, on the machine, hands them out")
        calls.append(whole(one.detail))
    with Books(reader.path, reader.zone) as books:
        incidents, entries = books.about(number)
    documents = [*(e.document for i in incidents for e in i.events), *(one.document for _, one in entries)]
    return Export(
        calls=tuple(calls),
        incidents=tuple(incident_record(i, now, reader.zone) for i in incidents),
        penalties=tuple(Penalty(entry=seq, penalty=one) for seq, one in entries),
        letters=tuple(document.name for document in documents if document is not None),
    )


def _quiet(_done: int, _of: int) -> None:
    """Nobody watches how far it is."""
