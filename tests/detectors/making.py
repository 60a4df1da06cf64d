"""What tests of detection share: calls in virtual time into a watch, and patterns of one clause."""

from __future__ import annotations

from typing import Final

from guard.detectors.measure import Found, Ready, View, holds
from guard.detectors.recent import OPEN, Past
from guard.detectors.subject import Subject, mark
from guard.detectors.watch import Watch
from guard.detectors.words import DAY, FREE, HOUR, Clause, Evidence, Pattern, Per, Price, Signal
from guard.model import SECOND, CallAttempt, CallEnded, Direction, Outcome
from guard.numbering.number import Dial, normalise

START: Final = 1_795_251_600_000_000  # 2026-11-21T10:00 in Paris, µs of Unix time: a Saturday
MINUTE: Final = 60 * SECOND
FOREVER: Final = 1 << 62
DEAR: Final = Price(cents_per_minute=150, dear=True, costly=True)
SVA: Final = Price(cents_per_minute=80, sva=True, costly=True)
CHEAP: Final = Price(cents_per_minute=20, sva=True)


def pattern(
    clause: Clause,
    rule: str = "traffic.x",
    *,
    certain: bool = True,
    per: tuple[Per, ...] = ("line",),
    hold: int = HOUR,
    quarantine: int = 0,
    trial: bool = False,
    usages: tuple[str, ...] = (),
    but: tuple[str, ...] = (),
    since: int = 0,
    until: int = FOREVER,
) -> Pattern:
    """A pattern of one clause."""
    return Pattern(
        rule=rule, certain=certain, per=per, clauses=(clause,), hold=hold, quarantine=quarantine,
        trial=trial, usages=usages, but=but, since=since, until=until,
    )  # fmt: skip


def number(written: str) -> str:
    """As it stands in E.164."""
    return normalise(written, Dial()).value


class Town:
    """Calls of a town, in the order of time, into one watch. `now` is the town's clock (µs of Unix time)."""

    def __init__(self, *patterns: Pattern, most: int = 10_000) -> None:
        self.watch = Watch(patterns, most)
        self.now = START
        self._tickets = 0

    def later(self, seconds: float) -> None:
        """Time goes by."""
        self.now += round(seconds * SECOND)

    def attempt(
        self,
        callee: str = "0199000001",
        *,
        caller: str = "0145678900",
        line: str = "200",
        price: Price = FREE,
        closed: bool = False,
        usage: tuple[str, ...] = ("human",),
        address: str = "192.0.2.1",
        agent: str = "phone",
        direction: Direction = "outbound",
        trunk: str = "operator",
    ) -> tuple[str, tuple[Signal, ...]]:
        """A set-up: the ticket by which it ends, and what the watch says of it."""
        self._tickets += 1
        ticket = f"t{self._tickets}"
        call = CallAttempt(
            call_id=ticket, from_tag="x", at=self.now, source="pbx", source_address=address, trunk=trunk, line=line,
            callee=normalise(callee, Dial()), caller=normalise(caller, Dial()), direction=direction,
            usage=usage, user_agent=agent,  # type: ignore[arg-type]  # words of tests
        )  # fmt: skip
        return ticket, self.watch.attempt(ticket, call, price, closed=closed)

    def end(
        self,
        ticket: str,
        outcome: Outcome = "answered",
        *,
        talk: float = 0,
        ring: float = 0,
        status: int = 0,
        by: str = "",
    ) -> tuple[Evidence, ...]:  # fmt: skip
        """A call ends now. Times in seconds."""
        ended = CallEnded(
            at=self.now, outcome=outcome, ring_us=round(ring * SECOND), talk_us=round(talk * SECOND),
            final_status=status, by=by,  # type: ignore[arg-type]  # words of tests
        )  # fmt: skip
        return self.watch.ended(ticket, ended)

    def rings(self, callee: str, seconds: float = 2, **more: str) -> tuple[tuple[Signal, ...], tuple[Evidence, ...]]:
        """A call that its caller gives up after ringing so long."""
        ticket, signals = self.attempt(callee, **more)  # type: ignore[arg-type]
        self.later(seconds)
        return signals, self.end(ticket, "cancelled", ring=seconds, by="caller")

    def talks(self, callee: str, seconds: float = 60, **more: object) -> tuple[Signal, ...]:
        """A call that is answered."""
        ticket, signals = self.attempt(callee, **more)  # type: ignore[arg-type]
        self.later(seconds)
        self.end(ticket, "answered", talk=seconds, by="caller")
        return signals

    def comes_in(self, caller: str, callee: str = "0145678900", trunk: str = "operator") -> None:
        """A call from outside."""
        self.attempt(callee, caller=caller, direction="inbound", line="", trunk=trunk)


def rules(signals: tuple[Signal, ...]) -> list[tuple[str, str]]:
    """Who says what."""
    return [(s.evidence.rule, s.says) for s in signals]


# ---- without a watch -------------------------------------------------------------------------------------------------


def past(
    ago: float = 0, callee: int = 1, *, caller: str = "a", marks: int = 0, outcome: int = OPEN, cents: int = 0,
    fee: int = 0, talk: int = 0,
) -> Past:  # fmt: skip
    """A call so many seconds before START."""
    at = START - round(ago * SECOND)
    return Past(at, callee, mark(caller) & 0xFFFF, marks, outcome, cents, fee, talk)


def subject(*calls: Past, since: int = START - 40 * DAY) -> Subject:
    """One that placed these calls, in this order."""
    found = Subject(since)
    for one in calls:
        found.called(one)
    return found


def held(clause: Clause, one: Subject, now: int = START, other: Subject | None = None) -> Found | None:
    """What a clause finds in a subject."""
    return holds(Ready(clause), View(one, other or one, now))
