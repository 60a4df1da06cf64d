"""Timers of transactions and calls: one heap, cancelled lazily.

An owner keeps, for each kind, the instant at which it is armed (0: not). Re-arming or stopping only changes that; a
heap entry whose instant is no longer the owner's is passed over when it comes up.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final, Protocol

RETRY, TIMEOUT, LINGER, TIMER_C, REPEAT, SILENCE, DECISION, TALK = range(8)
KINDS: Final = 8
TIMER_C_WAIT: Final = 185_000_000  # µs; over three minutes (RFC 3261 16.6 step 11)


class Owner(Protocol):
    """What can be armed: `armed` holds `KINDS` instants in microseconds."""

    armed: list[int]


class Timers:
    """A heap of (instant, tie-breaker, owner, kind). Memory is bounded by what owners exist and how often they re-arm:
    an owner arms a kind again only after it fired, or stopped it, so stale entries leave with their own instant."""

    __slots__ = ("_heap", "_n")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Owner, int]] = []
        self._n = 0

    def arm(self, owner: Owner, kind: int, at: int) -> None:
        """Fire `kind` of `owner` at `at`, instead of whenever it was to fire before."""
        owner.armed[kind] = at
        self._n += 1
        heappush(self._heap, (at, self._n, owner, kind))

    def next(self) -> int | None:
        """The instant of the next timer that still stands."""
        heap = self._heap
        while heap:
            at, _, owner, kind = heap[0]
            if owner.armed[kind] == at:
                return at
            heappop(heap)
        return None

    def due(self, now: int) -> tuple[Owner, int] | None:
        """Take the next timer that is due, disarmed; None when there is none."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, owner, kind = heappop(heap)
            if owner.armed[kind] == at:
                owner.armed[kind] = 0
                return owner, kind
        return None

    def __len__(self) -> int:
        return len(self._heap)
