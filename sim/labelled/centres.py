"""Those who call for a living, within the rules: a call centre of people, a dialler, and a clinic's robot."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heapreplace
from random import Random
from typing import ClassVar, Final

from guard.model import SECOND, Usage
from guard.numbering.number import Number
from sim.labelled.actor import Actor
from sim.labelled.going import FRANCE, MOBILES, Going, Habits, Prefixes, spoken
from sim.labelled.rhythm import CANVASSING, ROBOT, SHOP, Later, Week, mixed, opening, regular
from sim.labelled.words import HOUR, MINUTE, Line, Placed, SimError, Site, e164

MAX_AGENTS: Final = 2_000
# TELNYX: agents reach fewer than half; a dialler lets it ring for 15 s or four rings at least (TSR).
REACHED: Final = Habits(
    early=0.03, unanswered=0.36, busy=0.06, wrong=0.02, broken=0.05, hasty=0.015, brief=0.12, talk_s=95.0,
    talk_spread=1.0, patience_s=26.0,
)  # fmt: skip
WRAP_UP: Final = (12 * SECOND, 75 * SECOND)  # between two calls of an agent (assumed)
BREAK: Final = 0.02  # of an agent's calls are followed by a break (assumed)
BREAK_SPAN: Final = (5 * MINUTE, 40 * MINUTE)
AGAIN: Final = 0.15  # of the calls go to somebody who did not answer before (assumed)
REMEMBERED: Final = 2_000  # of those who did not answer
CALLED_BACK: Final = 0.06  # of those who did not answer call back (assumed)
STAGGER: Final = 10 * MINUTE  # within which the agents begin their day


class CallCentre(Actor):
    """A customer service with `agents` people, each called through by an exchange that dials the next contact for him
    when he is ready (progressive dialling), with the house's main number."""

    kind: ClassVar[str] = "call-centre"
    week: ClassVar[Week] = SHOP

    def __init__(self, agents: int = 25, n: int = 1) -> None:
        if not 1 <= agents <= MAX_AGENTS:
            raise SimError(f"{self.kind}: {agents} agents are not between 1 and {MAX_AGENTS}")
        super().__init__(Site(kind=self.kind, n=n, channels=agents * 3, agent="Vocalcom Hermes 12"), n)
        self.agents = agents

    def lines(self) -> tuple[Line, ...]:
        """See `Actor`."""
        return tuple(Line(self.site, f"{4_000 + i}", self.site.number(0)) for i in range(self.agents))

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        later = Later()
        return mixed(later, self._dialled(self.rng(seed), start, end, later), end)

    def _dialled(self, rng: Random, start: int, end: int, later: Later) -> Iterator[Placed]:
        draw = rng.random
        lines, contacts, going = self.lines(), Prefixes(rng, FRANCE), Going(rng, REACHED)
        missed: deque[Number] = deque(maxlen=REMEMBERED)
        ready = [(opening(start, self.week) + int(STAGGER * draw()), i) for i in range(len(lines))]
        heapify(ready)
        n = 0
        while ready[0][0] < end:
            at, agent = ready[0]
            if not self.week.share(at):
                heapreplace(ready, (opening(at, self.week) + int(STAGGER * draw()), agent))
                continue
            callee = missed.popleft() if missed and draw() < AGAIN else contacts.draw()
            n += 2  # odd names are those of calls back
            placed = lines[agent].out(at, (self.name, n), callee, going.call())
            yield placed
            if placed.ended.final_status == 487:
                missed.append(callee)
                if draw() < CALLED_BACK:
                    back = placed.ended.at + 20 * SECOND + int(2 * HOUR * draw() ** 2)
                    later.put(lines[agent].received(back, (self.name, n + 1), callee, going.answered()))
            rest = WRAP_UP if draw() >= BREAK else BREAK_SPAN
            heapreplace(ready, (placed.ended.at + rest[0] + int((rest[1] - rest[0]) * draw()), agent))


# ---- a dialler within the rules --------------------------------------------------------------------------------------

HOURS: Final = 9  # of a canvassing day
PASS_DAYS: Final = 8  # working days of one pass through the list: three tries in 30 days at most (D.223-9: four)
JITTER: Final = 0.02  # of the spacing: a machine's
# TSR: it rings for 15 s at least; at most 3 % of the answered calls find no agent (`hasty`: dropped at once).
DIALLED: Final = Habits(
    early=0.0, unanswered=0.38, busy=0.05, wrong=0.015, broken=0.05, hasty=0.02, brief=0.14, ring_s=11.0,
    ring_spread=0.4, talk_s=38.0, talk_spread=0.8, patience_s=28.0,
)  # fmt: skip
MAX_AN_HOUR: Final = 20_000
VERIFIED_LINE: Final = "801"


class Dialler(Actor):
    """A dialler that canvasses those who agreed, in the lawful hours, from a verified number: `an_hour` calls, evenly
    spaced, through a sorted list, each number three times in 30 days at most."""

    kind: ClassVar[str] = "dialler"

    def __init__(self, an_hour: int = 120, n: int = 1) -> None:
        if not 1 <= an_hour <= MAX_AN_HOUR:
            raise SimError(f"{self.kind}: {an_hour} calls an hour are not between 1 and {MAX_AN_HOUR}")
        channels = max(10, an_hour // 20)
        usage: tuple[Usage, ...] = ("automated", "prospecting")
        super().__init__(
            Site(kind=self.kind, n=n, usage=usage, home="verified", channels=channels, agent="VICIdial 2.14"), n
        )
        self.an_hour = an_hour

    def contacts(self, seed: int) -> list[str]:
        """Its list, in order."""
        prefixes = Prefixes(self.rng(seed, "list"), MOBILES)
        found: set[str] = set()
        while len(found) < self.an_hour * HOURS * PASS_DAYS:
            found.add(prefixes.draw().value)
        return sorted(found)

    def consents(self, seed: int, start: int) -> Iterator[str]:
        """See `Actor`."""
        return iter(self.contacts(seed))

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        later = Later()
        return mixed(later, self._dialled(seed, start, end, later), end)

    def _dialled(self, seed: int, start: int, end: int, later: Later) -> Iterator[Placed]:
        rng = self.rng(seed)
        contacts, going = self.contacts(seed), Going(rng, DIALLED)
        line = Line(self.site, VERIFIED_LINE, self.site.number(1))
        for n, at in enumerate(regular(rng, start, end, CANVASSING, HOUR // self.an_hour, JITTER)):
            callee = e164(contacts[n % len(contacts)])
            placed = line.out(at, (self.name, 2 * n), callee, going.call())
            yield placed
            if placed.ended.final_status == 487 and rng.random() < CALLED_BACK:
                back = placed.ended.at + MINUTE + int(2 * HOUR * rng.random() ** 2)
                later.put(line.received(back, (self.name, 2 * n + 1), callee, spoken(SECOND, 15 * SECOND, "callee")))


# ---- a clinic's robot ------------------------------------------------------------------------------------------------

MAX_PATIENTS: Final = 5_000
REMINDER: Final = Habits(
    early=0.0, unanswered=0.26, busy=0.05, wrong=0.01, broken=0.04, hasty=0.01, brief=0.05, ring_s=10.0,
    ring_spread=0.4, talk_s=21.0, talk_spread=0.35, patience_s=27.0,
)  # fmt: skip
TRIES: Final = 2  # of one reminder, an hour apart
BACK: Final = 0.15  # of the patients who missed it call back, and hear the robot (assumed)


class Clinic(Actor):
    """A robot that reminds `patients` of their appointments each working day: a short message, answered or not."""

    kind: ClassVar[str] = "clinic"

    def __init__(self, patients: int = 80, n: int = 1) -> None:
        if not 1 <= patients <= MAX_PATIENTS:
            raise SimError(f"{self.kind}: {patients} patients are not between 1 and {MAX_PATIENTS}")
        channels = max(6, patients // 40)
        super().__init__(
            Site(kind=self.kind, n=n, usage=("automated",), home="verified", channels=channels, agent="RDV-Bot/3.1"), n
        )
        self.patients = patients

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        later = Later()
        return mixed(later, self._reminded(seed, start, end, later), end)

    def _reminded(self, seed: int, start: int, end: int, later: Later) -> Iterator[Placed]:
        rng = self.rng(seed)
        draw = rng.random
        line = Line(self.site, "robot", self.site.number(1))
        people, going = Prefixes(rng, FRANCE), Going(rng, REMINDER)
        n = 0
        for at in regular(rng, start, end, ROBOT, 9 * HOUR // self.patients, 3 * JITTER):
            callee = people.draw()
            for attempt in range(TRIES):
                n += 1
                when = at + attempt * HOUR
                placed = line.out(when, (self.name, n), callee, going.call())
                if attempt:
                    later.put(placed)
                else:
                    yield placed
                if placed.ended.final_status != 487:
                    break
                if draw() < BACK:
                    n += 1
                    back = placed.ended.at + MINUTE + int(50 * MINUTE * draw() ** 2)
                    later.put(line.received(back, (self.name, n), callee, spoken(SECOND, 18 * SECOND, "callee")))
                    break
