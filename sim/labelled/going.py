"""How calls go: rings, answers, talk, those given up, busy ones and wrong numbers; whom people call.

Each parameter is a named constant with its source, or "assumed". Sources: TELNYX and TWILIO are what those operators
publish for traffic that they charge more for, or carry faster (docs/simulation.md); TSR is the safe harbour of the
American rules for diallers.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from math import log
from random import Random
from typing import Final

from msgspec import Struct

from guard.model import SECOND
from guard.numbering.number import Number
from sim.labelled.words import HOUR, By, Went, e164, short

MS: Final = 1_000
DELAY: Final = (700 * MS, 2_500 * MS)  # from INVITE to 180 through two operators (assumed)
SVA_DELAY: Final = (300 * MS, 900 * MS)
MAX_TALK: Final = 3 * HOUR  # assumed: the longest conversation
MISTYPED: Final = (404, 404, 484, 404)  # what a number that nobody has gets
BROKEN: Final = (480, 480, 503, 480)
ZIPF: Final = 0.9  # exponent of how often the favourites of a person are called (assumed: 1 is Zipf's own)
FAVOURITES: Final = 40  # numbers that a person calls again and again (assumed)


class Habits(Struct, frozen=True, kw_only=True):
    """How the calls of a kind of caller go. Shares are of all calls and sum to less than 1: the rest is answered.

    `ring_s` and `talk_s` are medians of lognormals with the spreads beside them. `hasty` are answered calls over in
    less than two seconds, `early` those that the caller gives up within six seconds of ringing.
    """

    early: float = 0.045  # given up early: people do, 3 to 6 % (assumed; TELNYX charges for more than 20 %)
    unanswered: float = 0.16  # assumed; TWILIO wants 60 % answered
    busy: float = 0.06  # assumed
    wrong: float = 0.012  # mistyped, or no number any more (assumed)
    broken: float = 0.02  # out of reach, no line free (assumed)
    hasty: float = 0.008  # of the answered (assumed; TELNYX: at most 15 % of six seconds or less)
    brief: float = 0.05  # of the answered: over in 2 to 6 s, "wrong person" or a machine (assumed)
    ring_s: float = 8.0  # assumed: two cadences of the French tone (5 s each) and somebody picks up
    ring_spread: float = 0.6
    talk_s: float = 75.0  # assumed, with its spread a mean of 154 s: call centre studies find 180 to 200 s
    talk_spread: float = 1.2
    patience_s: float = 24.0  # how long an unanswered call rings (assumed; TSR: 15 s at least)


PEOPLE: Final = Habits()


class Going:
    """Draws how calls go, by the habits of their callers."""

    __slots__ = ("_bounds", "_brief", "_hasty", "_patience", "_ring", "_rng", "_talk")

    def __init__(self, rng: Random, habits: Habits = PEOPLE) -> None:
        h = habits
        self._rng = rng
        self._bounds = tuple(accumulate((h.early, h.unanswered, h.busy, h.wrong, h.broken)))
        self._hasty = h.hasty
        self._brief = h.hasty + h.brief
        self._ring = log(h.ring_s), h.ring_spread
        self._talk = log(h.talk_s), h.talk_spread
        self._patience = h.patience_s

    def call(self) -> Went:
        """One call."""
        draw = self._rng.random
        low, high = DELAY
        delay = low + int((high - low) * draw())
        what = bisect(self._bounds, draw())
        if what == 5:
            return self.answered(delay)
        if what == 0:
            return delay, 600 * MS + int(5_000 * MS * draw()), 0, "cancelled", 487, "caller"
        if what == 1:
            ring = int(SECOND * self._patience * (0.45 + 1.1 * draw()))
            return delay, max(ring, 7 * SECOND), 0, "cancelled", 487, "caller"
        if what == 2:
            return delay, 0, 0, "failed", 486, "callee"
        return delay, 0, 0, "failed", (MISTYPED if what == 3 else BROKEN)[int(4 * draw())], "callee"

    def answered(self, delay: int = 0) -> Went:
        """One call that is answered."""
        rng = self._rng
        draw = rng.random
        delay = delay or DELAY[0] + int((DELAY[1] - DELAY[0]) * draw())
        ring = min(int(SECOND * rng.lognormvariate(*self._ring)), 60 * SECOND)
        which = draw()
        if which < self._hasty:
            talk = 400 * MS + int(1_500 * MS * draw())
        elif which < self._brief:
            talk = 2 * SECOND + int(4 * SECOND * draw())
        else:
            talk = min(int(SECOND * rng.lognormvariate(*self._talk)), MAX_TALK)
        return (
            delay,
            max(ring, 300 * MS),
            max(talk, 2 * SECOND) if which >= self._hasty else talk,
            "answered",
            200,
            ("caller" if draw() < 0.6 else "callee"),
        )


def busy(delay: int = 900 * MS) -> Went:
    """A call that finds its callee busy."""
    return delay, 0, 0, "failed", 486, "callee"


def refused(status: int, delay: int = 200 * MS) -> Went:
    """A call that gets a final refusal."""
    return delay, 0, 0, "failed", status, "callee"


def rung(ring: int, delay: int = 1_200 * MS) -> Went:
    """A call that its caller gives up after it rang for so long."""
    return delay, ring, 0, "cancelled", 487, "caller"


def spoken(ring: int, talk: int, by: By = "caller", delay: int = 1_200 * MS) -> Went:
    """A call that is answered after so long a ring, and lasts so long."""
    return delay, ring, talk, "answered", 200, by


# ---- whom they call --------------------------------------------------------------------------------------------------

# First digits of numbers as people call them, how many follow, and shares (assumed, after those of mobile and fixed).
# None of machines (0700, 0901), platforms (0937), robots (0162, 0948) or, under +33, of overseas (0639, 069).
FRANCE: Final = (
    ("+3361", 7, 0.15), ("+3366", 7, 0.15), ("+3368", 7, 0.14), ("+3376", 7, 0.13), ("+3314", 7, 0.12),
    ("+3347", 7, 0.07), ("+3356", 7, 0.06), ("+3332", 7, 0.06), ("+3323", 7, 0.06), ("+3395", 7, 0.06),
)  # fmt: skip
MOBILES: Final = (("+3361", 7, 0.25), ("+3366", 7, 0.25), ("+3368", 7, 0.25), ("+3376", 7, 0.25))
# Mobile and capital numbers: premium ranges of other countries are risky in policies/destinations.
NEIGHBOURS: Final = (
    ("+3247", 7, 0.2), ("+49151", 8, 0.2), ("+4420", 8, 0.2), ("+346", 8, 0.12), ("+393", 9, 0.12), ("+4179", 7, 0.1),
    ("+352621", 6, 0.06),
)  # fmt: skip
# Prefixes that policies/destinations has as high: where IRSF was, and networks of no country.
DEAR: Final = (
    ("+53", 8, 0.12), ("+252", 8, 0.12), ("+371", 8, 0.1), ("+220", 7, 0.1), ("+960", 7, 0.08), ("+224", 9, 0.08),
    ("+232", 8, 0.08), ("+245", 9, 0.06), ("+231", 8, 0.06), ("+387", 8, 0.06), ("+881", 9, 0.07), ("+882", 10, 0.07),
)  # fmt: skip
SERVICES: Final = (short("3949"), short("3639"), short("3631"), e164("+33800123456"), e164("+33969391234"))
EMERGENCIES: Final = (short("112"), short("15"), short("18"))


class Prefixes:
    """Draws numbers that begin with one of some prefixes, by their shares."""

    __slots__ = ("_bounds", "_each", "_rng")

    def __init__(self, rng: Random, prefixes: tuple[tuple[str, int, float], ...]) -> None:
        self._rng = rng
        self._bounds = tuple(accumulate(share for _, _, share in prefixes))
        self._each = tuple((p, 10 ** (n - 1)) for p, n, _ in prefixes)

    def draw(self) -> Number:
        """A number."""
        draw = self._rng.random
        prefix, unit = self._each[bisect(self._bounds, draw() * self._bounds[-1])]
        value = f"{prefix}{unit + int(8 * unit * draw())}"
        return Number(value, "e164", value)


class Book:
    """The numbers that the people of a site know: each calls favourites of his own, again and again (Zipf)."""

    __slots__ = ("_bounds", "_pool", "_rng", "_size")

    def __init__(self, rng: Random, prefixes: Prefixes, size: int) -> None:
        self._rng = rng
        self._size = max(size, 2 * FAVOURITES) | 1
        self._pool = [prefixes.draw() for _ in range(self._size)]
        self._bounds = tuple(accumulate((rank + 1) ** -ZIPF for rank in range(FAVOURITES)))

    def favourite(self, person: int) -> Number:
        """One of this person's numbers."""
        bounds = self._bounds
        rank = bisect(bounds, self._rng.random() * bounds[-1])
        return self._pool[(person * 7_919 + rank * 104_729) % self._size]
