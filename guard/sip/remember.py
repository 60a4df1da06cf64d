"""Results of pure functions of raw bytes, remembered: so many of them, and of inputs up to a length.

What a sender makes up can only empty this memory, and never fill it with long inputs. Tables, and not a decorator: to
find a result in one is a tenth of the work of calling a function that looks for it (docs/performance.md).
"""

from __future__ import annotations

from itertools import islice
from typing import Final, TypeVar

REMEMBERED: Final = 4096  # results in one table: those of a busy site's lines, peers and calls in progress
LONGEST: Final = 256  # bytes of an input worth remembering: the URI of a phone or a proxy has about 60
# Of a full table so much is forgotten at once, one in so many. All of it took 2 ms for 8 192 fields, in which calls
# waited; and who was just called would be read anew. One by one, each would pass over those that are gone.
AT_ONCE: Final = 32

K = TypeVar("K")
V = TypeVar("V")


def keep(known: dict[K, V], key: K, raw: bytes, result: V) -> V:
    """The same result, which is in the table from now on, if it is of so few bytes. It must not be changed by
    anybody."""
    if len(raw) <= LONGEST:
        if len(known) >= REMEMBERED:
            room(known)
        known[key] = result
    return result


def room(known: dict[K, V]) -> None:
    """Forget the oldest of a table that is full."""
    for key in list(islice(known, len(known) // AT_ONCE + 1)):
        del known[key]
