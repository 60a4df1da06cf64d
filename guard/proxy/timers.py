"""Timers of transactions and calls: each owner stands once, at its earliest instant, in a queue or in a heap.

An owner keeps, for each kind, the instant at which it is armed (0: not). To arm a kind later than what the owner waits
for anyway, and to stop one, only changes that: when its turn comes, the owner is put back for whatever is left.
Those who wait equally long stand in a queue, in order (`after`); who is armed for any other instant, or put back, is
in the heap. What nobody stops or changes (`linger`) has queues of its own.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heapreplace
from typing import Final

RETRY: Final = 0
TIMEOUT: Final = 1
LINGER: Final = 2
TIMER_C: Final = 3
REPEAT: Final = 4
SILENCE: Final = 5
DECISION: Final = 6
TALK: Final = 7
KINDS: Final = 8
NEVER: Final = 2**61  # µs; after any instant, and what a machine word still holds
TIMER_C_WAIT: Final = 185_000_000  # µs; over three minutes (RFC 3261 16.6 step 11)
# Places taken in a queue after which twice as many at its front are looked at, whether anybody still waits there: when
# a timer fires, all that were given up since the last one would come up at once, 0.7 ms at 1 000 calls a second.
PASSED: Final = 32
UNARMED: Final = [0] * KINDS  # of whoever was never armed: nearly every server transaction


class Owner:
    """What can be armed: `armed` holds `KINDS` instants in microseconds, `queued` the one at which it stands (0: it
    does not). Others than `Timers` only put 0 there. A class to inherit from, since a compiled one finds these at once
    then."""

    __slots__ = ("armed", "queued")

    def __init__(self) -> None:
        self.armed = UNARMED
        self.queued = 0


Queues = dict[int, deque[tuple[int, Owner]]]  # by how long they wait: a handful of constants


class Timers:
    """The heap holds (instant, tie-breaker, owner). An owner that is armed for earlier than it stands is put in once
    more; the place it had is passed over when it comes up."""

    __slots__ = ("_bound", "_heap", "_known", "_lingering", "_n", "_waiting")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Owner]] = []
        self._waiting: Queues = {}
        self._lingering: Queues = {}
        self._n = 0
        self._known = False  # whether nothing fires before `_bound` (NEVER: nothing at all)
        self._bound = NEVER

    def arm(self, owner: Owner, kind: int, at: int) -> None:
        """Fire `kind` of `owner` at `at`, instead of whenever it was to fire before."""
        if self._set(owner, kind, at):
            self._n += 1
            heappush(self._heap, (at, self._n, owner))

    def after(self, owner: Owner, kind: int, now: int, wait: int) -> None:
        """The same `wait` from `now` on, which never goes back: one of a handful of constants."""
        at = now + wait
        if self._set(owner, kind, at):
            queue = _queue(self._waiting, wait)
            if not len(queue) % PASSED:
                for _ in range(2 * PASSED):
                    if not queue or self._stands(queue):
                        break
            queue.append((at, owner))

    def _set(self, owner: Owner, kind: int, at: int) -> bool:
        """Arm it; whether it has to stand there."""
        if owner.armed is UNARMED:
            owner.armed = [0] * KINDS
        owner.armed[kind] = at
        self._bound = min(self._bound, at)
        if 0 < owner.queued <= at:
            return False
        owner.queued = at
        return True

    def linger(self, owner: Owner, now: int, wait: int) -> None:
        """Fire LINGER of `owner` after `wait`, once, and whatever comes. `now` never goes back."""
        at = now + wait
        _queue(self._lingering, wait).append((at, owner))
        self._bound = min(self._bound, at)

    def next(self) -> int | None:
        """`soonest`; None where none stands."""
        soonest = self.soonest()
        return None if soonest == NEVER else soonest

    def soonest(self) -> int:
        """An instant before which none fires, NEVER where none stands: that of the next timer, or of one that was next
        and was stopped since. `due` finds out, and has it looked for anew."""
        if not self._known:
            self._known = True
            self._bound = self._standing(NEVER)[0]
            first = self._first()
            if first is not None and first[0][0] < self._bound:
                self._bound = first[0][0]
        return self._bound

    def due(self, now: int) -> tuple[Owner, int] | None:
        """Take the next timer that is due, disarmed; None when there is none."""
        self._known = False
        at, owner = self._standing(now)
        first = self._first()
        if first is not None and first[0][0] <= now and first[0][0] <= at:
            return first.popleft()[1], LINGER
        if owner is None or at > now:
            return None
        kind = _armed_for(owner, at)
        owner.armed[kind] = 0
        return owner, kind

    def _first(self) -> deque[tuple[int, Owner]] | None:
        """The queue whose first lingers for the shortest time yet."""
        best, soonest = None, NEVER
        for queue in self._lingering.values():
            if queue and queue[0][0] < soonest:
                best, soonest = queue, queue[0][0]
        return best

    def _standing(self, until: int) -> tuple[int, Owner | None]:
        """Who is the first to have a timer where it stands, and when: of those who stand there by `until`. Whoever has
        none is put where it belongs, and would have nothing to do before."""
        soonest, first = NEVER, None
        for queue in self._waiting.values():
            while queue:
                at, owner = queue[0]
                if at > until:
                    break
                if self._stands(queue):
                    if at < soonest:
                        soonest, first = at, owner
                    break
        heap = self._heap
        while heap:
            at, n, owner = heap[0]
            if at > until or at > soonest:  # of two at once, who waited for longer
                break
            if owner.queued == at:
                if _armed_for(owner, at) >= 0:
                    return at, owner  # nothing of it stands before: else it would stand there itself
                due = owner.queued = _soonest(owner)
                if due:
                    heapreplace(heap, (due, n, owner))
                    continue
            heappop(heap)
        return soonest, first

    def _stands(self, queue: deque[tuple[int, Owner]]) -> bool:
        """Whether the first of a queue has a timer where it stands. If not, it goes where it belongs."""
        at, owner = queue[0]
        if owner.queued == at:
            if _armed_for(owner, at) >= 0:
                return True
            due = owner.queued = _soonest(owner)
            if due:
                self._n += 1
                heappush(self._heap, (due, self._n, owner))
        queue.popleft()
        return False

    def __len__(self) -> int:
        queued = [*self._waiting.values(), *self._lingering.values()]
        return len(self._heap) + sum(map(len, queued))


def _queue(queues: Queues, wait: int) -> deque[tuple[int, Owner]]:
    found = queues.get(wait)
    if found is None:
        found = queues[wait] = deque()
    return found


def _armed_for(owner: Owner, at: int) -> int:
    """The first kind that is armed for this instant, -1 where none is."""
    armed = owner.armed
    for kind in range(KINDS):
        if armed[kind] == at:
            return kind
    return -1


def _soonest(owner: Owner) -> int:
    """The earliest instant for which anything is armed, 0 where nothing is."""
    soonest = NEVER
    for at in owner.armed:
        if 0 < at < soonest:
            soonest = at
    return 0 if soonest == NEVER else soonest
