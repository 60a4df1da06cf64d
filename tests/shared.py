"""A desk whose counters are in a real Redis, with its own clock: as tests/waiting.py has it for one in memory."""

from __future__ import annotations

import redis

from guard.model import CallAttempt
from guard.shareddesk import SharedDesk
from tests.state.conftest import LONG_AGO
from tests.state.kept import Kept
from tests.waiting import SPAN, T0, Scene


class SharedScene(Scene):
    """The server answers at the instant at which it is asked, unless it is `silent`."""

    def __init__(
        self,
        client: redis.Redis,
        more: str = "",
        *,
        cps: int | None = None,
        channels: int | None = 500,
        lines: int = 0,
        kept: Kept | None = None,
    ) -> None:
        super().__init__(more, cps=cps, channels=channels, lines=lines)
        self.kept = kept or Kept(client)
        self.silent = False
        self.kept.hello(T0 + LONG_AGO)
        self.kept.beat(T0 - SPAN)
        self.kept.beat(T0)
        self.state = self.kept.shared.mirror
        self.shared = self.kept.shared
        self.desk = self.sharing = SharedDesk(self.engine, self.kept.shared)

    def pump(self, *, leave: bool = True) -> list[int]:
        """Everything that is asked is answered, and what comes of it asked again."""
        out: list[int] = []
        while not self.silent and (answers := self.kept.flush(self.now)):
            for ident, readings in answers.items():
                self.sharing.heard(int(ident), readings)
            out += self._take(self.desk.wake(self.now), leave=leave)
        return out

    def place(self, ticket: int, made: CallAttempt | None = None, *, leave: bool = True) -> bool:
        """Submit a call; whether it was decided at this instant."""
        at_once = super().place(ticket, made, leave=leave)
        return ticket in self.pump(leave=leave) or at_once

    def depart(self, ticket: int) -> None:
        """The set-up of an allowed call that stayed leaves now, and the server hears of it."""
        super().depart(ticket)
        self.pump()

    def wait(self, until: int) -> list[int]:
        """Wake whenever the desk wants it, up to an instant; who was decided."""
        out: list[int] = []
        while (due := self.desk.next_wake()) is not None and due <= until:
            assert due >= self.now, "the desk wants to be woken in the past"
            self.now = due
            taken = self._take(self.desk.wake(due)) + self.pump()
            out += taken
            after = self.desk.next_wake()
            assert taken or after is None or after > due, "woken, and nothing moved"
        self.now = until
        return out
