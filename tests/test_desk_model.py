"""The desk against a model that is too simple to be wrong: a list of places and a queue, looked at microsecond by
microsecond wherever anything can change."""

from __future__ import annotations

from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.deciding import call
from tests.state.test_window import most_in_any_span
from tests.waiting import HOLD, T0, Scene

MAX_HELD: Final = 4
MORE: Final = f'\n[rules."rate.cps"]\nmax_held = {MAX_HELD}\nmargin_ms = 0\n'
SECOND: Final = 1_000_000
after = st.one_of(st.sampled_from([0, 1, SECOND - 1, SECOND, SECOND + 1, HOLD - 1, HOLD]), st.integers(0, 400_000))


class Model:
    """What must come out. `places` are set-ups by ticket: the instant at which each left, None while it has not."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.now = T0
        self.places: dict[int, int | None] = {}
        self.queue: list[tuple[int, int]] = []  # (ticket, since)
        self.verdicts: dict[int, tuple[int, str]] = {}

    def _in_use(self) -> int:
        return sum(left is None or self.now < left + SECOND for left in self.places.values())

    def _allow(self, ticket: int, leaves: bool) -> None:
        self.verdicts[ticket] = (self.now, "allowed")
        self.places[ticket] = self.now if leaves else None

    def settle(self) -> None:
        """Everything that is due at this instant. Those who waited leave at once."""
        while self.queue:
            ticket, since = self.queue[0]
            if self._in_use() < self.limit:
                self._allow(ticket, leaves=True)
            elif self.now >= since + HOLD:
                self.verdicts[ticket] = (self.now, "blocked")
            else:
                return
            self.queue.pop(0)

    def until(self, end: int) -> None:
        changes = {left + SECOND for left in self.places.values() if left is not None}
        while True:
            due = changes | {left + SECOND for left in self.places.values() if left is not None}
            due |= {since + HOLD for _, since in self.queue}
            coming = [at for at in due if self.now < at <= end]
            if not coming:
                break
            self.now = min(coming)
            self.settle()
        self.now = end

    def submit(self, ticket: int, *, urgent: bool, leaves: bool) -> None:
        if urgent or (not self.queue and self._in_use() < self.limit):
            self._allow(ticket, leaves)
        elif len(self.queue) >= MAX_HELD:
            self.verdicts[ticket] = (self.now, "blocked")
        else:
            self.queue.append((ticket, self.now))


class Against(RuleBasedStateMachine):
    """Both at once, step by step."""

    @initialize(limit=st.integers(1, 3))
    def begin(self, limit: int) -> None:
        self.scene = Scene(MORE, cps=limit)
        self.model = Model(limit)
        self.staying: list[int] = []
        self.urgent: set[int] = set()
        self.next = 0

    def _settle(self) -> None:
        self.model.settle()
        self.scene.wait(self.scene.now)

    @rule(wait=after)
    def time_passes(self, wait: int) -> None:
        end = self.scene.now + wait
        self.model.until(end)
        self.scene.wait(end)

    @rule(urgent=st.sampled_from([False, False, False, True]), leaves=st.sampled_from([True, True, False]))
    def a_call_comes(self, urgent: bool, leaves: bool) -> None:
        ticket, self.next = self.next, self.next + 1
        if urgent:
            self.urgent.add(ticket)
        self.model.submit(ticket, urgent=urgent, leaves=leaves)
        self.scene.place(ticket, call(callee="112") if urgent else call(), leave=leaves)
        if not leaves and ticket in self.model.places:
            self.staying.append(ticket)

    @rule(which=st.integers(0, 9), leaves=st.booleans())
    def one_that_stayed_leaves_or_never_will(self, which: int, leaves: bool) -> None:
        if not self.staying:
            return
        ticket = self.staying.pop(which % len(self.staying))
        if leaves:
            self.model.places[ticket] = self.model.now
            self.scene.desk.departed(ticket, self.scene.now)
            self.scene.left.append((self.scene.now, ticket))
        else:
            del self.model.places[ticket]
            self.scene.desk.ended(ticket, self.scene.now)
        self._settle()

    @rule(which=st.integers(0, 9))
    def one_that_waits_gives_up(self, which: int) -> None:
        if not self.model.queue:
            return
        ticket, _ = self.model.queue.pop(which % len(self.model.queue))
        assert self.scene.desk.withdraw(ticket, self.scene.now) is not None
        self._settle()

    @rule(which=st.integers(0, 9))
    def one_that_left_ends(self, which: int) -> None:
        if self.scene.left:
            self.scene.desk.ended(self.scene.left[which % len(self.scene.left)][1], self.scene.now)

    @invariant()
    def both_agree(self) -> None:
        if not hasattr(self, "scene"):
            return
        assert {t: d.verdict for t, d in self.scene.decided.items()} == {
            t: verdict for t, (_, verdict) in self.model.verdicts.items()
        }
        left = {ticket: at for at, ticket in self.scene.left}
        assert left == {t: at for t, at in self.model.places.items() if at is not None}
        assert len(self.scene.desk) == len(self.model.queue)

    @invariant()
    def ordinary_calls_keep_the_law(self) -> None:
        if hasattr(self, "scene"):
            ordinary = [at for at, ticket in self.scene.left if ticket not in self.urgent]
            assert most_in_any_span(ordinary) <= self.model.limit


TestAgainst = Against.TestCase
TestAgainst.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
