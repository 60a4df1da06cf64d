"""A desk whose counters are in another process: it asks, goes on with other things, and hears the answer later.

Pure, as guard/desk.py is. An attempt that asks is neither decided nor held. Its answer comes by `heard`, and is judged
in the next `wake`; without one until its deadline the guard decides alone. What nothing can stop asks nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from guard.desk import Desk, Taken, Waiting
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.faulty import FAULT
from guard.model import CallEnded, Decision, Finding
from guard.prepared import Prepared
from guard.rules import rate_cps
from guard.state.contract import Reading, StateError, Touch
from guard.state.shared import AloneError, Shared
from guard.state.wire import Ask

APART: Final = f"{FAULT}.state"
Answer = tuple[Reading, ...] | StateError


class Asking(Struct):
    """An attempt whose counters are being read. `behind`: it only reads, since others wait. `held`: it waits itself, as
    the first of its queue."""

    prepared: Prepared
    ask: Ask
    since: int
    behind: bool = False
    held: Waiting | None = None


class SharedDesk(Desk):
    """Decides calls by counters that other guards use as well."""

    def __init__(
        self,
        engine: Engine,
        shared: Shared,
        on_state_fault: Literal["pass", "block"] = "pass",
        watch: Watch | None = None,
        told: Callable[[Exception], None] | None = None,
    ) -> None:
        super().__init__(engine, shared, on_state_fault, watch, told)
        self._shared = shared
        self._asking: dict[int, Asking] = {}  # in order of their deadlines: all wait equally long
        self._answers: deque[tuple[int, Answer]] = deque()

    # ---- a new attempt ---------------------------------------------------------------------------------------------

    def _count(self, ticket: int, prepared: Prepared, now: int) -> list[Taken]:
        call = prepared.call
        if call.emergency or call.direction == "inbound":
            readings = self._shared.force(str(ticket), prepared.touches, now)
            return self._read(ticket, prepared, readings, now, now, waits_behind=False)
        if self._shared.alone:
            return self._count_alone(ticket, prepared, now)
        behind = self._waits_behind(prepared)
        touches = _reads(prepared.touches) if behind else prepared.touches
        ask = self._shared.ask(str(ticket), touches, now, self._may_wait(prepared))
        self._asking[ticket] = Asking(prepared, ask, now, behind=behind)
        return []

    def _may_wait(self, prepared: Prepared) -> int:
        """For how long a call waits for a place in its trunk's second, µs; 0 where it is refused at once."""
        for touch, count in zip(prepared.touches, prepared.counts, strict=True):
            if count.rule.id == rate_cps.ID and touch.limit is not None:
                return self._engine.hold_us if count.rule.says["waits"].action == "hold" else 0
        return 0

    def _count_alone(self, ticket: int, prepared: Prepared, now: int) -> list[Taken]:
        return super()._count(ticket, self._noted(prepared), now)

    def _noted(self, prepared: Prepared) -> Prepared:
        """The same call, and in its record that this guard decided alone."""
        known = any(f.rule == APART for f in prepared.findings)
        return prepared if known or not self._shared.decides else self._engine.alone(prepared, self._shared.why)

    def _look(self, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        """Of this guard's own counters: nobody waits for those of others who only asks."""
        return self._shared.mirror.touch(touches, now) if touches else ()

    # ---- answers ---------------------------------------------------------------------------------------------------

    def heard(self, ticket: int, answer: Answer) -> None:
        """What became of an ask: readings, or why there are none. `wake` is to be called then."""
        self._answers.append((ticket, answer))

    def wants(self, ask: Ask) -> bool:
        """Whether an answer is still waited for."""
        asking = self._asking.get(int(ask.ident))
        return asking is not None and asking.ask is ask

    def next_wake(self) -> int | None:
        """When `wake` wants to be called."""
        first = next(iter(self._asking.values()), None)
        out = None if first is None else first.ask.until
        hold = self._engine.hold_us
        for queue in self._queues.values():
            head = next(iter(queue.values()))
            if head.ticket not in self._asking:
                at = min(head.free_at, head.since + hold)
                out = at if out is None else min(out, at)
        return out

    def wake(self, now: int) -> list[Taken]:
        """Answers that came, asks that nobody answered, and held calls whose place came or whose time is up."""
        out: list[Taken] = []
        while self._answers:
            ticket, answer = self._answers.popleft()
            asking = self._asking.pop(ticket, None)
            if asking is not None:
                out += self._answer(ticket, asking, answer, now)
        late = next(iter(self._asking.values()), None)
        if late is not None and (late.ask.until <= now or self._shared.alone):
            if not self._shared.alone:
                self._shared.lost(now, "late")
            given_up, self._asking = self._asking, {}
            for ticket, asking in given_up.items():
                out += self._answer(ticket, asking, AloneError(self._shared.why), now)
        out += super().wake(now)
        return out

    def _answer(self, ticket: int, asking: Asking, answer: Answer, now: int) -> list[Taken]:
        waiting = asking.held
        if waiting is None:
            if isinstance(answer, StateError):
                return self._count_alone(ticket, asking.prepared, now)
            decided = self._read(ticket, asking.prepared, answer, asking.since, now, waits_behind=asking.behind)
            if decided:
                self._shared.waits_no_more(str(ticket))
            return decided
        queue = self._queues[asking.prepared.call.trunk]
        if isinstance(answer, StateError):
            decision = self._again_alone(waiting, now, len(queue) - 1)
        else:
            decision = self._read_again(waiting, answer, now, len(queue) - 1)
        if decision is None:
            return []
        self._shared.waits_no_more(str(ticket))
        del queue[ticket]
        del self._queue_of[ticket]
        if queue:
            next(iter(queue.values())).free_at = now  # what it saw when it came is old: it tries as well
        self._tidy(asking.prepared.call.trunk)
        return [(ticket, decision)]

    # ---- held calls ------------------------------------------------------------------------------------------------

    def _again(self, waiting: Waiting, now: int, behind: int) -> Decision | None:
        if self._shared.alone:
            return self._again_alone(waiting, now, behind)
        if waiting.ticket not in self._asking:
            wait = self._may_wait(waiting.prepared)
            ask = self._shared.ask(str(waiting.ticket), waiting.prepared.touches, now, wait)
            self._asking[waiting.ticket] = Asking(waiting.prepared, ask, waiting.since, held=waiting)
        return None

    def _again_alone(self, waiting: Waiting, now: int, behind: int) -> Decision | None:
        waiting.prepared = self._noted(waiting.prepared)
        return super()._again(waiting, now, behind)

    def withdraw(self, ticket: int, now: int) -> Decision | None:
        """A call gave up that was held, or whose counters are being read: its decision so far, for the record."""
        self._shared.waits_no_more(str(ticket))
        asking = self._asking.pop(ticket, None)
        found = super().withdraw(ticket, now)
        if found is not None or asking is None:
            return found
        self._stopped(ticket)
        return replace(self._engine.judge(asking.prepared.call), held_us=now - asking.since)

    def _fault(self, error: StateError, prepared: Prepared, waited: int = 0) -> Decision:
        """As the configuration says for counters that cannot be had; the record says why in a word or two."""
        decision = super()._fault(error, prepared, waited)
        if not isinstance(error, AloneError):
            return decision
        found = tuple(_why(f, str(error)) if f.rule == decision.rule else f for f in decision.findings)
        return replace(decision, findings=found)

    def ended(self, ticket: int, now: int, ended: CallEnded | None = None) -> tuple[Finding, ...]:
        """See `Desk`."""
        self._asking.pop(ticket, None)
        return super().ended(ticket, now, ended)


def _reads(touches: tuple[Touch, ...]) -> tuple[Touch, ...]:
    return tuple(replace(t, take=False) for t in touches)


def _why(finding: Finding, error: str) -> Finding:
    return replace(finding, facts={**finding.facts, "error": error})
