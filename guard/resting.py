"""Calls of the life before of which nothing was heard yet: lines of a file, until something is, or their turn comes.

To make a call of its line, with its channels, takes a tenth of a millisecond. A guard that does so for fifty thousand
before it serves anybody leaves all of them, and every new one, without an answer for seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, Protocol

from guard.callsfile import Whose

AT_ONCE: Final = 500  # calls that go on before anybody is served: where no more were up, all channels count at once
SOME: Final = 4  # calls that go on between two turns of the loop: messages wait for half a millisecond

Known = Literal["open", "over", "unknown"]  # what the log knows of a call


class Log(Protocol):
    """A log's reader, as far as it knows what became of calls."""

    def standing(self, seqs: Sequence[int], /) -> dict[int, tuple[str, bool]]:
        """By the entries of their decisions: Call-IDs, and whether the calls are over."""


def standing(log: Log, calls: Iterable[Whose]) -> list[Known]:
    """What a log knows of calls, in their order. Raises StoreError."""
    asked = list(calls)
    found = log.standing([c.seq for c in asked if c.seq])
    return [_known(c, found.get(c.seq)) for c in asked]


def _known(call: Whose, found: tuple[str, bool] | None) -> Known:
    if found is None or found[0] != call.attempt.call_id:
        return "unknown"
    return "over" if found[1] else "open"


class Resting:
    """Calls by their Call-IDs and callers' tags. `goes_on` makes one of a ticket and its line, and raises nothing."""

    def __init__(self, goes_on: Callable[[int, bytes], None]) -> None:
        self._goes_on = goes_on
        self._lines: dict[tuple[bytes, bytes], list[tuple[int, bytes]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, whose: Whose, ticket: int, line: bytes) -> None:
        """One more, which rests."""
        self._lines.setdefault(whose.key[1:], []).append((ticket, line))
        self._count += 1

    def wake(self, call_id: bytes, from_tag: bytes) -> bool:
        """Something of a Call-ID and a caller's tag is here: their calls go on; whether there were any."""
        lines = self._lines.pop((call_id, from_tag), None)
        if lines is None:
            return False
        self._count -= len(lines)
        for ticket, line in lines:
            self._goes_on(ticket, line)
        return True

    def some(self) -> None:
        """A few go on by themselves, the youngest first, which are the next to be heard of."""
        for _ in range(min(SOME, self._count)):
            whose, lines = self._lines.popitem()
            ticket, line = lines.pop()
            if lines:
                self._lines[whose] = lines
            self._count -= 1
            self._goes_on(ticket, line)
