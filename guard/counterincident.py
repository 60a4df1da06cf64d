"""Shared counters that cannot be had are an incident in the books: opened when they are lost, noted when the reason
changes, resolved when they serve again, each time under one number. The disk is written by another thread; no call
waits.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Final, Protocol

from guard.beside import Beside, aside
from guard.ledger.incidents import Event, Incident, WrongStep
from guard.ledger.sightings import Sighting
from guard.messages.events import Trouble
from guard.net.clock import Clock
from guard.net.say import LOG
from guard.store.books import Books
from guard.store.schema import MEMORY

LOOK: Final = 0.5  # s between looks: an incident is open, and told, within a second or two of the loss
SUBJECT: Final = "shared counters"
RULE: Final = "fault.state"  # as on the record of each call that was decided meanwhile
AGAIN: Final = "the shared counters are back"


class Link(Protocol):
    """The way to the server (guard/net/redislink.py)."""

    @property
    def trouble(self) -> str | None:
        """What is wrong; "" for nothing, None where that is not known yet."""

    @property
    def place(self) -> str:
        """Where the server is."""


class CounterIncident:
    """`start` it when the log is open, `stop` it before the log is closed."""

    def __init__(
        self,
        path: str,
        zone: tzinfo,
        link: Link,
        clock: Clock,
        fault: Callable[[Exception], None],
        look: float = LOOK,
    ) -> None:
        self._path, self._zone, self._link, self._clock = path, zone, link, clock
        self._told: str | None = None  # what the books say; None: not known, an earlier life may have left one open
        self._beside = Beside(self._once, look, fault, "that shared counters are away, or back, is not written: ")

    def start(self) -> None:
        """Look after it."""
        if self._path != MEMORY:  # a log that nobody keeps has no books beside it
            self._beside.start()

    async def stop(self) -> None:
        """Give up. A trouble that lasts stays open: the next life sees whether it is over."""
        await self._beside.stop()

    async def _once(self) -> None:
        now = self._link.trouble
        if now is None or now == self._told:
            return
        await aside(self._write, now)
        self._told = now

    def _write(self, trouble: str) -> None:
        """In a thread: the books say what is so."""
        at = self._clock.wall()
        with Books(self._path, self._zone) as books:
            live = next((i for i in books.incidents().values() if i.live and _ours(i)), None)
            if live is None and trouble:
                seen = Sighting(
                    subject_kind="guard", subject=SUBJECT, trunk="", rule=RULE, at=at, reached=False, text=trouble
                )
                books.seen([seen])
            elif live is not None and trouble != live.events[-1].text:
                at = max(at, live.last)
                event = Event(
                    step="note" if trouble else "resolve", at=at, written=at, text=trouble or AGAIN, incident=live.id
                )
                try:
                    books.step(event)
                except WrongStep as error:  # a person was quicker
                    LOG.info("%s", error)


def _ours(incident: Incident) -> bool:
    return (incident.subject_kind, incident.subject) == ("guard", SUBJECT)


def troubles_of(link: Link | None) -> Callable[[], tuple[Trouble, ...]]:
    """The same, in the words of health messages; nothing where counters are not shared."""

    def now() -> tuple[Trouble, ...]:
        text = link.trouble if link is not None else ""
        return (Trouble(kind="counters", of=link.place, text=text),) if link is not None and text else ()

    return now
