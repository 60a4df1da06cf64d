"""Ping calls: they ring for a moment, so that whoever was called calls back. Going out, and coming in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from guard.model import SECOND
from sim.labelled.actor import Attack
from sim.labelled.going import MOBILES, MS, Going, Prefixes, refused, rung, spoken
from sim.labelled.rhythm import Later, mixed
from sim.labelled.words import HOUR, MINUTE, Placed

PINGS_A_MINUTE: Final = 12.0  # assumed: a fiftieth of what 10 set-ups a second allow
PING_SPAN: Final = 40 * MINUTE  # assumed
PING_RING: Final = (700 * MS, 2_200 * MS)  # one ring or less
CALLED_BACK: Final = 0.08  # assumed; of the people called, within an hour
PICKED_UP: Final = 0.01  # assumed: who answers within a second
OUT_OF_REACH: Final = 0.03  # assumed


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
        pace = PINGS_A_MINUTE * self.strength / MINUTE
        low, high = PING_RING
        while (at := at + int(rng.expovariate(pace))) < until:
            callee = callees.draw()
            what = rng.random()
            if what < PICKED_UP:
                yield line.out(at, next(ids), callee, spoken(700 * MS, SECOND), self.kind)
                continue
            if what < PICKED_UP + OUT_OF_REACH:
                yield line.out(at, next(ids), callee, refused(480), self.kind)
                continue
            yield line.out(at, next(ids), callee, rung(low + int((high - low) * rng.random())), self.kind)
            if rng.random() < CALLED_BACK:
                back = at + 20 * SECOND + int(HOUR * rng.random() ** 2)
                later.put(line.received(back, next(ids), callee, going.answered(), self.kind))
