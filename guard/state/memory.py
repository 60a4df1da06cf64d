"""Counters in this process: exact, bounded, and without a clock of their own.

A window keeps the instant at which each set-up really left. A place that was taken but whose set-up has not left yet
counts as leaving now, so that however late it leaves, no window of the span holds more than the limit (the proof is in
tests/state). Every place has an end: it is given back, leaves the window, or grows too old.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct
from mypy_extensions import mypyc_attr

from guard.model import SECOND
from guard.state.contract import Reading, StateFullError, Touch
from guard.state.tally import Tallies

MAX_PLACES: Final = 200_000  # places held over all counters: far beyond the calls that one guard carries at once
MAX_PENDING_US: Final = 60 * SECOND  # a set-up taken but never sent nor given back leaves the window after this
# A call whose end never came frees its places after so long. Every call has its end from the proxy core, silent ones
# after a day, so this is only for a fault of ours, and longer than any call.
MAX_CALL_US: Final = 31 * 24 * 3600 * SECOND


class Places(Struct, frozen=True):
    """One window as it is kept over a restart: span (µs), the limit that it was last asked for (0: none), and the
    instants at which set-ups left, oldest first."""

    key: str
    span: int
    limit: int
    left: tuple[int, ...]


class _Window:
    """Places in one sliding window. `left` holds (instant, ident) of set-ups that left, oldest first."""

    __slots__ = ("left", "limit", "members", "pending", "span")

    def __init__(self, span: int) -> None:
        self.span = span
        self.limit = 0
        self.left: deque[tuple[int, str]] = deque()
        self.members: set[str] = set()
        self.pending: dict[str, int] = {}

    def prune(self, now: int) -> int:
        """Drop what is over; how many places were dropped."""
        dropped = 0
        left = self.left
        while left and left[0][0] + self.span <= now:
            self.members.discard(left.popleft()[1])
            dropped += 1
        while self.pending:
            ident, taken = next(iter(self.pending.items()))
            if taken + MAX_PENDING_US > now:
                break
            del self.pending[ident]
            dropped += 1
        return dropped

    def value(self) -> int:
        return len(self.left) + len(self.pending)

    def holds(self, ident: str) -> bool:
        return ident in self.pending or ident in self.members

    def free_at(self, limit: int, now: int) -> int:
        """When a window next has room for one more, 0 when it has."""
        over = self.value() - limit
        if over < 0:
            return 0
        return self.left[over][0] + self.span if over < len(self.left) else now + self.span


@mypyc_attr(acyclic=True)
class _Asked:
    """A touch, read once, and what was found of it."""

    __slots__ = ("before", "force", "free_at", "ident", "key", "kind", "known", "limit", "take", "touch", "value")

    def __init__(self, touch: Touch) -> None:
        self.touch = touch
        self.kind: str = touch.kind
        self.key = touch.key
        self.ident = touch.ident
        self.limit = touch.limit
        self.force = touch.force
        self.take = touch.take
        self.value = 0
        self.free_at = 0
        self.known = False
        self.before = 0

    def reading(self, *, taken: bool) -> Reading:
        """What it says."""
        return Reading(
            key=self.key, value=self.value, taken=taken, free_at=self.free_at, known=self.known, before=self.before
        )


@mypyc_attr(allow_interpreted_subclasses=True)
class MemoryState:
    """The state of one guard that shares its counters with nobody. `places` is how many are held."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._gauges: dict[str, dict[str, int]] = {}
        self._held: dict[str, tuple[str, ...]] = {}  # ident -> gauges that it has a place in
        self.places = 0
        self.latest = 0  # when a set-up last left
        self.tallies = Tallies()

    def touch(self, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        """Read all, take all or nothing; `StateFullError` (nothing taken) when no more can be held."""
        asked = [_Asked(t) for t in touches]
        room = True
        for one in asked:
            if one.kind == "window":
                fits = self._window(one, now)
            elif one.kind == "gauge":
                fits = self._gauge(one, now)
            elif one.kind == "tally":
                one.value, one.known, fits, one.before = self.tallies.look(one.touch)
            else:
                one.value, one.before = self.tallies.total(one.key, one.touch.since)
                fits = one.limit is None or one.value < one.limit or one.force
            room = room and fits
        taking = room and bool(asked)
        if taking:
            if self.places + len(asked) > MAX_PLACES:
                self._sweep(now)
                if self.places + len(asked) > MAX_PLACES:
                    raise StateFullError(f"{self.places} places are held")
            for one in asked:
                if one.take:
                    self._take(one, now)
        return tuple([one.reading(taken=taking and one.take) for one in asked])

    def _window(self, one: _Asked, now: int) -> bool:
        window = self._windows.get(one.key)
        limit = one.limit
        if window is None:
            return limit is None or limit > 0 or one.force
        window.span = max(window.span, one.touch.span_us)
        self.places -= window.prune(now)
        one.value = value = window.value()
        if limit is None:
            return True
        one.free_at = window.free_at(limit, now)
        return value < limit or one.force or not one.take or window.holds(one.ident)

    def _gauge(self, one: _Asked, now: int) -> bool:
        gauge = self._gauges.get(one.key)
        limit = one.limit
        if gauge is None:
            return limit is None or limit > 0 or one.force
        if limit is not None and len(gauge) >= limit:
            self._expire(gauge, now)
        one.value = value = len(gauge)
        return limit is None or value < limit or one.force or not one.take or one.ident in gauge

    def _sweep(self, now: int) -> None:
        """Give back whatever is over or too old, in every counter: also those without a limit, which nobody prunes."""
        for window in self._windows.values():
            self.places -= window.prune(now)
        for gauge in list(self._gauges.values()):
            self._expire(gauge, now)

    def _expire(self, gauge: dict[str, int], now: int) -> None:
        while gauge:
            ident, taken = next(iter(gauge.items()))
            if taken + MAX_CALL_US > now:
                return
            self.release(ident, now)

    def _take(self, one: _Asked, now: int) -> None:
        kind, key, ident = one.kind, one.key, one.ident
        if kind == "tally":
            self.tallies.take(one.touch)
        elif kind == "window":
            window = self._windows.get(key)
            if window is None:
                window = self._windows[key] = _Window(one.touch.span_us)
            window.limit = one.limit or 0
            if not window.holds(ident):
                window.pending[ident] = now
                self.places += 1
        elif kind == "gauge":
            gauge = self._gauges.get(key)
            if gauge is None:
                gauge = self._gauges[key] = {}
            if ident not in gauge:
                gauge[ident] = now
                held = self._held.get(ident)
                self._held[ident] = (key,) if held is None else (*held, key)
                self.places += 1

    def departed(self, ident: str, now: int) -> None:
        """The call's set-up left for the operator at `now`: its window places are counted from then."""
        self.tallies.departed(ident)
        self.latest = now
        for window in self._windows.values():
            if window.pending.pop(ident, None) is not None:
                window.left.append((now, ident))
                window.members.add(ident)

    def release(self, ident: str, now: int) -> None:
        """Give back every gauge place of this call. Unknown idents are ignored."""
        for key in self._held.pop(ident, ()):
            gauge = self._gauges[key]
            del gauge[ident]
            self.places -= 1
            if not gauge:
                del self._gauges[key]

    def forget(self, ident: str, now: int) -> None:
        """The set-up never left: give back its window places, and what it counted."""
        self.tallies.forget(ident)
        for window in self._windows.values():
            if window.pending.pop(ident, None) is not None:
                self.places -= 1

    def used(self, key: str, at: int, amount: int) -> None:
        """A call that ended at `at` (µs of Unix time) has used so much of a sum."""
        self.tallies.add(key, at, amount)

    # ---- over a restart (guard/ratekeeping.py) ---------------------------------------------------------------------

    def windows(self, now: int) -> list[Places]:
        """Every window, with what has left in its span."""
        found: list[Places] = []
        for key, window in self._windows.items():
            self.places -= window.prune(now)
            found.append(Places(key, window.span, window.limit, tuple([at for at, _ in window.left])))
        return found

    def recall(self, kept: Places, now: int) -> None:
        """Count what left in an earlier life, before anything leaves in this one. Later than `now` nothing can have."""
        window = self._windows.setdefault(kept.key, _Window(kept.span))
        window.limit = kept.limit
        for n, at in enumerate(kept.left[-MAX_PLACES:]):
            ident = f"\0{n}"  # of nobody's call
            window.left.append((min(at, now), ident))
            window.members.add(ident)
            self.places += 1
        self.places -= window.prune(now)

    # ---- for who shares these counters with others (guard/state/shared.py) -----------------------------------------

    def gauges_of(self, ident: str) -> tuple[str, ...]:
        """The gauges that a call has a place in."""
        return self._held.get(ident, ())

    def value(self, key: str, now: int) -> int:
        """The places of a window or a gauge that are in use."""
        window = self._windows.get(key)
        if window is None:
            return len(self._gauges.get(key, ()))
        self.places -= window.prune(now)
        return window.value()

    def counts(self) -> list[tuple[str, int]]:
        """Every gauge, and its calls at once."""
        return [(key, len(gauge)) for key, gauge in self._gauges.items()]

    def departures(self, now: int) -> list[tuple[str, int, str, int | None]]:
        """Key, span and ident of every place of a window, and when its set-up left (None: it has not left yet)."""
        found: list[tuple[str, int, str, int | None]] = []
        for key, window in self._windows.items():
            self.places -= window.prune(now)
            found += [(key, window.span, ident, at) for at, ident in window.left]
            found += [(key, window.span, ident, None) for ident in window.pending]
        return found

    # ----------------------------------------------------------------------------------------------------------------

    def restore(self, touch: Touch) -> None:
        """Count a member of a tally as it was counted in an earlier life of the guard: no limit holds."""
        self.tallies.take(touch)
        self.tallies.departed(touch.ident)

    def restored(self) -> None:
        """All that was to be restored is."""
        self.tallies.sort()
