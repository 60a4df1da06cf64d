"""What is happening now, beside the running guard's own figures: open incidents, and the month's money."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from guard.figures import Figures
from guard.model import SECOND
from guard.web.controlclient import ControlError
from guard.web.data import exposure, incidents
from guard.web.data.exposure import Group
from guard.web.data.incidents import IncidentPage

if TYPE_CHECKING:
    from guard.store.reader import SqliteReader
    from guard.web.room import Room

FRESH: Final = 30 * SECOND  # µs that sums of a whole month are good for: they are read from every call of it
SHOWN: Final = incidents.MAX_PAGE  # incidents that are looked at for the nearest deadline and who is shut off


class Standing(Struct, frozen=True, kw_only=True):
    """How incidents and money stand. `shut_off` of the open ones are in quarantine, `missed` have passed a deadline;
    `next_due` (ISO 8601) is the nearest deadline that is not met; `month` are the sums of the running month."""

    at: int
    incidents: int
    missed: int
    shut_off: int
    next_due: str | None
    month: str
    total: Group


class NowView(Struct, frozen=True, kw_only=True):
    """The running guard's figures (null where it does not answer, and then `away` says why), and what stands in the
    books."""

    figures: Figures | None
    away: str
    standing: Standing


class Board:
    """Looks at the books and the month's money now and then, however many ask."""

    def __init__(self) -> None:
        self._standing: Standing | None = None
        self._lock = asyncio.Lock()

    async def standing(self, room: Room) -> Standing:
        """How they stand, at most `FRESH` old. Raises StoreError, and Refused where too many wait for the log."""
        async with self._lock:
            now = room.clock()
            found = self._standing
            if found is None or not 0 <= now - found.at < FRESH:
                found = self._standing = await room.read(lambda reader: _standing(reader, now))
            return found

    def stale(self) -> None:
        """Something was done: look again."""
        self._standing = None


async def now(room: Room, board: Board) -> NowView:
    """Everything at this instant. Raises StoreError, Refused."""
    figures, away = None, ""
    try:
        figures = await room.control.figures()
    except ControlError as error:
        away = str(error)
    return NowView(figures=figures, away=away, standing=await board.standing(room))


def _standing(reader: SqliteReader, now: int) -> Standing:
    month = exposure.month_of(None, now, reader)
    view = exposure.month(reader, None, now, month=month, by="day")
    page: IncidentPage = incidents.page(reader, now, limit=SHOWN)
    due = [d.due for i in page.incidents for d in i.deadlines if d.met is None and not d.missed]
    return Standing(
        at=now,
        incidents=page.open,
        missed=page.missed,
        shut_off=sum(i.quarantine is not None for i in page.incidents),
        next_due=min(due, default=None),
        month=month,
        total=view.total,
    )
