"""A desk with its own clock, for tests: calls are placed, wait, leave and end, and every wake must make progress."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from guard.desk import Desk
from guard.engine import Engine
from guard.model import SECOND, CallAttempt, Decision
from guard.state.memory import MemoryState
from tests.deciding import call, engine_of

MS: Final = 1000
HOLD: Final = 2500 * MS
SPAN: Final = SECOND + 20 * MS  # with the margin of the policies
T0: Final = 7 * SECOND  # any instant; not 0, which a mistake could take for none


class Scene:
    """A desk with its own clock, where an allowed call leaves at once unless it is told to stay."""

    def __init__(self, more: str = "", *, cps: int | None = None, channels: int | None = 500, lines: int = 0) -> None:
        engine = engine_of(more)
        policy = engine.policy
        terms = {
            name: replace(t, cps=cps if cps is not None else t.cps, channels=channels)
            for name, t in policy.terms.items()
        }
        counts = tuple(
            replace(c, rule=replace(c.rule, settings=replace(c.rule.settings, calls=lines)))
            if c.rule.id == "limit.line-calls"
            else c
            for c in policy.counts
        )
        self.engine = Engine(replace(policy, terms=terms, counts=counts))
        self.state = MemoryState()
        self.desk = Desk(self.engine, self.state)
        self.now = T0
        self.decided: dict[int, Decision] = {}
        self.left: list[tuple[int, int]] = []  # (instant, ticket) of set-ups that left

    def _take(self, taken: list[tuple[int, Decision]], *, leave: bool = True) -> list[int]:
        for ticket, decision in taken:
            assert ticket not in self.decided, "decided twice"
            assert not decision.held_until
            self.decided[ticket] = decision
            if leave and decision.verdict != "blocked":
                self.desk.departed(ticket, self.now)
                self.left.append((self.now, ticket))
        return [t for t, _ in taken]

    def place(self, ticket: int, made: CallAttempt | None = None, *, leave: bool = True) -> bool:
        """Submit a call; whether it was decided at once."""
        return bool(self._take(self.desk.submit(ticket, made or call(), self.now), leave=leave))

    def depart(self, ticket: int) -> None:
        """The set-up of an allowed call that stayed leaves now."""
        self.desk.departed(ticket, self.now)

    def wait(self, until: int) -> list[int]:
        """Wake whenever the desk wants it, up to an instant; who was decided. Waking always makes progress."""
        out: list[int] = []
        while (due := self.desk.next_wake()) is not None and due <= until:
            assert due >= self.now, "the desk wants to be woken in the past"
            self.now = due
            taken = self._take(self.desk.wake(due))
            out += taken
            after = self.desk.next_wake()
            assert taken or after is None or after > due, "woken, and nothing moved"
        self.now = until
        return out

    def verdict(self, ticket: int) -> str:
        return self.decided[ticket].verdict
