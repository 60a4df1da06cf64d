"""What a guard that shares its counters may take of every limit while it is alone, and from when on. Pure.

What the server keeps free for a silent guard (`part` and `heard` of guard.lua) is never less than what this says.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

SILENT: Final = 600_000  # µs, as in guard.lua: a guard unheard for so long may be deciding alone
WHOLE: Final = 1_000_000  # a share is told in millionths


class Part(Struct, frozen=True):
    """A guard's part of every limit when it is alone: `share` (millionths) where one is set, else one of `of` equal
    parts, those of lower `rank` taking what does not divide."""

    share: int = 0
    of: int = 1
    rank: int = 0

    def of_limit(self, limit: int) -> int:
        """Of so many places. As guard.lua counts what it keeps for a guard that is silent."""
        if self.share:
            return limit * self.share // WHOLE
        whole, rest = divmod(limit, self.of)
        return whole + (self.rank < rest)


class Own:
    """The part of one guard. `share` is in millionths (0: equal parts), `deadline`, µs, how long it waits for answers,
    `lost_at` when it lost the server, on the timeline."""

    def __init__(self, share: int, deadline: int, lost_at: int) -> None:
        self.part = Part(share=share)
        self.deadline = deadline
        self.lost_at = lost_at
        self._said = (0, 0)  # which part, `of` and `rank`, the server was last told to have been heard of
        self._met = False  # whether the server has told this life which part is its own
        self._sole: int | None = None  # since when no other guard can have taken anything; None: others are there

    @property
    def heard(self) -> tuple[int, int]:
        """`of` and `rank` as answers that came in time had them, 0 before the first."""
        return (self.part.of, self.part.rank) if self._met else (0, 0)

    @property
    def unsaid(self) -> bool:
        """Whether the server was told of another part than what was heard."""
        return self._said != self.heard

    def say(self) -> tuple[int, int]:
        """What was heard, on its way to the server."""
        self._said = self.heard
        return self._said

    def greeted(self, of: int, rank: int, *, sole: bool) -> None:
        """The server knows this guard again, one of so many. `sole`: nobody else took anything meanwhile."""
        if not sole:
            self._sole = None
        self._told(of, rank)

    def beaten(self, now: int, of: int, rank: int, *, sole: bool) -> None:
        """The server said how many guards there are, and which of them this one is. `sole`: it is sure that nobody else
        is there."""
        if not sole:
            self._sole = None
        elif self._sole is None:
            self._sole = now
        self._told(of, rank)

    def _told(self, of: int, rank: int) -> None:
        self.part = replace(self.part, of=max(of, 1), rank=rank)
        self._met = True

    def opens(self, span: int) -> int:
        """When this guard may take places of a window by itself: the others have noticed that it is silent, keep its
        part free, and what any of them took before that has left the window. Where it was the only one, the server
        keeps all of the limit for it until it knows of another: then only what one took who has gone since matters."""
        noticed = self.lost_at + SILENT + self.deadline + span
        return noticed if self._sole is None else min(noticed, self._sole + span)
