"""The ten features of one subject, as one clause looks at them, and whether the clause holds."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from guard.detectors.subject import (
    ANSWERED,
    CLOSED,
    DEAR,
    HYPER,
    OPEN,
    REFUSED,
    SHORT,
    STEP,
    STOPPED,
    SVA,
    Past,
    Subject,
)
from guard.detectors.words import FEATURES, Clause, Feature, Measure
from guard.model import SECOND

NEXT: Final = 100  # numbers this near are neighbours: a block of a hundred, the way ranges are sold
RUN: Final = 12  # numbers that rise so long are a list: by chance, one run in 12! = 479 million
GAPS: Final = 8  # spaces between calls from which on their regularity says something
IRREGULAR: Final = 1000  # percent: more than any spacing that a bound may ask for
COUNTED: Final[frozenset[Feature]] = frozenset({"calls", "short_rings", "hyper_short", "in_order", "refused"})
_TO: Final = {"any": 0, "sva": SVA, "dear": DEAR}


class Ready:
    """A clause with what need not be worked out for each call. `least` is the fewest calls that can make it hold;
    `ends` tells that a call's end, or one that comes in, can."""

    __slots__ = ("clause", "ends", "least", "marks", "span")

    def __init__(self, clause: Clause) -> None:
        self.clause = clause
        self.span = clause.span_s * SECOND
        self.marks = _TO[clause.to] | (CLOSED if clause.closed else 0)
        self.least = max((n for f, n in clause.at_least.items() if f in COUNTED), default=1)
        used = {*clause.at_least, *clause.share}
        self.ends = not used.isdisjoint({"short_rings", "called_back", "hyper_short", "refused"})


def possible(ready: Ready, subject: Subject, now: int) -> bool:
    """Whether the subject called often enough at all: nearly every call ends here."""
    recent, least = subject.recent, ready.least
    return len(recent) >= least and recent[-least].at >= now - ready.span


def holds(ready: Ready, subject: Subject, number: Subject, now: int) -> dict[Feature, tuple[int, int, bool]] | None:
    """What the clause bounds, as (value, bound, at most), where all of it holds of the subject; None elsewhere.

    `number` is the subject of the presented number: calls that come in are its own.
    """
    clause = ready.clause
    if clause.own:
        return _own(clause, subject)
    since, marks = now - ready.span, ready.marks
    past = [p for p in subject.recent if p.at >= since and p.marks & marks == marks]
    if len(past) < ready.least:
        return None
    found: dict[Feature, tuple[int, int, bool]] = {}
    for feature, least in clause.at_least.items():
        bound = least
        if feature == "costly" and clause.usual:
            bound = max(least, clause.usual * subject.dearest(now))
        value = value_of(feature, past, subject, number, now, clause)
        if value < bound:
            return None
        found[feature] = (value, bound, False)
    for feature, most in clause.at_most.items():
        value = value_of(feature, past, subject, number, now, clause)
        if value > most:
            return None
        found[feature] = (value, most, True)
    for feature, part in clause.share.items():
        value = value_of(feature, past, subject, number, now, clause)
        whole = sum(1 for p in subject.recent if p.at >= since) if feature == "calls" else _whole(feature, past)
        if value * 1000 < part * whole or not whole:
            return None
        if feature not in found:
            found[feature] = (value, -(-part * whole // 1000), False)
    return found


def _own(clause: Clause, subject: Subject) -> dict[Feature, tuple[int, int, bool]] | None:
    usual = subject.usual
    least = clause.at_least.get("calls", 1)
    if usual.count < least:
        return None
    limit = usual.limit()
    if not limit or usual.count <= limit:
        return None
    return {"calls": (usual.count, max(limit + 1, least), False)}


def _whole(feature: Feature, past: list[Past]) -> int:
    """The calls of which a share is a part: for what ends show, those that have ended by the other side."""
    if feature == "hyper_short":
        return sum(1 for p in past if p.outcome == ANSWERED)
    if feature in {"short_rings", "refused"}:
        return sum(1 for p in past if p.outcome not in {OPEN, STOPPED})
    return len(past)


def value_of(feature: Feature, past: list[Past], subject: Subject, number: Subject, now: int, clause: Clause) -> int:
    """One feature of these calls."""
    match feature:
        case "calls":
            return len({p.callee for p in past}) if clause.different else len(past)
        case "short_rings":
            return len({p.callee for p in past if p.marks & SHORT})
        case "hyper_short":
            return sum(1 for p in past if p.marks & HYPER)
        case "refused":
            return sum(1 for p in past if p.marks & REFUSED)
        case "costly":
            return sum(p.cost(now) for p in past)
        case "in_order":
            return _in_order(past)
        case "regularity":
            return _regularity(past)
        case "origins":
            return len({p.caller for p in past}) if clause.callers else subject.new_origins(now)
        case "called_back":
            since = now - clause.span_s * SECOND
            return sum(1 for at in number.backs if at >= since)
        case "received":
            if clause.step:
                return sum(1 for p in past if p.marks & STEP)
            since = now - clause.span_s * SECOND
            return sum(1 for at in number.received if at >= since)


def _in_order(past: list[Past]) -> int:
    near, run, longest = 0, 1, 1
    for a, b in pairwise(past):
        step = b.callee - a.callee
        near += 0 < abs(step) <= NEXT
        run = run + 1 if step > 0 else 1
        longest = max(longest, run)
    return max(near, longest if longest >= RUN else 0)


def _regularity(past: list[Past]) -> int:
    gaps = sorted(b.at - a.at for a, b in pairwise(past))
    if len(gaps) < GAPS:
        return IRREGULAR
    middle = gaps[len(gaps) // 2]
    if middle <= 0:
        return 0
    off = sorted(abs(g - middle) for g in gaps)[len(gaps) // 2]
    return min(100 * off // middle, IRREGULAR)


def evidence(
    ready: Ready, found: dict[Feature, tuple[int, int, bool]], subject: Subject, number: Subject, now: int
) -> tuple[tuple[Measure, ...], tuple[Feature, int]]:
    """Every feature's value, with the bounds that were met and their shares; and the feature nearest to its bound, with
    the value at which it would have passed."""
    clause = ready.clause
    since = now - ready.span
    past = [p for p in subject.recent if p.at >= since and p.marks & ready.marks == ready.marks]
    weights = {f: _weight(*one) for f, one in found.items()}
    whole = sum(weights.values())
    measures = []
    for feature in FEATURES:
        if feature in found:
            value, bound, _ = found[feature]
            measures.append(Measure(feature, value, bound, 100 * weights[feature] // whole))
        else:
            measures.append(Measure(feature, value_of(feature, past, subject, number, now, clause)))
    nearest = min(weights, key=lambda f: weights[f])
    _, bound, most = found[nearest]
    return tuple(measures), (nearest, bound + 1 if most else bound - 1)


def _weight(value: int, bound: int, most: bool) -> int:
    """How far beyond its bound a value is, in thousandths of the bound."""
    over, under = (bound, value) if most else (value, bound)
    return 1000 * (over + 1) // (under + 1)
