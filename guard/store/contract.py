"""What the daemon asks of a store, and what readers ask of it. Backends: `sqlite`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct

from guard.ledger.record import CallRecord
from guard.model import CallAttempt, CallEnded, Decision, Direction, Verdict


class Query(Struct, frozen=True, kw_only=True):
    """Which records `guard log` wants. Times are microseconds of Unix time; "" and None do not matter.

    Without `all` the allowed calls are left out. `after` is a seq to go on from (following, paging).
    `rule`, `caller`, `callee` and `line` may end in `*`; `caller` matches the received and the presented number.
    `limit` takes the first of the order asked for; with `tail` the last by rising seq, still in that order.
    `upto` is the last seq looked at; `ended` wants calls whose end is an entry after the first seq, up to the second.
    """

    since: int | None = None
    until: int | None = None
    verdict: Verdict | None = None
    rule: str = ""
    caller: str = ""
    callee: str = ""
    trunk: str = ""
    line: str = ""
    call_id: str = ""
    direction: Direction | None = None
    all: bool = False
    after: int = 0
    limit: int | None = None
    newest_first: bool = False
    tail: bool = False
    upto: int | None = None
    ended: tuple[int, int] | None = None


class Writer(Protocol):
    """The one writer of a log. It numbers entries in the order in which they are handed over."""

    def decided(
        self, call: CallAttempt, decision: Decision, done: Callable[[BaseException | None], None] | None
    ) -> int:
        """Take a decision for the log and return its `seq` at once.

        `done` is called once, from the writer's thread, when the entry is committed (None) or could not be (the
        error); None when nobody waits: then the entry is on disk within a second.
        """

    def ended(self, seq: int, ended: CallEnded) -> None:
        """Take the end of the call whose decision is entry `seq`."""

    def close(self) -> None:
        """Commit all that was taken, and stop."""


class Reader(Protocol):
    """Reads a log while another process writes it."""

    def records(self, query: Query) -> Iterator[CallRecord]:
        """Records that fit, by rising seq (or falling with `newest_first`)."""

    def close(self) -> None:
        """Let go of the file."""
