"""Results of pure functions of raw bytes, remembered: so many of them, and of inputs up to a length.

What a sender makes up can only empty this memory, and never fill it with long inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar, TypeVarTuple

REMEMBERED: Final = 4096  # results of one function: those of a busy site's lines, peers and calls in progress
LONGEST: Final = 256  # bytes of an input worth remembering: the URI of a phone or a proxy has about 60

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


def remembered(function: Callable[[bytes, *Ts], R]) -> Callable[[bytes, *Ts], R]:
    """The same function, with its last results at hand. It has to be pure, its arguments hashable, and its results not
    to be changed by anybody."""
    known = lru_cache(maxsize=REMEMBERED)(function)

    @wraps(function)
    def recalled(raw: bytes, /, *args: *Ts) -> R:
        return known(raw, *args) if len(raw) <= LONGEST else function(raw, *args)

    return recalled
