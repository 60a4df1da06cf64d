"""Results of pure functions of raw bytes, remembered: so many of them, and of inputs up to a length.

What a sender makes up can only empty this memory, and never fill it with long inputs. Tables, and not a decorator: to
find a result in one is a tenth of the work of calling a function that looks for it (docs/performance.md).
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

REMEMBERED: Final = 4096  # results in one table: those of a busy site's lines, peers and calls in progress
PART: Final = 128  # one result in so many makes room at once: 64 of 8 192, next to each other in memory
LONGEST: Final = 256  # bytes of an input worth remembering: the URI of a phone or a proxy has about 60

K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """At most so many results, in `known`, where whoever asks looks. The oldest make room for new ones: to forget 8 192
    fields at once took 2 ms, in which calls waited, and those of calls under way had to be read anew. An OrderedDict
    takes 1.6 ms whenever it is laid out anew."""

    __slots__ = ("_most", "_order", "known")

    def __init__(self, most: int = REMEMBERED) -> None:
        self.known: dict[K, V] = {}
        self._order: deque[K] = deque()
        self._most = most

    def put(self, key: K, result: V) -> None:
        """Remember a result that is not known yet."""
        known, order = self.known, self._order
        if len(order) >= self._most:
            for _ in range(self._most // PART + 1):
                known.pop(order.popleft(), None)
        order.append(key)
        known[key] = result

    def clear(self) -> None:
        """Forget all of it."""
        self.known.clear()
        self._order.clear()


def keep(table: Table[K, V], key: K, raw: bytes, result: V) -> V:
    """The same result, which is in the table from now on, if it is of so few bytes. It must not be changed by
    anybody."""
    if len(raw) <= LONGEST:
        table.put(key, result)
    return result
