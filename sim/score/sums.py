"""From many played worlds to figures: what was found of each class, how soon, what it cost, what was wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import median
from typing import Final

from msgspec import Struct

from sim.score.play import MEANT, Attacked, Played

MONTH: Final = 30.0  # days
Z: Final = 1.959963984540054  # the 97.5 % point of the normal distribution: bounds hold on both sides together at 95 %


class ClassScore(Struct, frozen=True, kw_only=True):
    """One class of attack over its worlds. `false` are legitimate subjects on which a rule alarmed that is meant to
    find the class, here and in the worlds without an attack; medians are of the attacks that were found."""

    label: str
    strength: float
    played: int
    found: int
    false: int
    calls: float | None
    stopped: float | None
    cents_before: float | None
    cents_let_go: float | None
    rules: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def recall(self) -> float:
        """Attacks found of those there were."""
        return self.found / self.played if self.played else 0.0

    @property
    def precision(self) -> float:
        """Attacks of all that alarmed; 1 where nothing did."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        whole = self.precision + self.recall
        return 2 * self.precision * self.recall / whole if whole else 0.0


class Quiet(Struct, frozen=True, kw_only=True):
    """Worlds without an attack: what detection said there all the same. `upper` is the upper bound of the rate of
    wrongly stopped calls (Wilson, 95 %)."""

    worlds: int
    days: float
    lines: int
    calls: int
    wrong: int
    upper: float
    alarms: dict[str, int]

    @property
    def per_line_and_month(self) -> dict[str, float]:
        """Alarms of each rule for a line in thirty days."""
        whole = self.lines * self.days / self.worlds / MONTH if self.worlds else 0.0
        return {rule: many / whole for rule, many in sorted(self.alarms.items())} if whole else {}


def wilson_upper(found: int, of: int) -> float:
    """The upper bound of a rate of which `found` of `of` were seen (Wilson 1927, 95 % on both sides)."""
    if not of:
        return 1.0
    p, n = found / of, float(of)
    middle = p + Z * Z / (2 * n)
    spread = Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return (middle + spread) / (1 + Z * Z / n)


def quiet(worlds: Sequence[Played]) -> Quiet:
    """The worlds without an attack, together."""
    calls = sum(w.legitimate for w in worlds)
    wrong = sum(sum(w.wrong.values()) for w in worlds)
    alarms: Counter[str] = Counter(rule for w in worlds for rule, _, theirs in w.alarms if not theirs)
    return Quiet(
        worlds=len(worlds),
        days=sum(w.days for w in worlds),
        lines=sum(w.lines for w in worlds),
        calls=calls,
        wrong=wrong,
        upper=wilson_upper(wrong, calls),
        alarms=dict(alarms),
    )


def of_class(label: str, strength: float, worlds: Sequence[Played], without: Sequence[Played]) -> ClassScore:
    """One class over the worlds in which it attacks; `without` are those where nobody does."""
    attacks = [w.attacks.get(label, Attacked(label)) for w in worlds]
    found = [a for a in attacks if a.found]
    meant = MEANT[label]
    others = {rule for w in worlds for rule, _, theirs in w.alarms if theirs and rule not in meant}
    return ClassScore(
        label=label,
        strength=strength,
        played=len(attacks),
        found=len(found),
        false=_false(meant, worlds) + _false(meant, without),
        calls=_median(a.found for a in found),
        stopped=_median(a.stopped for a in attacks if a.stopped),
        cents_before=_median(a.cents_before for a in found),
        cents_let_go=_median(a.cents for a in attacks),
        rules=tuple(sorted({a.rule for a in found})),
        others=tuple(sorted(others)),
    )


def _false(meant: tuple[str, ...], worlds: Iterable[Played]) -> int:
    """Legitimate subjects that alarmed, each once a world."""
    return sum(len({s for rule, s, theirs in w.alarms if not theirs and rule in meant}) for w in worlds)


def _median(values: Iterable[int]) -> float | None:
    found = list(values)
    return median(found) if found else None
