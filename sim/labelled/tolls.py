"""Attacks for money: revenue shared with whoever is called, abroad (IRSF) or at premium (SVA) numbers.

What was seen in the wild: 11 000 calls in 46 hours (0.066 a second); a weekend with a call every 2.67 seconds, up to
568 at once, of one to four hours; toll fraud calls usually last 20 minutes or more. A limit of
set-ups a second stops none.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from random import Random
from typing import ClassVar, Final

from guard.model import SECOND
from guard.numbering.number import Number
from sim.labelled.actor import Actor, Attack
from sim.labelled.going import DEAR, MS, Prefixes, refused, spoken
from sim.labelled.rhythm import local, night
from sim.labelled.words import DAY, HOUR, MINUTE, Line, Placed, Site

TOLLS_A_MINUTE: Final = 4.0  # 0.066 a second
TOLL_TALK: Final = (12 * MINUTE, 45 * MINUTE)
TOLL_ANSWERED: Final = 0.85  # assumed: numbers of the fraud answer, some are barred on the way
TOLL_NUMBERS: Final = 60  # numbers of the fan-out (assumed)
TESTS: Final = 3  # calls by which the number is tried, in the hour before (assumed)
MORNING: Final = 6  # o'clock: the attack ends before people come
LAST_NIGHT: Final = 3 * HOUR  # of a world whose nights come before the attack would: it begins so long before its end


class IrsfNight(Attack):
    """A hacked extension calls dear numbers abroad at night or at a weekend: long calls, several at once."""

    kind: ClassVar[str] = "irsf-night"

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        rng = self.rng(seed)
        line, dear, ids = self.line(rng), Prefixes(rng, DEAR), self.idents()
        numbers = [dear.draw() for _ in range(TOLL_NUMBERS)]
        at = night(self.begins(rng, start, end))
        if at >= end:
            at = max(end - LAST_NIGHT, start)
        tests = sorted(at - int(HOUR * rng.random()) for _ in range(TESTS))
        for before in tests:
            if start <= before < end:
                yield line.out(before, next(ids), rng.choice(numbers), spoken(1_500 * MS, 4 * SECOND), self.kind)
        for now in self.paced(rng, at, min(dawn(at), end), TOLLS_A_MINUTE):
            yield toll(rng, line, now, next(ids), rng.choice(numbers), TOLL_TALK, self.kind)


def dawn(at: int) -> int:
    """The next morning of a working day: of a weekend, the Monday's."""
    at = at // HOUR * HOUR + HOUR
    while (there := local(at)).hour != MORNING or there.weekday() >= 5:
        at += HOUR
    return at


def toll(
    rng: Random, line: Line, at: int, ident: tuple[str, int], callee: Number, talk: tuple[int, int], label: str
) -> Placed:
    """One costly call."""
    if rng.random() >= TOLL_ANSWERED:
        return line.out(at, ident, callee, refused(480), label)
    ring = 400 * MS + int(2_600 * MS * rng.random())
    return line.out(at, ident, callee, spoken(ring, talk[0] + int((talk[1] - talk[0]) * rng.random())), label)


# ---- a stolen account ------------------------------------------------------------------------------------------------

GUESSES: Final = (12, 40)  # refused tries before the password is right (assumed)
GUESS_EVERY: Final = 2 * SECOND
GUESSED: Final = (401, 403, 407, 407)
THIEF_HOSTS: Final = (64, 120)  # last bytes of addresses that no phone of the site has
THIEF_AGENTS: Final = ("Zoiper rv2.8.75", "eyeBeam release 1105a", "PortSIP UC Client", "Linphone/3.9.1")
THEFTS_A_MINUTE: Final = 1.5  # assumed: slower than at night, people are there
THEFT_TALK: Final = (3 * MINUTE, 12 * MINUTE)
THEFT_SPAN: Final = 2 * HOUR


class StolenAccount(Attack):
    """Somebody elsewhere guesses a line's password (401, 403, 407), then calls dear numbers as if he were it: from an
    address and with a user agent that the line never had."""

    kind: ClassVar[str] = "stolen-account"

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        rng = self.rng(seed)
        line, dear, ids = self.line(rng), Prefixes(rng, DEAR), self.idents()
        line.address = self.site.host(rng.randint(*THIEF_HOSTS))
        line.agent = rng.choice(THIEF_AGENTS)
        at = self.begins(rng, start, end)
        for _ in range(rng.randint(*GUESSES)):
            at += GUESS_EVERY + int(SECOND * rng.random())
            if at < end:
                yield line.out(at, next(ids), dear.draw(), refused(rng.choice(GUESSED), 60 * MS), self.kind)
        for now in self.paced(rng, at, min(at + THEFT_SPAN, end), THEFTS_A_MINUTE):
            yield toll(rng, line, now, next(ids), dear.draw(), THEFT_TALK, self.kind)


# ---- premium numbers -------------------------------------------------------------------------------------------------

SVA_ROOT: Final = "+33899"  # 0899: up to 0.80 EUR a minute or 3 EUR a call
SVA_NUMBERS: Final = 3
SVA_LINES: Final = 3  # lines that pump, at strength 1
SVA_TALK: Final = (4 * MINUTE, 25 * MINUTE)
SVA_PAUSE: Final = (4 * SECOND, 20 * SECOND)
SVA_SPAN: Final = 8 * HOUR


class SvaPumping(Attack):
    """A few lines call a few premium numbers, one call after the other, for hours."""

    kind: ClassVar[str] = "sva-pumping"

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        rng = self.rng(seed)
        numbers = [f"{SVA_ROOT}{rng.randrange(10**6):06}" for _ in range(SVA_NUMBERS)]
        callees = [Number(n, "e164", n) for n in numbers]
        at = self.begins(rng, start, end)
        # Each line has chance of its own, and names of its own: streams that are merged may share neither.
        lines = [self._line(rng, i) for i in range(max(round(SVA_LINES * self.strength), 1))]
        until = min(at + SVA_SPAN, end)
        return merge(
            *(self._pumped(self.rng(seed, f"{i}"), i, line, callees, at, until) for i, line in enumerate(lines)),
            key=lambda p: p.call.at,
        )

    def _line(self, rng: Random, i: int) -> Line:
        return self.line(rng) if self.on is not None else Line(self.site, f"{201 + i}", self.site.number(1 + i))

    def _pumped(self, rng: Random, i: int, line: Line, callees: list[Number], at: int, until: int) -> Iterator[Placed]:
        n = i * 10**6
        at += int(MINUTE * rng.random())
        while at < until:
            n += 1
            talk = SVA_TALK[0] + int((SVA_TALK[1] - SVA_TALK[0]) * rng.random())
            placed = line.out(
                at, (self.name, n), rng.choice(callees), spoken(800 * MS, talk, delay=400 * MS), self.kind
            )
            yield placed
            at = placed.ended.at + SVA_PAUSE[0] + int((SVA_PAUSE[1] - SVA_PAUSE[0]) * rng.random())


# ---- slow and low ----------------------------------------------------------------------------------------------------

SLOW_TALK: Final = (2 * MINUTE, 5 * MINUTE)


class SlowLow(Attack):
    """Knows the thresholds of a policy and stays beneath: on a line taken over, fewer than `beneath` dear calls in any
    `span_s` seconds, in working hours, for days. The strength does not change the bound: it is what he knows."""

    kind: ClassVar[str] = "slow-low"

    def __init__(
        self,
        n: int = 1,
        *,
        strength: float = 1.0,
        on: Actor | None = None,
        after: float | None = None,
        beneath: int = 3,
        span_s: int = 3_600,
    ) -> None:
        super().__init__(n, strength=strength, on=on, after=after)
        self.most = max(beneath - 1, 1)
        self.span = span_s * SECOND

    def own_site(self, n: int) -> Site:
        """See `Attack`."""
        return Site(kind=self.kind, n=n)

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        rng = self.rng(seed)
        line, dear, ids = self.line(rng), Prefixes(rng, DEAR), self.idents()
        numbers = [dear.draw() for _ in range(TOLL_NUMBERS)]
        at = self.begins(rng, start, end)
        while at < end:
            there = local(at)
            if there.weekday() < 5 and 9 <= there.hour < 18:
                yield toll(rng, line, at, next(ids), rng.choice(numbers), SLOW_TALK, self.kind)
                at += self.span // self.most + 1 + int(self.span // self.most * 0.1 * rng.random())
            else:
                at = at // HOUR * HOUR + HOUR + int(10 * MINUTE * rng.random())


class SlowerLow(SlowLow):
    """Knows the bound of a day as well, and stays beneath it: what no detector of the policy finds."""

    kind: ClassVar[str] = "slower-low"

    def __init__(
        self, n: int = 1, *, strength: float = 1.0, on: Actor | None = None, after: float | None = None
    ) -> None:
        super().__init__(n, strength=strength, on=on, after=after, beneath=5, span_s=DAY // SECOND)
