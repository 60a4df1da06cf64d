"""What the engine asks of its counters, whichever keeps them (memory, Redis).

A decision makes one `touch` with everything that it needs. It is atomic and all-or-nothing: either every touch finds
room, and all are taken, or none is, and the readings say what was full. So a refused call uses up nothing.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct


class Touch(Struct, frozen=True, gc=False, kw_only=True):
    """One counter to read and, if there is room, to take a place in.

    kind    `window`: at most `limit` places in any `span_us`, wherever it starts. `gauge`: calls at once. `tally`:
            different members since `since` (µs of Unix time); `sum`: what was used since then (only read here).
    key     what is counted, such as `cps:operator` or `line:pbx/200`.
    limit   places; None counts without ever refusing (a monitored rule).
    ident   the call's own identity: taking twice is taking once, and releasing twice is releasing once.
    force   take a place even where there is none (an emergency call), so that others wait.
    take    False only reads.
    span_us of a window; of a tally that looks back for so long and no further, so that it can be forgotten.
    member  what a tally counts, such as the number called; "" counts each call.
    at      when the call was set up, µs of Unix time (tallies and sums go by it).
    against another tally's key: room is what `percent` of its members leave, whatever the limit says.
    """

    kind: Literal["window", "gauge", "tally", "sum"]
    key: str
    ident: str
    limit: int | None = None
    span_us: int = 0
    force: bool = False
    take: bool = True
    member: str = ""
    since: int = 0
    at: int = 0
    against: str = ""
    percent: int = 0


class Reading(Struct, frozen=True, gc=False, kw_only=True):
    """What a touch found: `value` places in use before it, whether this one was `taken`, and `free_at`, the instant
    at which a window next has room (0: now, or not known, as for a gauge). `known`: a tally had its member already.
    `before` is what a sum was when it was last read; of a tally that is held against another, how many that one has."""

    key: str
    value: int
    taken: bool
    free_at: int = 0
    known: bool = False
    before: int = 0


class StateError(RuntimeError):
    """Counters that cannot be read or kept: the guard's named behaviour for a failing state applies."""


class StateFullError(StateError):
    """No room for another place."""


class TallyFullError(StateError):
    """No room for another member."""


class State(Protocol):
    """The few methods of a state. `now` is microseconds on the guard's timeline."""

    def touch(self, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        """Read all, take all or nothing. Readings are in the order of the touches. Raises StateError."""

    def departed(self, ident: str, now: int) -> None:
        """The call's set-up left for the operator at `now`: its window places are counted from then."""

    def release(self, ident: str, now: int) -> None:
        """Give back every gauge place of this call. Unknown idents are ignored."""

    def forget(self, ident: str, now: int) -> None:
        """The set-up never left: give back its window places, and what it counted."""

    def used(self, key: str, at: int, amount: int) -> None:
        """A call that ended at `at` (µs of Unix time) has used so much of a sum."""

    def restore(self, touch: Touch) -> None:
        """Count a member of a tally as it was counted in an earlier life of the guard: no limit holds."""

    def restored(self) -> None:
        """All that was to be restored is."""
