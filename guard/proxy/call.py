"""One call attempt: what is known of it, and what is measured, from its first INVITE to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from guard.ladder import Noted, answer_mark, noted, request_mark
from guard.model import CallAttempt, Decision, Finding
from guard.proxy.effects import Flow
from guard.proxy.shapes import Mask
from guard.proxy.tables import C
from guard.proxy.timers import Owner

if TYPE_CHECKING:
    from guard.proxy.hangup import Talk
    from guard.proxy.transactions import ServerTx

SET_UP: Final = (0, ">INVITE")
HANG_UP: Final = "=BYE"

# A dialog: a provisional answer made it, a 2xx confirmed it, a BYE closed it.
EARLY: Final = 0
CONFIRMED: Final = 1
CLOSED: Final = 2

By = Literal["caller", "callee", "guard", "silence", ""]
Key = tuple[str, bytes, bytes]  # source, Call-ID, From-tag
SOS: Final = "\0sos"  # behind the source of an emergency call


def key_of(source: str, call_id: bytes, from_tag: bytes, *, urgent: bool) -> Key:
    """What makes two first INVITEs one attempt. An emergency call is an attempt apart: it must not wait with another
    one, and no other may pass for it."""
    return source + SOS if urgent else source, call_id, from_tag


class Watch:
    """What is kept of a call whose talk is limited: the last CSeq of each dialog and direction (True: of the caller),
    and the answered dialogs that are, both by the callee's tag."""

    __slots__ = ("numbers", "talks")

    def __init__(self) -> None:
        self.numbers: dict[tuple[bytes, bool], int] = {}
        self.talks: dict[bytes, Talk] = {}


class Call(Owner):
    """One attempt and its dialogs. Instants are µs on the timeline, 0 while they have not come."""

    __slots__ = (
        "answered_at", "attempt", "branches", "by", "callee_flow", "caller_flow", "chances", "closing",
        "dialogs", "findings", "heard", "hints", "key", "mask", "opened_at", "rung_at", "session", "state",
        "status", "steps", "targets", "ticket", "waiting", "watch",
    )  # fmt: skip

    def __init__(self, ticket: int, key: Key, attempt: CallAttempt, target: bytes, now: int) -> None:
        super().__init__()
        self.ticket = ticket
        self.key = key
        self.attempt = attempt
        self.opened_at = now
        self.state = C.DECIDING
        self.status = 0  # the last final status of a failed branch
        self.branches = 1  # INVITE transactions that have no final answer yet
        self.chances = 0  # INVITEs that final answers have asked for, and that did not come yet
        # What was asked about (facts.fingerprint) -> the decision and its record's number, None while it is awaited.
        self.targets: dict[bytes, tuple[Decision, int] | None] = {target: None}
        self.dialogs: dict[bytes, int] = {}  # callee's tag -> EARLY, CONFIRMED or CLOSED
        self.closing = 0  # when the BYE that ends it was seen
        self.by: By = ""  # who sent it
        self.rung_at = 0
        self.heard = 0  # when something of its dialogs last went by
        self.answered_at = 0
        self.session = 0  # its session interval (RFC 4028), µs; 0: none was agreed on
        self.mask: Mask | None = None
        self.hints: tuple[bytes, ...] = ()  # the operator's Contact and Record-Route, raw
        self.caller_flow: Flow | None = None
        self.callee_flow: Flow | None = None
        self.waiting: list[ServerTx] = []  # its INVITE transactions that wait for the decision
        self.watch: Watch | None = None  # where the guard may end it
        self.findings: tuple[Finding, ...] = ()  # what was found of it on its way
        self.steps: list[Noted] = [SET_UP]  # its messages (guard/ladder.py)

    @property
    def hung_up(self) -> bool:
        """Whether the guard has said BYE in it."""
        return any(mark == HANG_UP for _, mark in self.steps)

    def asked(self, method: bytes, now: int, *, from_caller: bool = True) -> None:
        """A request of the call went by."""
        noted(self.steps, now - self.opened_at, request_mark(method, from_caller=from_caller))

    def told(self, status: int, method: bytes, now: int, *, to_caller: bool = True) -> None:
        """An answer of the call went by."""
        noted(self.steps, now - self.opened_at, answer_mark(status, method, to_caller=to_caller))

    def said(self, status: int, by: By, now: int) -> None:
        """An answer to its INVITE went by, or was made here. A provisional one that comes again says nothing new."""
        mark = f"{'=' if by == 'guard' else '<'}{status}"
        if status >= 200 or self.steps[-1][1] != mark:
            noted(self.steps, now - self.opened_at, mark)

    @property
    def judged(self) -> bool:
        """Whether it waited for a decision, as other targets of it then do: not where it was on its way at once."""
        return next(iter(self.targets.values())) is not None
