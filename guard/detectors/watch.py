"""Watches calls and tells what alarms: each call's set-up and end go in, in the order of time, and signals come out.

Pure, and the same for live calls, captures and the simulator: the only time is that of the calls. Everything is
bounded; `counters` say what was dropped.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from mypy_extensions import mypyc_attr

from guard.detectors.alarms import Alarms
from guard.detectors.measure import Looks, Ready, View, evidence, holds
from guard.detectors.recent import (
    ANSWERED,
    CANCELLED,
    CLOSED,
    DEAR,
    FAILED,
    HYPER,
    OPEN,
    REFUSED,
    SHORT,
    SVA,
    Past,
)
from guard.detectors.recent import STEP as STEPPED
from guard.detectors.subject import MOST, mark
from guard.detectors.subjects import MAX_SUBJECTS, Subjects
from guard.detectors.timeline import Timeline
from guard.detectors.words import (
    DAY,
    HOUR,
    HYPER_SHORT,
    MINUTE,
    SHORT_RING,
    STEP,
    Evidence,
    Kind,
    Pattern,
    Per,
    Price,
    Signal,
    key_of,
)
from guard.model import SECOND, CallAttempt, CallEnded
from guard.numbering.number import Number

MAX_OPEN: Final = 200_000  # calls whose end is awaited: as many as the counters hold places
MAX_RANG: Final = 100_000  # short rings whose call-back is awaited
MAX_RELEASED: Final = 10_000  # subjects whose calls from before their release may still be up
MAX_MARKS: Final = 256  # addresses and agents whose marks are remembered; invented ones only push each other out
MAX_NAME: Final = 128  # characters of a line's name that are kept: what a header holds may be as long as a message
# Calls that come in within a minute over one trunk, from which on it says nothing that one goes out at once after one
# came in: at twelve a minute nearly half of all do so by chance, and sixteen in a row never do.
BUSY: Final = 12
# What the other side says of a call that was not meant to be: no credentials, forbidden, no such number, not there.
REFUSALS: Final = frozenset({401, 403, 404, 407, 410, 480, 484, 603, 604, 608})

COUNTERS: Final = (
    "detectors_clock_back", "detectors_subjects_dropped", "detectors_open_dropped", "detectors_rang_dropped",
    "detectors_alarms_dropped",
)  # fmt: skip


# Kinds of subjects, and whether it is a number that stands for its line as well.
KINDS: Final[tuple[tuple[Per, bool], ...]] = (("line", False), ("number", False), ("number", True), ("service", False))


@mypyc_attr(acyclic=True)
class _Open:
    """A call that is up: the subjects (kind, key) that remember it."""

    __slots__ = ("keys", "pair", "past", "trunk", "usage")

    def __init__(
        self, past: Past, pair: tuple[str, str], keys: tuple[tuple[Per, str], ...], usage: tuple[str, ...], trunk: str
    ) -> None:
        self.past = past
        self.pair = pair
        self.keys = keys
        self.usage = usage
        self.trunk = trunk


@mypyc_attr(allow_interpreted_subclasses=True)
class Watch:
    """What is known of all lines, numbers and services. `most` bounds how many."""

    def __init__(self, patterns: Iterable[Pattern] = (), most: int = MAX_SUBJECTS) -> None:
        self.subjects = Subjects(most)
        self.alarms = Alarms()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._time = Timeline()
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._rang: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._released: OrderedDict[str, int] = OrderedDict()
        self._came_in: dict[str, int] = {}  # trunk -> when a call last came in that none went out for yet
        self._arrivals: dict[str, deque[int]] = {}  # trunk -> when the last ones came in
        self._set_up: dict[tuple[Per, bool, int], Looks] = {}
        self._end: dict[tuple[Per, bool, int], Looks] = {}
        self._marks: dict[str, int] = {}
        self.adopt(patterns)

    def adopt(self, patterns: Iterable[Pattern]) -> None:
        """Watch for these from now on. What is known, and what alarms, stays."""
        ways = tuple((p, r) for p in patterns for r in map(Ready, p.clauses))
        self._set_up.clear()
        self._end.clear()
        for kind, alone in KINDS:
            # A line that is known by its number is both.
            wanted: set[Per] = {"line", "number"} if alone else {kind}
            own = tuple((p, r) for p, r in ways if not wanted.isdisjoint(p.per))
            for marks in range(2 * CLOSED):
                if not marks & ~(SVA | DEAR | CLOSED):
                    may = tuple((p, r) for p, r in own if r.at_set_up and r.marks & marks == r.marks)
                    self._set_up[kind, alone, marks] = Looks(may)
            for marks in (0, SHORT, HYPER, REFUSED):
                may = tuple((p, r) for p, r in own if r.at_end and (r.ended & marks or not marks))
                self._end[kind, alone, marks] = Looks(may)

    # ---- calls -----------------------------------------------------------------------------------------------------

    def attempt(self, ident: str, call: CallAttempt, price: Price, *, closed: bool = False) -> tuple[Signal, ...]:
        """A call is set up: what alarms of its line, its presented number and the service that it calls. `closed`: at
        night or at a weekend. Emergency calls are never shown here."""
        now = self._time.read(call.at)
        if self._time.back:
            self.counters["detectors_clock_back"] = self._time.back
        if call.direction == "inbound":
            self._comes_in(ident, call, now)
            return ()
        keys = _keys(call, price)
        marks = (SVA if price.sva else 0) | (DEAR if price.dear else 0) | (CLOSED if closed else 0)
        stepped = STEPPED if self._steps(call, now) else 0
        presented = call.caller
        callee, caller = _digits(call.callee), mark(presented.value or presented.raw)
        found = [(kind, key, self.subjects.of(key, now)) for kind, key in keys]
        number = found[0][2] if len(found) == 1 or found[1][0] != "number" else found[1][2]
        begun: list[tuple[Pattern, Evidence]] = []
        cents, fee = min(price.cents_per_minute, MOST), min(price.cents_per_call, MOST)
        fresh = Past(now, callee, caller & 0xFFFF, marks | stepped, OPEN, cents, fee, 0)
        for i, (kind, key, subject) in enumerate(found):
            subject.called(fresh)
            if i == 0:
                shown = (self._mark(call.source_address), self._mark(call.user_agent), caller)
                subject.origins.seen(shown, now)
                subject.usual.one_more(now // HOUR, frozen=self.alarms.any_of(key, now))
            looks = self._set_up[kind, i == 0 and kind == "number", marks]
            if looks.may_hold(subject, now):
                begun += self._judge(looks, kind, key, View(subject, number, now), call.trunk, call.usage)
        self._keep_open(ident, _Open(fresh, (presented.value, call.callee.value), keys, call.usage, call.trunk))
        if begun:
            self._begin(begun, now)
        lasting = self.alarms.signals(keys, price, now, {e.rule for _, e in begun})
        return lasting + (self.alarms.shut_off(_shuts(call, keys), now) if self.alarms.closed else ())

    def asked(self, call: CallAttempt, price: Price) -> tuple[Signal, ...]:
        """What a call would hear that nobody places: nothing is learned of it."""
        if call.direction == "inbound":
            return ()
        keys = _keys(call, price)
        lasting = self.alarms.signals(keys, price, call.at, set())
        return lasting + (self.alarms.shut_off(_shuts(call, keys), call.at) if self.alarms.closed else ())

    def lost(self, ident: str) -> None:
        """Nobody will tell how a call ended."""
        self._open.pop(ident, None)

    def reached(self, found: Evidence) -> bool:
        """Whether any call that an alarm speaks of went out: whether the operator saw something of it."""
        known = self.subjects.find(key_of(found.kind, found.subject))
        since = found.at - found.span_s * SECOND
        return known is not None and any(at >= since for at in known.recent.instants())

    def release(self, kind: Kind, subject: str) -> bool:
        """A person says that all is well with a subject: nothing alarms of it any more, and what it did counts anew.
        Whether anything did."""
        key = key_of(kind, subject)
        known = self.subjects.find(key)
        if known is not None:
            known.forgive()
        self._released[key] = self._time.now
        self._released.move_to_end(key)
        if len(self._released) > MAX_RELEASED:
            self._released.popitem(last=False)
        return self.alarms.release(kind, subject)

    def stopped(self, ident: str) -> None:
        """The guard refused this call: it never left, and counts for nothing."""
        call = self._open.pop(ident, None)
        for i, (_, key) in enumerate(call.keys if call is not None else ()):
            subject = self.subjects.find(key)
            if subject is not None and call is not None and subject.recent.drop(call.past) and i == 0:
                subject.usual.one_less(call.past.at // HOUR)

    def ended(self, ident: str, ended: CallEnded) -> tuple[Evidence, ...]:
        """A call is over: what alarms since."""
        if ended.outcome == "blocked":
            self.stopped(ident)
        call = self._open.pop(ident, None)
        if call is None:
            return ()
        now = self._time.read(ended.at)
        past = call.past
        past.outcome, marks = _outcome(ended)
        past.talk = min(-(-ended.talk_us // 1_000_000), MOST)
        cents = past.cost(now)
        if marks & SHORT and call.pair[0]:
            self._rang[call.pair] = now
            self._rang.move_to_end(call.pair)
            if len(self._rang) > MAX_RANG:
                self._rang.popitem(last=False)
                self.counters["detectors_rang_dropped"] += 1
        begun: list[tuple[Pattern, Evidence]] = []
        number = self.subjects.of(next((k for kind, k in call.keys if kind == "number"), call.keys[0][1]), now)
        for i, (kind, key) in enumerate(call.keys):
            subject = self.subjects.find(key)
            if subject is None or past.at <= self._released.get(key, -1):
                continue  # released since: what was before counts no more
            subject.recent.over(past, marks)
            if cents:
                subject.cost(now, cents)
            if marks:
                looks = self._end[kind, i == 0 and kind == "number", marks]
                if looks.may_hold(subject, now):
                    begun += self._judge(looks, kind, key, View(subject, number, now), call.trunk, call.usage)
        if not begun:
            return ()
        self._begin(begun, now)
        return tuple(e for _, e in begun)

    def _steps(self, call: CallAttempt, now: int) -> bool:
        """Whether a call goes out as if it had just come in. One that says that it is forwarded is judged by the rules
        of forwarding."""
        came = self._came_in.pop(call.trunk, -DAY)
        if now - came > STEP or call.diversions:
            return False
        arrivals = self._arrivals[call.trunk]
        return len(arrivals) < BUSY or now - arrivals[0] > MINUTE

    def _comes_in(self, ident: str, call: CallAttempt, now: int) -> None:
        trunk = call.trunk
        self._came_in[trunk] = now
        arrivals = self._arrivals.get(trunk)
        if arrivals is None:
            arrivals = self._arrivals[trunk] = deque(maxlen=BUSY)
        arrivals.append(now)
        ours, theirs = call.callee.value, call.caller.value
        key = f"n:{ours}"
        subject = self.subjects.find(key) if ours else None
        if subject is None:
            return
        subject.got(now)
        rang = self._rang.pop((ours, theirs), None)
        if rang is not None and now - rang <= DAY:
            subject.called_back(now)
            looks = self._end["number", False, 0]
            self._begin(self._judge(looks, "number", key, View(subject, subject, now), trunk, ()), now)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _judge(
        self, looks: Looks, kind: Per, key: str, view: View, trunk: str, usage: tuple[str, ...]
    ) -> list[tuple[Pattern, Evidence]]:
        """The alarms that begin with what has just been seen of a subject."""
        out: list[tuple[Pattern, Evidence]] = []
        recent, second = view.subject.recent, view.now // SECOND
        for pattern, ready in looks.ways:
            if not (ready.own or recent.had(ready.least, second - ready.span_s)):
                continue
            found = holds(ready, view)
            if found is None or not _concerns(pattern, key, usage, view.now):
                continue
            if self.alarms.lasts(pattern.rule, key, view.now) or any(p is pattern for p, _ in out):
                continue
            measures, passes = evidence(ready, found, view)
            one = Evidence(
                rule=pattern.rule, kind=kind, subject=key[2:], trunk=trunk, at=view.now, span_s=ready.clause.span_s,
                measures=measures, passes=passes,
            )  # fmt: skip
            out.append((pattern, one))
        return out

    def _begin(self, begun: list[tuple[Pattern, Evidence]], now: int) -> None:
        for pattern, one in begun:
            self.counters["detectors_alarms_dropped"] += self.alarms.begin(pattern, one, now)

    def _mark(self, text: str) -> int:
        """The mark of an address or an agent, of which there are few."""
        found = self._marks.get(text)
        if found is None:
            if len(self._marks) >= MAX_MARKS:
                self._marks.clear()
            found = self._marks[text] = mark(text)
        return found

    def _keep_open(self, ident: str, call: _Open) -> None:
        self._open[ident] = call
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
            self.counters["detectors_open_dropped"] += 1
        if self.subjects.dropped:
            self.counters["detectors_subjects_dropped"] = self.subjects.dropped


def _keys(call: CallAttempt, price: Price) -> tuple[tuple[Per, str], ...]:
    """The subjects of a call, its line first. A line that is known by its number is one subject, not two."""
    value, line = call.caller.value, call.line
    out: list[tuple[Per, str]] = []
    if line and line != value and line != call.caller.raw:
        out.append(("line", f"l:{call.source}/{_name(line)}"))
    if value or not out:
        out.append(("number", f"n:{value or call.source}"))
    if price.sva:
        out.append(("service", f"s:{call.callee.value}"))
    return tuple(out)


def _shuts(call: CallAttempt, keys: tuple[tuple[Per, str], ...]) -> tuple[str, ...]:
    """What of a call may be shut off: its subjects; its source; and its line even where the number stands for it."""
    more = (key_of("source", call.source), key_of("line", f"{call.source}/{_name(call.line)}"))
    return tuple(dict.fromkeys([*(key for _, key in keys), *more]))


def _name(line: str) -> str:
    """A line's name, within bounds, and still another than that of any other line."""
    return line if len(line) <= MAX_NAME else f"{line[:MAX_NAME]}~{mark(line):08x}"


def _digits(number: Number) -> int:
    """A number called as an integer, to see which is next to which; what is no number is told apart all the same."""
    digits = number.value.removeprefix("+")
    return int(digits[:18]) if digits.isdecimal() else mark(number.raw)


def _outcome(ended: CallEnded) -> tuple[int, int]:
    if ended.outcome == "answered":
        return ANSWERED, HYPER if ended.talk_us < HYPER_SHORT else 0
    if ended.outcome == "cancelled":
        return CANCELLED, SHORT if 0 < ended.ring_us <= SHORT_RING and ended.by == "caller" else 0
    return FAILED, REFUSED if ended.final_status in REFUSALS else 0


def _concerns(pattern: Pattern, key: str, usage: tuple[str, ...], now: int) -> bool:
    if not pattern.since <= now < pattern.until or (pattern.usages and not set(pattern.usages) & set(usage)):
        return False
    name = key[2:]
    return not any(name.startswith(b[:-1]) if b.endswith("*") else name == b for b in pattern.but)
