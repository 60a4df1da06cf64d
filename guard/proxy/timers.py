"""Timers of transactions and calls: a heap in which each owner stands once, at its earliest instant, and queues.

An owner keeps, for each kind, the instant at which it is armed (0: not). To arm a kind later than what the owner waits
for anyway, and to stop one, only changes that: when its turn comes, the owner is put back for whatever is left.
What nobody stops or changes (`linger`) needs no heap: all that wait equally long come up in order.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heapreplace
from typing import Final

RETRY, TIMEOUT, LINGER, TIMER_C, REPEAT, SILENCE, DECISION, TALK = range(8)
KINDS: Final = 8
NEVER: Final = 2**62  # µs; after any instant
TIMER_C_WAIT: Final = 185_000_000  # µs; over three minutes (RFC 3261 16.6 step 11)


class Owner:
    """What can be armed: `armed` holds `KINDS` instants in microseconds, `queued` the one at which it stands in the
    heap (0: it does not). A class to inherit from, since a compiled one finds these at once then."""

    __slots__ = ("armed", "queued")

    armed: list[int]
    queued: int


class Timers:
    """The heap holds (instant, tie-breaker, owner). An owner that is armed for earlier than it stands is put in once
    more; the place it had is passed over when it comes up."""

    __slots__ = ("_bound", "_heap", "_known", "_lingering", "_n")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Owner]] = []
        self._lingering: dict[int, deque[tuple[int, Owner]]] = {}  # by how long they wait: a handful of constants
        self._n = 0
        self._known = False  # whether nothing fires before `_bound` (NEVER: nothing at all)
        self._bound = NEVER

    def arm(self, owner: Owner, kind: int, at: int) -> None:
        """Fire `kind` of `owner` at `at`, instead of whenever it was to fire before."""
        owner.armed[kind] = at
        self._bound = min(self._bound, at)
        if not 0 < owner.queued <= at:
            owner.queued = at
            self._n += 1
            heappush(self._heap, (at, self._n, owner))

    def linger(self, owner: Owner, now: int, wait: int) -> None:
        """Fire LINGER of `owner` after `wait`, once, and whatever comes. `now` never goes back."""
        queue = self._lingering.get(wait)
        if queue is None:
            queue = self._lingering[wait] = deque()
        queue.append((now + wait, owner))
        self._bound = min(self._bound, now + wait)

    def next(self) -> int | None:
        """`soonest`; None where none stands."""
        soonest = self.soonest()
        return None if soonest == NEVER else soonest

    def soonest(self) -> int:
        """An instant before which none fires, NEVER where none stands: that of the next timer, or of one that was next
        and was stopped since. `due` finds out, and has it looked for anew."""
        if not self._known:
            self._known = True
            first = self._first()
            soonest = self._standing()
            self._bound = NEVER if soonest is None else soonest
            if first is not None and first[0][0] < self._bound:
                self._bound = first[0][0]
        return self._bound

    def due(self, now: int) -> tuple[Owner, int] | None:
        """Take the next timer that is due, disarmed; None when there is none."""
        self._known = False
        first = self._first()
        # Whoever stands first in the heap may have nothing to do then, but nobody has anything to do before.
        at = self._standing() if self._heap and self._heap[0][0] <= now else None
        if first is not None and first[0][0] <= now and (at is None or first[0][0] <= at):
            return first.popleft()[1], LINGER
        if at is None or at > now:
            return None
        owner = self._heap[0][2]
        kind = owner.armed.index(at)
        owner.armed[kind] = 0
        return owner, kind

    def _first(self) -> deque[tuple[int, Owner]] | None:
        """The queue whose first lingers for the shortest time yet."""
        best = None
        for queue in self._lingering.values():
            if queue and (best is None or queue[0][0] < best[0][0]):
                best = queue
        return best

    def _standing(self) -> int | None:
        """The instant of the first of the heap that has a timer then; who has none is put where it belongs."""
        heap = self._heap
        while heap:
            at, n, owner = heap[0]
            if owner.queued == at:
                if at in owner.armed:
                    return at  # nothing of it stands before: else it would stand there itself
                due = NEVER
                for armed in owner.armed:
                    if 0 < armed < due:
                        due = armed
                owner.queued = due if due < NEVER else 0
                if due < NEVER:
                    heapreplace(heap, (due, n, owner))
                    continue
            heappop(heap)
        return None

    def __len__(self) -> int:
        return len(self._heap) + sum(map(len, self._lingering.values()))
