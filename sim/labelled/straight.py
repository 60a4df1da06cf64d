"""A world straight into a desk, in virtual time: no wire, no sockets, the same engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

from msgspec.structs import replace

from guard.desk import Desk
from guard.model import CallEnded, Decision, Finding
from guard.proxy.calls import REPEAT_WAIT, REPEATABLE
from sim.labelled.words import BYE_ANSWERED, Placed

Told = Callable[[Placed, CallEnded, tuple[Finding, ...]], None]


class Straight:
    """Runs placed calls through a desk. The desk's timeline is Unix time. `open` is how many calls are up.

    `told` hears of each end that detection found something at: the call, how it ended, and the findings.
    """

    def __init__(self, desk: Desk, told: Told | None = None) -> None:
        self._desk = desk
        self._told = told
        self._ends: list[tuple[int, int, CallEnded, Placed]] = []
        self._held: dict[int, Placed] = {}
        self._ticket = 0

    @property
    def open(self) -> int:
        """Calls that go on."""
        return len(self._ends)

    def run(self, calls: Iterable[Placed]) -> Iterator[tuple[Placed, Decision]]:
        """Each call with its decision, in the order of the decisions; a held one comes when its place came. All ends
        are told to the desk before this ends."""
        desk = self._desk
        for placed in calls:
            at = placed.call.at
            yield from self._until(at)
            self._ticket += 1
            taken = desk.submit(self._ticket, placed.call, at)
            if taken:
                for ticket, decision in taken:
                    yield self._decided(ticket, placed, decision, at)
            else:
                self._held[self._ticket] = placed
        yield from self._until(None)

    def _until(self, at: int | None) -> Iterator[tuple[Placed, Decision]]:
        """All that is due up to an instant (None: all), each at its own time."""
        desk, ends = self._desk, self._ends
        while True:
            wake = desk.next_wake() if self._held else None
            end = ends[0][0] if ends else None
            if wake is not None and (end is None or wake <= end):
                if at is not None and wake > at:
                    return
                for ticket, decision in desk.wake(wake):
                    yield self._decided(ticket, self._held.pop(ticket), decision, wake)
            elif end is not None and (at is None or end <= at):
                when, ticket, ended, placed = heappop(ends)
                self._over(ticket, ended, placed, when)
            else:
                return

    def _decided(self, ticket: int, placed: Placed, decision: Decision, now: int) -> tuple[Placed, Decision]:
        if decision.verdict == "blocked":
            ended = CallEnded(at=now, outcome="blocked", final_status=decision.status, by="guard")
            self._over(ticket, ended, placed, now)
            return placed, decision
        self._desk.departed(ticket, now)
        ended = placed.ended
        if now != placed.call.at:
            ended = replace(ended, at=ended.at + now - placed.call.at)
        most = decision.max_talk_us
        if most and ended.talk_us > most:
            ended = replace(ended, at=ended.at - ended.talk_us + most, talk_us=most, by="guard")
        heappush(self._ends, (ended.at + _later(ended), ticket, ended, placed))
        return placed, decision

    def _over(self, ticket: int, ended: CallEnded, placed: Placed, now: int) -> None:
        found = self._desk.ended(ticket, now, ended)
        if found and self._told is not None:
            self._told(placed, ended, found)


def _later(ended: CallEnded) -> int:
    """How long after a call's end the guard knows of it: a BYE has to be answered, and a call that was asked for
    credentials or sent elsewhere may be tried again."""
    if ended.outcome == "answered":
        return BYE_ANSWERED if ended.by != "guard" else 0
    return REPEAT_WAIT if ended.final_status in REPEATABLE else 0
