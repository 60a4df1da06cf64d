"""What the observer remembers of one request that went by."""

from __future__ import annotations

from guard.proxy.call import Call
from guard.proxy.timers import Owner


class Seen(Owner):
    """One request of a call that was seen: whose it is, and whether it was answered for good."""

    __slots__ = (
        "again", "answering", "call", "callee_tag", "cancelled", "done", "from_caller", "given_up", "ours", "patient",
        "talks", "target", "waited",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        *,
        from_caller: bool,
        again: bool,
        callee_tag: bytes = b"",
        target: bytes = b"",
        ours: bool = False,
    ) -> None:
        super().__init__()
        self.call = call
        self.target = target  # of an INVITE: what a decision on it rests on
        self.talks: dict[bytes, int] = {}  # dialogs that it began: until when they may talk
        self.from_caller = from_caller
        self.again = again
        self.ours = ours  # the guard made it
        self.callee_tag = callee_tag
        self.patient = 0  # until when it may stay unanswered, if longer than any (GIVE_UP)
        self.waited = False  # as long as any
        self.answering = False  # a provisional answer went by
        self.cancelled = False  # its caller said so
        self.given_up = False  # whoever said so
        self.done = False
