"""Results of pure functions of raw bytes, remembered: so many of them, and of inputs up to a length.

What a sender makes up can only empty this memory, and never fill it with long inputs. Tables, and not a decorator: to
find a result in one is a tenth of the work of calling a function that looks for it (docs/performance.md).
"""

from __future__ import annotations

from typing import Final, TypeVar

REMEMBERED: Final = 4096  # results in one table: those of a busy site's lines, peers and calls in progress
LONGEST: Final = 256  # bytes of an input worth remembering: the URI of a phone or a proxy has about 60

K = TypeVar("K")
V = TypeVar("V")


def keep(known: dict[K, V], key: K, raw: bytes, result: V) -> V:
    """The same result, which is in the table from now on, if it is of so few bytes. It must not be changed by
    anybody."""
    if len(raw) <= LONGEST:
        if len(known) >= REMEMBERED:
            known.clear()
        known[key] = result
    return result
