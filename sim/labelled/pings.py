"""Ping calls: they ring for a moment, so that whoever was called calls back. Going out, and coming in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from guard.model import SECOND
from sim.labelled.actor import Attack
from sim.labelled.going import DEAR, MOBILES, MS, Going, Prefixes, refused, rung, spoken
from sim.labelled.rhythm import Later, mixed
from sim.labelled.words import HOUR, MINUTE, Line, Placed

PINGS_A_MINUTE: Final = 12.0  # assumed: a fiftieth of what 10 set-ups a second allow
PING_SPAN: Final = 40 * MINUTE  # assumed
PING_RING: Final = (700 * MS, 2_200 * MS)  # one ring or less
CALLED_BACK: Final = 0.08  # assumed; of the people called, within an hour
PICKED_UP: Final = 0.01  # assumed: who answers within a second
OUT_OF_REACH: Final = 0.03  # assumed
BAIT_NUMBERS: Final = 6  # numbers that the pings come from (assumed; Prasad 2020: most are used a few times only)
OWN_LINES: Final = 100  # of the site that is pinged where no other is named
BAIT_TAKEN: Final = 0.1  # of the people who were pinged: they call back within a day (assumed)
KEPT_ON: Final = (40 * SECOND, 6 * MINUTE)  # how long a call back is kept on the line (assumed)


class Wangiri(Attack):
    """Rings distinct mobile numbers for a second or two and cancels; some of the people call back."""

    kind: ClassVar[str] = "wangiri"

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        later = Later()
        return mixed(later, self._pings(seed, start, end, later), end)

    def _pings(self, seed: int, start: int, end: int, later: Later) -> Iterator[Placed]:
        rng = self.rng(seed)
        line, callees, going, ids = self.line(rng), Prefixes(rng, MOBILES), Going(rng), self.idents()
        at = self.begins(rng, start, end)
        until = min(at + PING_SPAN, end)
        low, high = PING_RING
        for now in self.paced(rng, at, until, PINGS_A_MINUTE):
            callee = callees.draw()
            what = rng.random()
            if what < PICKED_UP:
                yield line.out(now, next(ids), callee, spoken(700 * MS, SECOND), self.kind)
                continue
            if what < PICKED_UP + OUT_OF_REACH:
                yield line.out(now, next(ids), callee, refused(480), self.kind)
                continue
            yield line.out(now, next(ids), callee, rung(low + int((high - low) * rng.random())), self.kind)
            if rng.random() < CALLED_BACK:
                back = now + 20 * SECOND + int(HOUR * rng.random() ** 2)
                later.put(line.received(back, next(ids), callee, going.answered(), self.kind))


class WangiriIn(Attack):
    """Rings the lines of a site from a few dear numbers abroad, for a moment; some call back, and are kept talking."""

    kind: ClassVar[str] = "wangiri-in"

    def targets(self) -> tuple[Line, ...]:
        """The lines that are pinged."""
        if self.on is not None:
            return self.on.lines()
        return tuple(Line(self.site, f"{100 + i}", self.site.number(i)) for i in range(OWN_LINES))

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        later = Later()
        return mixed(later, self._pings(seed, start, end, later), end)

    def _pings(self, seed: int, start: int, end: int, later: Later) -> Iterator[Placed]:
        rng = self.rng(seed)
        dear, ids, targets = Prefixes(rng, DEAR), self.idents(), self.targets()
        baits = [dear.draw() for _ in range(BAIT_NUMBERS)]
        at = self.begins(rng, start, end)
        low, high = PING_RING
        for now in self.paced(rng, at, min(at + PING_SPAN, end), PINGS_A_MINUTE):
            line, bait = rng.choice(targets), rng.choice(baits)
            yield line.received(now, next(ids), bait, rung(low + int((high - low) * rng.random())), self.kind)
            if rng.random() < BAIT_TAKEN:
                back = now + 30 * SECOND + int(24 * HOUR * rng.random() ** 4)
                talk = KEPT_ON[0] + int((KEPT_ON[1] - KEPT_ON[0]) * rng.random())
                later.put(line.out(back, next(ids), bait, spoken(2 * SECOND, talk), self.kind))
