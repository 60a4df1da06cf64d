"""Who is shut off or released at one guard is so at all that share their counters: between the watch and the books of
this guard and what guards tell each other (guard/state/shuts.py). Decisions wait for none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from guard.detectors.watch import Watch
from guard.detectors.words import Kind, key_of
from guard.ledger.incidents import FOR_GOOD, Event, Incident, Quarantine, State, WrongStep
from guard.net.say import LOG, harmless
from guard.rules.detect import SHUT
from guard.shut import KINDS, Name, named, shut_off
from guard.state.shuts import RELEASED, SAME, Change, Shuts
from guard.store.books import Books

WHO: Final = "another guard"  # of these incidents: no person here, and none of this guard's detectors
SAYS: Final[dict[str, str]] = {
    "": "shut off by another guard of this site", "released": "released at another guard of this site",
    "resolved": "put right at another guard of this site",
}  # fmt: skip


class Held(Struct, frozen=True, kw_only=True):
    """What guards tell each other of a subject: its quarantine, or how that ended."""

    kind: Kind
    subject: str
    trunk: str = ""
    ended: Literal["", "released", "resolved"] = ""
    quarantine: Quarantine | None = None

    @property
    def name(self) -> Name:
        """As detection calls it."""
        return self.kind, self.subject


_HELD: Final = msgspec.json.Decoder(Held)


class FleetShuts:
    """`watch` gives the watch that calls go to now."""

    def __init__(self, shuts: Shuts, watch: Callable[[], Watch | None], fault: Callable[[Exception], None]) -> None:
        self._shuts = shuts
        self._watch = watch
        self._fault = fault
        self._pending: dict[Name, Held] = {}  # what the books are to be told
        shuts.heard = self._heard

    # ---- what changes here -----------------------------------------------------------------------------------------

    def shut(self, quarantine: Quarantine, trunk: str) -> bool:
        """A subject is shut off here. Whether it stays so: not, where it was released later at another guard."""
        held = Held(kind=cast("Kind", quarantine.kind), subject=quarantine.subject, trunk=trunk, quarantine=quarantine)
        return self._say(held, quarantine.until, quarantine.at)

    def freed(self, name: Name, state: State, at: int) -> bool:
        """A subject is shut off no more since `at`. Whether it stays so."""
        kind, subject = name
        ended: Literal["released", "resolved"] = "resolved" if state == "resolved" else "released"
        return self._say(Held(kind=kind, subject=subject, ended=ended), RELEASED, at)

    def _say(self, held: Held, until: int, at: int) -> bool:
        key = key_of(*held.name)
        holds = self._shuts.say(key, until, msgspec.json.encode(held).decode(), at)
        if not holds:
            self._heard(self._shuts.known[key])
        return holds

    # ---- what changes elsewhere ------------------------------------------------------------------------------------

    def _heard(self, change: Change) -> None:
        try:
            held = _HELD.decode(change.body)
        except msgspec.DecodeError as error:
            LOG.warning("shared counters: who is shut off: %s: %s", harmless(change.name), error)
            return
        try:
            self._apply(held, change)
        except Exception as error:  # noqa: BLE001 - a fault of ours beside the calls is told, and costs no call
            self._fault(error)

    def _apply(self, held: Held, change: Change) -> None:
        watch = self._watch()
        quarantine = held.quarantine
        if quarantine is None or change.until == RELEASED:
            held = replace(held, quarantine=None, ended=held.ended or "released")
            if watch is not None:
                watch.release(*held.name)
        else:
            quarantine = replace(quarantine, until=change.until, at=self._shuts.instant(change))
            held = replace(held, quarantine=quarantine)
            if watch is not None:
                shut_off(watch, quarantine, held.trunk)
        self._pending.pop(held.name, None)  # so that it is the last
        self._pending[held.name] = held

    # ---- the books -------------------------------------------------------------------------------------------------

    def pends(self, name: Name) -> bool:
        """Whether the books do not know yet what another guard said of a subject."""
        return name in self._pending

    def take(self) -> list[Held]:
        """What the books are to be told now."""
        out = list(self._pending.values())
        self._pending.clear()
        return out

    def put_back(self, held: Iterable[Held]) -> None:
        """They could not be told."""
        self._pending = {h.name: h for h in held} | self._pending


def write(books: Books, told: Iterable[Held], now: int) -> None:
    """Have the books say what other guards said, at `now` (Unix time, µs): a restart must not lift it, and people work
    it here as well. It costs nothing: the guard that saw it has the money. StoreError."""
    live: dict[Name, list[Incident]] = {}
    for incident in books.incidents().values():
        name = named(incident)
        if incident.live and name is not None:
            live.setdefault(name, []).append(incident)
    for held in told:
        found = live.get(held.name, [])
        if held.quarantine is None:
            _close(books, held, found, now)
        elif not any(_holds(i.shut_off(now), held.quarantine) for i in found):
            books.quarantine(
                Event(
                    step="open",
                    at=now,
                    written=now,
                    who=WHO,
                    text=SAYS[""],
                    subject_kind=KINDS[held.kind],
                    subject=held.subject,
                    trunk=held.trunk,
                    rule=held.quarantine.rule or SHUT,
                    quarantine=held.quarantine,
                )
            )


def _close(books: Books, held: Held, found: list[Incident], now: int) -> None:
    for incident in found:
        if incident.quarantine is None:
            continue  # another guard's word is of who was shut off
        step: Literal["resolve", "release"] = "resolve" if held.ended == "resolved" else "release"
        at = max(now, incident.last, incident.letters[-1][1] if incident.letters else 0)
        event = Event(step=step, at=at, written=now, who=WHO, text=SAYS[held.ended], incident=incident.id)
        try:
            books.step(event)
        except WrongStep as error:  # a person was quicker
            LOG.info("%s", error)


def _holds(known: Quarantine | None, wanted: Quarantine) -> bool:
    if known is None:
        return False
    both = {known.until, wanted.until}
    return len(both) == 1 or (FOR_GOOD not in both and abs(known.until - wanted.until) <= SAME)
