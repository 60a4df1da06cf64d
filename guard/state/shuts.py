"""Who is shut off at any guard of a fleet, as this guard knows it. Pure.

Every change of a subject has a version: its instant, by the clock of the server that guards share, and always beyond
the one that it follows. Of two that are told the later holds, in whatever order they arrive: so each guard may tell all
that it knows whenever it finds the server, and a release that came while another guard was away is not undone by it.
Decisions ask nobody: changes travel with what guards say many times a second (`beat` of guard.lua).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from guard.model import SECOND

PAGE: Final = 100  # changes of one round trip in either direction, as in guard.lua
MAX_SHUT: Final = 10_000  # subjects, as in guard.lua: 5 MB there; one guard opens at most 500 a day and trunk
MAX_BODY: Final = 4_096  # octets that one takes: a name has at most 128 characters, a detector some ten measures
SAME: Final = 2 * SECOND  # µs: ends that differ by less are one end, told by two clocks
FOR_GOOD: Final = -1  # until a person releases it
RELEASED: Final = 0


class Change(Struct, frozen=True):
    """What holds of a subject since `version` (µs of the server's clock): it is shut off `until` (µs of Unix time by
    this machine's clock; FOR_GOOD; RELEASED: it is not). `body` says what it is, for guards."""

    name: str
    version: int
    until: int
    body: str


class Shuts:
    """`heard` is called with what another guard changed."""

    def __init__(self, hurry: Callable[[], None]) -> None:
        self.heard: Callable[[Change], None] = lambda _change: None
        self._skew: int | None = None  # this machine's clock minus the server's, µs; None: the server was never met
        self.dropped = 0  # for want of room, or too large
        self.known: dict[str, Change] = {}
        self._hurry = hurry
        self._tell: dict[str, None] = {}  # in order
        self._seen = 0  # the server's last change that was read
        self._more = False

    def say(self, name: str, until: int, body: str, at: int) -> bool:
        """What this guard or a person at it changed at `at` (Unix time, µs). Whether that holds: a later change of
        another guard's does instead."""
        known = self.known.get(name)
        if known is not None and _same(known.until, until):
            return True
        version = at - (self._skew or 0)
        if known is not None and version <= known.version:
            return False
        if len(body) > MAX_BODY:
            self.dropped += 1
            return True  # it holds here
        self._keep(Change(name, version, until, body))
        self._tell[name] = None
        self._hurry()
        return True

    def greeted(self) -> None:
        """The server knows this guard (again): everything is told, and everything read."""
        self._seen = 0
        self._more = True
        self._tell = dict.fromkeys(self.known)

    def clock(self, skew: int) -> None:
        """How far this machine's clock is from the server's (µs; ahead: more than 0). What was said before that was
        known is of the same instants by the server's clock."""
        if self._skew is None:
            self.known = {n: replace(c, version=c.version - skew) for n, c in self.known.items()}
        self._skew = skew

    def instant(self, change: Change) -> int:
        """When it changed, by this machine's clock (Unix time, µs)."""
        return change.version + (self._skew or 0)

    @property
    def waiting(self) -> bool:
        """Whether there is something to tell, or more to read."""
        return bool(self._tell) or self._more

    def page(self) -> list[object]:
        """What goes with the next beat: how far changes are known, and what is new here."""
        names = [name for name, _ in zip(self._tell, range(PAGE), strict=False)]
        told = [self._told(self.known[name]) for name in names if name in self.known]
        for name in names:
            del self._tell[name]
        return [self._seen, told]

    def merge(self, seen: int, rows: list[bytes]) -> None:
        """What the server answered: names and lines (see guard.lua) by turns, up to its change `seen`."""
        self._seen = seen
        self._more = len(rows) >= 2 * PAGE
        for name, line in zip(rows[::2], rows[1::2], strict=True):
            version, until, body = line.split(b":", 2)
            ends, what = self._here(int(until)), body.decode(errors="replace")
            theirs = Change(name.decode(errors="replace"), int(version), ends, what)
            known = self.known.get(theirs.name)
            if known is None or _rank(theirs) > _rank(known):
                self._keep(theirs)
                self._tell.pop(theirs.name, None)
                if known is None or not _same(known.until, theirs.until):
                    self.heard(theirs)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _keep(self, change: Change) -> None:
        self.known.pop(change.name, None)  # so that it is the last
        self.known[change.name] = change
        if len(self.known) > MAX_SHUT:
            oldest = next(iter(self.known))
            del self.known[oldest]
            self._tell.pop(oldest, None)
            self.dropped += 1

    def _told(self, change: Change) -> list[object]:
        return [change.name, change.version, self._there(change.until), change.body]

    def _there(self, until: int) -> int:
        return until if until <= 0 else max(until - self._off(), 1)

    def _here(self, until: int) -> int:
        return until if until <= 0 else max(until + self._off(), 1)

    def _off(self) -> int:
        """Clocks that agree as well as clocks do are one: an end is then the same at all guards."""
        skew = self._skew or 0
        return skew if abs(skew) > SAME else 0


def _same(one: int, other: int) -> bool:
    return one == other or (one > 0 and other > 0 and abs(one - other) <= SAME)


def _rank(change: Change) -> tuple[int, float]:
    """The later holds; of two at one instant the longer."""
    return change.version, float("inf") if change.until == FOR_GOOD else change.until
