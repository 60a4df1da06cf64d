"""What is kept of one line, presented number or premium service: its last calls one by one, thirty days by the day,
and the calls that are usual at each hour of the week.

A subject that is at work is an object; one that rests is packed into octets, so that a million fit in memory.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections import deque
from itertools import dropwhile
from struct import Struct as Layout
from typing import Final
from zlib import crc32

from mypy_extensions import mypyc_attr

from guard.detectors.usual import CELLS, Usual, unpacked
from guard.detectors.words import BACKS, DAY, HOUR, ORIGINS, RECENT

DAYS: Final = 30
MOST: Final = 65_535  # of a day's calls and cents, and of what a call costs: beyond, counting on tells nothing new
MOST_CALLS: Final = (1 << 32) - 1  # of a subject: what its octets hold

NO_DAYS: Final = bytes(4 * DAYS)  # two counters of 16 bits a day

OPEN, ANSWERED, CANCELLED, FAILED = range(4)
SVA, DEAR, STEP, REFUSED, CLOSED, SHORT, HYPER, NEAR = (1 << n for n in range(8))  # bits of `Past.marks`
LONG_AGO: Final = 1  # an hour of Unix time before all others
NEXT: Final = 100  # numbers this near are neighbours: a block of a hundred, the way ranges are sold

GRAIN: Final = 64  # octets: packed subjects grow by so much, so that memory that one gives up fits another

# A line that calls nothing dear, as most, has no prices to keep: neither of its calls nor of its days.
_PAST: Final = Layout("<QQHBBHHH")
_FREE: Final = Layout("<QQHBB")
USUAL, PRICED, SPENT = 1, 2, 4  # what octets hold: the usual hours; prices of calls; cents of days
_HEAD: Final = Layout("<QQQIIHHHBBBBB")
_AT: Final = Layout("<Q")
_ORIGIN: Final = Layout("<IH")


def mark(text: str) -> int:
    """A short stand-in for an address, an agent or a number that need only be told from others."""
    return crc32(text.encode("utf-8", "replace"))


@mypyc_attr(acyclic=True)
class Past:
    """One call. `callee` is the number called as an integer, `caller` 16 bits of the presented one; `talk` in seconds,
    rounded up, of a call that costs; `cents` a minute, `fee` cents a call."""

    __slots__ = ("at", "callee", "caller", "cents", "fee", "marks", "outcome", "talk")

    def __init__(
        self, at: int, callee: int, caller: int, marks: int, outcome: int, cents: int = 0, fee: int = 0, talk: int = 0
    ) -> None:
        self.at = at
        self.callee = callee
        self.caller = caller
        self.marks = marks
        self.outcome = outcome
        self.cents = cents
        self.fee = fee
        self.talk = talk

    def copy(self) -> Past:
        """The same call for another subject."""
        return Past(self.at, self.callee, self.caller, self.marks, self.outcome, self.cents, self.fee, self.talk)

    def cost(self, now: int) -> int:
        """Cents, a minute at least, and up to now while it is up; by the minute or by the call, whichever is more: no
        number bills both. One that did not come about costs nothing."""
        if not (self.cents or self.fee) or self.outcome > ANSWERED:
            return 0
        seconds = (now - self.at) // 1_000_000 if self.outcome == OPEN else self.talk
        return max(self.cents * max(-(-seconds // 60), 1), self.fee)


@mypyc_attr(acyclic=True)
class Subject:
    """One line, presented number or premium service.

    `days` holds calls and cents of thirty days, up to day `today` of Unix time, each at its number modulo thirty.
    `origins` maps marks to the hour of Unix time at which they were first seen, the longest unused first; `run` is how
    many of the last calls went to ever higher numbers. `recent` is in the order in which calls were last heard of, set
    up or over: however many are up, the last ends are there. `set_ups` is when the last of these calls were set up, in
    order, and of others that are forgotten. `callee` is the number called last, `shown` what was seen with that call.
    """

    __slots__ = (
        "backs",
        "callee",
        "calls",
        "days",
        "first",
        "last",
        "origins",
        "received",
        "recent",
        "run",
        "set_ups",
        "shown",
        "today",
        "usual",
    )

    def __init__(self, at: int) -> None:
        self.first = at
        self.last = at
        self.calls = 0
        self.callee = 0
        self.run = 0
        self.recent: deque[Past] = deque(maxlen=RECENT)
        self.set_ups = array("q")
        self.today = at // DAY
        self.days = array("H", NO_DAYS)
        self.backs: list[int] = []
        self.received: list[int] = []
        self.origins: dict[int, int] = {}
        self.shown: tuple[int, ...] = ()
        self.usual = Usual()

    def called(self, past: Past) -> None:
        """One more call."""
        step = past.callee - self.callee
        if 0 < step <= NEXT or -NEXT <= step < 0:
            past.marks |= NEAR
        self.run = self.run + 1 if step > 0 else 1
        self.callee = past.callee
        self.recent.append(past)
        self.set_ups.append(past.at)
        self._keep_few()
        self.calls += 1
        self.last = past.at
        self.counted(past.at, calls=1)

    def _keep_few(self) -> None:
        if len(self.set_ups) > RECENT:
            self.set_ups.pop(0)

    def had(self, calls: int, since: int) -> bool:
        """Whether `recent` may have so many calls that were set up since an instant. Nearly always it has not, and that
        is found without a look at any of them."""
        return len(self.set_ups) >= calls and self.set_ups[-calls] >= since

    def called_back(self, at: int) -> None:
        """Somebody called back whom it had rung for a moment."""
        self.backs = [*self.backs[1 - BACKS :], at]

    def got(self, at: int) -> None:
        """A call came in."""
        self.received = [*self.received[1 - BACKS :], at]

    def known(self, call: Past) -> Past | None:
        """This call as it is remembered here, while it is up; another may have begun with it."""
        for past in reversed(self.recent):
            if past.at == call.at and past.callee == call.callee and past.outcome == OPEN:
                return past
        return None

    def over(self, call: Past) -> Past:
        """This call, now the last one heard of: also where so many were set up since that it was forgotten."""
        last = self.recent[-1] if self.recent else None
        if last is not None and last.at == call.at and last.callee == call.callee and last.outcome == OPEN:
            return last  # as it was, where none was set up or over since
        past = self.known(call)
        if past is None:
            past = call.copy()
            insort(self.set_ups, past.at)
            self._keep_few()
        else:
            self.recent.remove(past)
        self.recent.append(past)
        return past

    def counted(self, at: int, *, calls: int = 0, cents: int = 0) -> None:
        """Add to the counters of the day of `at`; those of thirty days before make room."""
        day, days = at // DAY, self.days
        if day > self.today:
            for gone in range(max(self.today + 1, day - DAYS + 1), day + 1):
                days[gone % DAYS * 2] = days[gone % DAYS * 2 + 1] = 0
            self.today = day
        place = self.today % DAYS * 2
        if calls:
            days[place] = min(days[place] + calls, MOST)
        if cents:
            days[place + 1] = min(days[place + 1] + cents, MOST)

    def dearest(self, at: int) -> int:
        """Cents of the dearest day of the last thirty, the day of `at` left out."""
        day = at // DAY
        others = range(max(self.today - DAYS + 1, day - DAYS + 1), min(self.today + 1, day))
        return max((self.days[d % DAYS * 2 + 1] for d in others), default=0)

    def seen_with(self, marks: tuple[int, ...], at: int) -> None:
        """Remember what the line showed."""
        if marks == self.shown:
            return  # they are the last ones already, and in this order
        self.shown = marks
        origins = self.origins
        for one in marks:
            origins[one] = origins.pop(one, 0) or at // HOUR
        while len(origins) > ORIGINS:
            del origins[next(iter(origins))]

    def new_origins(self, at: int) -> int:
        """How many of its origins were never seen before the last day. Of a line that is itself that young, one of each
        kind belongs to it."""
        since = at // HOUR - 24
        new = sum(1 for first in self.origins.values() if first > since)
        return max(new - 3, 0) if self.first // HOUR > since else new

    def forgive(self) -> None:
        """A person says that all is well: what it did counts no more, and what it showed is its own."""
        self.recent.clear()
        self.backs.clear()
        self.run = self.usual.count = 0
        self.origins = dict.fromkeys(self.origins, LONG_AGO)

    def packed(self) -> bytes:
        """A resting subject. Calls older than a day before its last are left out where they are the next to be pushed
        out: no pattern looks at them. One that took its place later keeps it, lest a rest make room for others."""
        since = self.last - DAY
        recent = list(dropwhile(lambda p: p.at < since, self.recent))
        backs = [at for at in self.backs if at >= since]
        received = [at for at in self.received if at >= since]
        usual = self.usual
        now, cells = self.last // HOUR, usual.packed()
        calls, cents = self.days[::2].tobytes(), self.days[1::2].tobytes()
        spent, priced = any(cents), any(p.cents or p.fee for p in recent)
        holds = (USUAL if cells else 0) | (PRICED if priced else 0) | (SPENT if spent else 0)
        parts = [
            _HEAD.pack(
                self.first, self.last, self.callee, min(self.calls, MOST_CALLS), usual.hour, usual.counted,
                min(self.run, MOST), self.today, len(recent), len(backs), len(received), len(self.origins), holds,
            ),
            calls,
            cents if spent else b"",
            cells,
        ]  # fmt: skip
        if priced:
            parts += [_PAST.pack(p.at, p.callee, p.caller, p.marks, p.outcome, p.cents, p.fee, p.talk) for p in recent]
        else:
            parts += [_FREE.pack(p.at, p.callee, p.caller, p.marks, p.outcome) for p in recent]
        parts += [_AT.pack(at) for at in (*backs, *received)]
        parts += [_ORIGIN.pack(one, min(max(now - hour, 0), MOST)) for one, hour in self.origins.items()]
        data = b"".join(parts)
        return data.ljust(-(-len(data) // GRAIN) * GRAIN, b"\0")


def unpack(data: bytes) -> Subject:
    """The subject again that `Subject.packed` made these octets of."""
    first, last, callee, calls, hour, counted, run, today, pasts, backs, received, origins, holds = _HEAD.unpack_from(
        data
    )
    s = Subject(first)
    s.last, s.callee, s.calls, s.run, s.today = last, callee, calls, run, today
    place = _HEAD.size + len(NO_DAYS) // 2
    s.days[::2] = array("H", data[_HEAD.size : place])
    if holds & SPENT:
        s.days[1::2] = array("H", data[place : place + len(NO_DAYS) // 2])
        place += len(NO_DAYS) // 2
    if holds & USUAL:
        s.usual = unpacked(data[place : place + CELLS], hour, counted)
        place += CELLS
    else:
        s.usual = unpacked(b"", hour, counted)
    layout = _PAST if holds & PRICED else _FREE
    end = place + pasts * layout.size
    s.recent.extend([Past(*one) for one in layout.iter_unpack(data[place:end])])
    s.set_ups.extend(sorted([p.at for p in s.recent]))
    place = end + (backs + received) * _AT.size
    instants = [at for (at,) in _AT.iter_unpack(data[end:place])]
    s.backs, s.received = instants[:backs], instants[backs:]
    end = place + origins * _ORIGIN.size
    s.origins = {one: last // HOUR - age for one, age in _ORIGIN.iter_unpack(data[place:end])}
    return s
