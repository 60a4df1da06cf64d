"""The ten features of one subject, as one clause looks at them, and whether the clause holds."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from mypy_extensions import mypyc_attr

from guard.detectors.recent import ANSWERED, CLOSED, DEAR, HYPER, NEAR, OPEN, REFUSED, SHORT, STEP, SVA
from guard.detectors.subject import Subject
from guard.detectors.words import FEATURES, Clause, Feature, Measure, Pattern, Sense
from guard.model import SECOND

RUN: Final = 12  # numbers that rise so long are a list: by chance, one run in 12! = 479 million
GAPS: Final = 8  # spaces between calls from which on their regularity says something
# A machine is as regular in most of its spaces: three quarters of them vary no more than the measure says.
IRREGULAR: Final = 1000  # percent: more than any spacing that a bound may ask for
COUNTED: Final[frozenset[Feature]] = frozenset({"calls", "short_rings", "hyper_short", "in_order", "refused"})
ENDS: Final[dict[Feature, int]] = {"short_rings": SHORT, "called_back": 0, "hyper_short": HYPER, "refused": REFUSED}
SET_UP: Final[frozenset[Feature]] = frozenset({"in_order", "costly", "origins", "received"})
_TO: Final = {"any": 0, "sva": SVA, "dear": DEAR}

Found = dict[Feature, tuple[int, int, bool]]  # what a clause bounds, as (value, bound, at most)


@mypyc_attr(acyclic=True)
class Ready:
    """A clause with what need not be worked out for each call.

    `least` is the fewest calls that can make it hold, `marks` what each of them must have. `at_set_up` tells that a
    set-up can make it hold, `at_end` that an end can which leaves one of the marks `ended` (a call back has none).
    `callers` is how many different presented numbers it asks for.
    """

    __slots__ = ("at_end", "at_set_up", "callers", "clause", "ended", "least", "marks", "own", "span", "span_s")

    def __init__(self, clause: Clause) -> None:
        self.clause = clause
        self.span_s = clause.span_s
        self.span = clause.span_s * SECOND
        self.marks = _TO[clause.to] | (CLOSED if clause.closed else 0)
        counted = (n for f, n in clause.at_least.items() if f in COUNTED)
        self.own = clause.own
        self.callers = clause.at_least.get("origins", 0) if clause.callers else 0
        # By its own usual an hour may have more calls than are kept: there they are counted.
        self.least = clause.at_least.get("calls", 1) if clause.own else max(counted, default=1)
        used = {*clause.at_least, *clause.share}
        self.at_end = not used.isdisjoint(ENDS)
        self.at_set_up = not self.at_end or not used.isdisjoint(SET_UP)
        self.ended = 0
        for feature in used & ENDS.keys():
            self.ended |= ENDS[feature]


Ways = tuple[tuple[Pattern, Ready], ...]


class Looks:
    """Clauses that are looked at together. `bars` are, for each span of theirs in seconds, the fewest calls in it that
    can make any of them hold."""

    __slots__ = ("bars", "ways")

    def __init__(self, ways: Ways) -> None:
        self.ways = ways
        fewest: dict[tuple[bool, int], int] = {}
        for _, ready in ways:
            key = (ready.own, ready.clause.span_s)
            fewest[key] = min(fewest.get(key, ready.least), ready.least)
        self.bars = tuple((own, span, least) for (own, span), least in fewest.items())

    def may_hold(self, subject: Subject, now: int) -> bool:
        """Whether a subject has called often enough for any of them. Most have not."""
        second = now // SECOND
        for own, span, least in self.bars:
            if subject.usual.count >= least if own else subject.recent.had(least, second - span):
                return True
        return False


@mypyc_attr(acyclic=True)
class View:
    """The calls of a subject as the clauses of one moment look at them; what several ask for is worked out once.

    `number` is the subject of the presented number: calls that come in are its own.
    """

    __slots__ = ("_callees", "_instants", "_kept", "_marks", "_number", "now", "subject")

    def __init__(self, subject: Subject, number: Subject, now: int) -> None:
        self.subject = subject
        self.now = now
        self._number = number
        self._instants: tuple[int, ...] | None = None
        self._callees: tuple[int, ...] | None = None
        self._marks: bytes | None = None
        self._kept: dict[tuple[int, int], list[int]] = {}

    def past(self, span: int, marks: int) -> list[int]:
        """The places in `recent` of the calls of the last `span` µs with all of these marks."""
        found = self._kept.get((span, marks))
        if found is None:
            since, instants, all_marks = self.now - span, self.instants(), self.marks()
            found = [i for i in range(len(instants)) if instants[i] >= since and all_marks[i] & marks == marks]
            self._kept[span, marks] = found
        return found

    def instants(self) -> tuple[int, ...]:
        """When each call of `recent` was set up."""
        if self._instants is None:
            self._instants = self.subject.recent.instants()
        return self._instants

    def marks(self) -> bytes:
        """The marks of each."""
        if self._marks is None:
            self._marks = self.subject.recent.marks()
        return self._marks

    def value(self, feature: Feature, ready: Ready) -> int:
        """One feature, as this clause looks at it."""
        match feature:
            case "called_back":
                return _since(self._number.backs, self.now - ready.span)
            case "received" if not ready.clause.step:
                return _since(self._number.received, self.now - ready.span)
            case "origins" if not ready.clause.callers:
                return self.subject.new_origins(self.now)
        past = self.past(ready.span, ready.marks)
        match feature:
            case "calls":
                return self._different(past) if ready.clause.different else len(past)
            case "short_rings":
                return self._different(self._marked(past, SHORT))
            case "hyper_short":
                return len(self._marked(past, HYPER))
            case "refused":
                return len(self._marked(past, REFUSED))
            case "costly":
                return self.subject.recent.cost(past, self.now)
            case "in_order":
                run = min(self.subject.run, len(past))
                return max(len(self._marked(past, NEAR)), run if run >= RUN else 0)
            case "regularity":
                instants = self.instants()
                return _regularity([instants[i] for i in past])
            case "origins":
                callers = self.subject.recent.callers()
                return len({callers[i] for i in past})
            case "received":
                return len(self._marked(past, STEP))

    def whole(self, feature: Feature, ready: Ready) -> int:
        """The calls of which a share is a part: for what ends show, those that the other side ended."""
        past = self.past(ready.span, ready.marks)
        if feature == "calls":
            return len(self.past(ready.span, 0))
        outcomes = self.subject.recent.outcomes()
        if feature == "hyper_short":
            return len([i for i in past if outcomes[i] == ANSWERED])
        if feature in {"short_rings", "refused"}:
            return len([i for i in past if outcomes[i] != OPEN])
        return len(past)

    def _marked(self, past: list[int], bit: int) -> list[int]:
        marks = self.marks()
        return [i for i in past if marks[i] & bit]

    def _different(self, past: list[int]) -> int:
        callees = self._callees
        if callees is None:
            callees = self._callees = self.subject.recent.callees()
        return len({callees[i] for i in past})


def holds(ready: Ready, view: View) -> Found | None:
    """What the clause bounds, where all of it holds; None elsewhere. Nearly every call leaves by the first lines."""
    clause = ready.clause
    if ready.own:
        return _own(ready.least, view.subject)
    if ready.callers > 1 and view.subject.recent.one_caller():
        return None  # as of nearly every line
    found: Found = {}
    for feature, bound in clause.at_least.items():
        if feature == "costly" and clause.usual:
            bound = max(bound, clause.usual * view.subject.dearest(view.now))
        value = view.value(feature, ready)
        if value < bound:
            return None
        found[feature] = (value, bound, False)
    if len(view.past(ready.span, ready.marks)) < ready.least:
        return None  # nothing that is counted has a bound
    for feature, bound in clause.at_most.items():
        value = view.value(feature, ready)
        if value > bound:
            return None
        found[feature] = (value, bound, True)
    for feature, part in clause.share.items():
        value, whole = view.value(feature, ready), view.whole(feature, ready)
        if value * 1000 < part * whole or not whole:
            return None
        if feature not in found:
            found[feature] = (value, -(-part * whole // 1000), False)
    return found


def _own(least: int, subject: Subject) -> Found | None:
    usual = subject.usual
    if usual.count < least:
        return None
    limit = usual.limit()
    if not limit or usual.count <= limit:
        return None
    return {"calls": (usual.count, max(limit + 1, least), False)}


def _since(instants: tuple[int, ...], since: int) -> int:
    return len([at for at in instants if at >= since])


def _regularity(past: list[int]) -> int:
    instants = sorted(past)
    gaps = sorted([b - a for a, b in pairwise(instants)])
    if len(gaps) < GAPS:
        return IRREGULAR
    middle = gaps[len(gaps) // 2]
    if middle <= 0:
        return 0
    off = sorted([abs(g - middle) for g in gaps])[3 * len(gaps) // 4]
    return min(100 * off // middle, IRREGULAR)


def evidence(ready: Ready, found: Found, view: View) -> tuple[tuple[Measure, ...], tuple[Feature, int]]:
    """Every feature's value, with the bounds that were met and their shares; and the feature nearest to its bound, with
    the value at which it would have passed."""
    weights = {f: _weight(*one) for f, one in found.items()}
    whole = sum(weights.values())
    measures: list[Measure] = []
    for feature in FEATURES:
        if feature in found:
            value, bound, most = found[feature]
            sense = _sense(feature, ready.clause)
            measures.append(Measure(feature, value, bound, 100 * weights[feature] // whole, most, sense))
        else:
            measures.append(Measure(feature, view.value(feature, ready)))
    nearest = min(weights, key=lambda f: weights[f])
    _, bound, most = found[nearest]
    return tuple(measures), (nearest, bound + 1 if most else bound - 1)


def _sense(feature: Feature, clause: Clause) -> Sense:
    if feature == "calls" and clause.different:
        return "different"
    if feature == "origins" and clause.callers:
        return "callers"
    return "step" if feature == "received" and clause.step else ""


def _weight(value: int, bound: int, most: bool) -> int:
    """How far beyond its bound a value is, in thousandths of the bound."""
    over, under = (bound, value) if most else (value, bound)
    return 1000 * (over + 1) // (under + 1)
