"""The lines of a large site: their numbers, and whose turn it is."""

from __future__ import annotations

from typing import Final

RANGE: Final = "+3317*"  # of which two million numbers are allotted: +33170 and +33171
STRIDE: Final = 611_953  # from one caller to the next: prime, so that all have their turn, and neighbours do not


def number_of(line: int) -> str:
    """The number of a line, which is all that it is known by."""
    return f"+3317{line:07d}"


def caller_of(call: int, lines: int) -> str:
    """Who of so many lines places that call."""
    return number_of(call * STRIDE % lines)
