"""Python's cyclic garbage, collected when nobody waits.

A full collection stops the loop for about 1 µs an object: a fifth of a second at a few thousand calls, and longer than
an emergency call or a rate limit should have to wait. Calls and transactions leave no cycles behind, so there is next
to nothing to collect: what exceptions leave can wait, and what is young is looked at by sample.
"""

from __future__ import annotations

import gc
from time import perf_counter
from typing import Final

NEVER: Final = 1 << 30  # collections of the middle generation before Python thinks of a full one: none in practice
# Collections of the young between two of the middle generation: none, each is of both, so that what outlives one is
# passed through once. With Python's ten the middle one grew to 7 000 objects, and calls waited 2 to 5 ms for it.
MIDDLE: Final = -1
FEW: Final = 1_000  # transactions and calls kept at a moment; so few are passed through in a few milliseconds
PAUSE: Final = 60 * 1_000_000  # µs between full collections while it is quiet, and there is something to find
CLEAN: Final = 60 * PAUSE  # where nothing was found: one passes through all that was there at the start, 15 ms of it
LOOKS: Final = 16  # of so many times that a few messages have left something, it is looked at once
FINDS: Final = 1_024  # times that it is looked at each time after something was found
# Lines at work are passed through as well: 20 000 of them take 15 ms. One moment of so many at most is a collection's:
# fewer than one call in a thousand meets it.
SELDOM: Final = 6_000
AT_LAST: Final = 6 * 3600 * 1_000_000  # µs after which one is due even if it never was quiet


class Garbage:
    """Says when. `start` also takes what is there by then (code, policies, plans) out of every later collection."""

    def __init__(self) -> None:
        self._thresholds: tuple[int, int, int] | None = None
        self._last = 0
        self._pause = PAUSE
        self._tidied = 0
        self._looks = 0  # how often yet each time
        self._found = False  # whether there was anything since the last full collection
        self.collections = 0

    def start(self, now: int) -> None:
        """From now on full collections happen in `look` only."""
        self._last = now
        self._thresholds = gc.get_threshold()
        gc.freeze()  # a collection before would take a tenth of a start, to find some thousand objects
        gc.enable()
        gc.set_threshold(self._thresholds[0], MIDDLE, NEVER)

    def tidy(self) -> None:
        """After every few messages: put what they left aside, to be passed through by no collection but a full one;
        where cycles are found among it, collect those.

        Python passes through all that is young after 700 more objects were made than let go. When as many old ones are
        let go as new ones are made, it puts that off until tens of thousands are young, and calls waited 2 to 10 ms for
        it; and to look at what a call leaves, each time, takes a fifteenth of all that the call takes."""
        if self._thresholds is None:
            return  # it was called for before the end
        self._tidied += 1
        if self._looks or not self._tidied % LOOKS:
            self._looks = max(self._looks - 1, 0)
            if gc.collect(1):
                self._looks, self._found = FINDS, True
        gc.freeze()

    def look(self, kept: int, now: int) -> None:
        """Once a second or so: collect, if this is a good moment. `kept` is how much the core keeps just now."""
        waited = now - self._last
        if waited >= AT_LAST or (waited >= max(self._pause, PAUSE if self._found else CLEAN) and kept <= FEW):
            self._last, self._found = now, False
            self.collections += 1
            begun = perf_counter()
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._pause = max(PAUSE, int((perf_counter() - begun) * 1_000_000) * SELDOM)

    def stop(self) -> None:
        """As it was before."""
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()
            self._thresholds = None
