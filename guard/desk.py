"""Where attempts wait for their decision: counts them, holds those that have no place yet, first come first served.

Pure: no clock, no socket. The daemon, the replay of captures and the simulator use it alike, each with its own time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal

from msgspec.structs import replace
from mypy_extensions import mypyc_attr

from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.model import CallAttempt, CallEnded, Decision, Finding
from guard.prepared import Prepared
from guard.state.contract import Reading, State, StateError, Touch

Taken = tuple[int, Decision]
ASKED: Final = "asked"  # in place of a ticket: of a call that is only asked about


class Waiting:
    """A held call. `free_at` is when its trunk's window next has room, as last seen."""

    __slots__ = ("free_at", "prepared", "seen", "since", "ticket")

    def __init__(self, ticket: int, prepared: Prepared, since: int, free_at: int, seen: Decision) -> None:
        self.ticket = ticket
        self.prepared = prepared
        self.since = since
        self.free_at = free_at
        self.seen = seen


@mypyc_attr(allow_interpreted_subclasses=True)
class Desk:
    """Decides calls. `on_state_fault` is what becomes of a call whose counters fail. `state_faults` counts those.

    `watch` sees every call but emergencies; where it fails, the call is decided without it: `watch_faults` counts that,
    and `told` hears of it.
    """

    def __init__(
        self,
        engine: Engine,
        state: State,
        on_state_fault: Literal["pass", "block"] = "pass",
        watch: Watch | None = None,
        told: Callable[[Exception], None] | None = None,
    ) -> None:
        self._engine = engine
        self._state = state
        self.watch = watch
        if watch is not None:
            watch.adopt(engine.patterns())
        self._told = told
        self.watch_faults = 0
        self._passes = on_state_fault == "pass"
        self._queues: dict[str, OrderedDict[int, Waiting]] = {}  # by trunk, in order of arrival
        self._queue_of: dict[int, str] = {}
        self._pending: set[int] = set()  # allowed, and not yet on its way
        self._inbound: dict[int, CallAttempt] = {}  # of which rules remember how they end
        self._sums: dict[int, tuple[str, ...]] = {}  # allowed: the sums that its talk is added to
        self.state_faults = 0
        self.waited = 0  # how many had to wait, so far

    def adopt(self, engine: Engine, on_state_fault: Literal["pass", "block"]) -> None:
        """Decide by another policy from now on. Who waits keeps waiting for the place that it asked for."""
        self._engine = engine
        self._passes = on_state_fault == "pass"
        if self.watch is not None:
            self.watch.adopt(engine.patterns())

    def __len__(self) -> int:
        return len(self._queue_of)

    def queued(self) -> dict[str, int]:
        """How many wait, by trunk."""
        return {trunk: len(queue) for trunk, queue in self._queues.items()}

    def submit(self, ticket: int, call: CallAttempt, now: int) -> list[Taken]:
        """A new attempt. Its decision if there is one now; nothing when it is held."""
        prepared = self._engine.prepare(call, str(ticket))
        if self.watch is not None and not call.emergency:
            prepared = self._watched(self.watch, ticket, prepared)
        if call.direction == "inbound":
            self._inbound[ticket] = call
        if not prepared.touches:
            decision = self._engine.decide(prepared, (), now)
            if decision.verdict == "blocked":
                self._stopped(ticket)
            return [(ticket, decision)]
        return self._count(ticket, prepared, now)

    def _count(self, ticket: int, prepared: Prepared, now: int) -> list[Taken]:
        """Have its counters read, and decide; nothing when it is held."""
        waits_behind = self._waits_behind(prepared)
        try:
            readings = self._touch(prepared, now, take=not waits_behind)
        except StateError as error:
            return [(ticket, self._fault(error, prepared))]
        return self._read(ticket, prepared, readings, now, now, waits_behind=waits_behind)

    def _waits_behind(self, prepared: Prepared) -> bool:
        """Whether others of its trunk wait, and it has to wait behind them."""
        call = prepared.call
        return bool(self._queues.get(call.trunk)) and not call.emergency and call.direction == "outbound"

    def _read(
        self,
        ticket: int,
        prepared: Prepared,
        readings: tuple[Reading, ...],
        since: int,
        now: int,
        *,
        waits_behind: bool,
    ) -> list[Taken]:
        """Its counters are read: decide; nothing when it is held, since when it came."""
        call = prepared.call
        ahead = len(self._queues.get(call.trunk, ())) if waits_behind else 0
        if waits_behind:
            readings = _behind(prepared.touches, readings, now)
        decision = self._engine.decide(prepared, readings, now, ahead=ahead)
        if decision.held_until:
            waiting = Waiting(ticket, prepared, since, _free_at(readings), decision)
            self._queues.setdefault(call.trunk, OrderedDict())[ticket] = waiting
            self._queue_of[ticket] = call.trunk
            self.waited += 1
            return []
        if decision.verdict != "blocked":
            self._goes(ticket, prepared)
        else:
            self._give_back(ticket, readings, now)
        return [(ticket, decision)]

    def _watched(self, watch: Watch, ticket: int, prepared: Prepared) -> Prepared:
        """The call with what detection says of it."""
        call, engine = prepared.call, self._engine
        try:
            price, closed = engine.weighed(prepared)
            signals = watch.attempt(str(ticket), call, price, closed=closed)
            return engine.warned(prepared, signals) if signals else prepared
        except Exception as error:  # noqa: BLE001 - told and counted; the call is decided without detection
            self._watch_failed(error)
            return prepared

    def _watch_failed(self, error: Exception) -> None:
        self.watch_faults += 1
        if self._told is None:
            raise error
        self._told(error)

    def _stopped(self, ticket: int) -> None:
        if self.watch is None:
            return
        try:
            self.watch.stopped(str(ticket))
        except Exception as error:  # noqa: BLE001 - told and counted; the decision stands
            self._watch_failed(error)

    def resume(self, ticket: int, call: CallAttempt, now: int) -> None:
        """A call of an earlier life of the guard goes on: it has its channels, whatever is free, and its talk will be
        added up. What it had counted is counted anew from the log. Raises StateError."""
        prepared = self._engine.prepare(call, str(ticket))
        gauges = tuple(replace(t, force=True) for t in prepared.touches if t.kind == "gauge")
        if gauges:
            self._state.touch(gauges, now)
        self._remember_sums(ticket, prepared)
        if call.direction == "inbound":
            self._inbound[ticket] = call

    def judge(self, call: CallAttempt, now: int) -> Decision:
        """What the rules say that need no counter; nothing is counted."""
        del now
        return self._engine.judge(call)

    def asked(self, call: CallAttempt, now: int) -> Decision:
        """What would be decided now, with nothing counted, taken or learned. With `held_until` the call would wait."""
        engine, watch = self._engine, self.watch
        prepared = engine.prepare(call, ASKED)
        if watch is not None and not call.emergency:
            signals = watch.asked(call, engine.price(call))
            prepared = engine.warned(prepared, signals) if signals else prepared
        ahead = len(self._queues.get(call.trunk, ())) if self._waits_behind(prepared) else 0
        try:
            readings = self._look(tuple(replace(t, take=False) for t in prepared.touches), now)
        except StateError as error:
            return self._fault(error, prepared)
        if ahead:
            readings = _behind(prepared.touches, readings, now)
        return engine.decide(prepared, readings, now, ahead=ahead)

    def _look(self, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        """Read counters for a call that is only asked about."""
        return self._state.touch(touches, now) if touches else ()

    def _touch(self, prepared: Prepared, now: int, *, take: bool = True) -> tuple[Reading, ...]:
        touches = prepared.touches
        if not take:
            touches = tuple(replace(t, take=False) for t in touches)
        return self._state.touch(touches, now)

    def _fault(self, error: StateError, prepared: Prepared, waited: int = 0) -> Decision:
        self.state_faults += 1
        call = prepared.call
        passes = self._passes or bool(call.emergency) or call.direction == "inbound"
        return self._engine.uncounted(prepared, type(error).__name__, passes=passes, waited=waited)

    def withdraw(self, ticket: int, now: int) -> Decision | None:
        """A held call gave up: its decision so far, for the record. None: it was not held."""
        trunk = self._queue_of.pop(ticket, None)
        if trunk is None:
            return None
        queue = self._queues[trunk]
        first = next(iter(queue)) == ticket
        waiting = queue.pop(ticket)
        if first and queue:  # only the first keeps looking: what the next one saw when it came is old
            next(iter(queue.values())).free_at = waiting.free_at
        self._tidy(trunk)
        self._stopped(ticket)
        return replace(waiting.seen, held_us=now - waiting.since)

    def wake(self, now: int) -> list[Taken]:
        """Held calls whose place came, or whose time is up."""
        out: list[Taken] = []
        for trunk in list(self._queues):
            queue = self._queues[trunk]
            while queue:
                waiting = next(iter(queue.values()))
                if now < waiting.free_at and now < waiting.since + self._engine.hold_us:
                    break
                decision = self._again(waiting, now, len(queue) - 1)
                if decision is None:
                    break
                del queue[waiting.ticket]
                del self._queue_of[waiting.ticket]
                out.append((waiting.ticket, decision))
                if queue:
                    next(iter(queue.values())).free_at = now  # what it saw when it came is old: it tries as well
            self._tidy(trunk)
        return out

    def _again(self, waiting: Waiting, now: int, behind: int) -> Decision | None:
        """The first of a queue tries again; None while it has to wait on."""
        prepared = waiting.prepared
        try:
            readings = self._touch(prepared, now)
        except StateError as error:
            return self._fault(error, prepared, now - waiting.since)
        return self._read_again(waiting, readings, now, behind)

    def _read_again(self, waiting: Waiting, readings: tuple[Reading, ...], now: int, behind: int) -> Decision | None:
        prepared = waiting.prepared
        # Whoever is refused now comes back behind those who wait: they are before it in its next try.
        decision = self._engine.decide(
            prepared, readings, now, waiting.since, ahead=min(behind, self._engine.max_held - 1)
        )
        if decision.held_until:
            waiting.free_at = max(_free_at(readings), now + 1)
            waiting.seen = decision
            return None
        if decision.verdict != "blocked":
            self._goes(waiting.ticket, prepared)
        else:
            self._give_back(waiting.ticket, readings, now)
        return decision

    def next_wake(self) -> int | None:
        """When `wake` wants to be called."""
        if not self._queues:
            return None
        hold = self._engine.hold_us
        heads = (next(iter(q.values())) for q in self._queues.values())
        return min(min(w.free_at, w.since + hold) for w in heads)

    def departed(self, ticket: int, now: int) -> None:
        """The set-up left for the operator: its place in the second counts from now."""
        self._pending.discard(ticket)
        self._state.departed(str(ticket), now)

    def ended(self, ticket: int, now: int, ended: CallEnded | None = None) -> tuple[Finding, ...]:
        """The call is over: what it held goes back, once, and what it talked is added up. One that never left gives
        back its place in the second, and what it counted. What detection finds now that it is over comes out."""
        ident = str(ticket)
        if ticket in self._pending:
            self._pending.discard(ticket)
            self._state.forget(ident, now)
            for queue in self._queues.values():
                next(iter(queue.values())).free_at = now
        self._state.release(ident, now)
        for key in self._sums.pop(ticket, ()):
            if ended is not None and ended.talk_us:
                self._state.used(key, ended.at, ended.talk_us)
        call = self._inbound.pop(ticket, None)
        if call is not None and ended is not None:
            for touch in self._engine.after(call, ended):
                self._state.restore(replace(touch, ident=ident))
        if ended is None and self.watch is not None:
            self.watch.lost(ident)
        return self._learned(ident, ended) if self.watch is not None and ended is not None else ()

    def _learned(self, ident: str, ended: CallEnded) -> tuple[Finding, ...]:
        if self.watch is None:
            return ()
        try:
            found = self.watch.ended(ident, ended)
            return tuple(f for f in map(self._engine.late, found) if f is not None)
        except Exception as error:  # noqa: BLE001 - told and counted: the call's own end is not to suffer
            self._watch_failed(error)
            return ()

    def _give_back(self, ticket: int, readings: tuple[Reading, ...], now: int) -> None:
        """A call that is refused uses up nothing, whichever rule refused it after its counters were read."""
        self._stopped(ticket)
        if any(r.taken for r in readings):
            self._state.forget(str(ticket), now)
            self._state.release(str(ticket), now)

    def _goes(self, ticket: int, prepared: Prepared) -> None:
        """A call that is let go: until it left, what it took can be given back; when it ends, its talk is added."""
        self._pending.add(ticket)
        self._remember_sums(ticket, prepared)

    def _remember_sums(self, ticket: int, prepared: Prepared) -> None:
        sums = tuple(t.key for t in prepared.touches if t.kind == "sum")
        if sums:
            self._sums[ticket] = sums

    def _tidy(self, trunk: str) -> None:
        if not self._queues[trunk]:
            del self._queues[trunk]


def _free_at(readings: tuple[Reading, ...]) -> int:
    """When to try again: the latest of the instants at which something that was full has room."""
    return max((r.free_at for r in readings), default=0)


def _behind(touches: tuple[Touch, ...], readings: tuple[Reading, ...], now: int) -> tuple[Reading, ...]:
    """The readings of a call that finds others waiting: the second is full for it, whatever place there is."""
    return tuple(
        replace(r, value=max(r.value, t.limit), free_at=max(r.free_at, now + 1))
        if t.kind == "window" and t.limit is not None
        else r
        for t, r in zip(touches, readings, strict=True)
    )
