"""Results of pure functions of raw bytes, remembered: so many of them, and of inputs up to a length.

What a sender makes up can only empty this memory, and never fill it with long inputs. Tables, and not a decorator: to
find a result in one is a tenth of the work of calling a function that looks for it (docs/performance.md).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeVar

REMEMBERED: Final = 4096  # results in one table: those of a busy site's lines, peers and calls in progress
LONGEST: Final = 256  # bytes of an input worth remembering: the URI of a phone or a proxy has about 60

K = TypeVar("K")
V = TypeVar("V")


def keep(known: OrderedDict[K, V], key: K, raw: bytes, result: V) -> V:
    """The same result, which is in the table from now on, if it is of so few bytes. It must not be changed by
    anybody."""
    if len(raw) <= LONGEST:
        if len(known) >= REMEMBERED:
            room(known)
        known[key] = result
    return result


def room(known: OrderedDict[K, V]) -> None:
    """Forget the oldest result of a table that is full. To forget 8 192 fields at once took 2 ms, in which calls
    waited, and those of calls under way had to be read anew."""
    known.popitem(last=False)
