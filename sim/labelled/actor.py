"""What every scenario of labelled traffic has: a name, the sites that it brings, and its calls in order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import ClassVar, Final

from sim.labelled.words import DAY, MAX_DAYS, MINUTE, Line, Placed, SimError, Site

MAX_STRENGTH: Final = 100.0  # an attack a hundred times as hard fills its trunk many times over


class Actor:
    """One scenario. Its calls follow from the seed and its own name: whoever else is there changes none of them.

    `n` tells several of a kind apart. `site` is the customer whose lines it uses.
    """

    kind: ClassVar[str]

    def __init__(self, site: Site, n: int = 1) -> None:
        self.site = site
        self.name = f"{self.kind}-{n}"

    def rng(self, seed: int, of: str = "") -> Random:
        """A stream of chance of its own."""
        return Random(f"{seed}/{self.name}/{of}")

    def lines(self) -> tuple[Line, ...]:
        """The lines that an attack may take over: none but where people sit."""
        return ()

    def consents(self, seed: int, start: int) -> Iterator[str]:
        """Numbers (E.164) of consumers who agreed to be canvassed by it."""
        del seed, start
        return iter(())

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """Its calls from `start` to `end`, in order."""
        raise NotImplementedError


class Attack(Actor):
    """An attacker: on a site of his own, or on a line of somebody else's (`on`).

    `strength` is how hard he tries: 1 is what was seen in the wild, or the default of the class. `after` is when he
    begins, in days from the start of the world (None: somewhere between its half and four fifths).
    """

    def __init__(
        self, n: int = 1, *, strength: float = 1.0, on: Actor | None = None, after: float | None = None
    ) -> None:
        if not 0.0 < strength <= MAX_STRENGTH:
            raise SimError(f"{self.kind}: strength {strength:g} is not above 0 and at most {MAX_STRENGTH:g}")
        if after is not None and not 0.0 <= after < MAX_DAYS:
            raise SimError(f"{self.kind}: {after:g} days after the start is not between 0 and {MAX_DAYS:g}")
        if on is not None and not on.lines():
            raise SimError(f"{self.kind}: {on.name} has no line that could be taken over")
        super().__init__(on.site if on is not None else self.own_site(n), n)
        self.strength = strength
        self.on = on
        self.after = after

    def own_site(self, n: int) -> Site:
        """The site of one who attacks from his own line."""
        return Site(kind=self.kind, n=n, channels=1_000)

    def line(self, rng: Random) -> Line:
        """The line that he calls from: one of those taken over, or his own."""
        if self.on is None:
            return Line(self.site, "201", self.site.number(1))
        return rng.choice(self.on.lines())

    def begins(self, rng: Random, start: int, end: int) -> int:
        """When he begins."""
        if self.after is not None:
            return start + int(self.after * DAY)
        return start + int((end - start) * (0.5 + 0.3 * rng.random()))

    def paced(self, rng: Random, at: int, until: int, a_minute: float) -> Iterator[int]:
        """Instants of calls that come `a_minute` at strength 1, by chance."""
        rate = a_minute * self.strength / MINUTE
        while (at := at + int(rng.expovariate(rate))) < until:
            yield at

    def idents(self) -> Iterator[tuple[str, int]]:
        """Names of his calls."""
        return ((self.name, i) for i in count(1))
