"""An office: people at their desks who call whom they know, are called, redial, call back, and mistype."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import ClassVar, Final

from msgspec import Struct

from guard.model import SECOND
from guard.numbering.number import Number
from sim.labelled.actor import Actor
from sim.labelled.going import (
    EMERGENCIES,
    FRANCE,
    NEIGHBOURS,
    PEOPLE,
    SERVICES,
    Book,
    Going,
    Habits,
    Prefixes,
    busy,
)  # fmt: skip
from sim.labelled.rhythm import OFFICE, Later, Week, arrivals, mixed
from sim.labelled.words import HOUR, MINUTE, Line, Placed, SimError, Site, Went

MAX_PEOPLE: Final = 100_000
FIRST_LINE: Final = 2_000  # name of the first extension
CHANNELS_A_PERSON: Final = 0.35  # bought at the operator's (assumed: generous, so that nobody finds all busy)
TRIES: Final = 4  # free people looked for before a call is not made, or finds its line busy


class Manner(Struct, frozen=True, kw_only=True):
    """How a house calls and is called. Shares are of calls; rates are calls a person and working day (all assumed).

    `known` of the calls out go to a favourite of the person, the rest to numbers never called before. `foreign` and
    `services` are shares of the new numbers; of the favourites as many are foreign.
    """

    sent: float = 9.0
    received: float = 6.0
    spread: float = 0.6  # of how much people differ in how often they call (lognormal)
    known: float = 0.8
    foreign: float = 0.03
    services: float = 0.015
    emergency: float = 0.00005
    redials: float = 0.5  # of those who find their callee busy, and of those of them who find him busy again
    retries: float = 0.2  # of those whom nobody answers, later
    corrects: float = 0.7  # of those who mistyped, at once
    called_back: float = 0.25  # of those whom nobody answered: the callee calls back
    calls_back: float = 0.4  # of the calls that came in and found nobody
    habits: Habits = PEOPLE


PLAIN: Final = Manner()


class Office(Actor):
    """An office of `people`, each with a line (extension) and a number of its own; see `Manner`."""

    kind: ClassVar[str] = "office"
    week: ClassVar[Week] = OFFICE
    manner: ClassVar[Manner] = PLAIN
    home: ClassVar[tuple[tuple[str, int, float], ...]] = FRANCE
    abroad: ClassVar[tuple[tuple[str, int, float], ...]] = NEIGHBOURS

    def __init__(self, people: int = 20, n: int = 1, site: Site | None = None) -> None:
        if not 1 <= people <= MAX_PEOPLE:
            raise SimError(f"{self.kind}: {people} people are not between 1 and {MAX_PEOPLE}")
        channels = max(15, int(people * CHANNELS_A_PERSON))
        super().__init__(site or Site(kind=self.kind, n=n, channels=channels), n)
        self.people = people

    def lines(self) -> tuple[Line, ...]:
        """See `Actor`."""
        site = self.site
        return tuple(Line(site, f"{FIRST_LINE + i}", site.number(i)) for i in range(self.people))

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        return House(self, self.rng(seed)).calls(start, end)


class House:
    """The people of an office at work: one run of its calls."""

    def __init__(self, office: Office, rng: Random) -> None:
        self._rng = rng
        self._manner = manner = office.manner
        self._week = office.week
        self._name = office.name
        self._count = 0
        self._lines = office.lines()
        self._going = Going(rng, manner.habits)
        self._home = Prefixes(rng, office.home)
        self._abroad = Prefixes(rng, office.abroad)
        self._book = Book(rng, self._home, 12 * office.people)
        self._partners = Book(rng, self._abroad, office.people)
        self._busier = tuple(accumulate(rng.lognormvariate(0.0, manner.spread) for _ in self._lines))
        self._later = Later()

    def calls(self, start: int, end: int) -> Iterator[Placed]:
        """Every call, in order."""
        return mixed(self._later, self._stream(start, end), end)

    def _stream(self, start: int, end: int) -> Iterator[Placed]:
        manner, people = self._manner, len(self._lines)
        rate = (manner.sent + manner.received) * people
        sent = manner.sent / (manner.sent + manner.received)
        draw = self._rng.random
        for at in arrivals(self._rng, start, end, self._week, rate):
            if draw() < sent:
                person = self._free(at)
                if person >= 0:
                    yield self._sent(at, person)
            else:
                yield self._received(at)

    def _ident(self) -> tuple[str, int]:
        self._count += 1
        return self._name, self._count

    def _somebody(self) -> int:
        bounds = self._busier
        return bisect(bounds, self._rng.random() * bounds[-1], 0, len(bounds) - 1)

    def _free(self, at: int) -> int:
        """Somebody who is not on the phone, -1 where nobody is found."""
        for _ in range(TRIES):
            person = self._somebody()
            if self._lines[person].free_at <= at:
                return person
        return -1

    def _callee(self, person: int) -> tuple[Number, str]:
        """Whom somebody calls, and the emergency number where it is one."""
        manner, draw = self._manner, self._rng.random
        abroad = draw() < manner.foreign
        if draw() < manner.known:
            return (self._partners if abroad else self._book).favourite(person), ""
        what = draw()
        if what < manner.emergency:
            number = EMERGENCIES[int(draw() * len(EMERGENCIES))]
            return number, number.value
        if what < manner.services:
            return SERVICES[int(draw() * len(SERVICES))], ""
        return (self._abroad if abroad else self._home).draw(), ""

    # ---- calls out, and what follows from them -----------------------------------------------------------------------

    def _sent(self, at: int, person: int) -> Placed:
        line = self._lines[person]
        callee, emergency = self._callee(person)
        went = self._going.answered() if emergency else self._going.call()
        placed = line.out(at, self._ident(), callee, went, emergency=emergency)
        line.free_at = placed.ended.at + self._pause()
        status = went[4]
        if status != 200:
            self._follow(line, person, callee, status, placed.ended.at)
        return placed

    def _pause(self) -> int:
        """Between two calls of one person."""
        return int(SECOND * (2 + 6 * self._rng.random()))

    def _follow(self, line: Line, person: int, callee: Number, status: int, at: int) -> None:
        """What somebody does whose call did not come about."""
        manner, draw = self._manner, self._rng.random
        if status == 486:
            self._redial(line, callee, at)
        elif status in {404, 484} and draw() < manner.corrects:
            self._again(line, self._book.favourite(person), at + int(SECOND * (5 + 15 * draw())), self._going.call())
        elif status == 487:
            if draw() < manner.called_back and callee.value.startswith("+33"):
                self._back(line, callee, at + int(60 * MINUTE * draw() ** 2) + MINUTE)
            elif draw() < manner.retries:
                self._again(line, callee, at + int(MINUTE * (5 + 120 * draw())), self._going.call())

    def _redial(self, line: Line, callee: Number, at: int) -> None:
        """Again and again until it is free, at most five times."""
        draw = self._rng.random
        for _ in range(5):
            if draw() >= self._manner.redials:
                return
            at += int(SECOND * (15 + 150 * draw()))
            went = busy() if draw() < 0.5 else self._going.call()
            placed = self._again(line, callee, at, went)
            line.free_at = max(line.free_at, placed.ended.at)
            if went[4] != 486:
                return
            at = placed.ended.at

    def _again(self, line: Line, callee: Number, at: int, went: Went) -> Placed:
        placed = line.out(at, self._ident(), callee, went)
        self._later.put(placed)
        return placed

    def _back(self, line: Line, caller: Number, at: int) -> None:
        """Whom nobody answered calls back: he is answered, as a rule."""
        self._later.put(line.received(at, self._ident(), caller, self._going.answered()))

    # ---- calls in ----------------------------------------------------------------------------------------------------

    def _received(self, at: int) -> Placed:
        person = self._somebody()
        line = self._lines[person]
        caller, _ = self._callee(person)
        if caller.kind == "short":
            caller = self._home.draw()
        if line.free_at > at:
            return line.received(at, self._ident(), caller, busy())
        went = self._going.call()
        placed = line.received(at, self._ident(), caller, went)
        if went[3] == "answered":
            line.free_at = placed.ended.at + self._pause()
        elif went[4] == 487 and self._rng.random() < self._manner.calls_back:
            after = at + went[0] + went[1] + int(HOUR * self._rng.random() ** 2) + MINUTE
            self._again(line, caller, after, self._going.call())
        return placed
