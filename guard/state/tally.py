"""Counters over days and months: how many different numbers a line called, how often a consumer was tried, how long
was talked. Kept in memory by the wall clock of the calls themselves, and rebuilt from the log when the guard starts.

A counter is bounded in time by `since` (what is older is forgotten) and in size by the constants below.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from guard.state.contract import TallyFullError, Touch

MAX_MEMBERS: Final = 2_000_000  # over all counters: some 300 MB; a month of a busy site is a tenth of it
SWEEP: Final = 10_000  # members from which on counters that nobody reads any more are looked for
SWEPT: Final = 16  # of these with each member: all at once stopped the guard for 0.9 s, where there were a million
MANY: Final = 64  # members of one counter from which on it pays to know when its oldest was counted
MAX_OF_ONE: Final = 100_000  # of one counter; the largest quota of the contracts is 500 different numbers a month


class Tallies:
    """Counters by key. A member's instant is the last one at which it was counted."""

    def __init__(self) -> None:
        self._tallies: dict[str, dict[str, int]] = {}  # key -> member -> instant, oldest first
        self._sums: dict[str, list[tuple[int, int]]] = {}  # key -> (instant, amount), oldest first
        self._totals: dict[str, int] = {}
        self._added: dict[str, list[tuple[str, str, int | None]]] = {}  # ident -> (key, member, instant before)
        self._read: dict[str, int] = {}
        self._spans: dict[str, int] = {}  # of counters that look back for so long, and no further: key -> µs
        # Where it is known, an instant that no member of a tally is before: to take the first of a dict whose first
        # ones are gone is to walk over all of those, so that it is done only when something is to be forgotten.
        self._oldest: dict[str, int] = {}
        self._mixed: set[str] = set()  # tallies whose members are not in the order of their instants
        self._latest = 0
        self._sweep_at = SWEEP
        self._sweeping: list[str] = []  # counters that this sweep has yet to look at
        self.members = 0

    # ---- different members -----------------------------------------------------------------------------------------

    def look(self, t: Touch) -> tuple[int, bool, bool, int]:
        """How many members are counted since `t.since`, whether this one is among them, whether it finds room, and how
        many the tally has that it is held against."""
        value, known = self._count(t.key, t.since, t.member or t.ident)
        other = self._count(t.against, t.since)[0] if t.against else 0
        room = (value + 1) * 100 <= other * t.percent if t.against else t.limit is None or value < t.limit
        return value, known, known or room or t.limit is None or t.force or not t.take, other

    def _count(self, key: str, since: int, member: str = "") -> tuple[int, bool]:
        tally = self._tallies.get(key)
        if tally is None:
            return 0, False
        self._prune(key, tally, since)  # may write it anew, with the same members
        return len(tally), member in tally

    def take(self, t: Touch) -> None:
        """Count a member, or count it anew. Raises TallyFullError."""
        if self._sweeping or self.members >= self._sweep_at:
            self._sweep(t.at)
        tally = self._tallies.setdefault(t.key, {})
        if t.span_us:
            self._spans[t.key] = t.span_us
        member = t.member or t.ident
        before = tally.pop(member, None)
        if before is None:
            if len(tally) >= MAX_OF_ONE:
                return  # far beyond every limit: counting on would tell nothing new
            if self.members >= MAX_MEMBERS:
                raise TallyFullError(f"{self.members} members are counted")
            self.members += 1
        tally[member] = at = max(t.at, before or t.at)
        if at >= self._latest:
            self._latest = at
        else:
            self._out_of_order(t.key, at)
        self._added.setdefault(t.ident, []).append((t.key, member, before))

    def departed(self, ident: str) -> None:
        """What this call counted stays counted."""
        self._added.pop(ident, None)

    def forget(self, ident: str) -> None:
        """This call never left: it counted nothing."""
        for key, member, before in self._added.pop(ident, ()):
            tally = self._tallies.get(key)
            if tally is None or member not in tally:
                continue
            if before is None:
                del tally[member]
                self.members -= 1
            else:
                tally[member] = before
                self._out_of_order(key, before)

    def _out_of_order(self, key: str, at: int) -> None:
        """The last member of a tally may be older than others."""
        self._mixed.add(key)
        oldest = self._oldest.get(key)
        if oldest is not None and at < oldest:
            self._oldest[key] = at

    def _prune(self, key: str, tally: dict[str, int], since: int) -> None:
        oldest = self._oldest.get(key)
        if oldest is not None and oldest >= since:
            return
        gone = 0
        while tally:
            member = next(iter(tally))
            at = tally[member]
            if at >= since:
                self._pruned(key, tally, at, gone)
                return
            del tally[member]
            gone += 1
            self.members -= 1
        del self._tallies[key]
        self._spans.pop(key, None)
        self._oldest.pop(key, None)
        self._mixed.discard(key)

    def _pruned(self, key: str, tally: dict[str, int], first: int, gone: int) -> None:
        """Members at the front of a tally are gone: it is known anew from when its first one is, and one that lost as
        many as it has is written anew."""
        if len(tally) >= MANY:
            if key not in self._mixed:
                self._oldest[key] = first
            elif key in self._oldest:
                del self._oldest[key]
        if gone >= max(len(tally), MANY):
            self._tallies[key] = dict(tally)
            if all(a <= b for a, b in pairwise(tally.values())):
                self._mixed.discard(key)

    def _sweep(self, at: int) -> None:
        """Forget what has left the span of its counter: a counter that is never read again would keep it for good. All
        are looked at, a few with each member that is counted, whenever there are twice as many members as were left."""
        if not self._sweeping:
            self._sweeping = list(self._spans)
        for _ in range(SWEPT):
            if not self._sweeping:
                break
            key = self._sweeping.pop()
            span = self._spans.get(key)
            if span is not None:
                self._prune(key, self._tallies[key], at - span)
        if not self._sweeping:
            self._sweep_at = min(max(2 * self.members, SWEEP), MAX_MEMBERS - SWEEP)

    def each(self, since: int) -> Iterator[tuple[str, int, str, int]]:
        """Key, span, member and instant of all that was counted since; others may count on meanwhile."""
        for key in list(self._tallies):
            span = self._spans.get(key, 0)
            for member, at in list(self._tallies.get(key, {}).items()):
                if at >= since:
                    yield key, span, member, at

    def sort(self) -> None:
        """Put members and parts of sums that were restored beside newer ones in the order of their instants."""
        for key, tally in self._tallies.items():
            self._tallies[key] = dict(sorted(tally.items(), key=lambda one: one[1]))
        self._mixed.clear()
        for parts in self._sums.values():
            parts.sort()

    # ---- sums ------------------------------------------------------------------------------------------------------

    def add(self, key: str, at: int, amount: int) -> None:
        """Add to a sum (µs of talk, say) what a call that ended at `at` has used."""
        parts = self._sums.setdefault(key, [])
        if len(parts) >= MAX_OF_ONE:  # the oldest two become one: the sum stays exact, its edge less sharp
            first, second = parts[:2]
            parts[:2] = [(second[0], first[1] + second[1])]
        parts.append((at, amount))
        self._totals[key] = self._totals.get(key, 0) + amount

    def total(self, key: str, since: int) -> tuple[int, int]:
        """A sum of what was used since `since`, and what it was when it was last read."""
        before = self._read.get(key, 0)
        value = self._total(key, since)
        if value:
            self._read[key] = value
        else:
            self._read.pop(key, None)
        return value, min(before, value)

    def _total(self, key: str, since: int) -> int:
        parts = self._sums.get(key)
        if parts is None:
            return 0
        over = 0
        while over < len(parts) and parts[over][0] < since:
            self._totals[key] -= parts[over][1]
            over += 1
        del parts[:over]
        if not parts:
            del self._sums[key]
            del self._totals[key]
            return 0
        return self._totals[key]
