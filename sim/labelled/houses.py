"""Offices of other habits: a hotel, and a branch overseas."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from random import Random
from typing import ClassVar, Final

from guard.model import SECOND
from sim.labelled.going import Going, Habits, Prefixes, rung, spoken
from sim.labelled.office import Manner, Office
from sim.labelled.rhythm import CHECK_OUT, HOTEL, OFFICE_REUNION, WAKING, Week, arrivals
from sim.labelled.words import Line, Placed, SimError, Site, e164

RECEPTION: Final = 6  # lines of the house's people
MAX_ROOMS: Final = 900
NAMES: Final = 10**8  # calls of each of the house's streams have names of their own
TAXIS: Final = 4  # numbers of taxi firms that reception calls again and again
A_TAXI: Final = 0.12  # calls for a taxi a room and day, most of them at check-out (assumed)
WOKEN: Final = 0.06  # guests woken on their mobile, a room and day (assumed)
GUEST_CALLS: Final = 0.25  # calls of guests from their rooms, a room and day (assumed)
HOME_TALK: Final = Habits(talk_s=240.0, talk_spread=0.9, unanswered=0.22, brief=0.04)
# Where guests come from (assumed): elevated countries of policies/destinations among them, none that is high.
ABROAD: Final = (
    ("+4420", 8, 0.2), ("+49151", 8, 0.14), ("+346", 8, 0.1), ("+393", 9, 0.1), ("+1212", 7, 0.12), ("+8190", 8, 0.06),
    ("+86138", 8, 0.06), ("+7916", 7, 0.05), ("+97252", 7, 0.04), ("+2135", 8, 0.06), ("+2162", 7, 0.04),
    ("+4850", 7, 0.03),
)  # fmt: skip


class Hotel(Office):
    """A hotel of `rooms`: a reception like an office that never closes; guests who call home at all hours; taxis called
    again and again at check-out; guests woken on their mobiles by calls of a few seconds."""

    kind: ClassVar[str] = "hotel"
    week: ClassVar[Week] = HOTEL
    manner: ClassVar[Manner] = Manner(sent=12.0, received=25.0, foreign=0.15)
    abroad: ClassVar[tuple[tuple[str, int, float], ...]] = ABROAD

    def __init__(self, rooms: int = 120, n: int = 1) -> None:
        if not 1 <= rooms <= MAX_ROOMS:
            raise SimError(f"{self.kind}: {rooms} rooms are not between 1 and {MAX_ROOMS}")
        site = Site(kind=self.kind, n=n, channels=max(12, rooms // 5), agent="Mitel-5000-ICP")
        super().__init__(RECEPTION, n, site)
        self.rooms = rooms

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        streams = (
            super().calls(seed, start, end),
            self._guests(self.rng(seed, "guests"), start, end),
            self._taxis(self.rng(seed, "taxis"), start, end),
            self._waking(self.rng(seed, "waking"), start, end),
        )
        return merge(*streams, key=lambda p: p.call.at)

    def _guests(self, rng: Random, start: int, end: int) -> Iterator[Placed]:
        """Guests call home, each his own few numbers."""
        going, abroad = Going(rng, HOME_TALK), Prefixes(rng, ABROAD)
        lines = [Line(self.site, f"{100 + i}", self.site.number(100 + i)) for i in range(self.rooms)]
        homes = [abroad.draw() for _ in lines]
        for n, at in enumerate(arrivals(rng, start, end, HOTEL, GUEST_CALLS * self.rooms), NAMES):
            room = rng.randrange(len(lines))
            if lines[room].free_at > at:
                continue
            if rng.random() < 0.3:  # another guest, or another number of his
                homes[room] = abroad.draw()
            placed = lines[room].out(at, (self.name, n), homes[room], going.call())
            lines[room].free_at = placed.ended.at + SECOND
            yield placed

    def _taxis(self, rng: Random, start: int, end: int) -> Iterator[Placed]:
        """Reception calls the same few firms, which answer at once."""
        line = Line(self.site, "desk", self.site.number(0))
        firms = [e164(f"+3314{rng.randrange(10**6, 8 * 10**6):07}") for _ in range(TAXIS)]
        for n, at in enumerate(arrivals(rng, start, end, CHECK_OUT, A_TAXI * self.rooms), 2 * NAMES):
            if line.free_at > at:
                continue
            went = spoken(int(SECOND * (2 + 6 * rng.random())), int(SECOND * (12 + 30 * rng.random())))
            placed = line.out(at, (self.name, n), rng.choice(firms), went)
            line.free_at = placed.ended.at + SECOND
            yield placed

    def _waking(self, rng: Random, start: int, end: int) -> Iterator[Placed]:
        """The night porter wakes guests on their mobiles: a few seconds of talk, or no answer and once more."""
        line, guests = Line(self.site, "porter", self.site.number(0)), Prefixes(rng, ABROAD)
        for n, at in enumerate(arrivals(rng, start, end, WAKING, WOKEN * self.rooms), 3 * NAMES):
            if line.free_at > at:
                continue
            ring = int(SECOND * (4 + 16 * rng.random()))
            up = rng.random() < 0.85
            went = spoken(ring, int(SECOND * (3 + 7 * rng.random()))) if up else rung(ring + 15 * SECOND)
            placed = line.out(at, (self.name, n), guests.draw(), went)
            line.free_at = placed.ended.at + SECOND
            yield placed


# ---- a branch overseas -----------------------------------------------------------------------------------------------

# Réunion, its neighbours and metropolitan France. Madagascar is high in policies/destinations: `config` names it in
# [rules."dst.risk-prefix"] but, as such a site would.
AT_HOME: Final = (("+262692", 6, 0.4), ("+262262", 6, 0.3), ("+3366", 7, 0.18), ("+3314", 7, 0.12))
OVERSEAS: Final = (
    ("+2305", 7, 0.3), ("+26132", 7, 0.2), ("+2782", 7, 0.14), ("+9198", 8, 0.12), ("+4420", 8, 0.1),
    ("+86138", 8, 0.08), ("+346", 8, 0.06),
)  # fmt: skip
BY_HABIT: Final = ("+261",)  # high, and called every day


class Branch(Office):
    """A branch on Réunion, two or three hours ahead of Paris, that calls abroad by habit."""

    kind: ClassVar[str] = "branch"
    week: ClassVar[Week] = OFFICE_REUNION
    manner: ClassVar[Manner] = Manner(foreign=0.45, services=0.0)
    home: ClassVar[tuple[tuple[str, int, float], ...]] = AT_HOME
    abroad: ClassVar[tuple[tuple[str, int, float], ...]] = OVERSEAS

    def __init__(self, people: int = 10, n: int = 1) -> None:
        site = Site(kind=self.kind, n=n, home="reunion", channels=max(8, people // 3))
        super().__init__(people, n, site)
