"""Stand-ins for everything around `guard.net`: a core, a desk, a log and a clock that do what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from guard.model import CallAttempt, CallEnded, Decision, Finding, Verdict
from guard.net.driver import COUNTERS
from guard.net.faults import FaultPolicy
from guard.net.verdicts import Verdicts
from guard.numbering.number import NONE
from guard.proxy.effects import Decide, Effect, Flow
from guard.proxy.triage import Lot

Done = Callable[[BaseException | None], None]
SECOND = 1_000_000
PATIENCE = 10.0  # seconds until a test that waits for something has failed
ENDED = CallEnded(at=1, outcome="answered", final_status=200, by="caller")


class Broken(Exception):
    """What stand-ins raise when they are told to."""


def call(*, emergency: str = "", number: int = 1) -> CallAttempt:
    return CallAttempt(
        call_id=f"c{number}",
        from_tag="t",
        at=number,
        source="pbx",
        source_address="127.0.0.2",
        trunk="operator",
        line="200",
        callee=NONE,
        emergency=emergency,
    )


def decision(verdict: Verdict = "allowed") -> Decision:
    blocked = verdict == "blocked"
    return Decision(verdict=verdict, rule="" if verdict == "allowed" else "cli.test", status=403 if blocked else 0)


class FakeDesk:
    """Says `answer` to everybody; None holds them. `ready` is what the next wake hands out."""

    def __init__(self, answer: Decision | None = None) -> None:
        self.answer = answer
        self.error: Exception | None = None  # raised by whatever is called next, but for `withdraw`
        self.ready: list[tuple[int, Decision]] = []
        self.held: dict[int, CallAttempt] = {}
        self.waited = 0
        self.at: int | None = None
        self.departures: list[tuple[int, int]] = []
        self.over: list[int] = []
        self.judged = 0

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def submit(self, ticket: int, call: CallAttempt, now: int) -> list[tuple[int, Decision]]:
        self._raise()
        if self.answer is None:
            self.held[ticket] = call
            self.waited += 1
            return []
        return [(ticket, self.answer)]

    def judge(self, call: CallAttempt, now: int) -> Decision:
        self._raise()
        self.judged += 1
        return self.answer or decision()

    def withdraw(self, ticket: int, now: int) -> Decision | None:
        return decision("flagged") if self.held.pop(ticket, None) is not None else None

    def wake(self, now: int) -> list[tuple[int, Decision]]:
        self._raise()
        ready, self.ready = self.ready, []
        for ticket, _ in ready:
            self.held.pop(ticket, None)
        return ready

    def next_wake(self) -> int | None:
        return self.at

    def departed(self, ticket: int, now: int) -> None:
        self._raise()
        self.departures.append((ticket, now))

    def ended(self, ticket: int, now: int, ended: CallEnded | None = None) -> tuple[Finding, ...]:
        self._raise()
        self.over.append(ticket)
        return ()


class FakeLog:
    """Numbers entries; the test commits them, or says that the disk refused."""

    def __init__(self) -> None:
        self.records: list[tuple[CallAttempt, Decision]] = []
        self.waiting: list[Done] = []
        self.ends: list[tuple[int, CallEnded]] = []
        self.full = False
        self.error: Exception | None = None

    def decided(self, call: CallAttempt, decision: Decision, done: Done | None) -> int:
        if self.error is not None:
            raise self.error
        if done is not None:
            self.waiting.append(done)
        if self.full:
            return 0
        self.records.append((call, decision))
        return len(self.records)

    def ended(self, seq: int, ended: CallEnded) -> None:
        assert seq > 0, "an end of a record that is none"
        self.ends.append((seq, ended))

    def commit(self, error: Exception | None = None) -> None:
        """What the log's thread does when all that waits is on disk."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(error)

    def close(self) -> None:
        self.commit()


class FakeCore:
    """Says what it is told to say and writes down what it hears."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.counters: dict[str, int] = {}
        self.wall_offset = 0
        self.shedding = 0
        self.kind: Lot = "going"
        self.heard: list[tuple[bytes, Flow]] = []
        self.answers: list[tuple[int, Decision, int]] = []  # ticket, decision, seq
        self.failures: list[str] = []
        self.closed: list[Flow] = []
        self.losses: list[str] = []
        self.timer: int | None = None
        self.woken: list[int] = []
        self.on_receive: Callable[[bytes, Flow], None] = lambda data, flow: None
        self.on_decided: Callable[[int], None] = lambda ticket: None
        self.on_wake: Callable[[int], None] = lambda now: None
        self.on_failed: Callable[[str], None] = lambda key: None

    def lot(self, data: bytes, flow: Flow) -> Lot:
        return self.kind

    def shed(self, status: int) -> None:
        self.shedding = status

    def receive(self, data: bytes, flow: Flow, now: int) -> None:
        self.heard.append((data, flow))
        self.on_receive(data, flow)

    def decided(self, ticket: int, decision: Decision, seq: int, now: int) -> None:
        self.answers.append((ticket, decision, seq))
        self.on_decided(ticket)

    def send_failed(self, key: str, now: int) -> None:
        self.failures.append(key)
        self.on_failed(key)

    def flow_closed(self, flow: Flow, now: int) -> None:
        self.closed.append(flow)

    def lost(self, key: str, now: int) -> None:
        self.losses.append(key)

    def next_timer(self) -> int | None:
        return self.timer

    def wake(self, now: int) -> None:
        self.woken.append(now)
        self.on_wake(now)

    def verdict(self, ticket: int) -> str:
        """What the core heard of a call, "" if nothing."""
        return next((f"{d.verdict} {d.rule}".strip() for t, d, _ in self.answers if t == ticket), "")


class FakeClock:
    """Stands still until the test moves it."""

    def __init__(self, now: int = 1_000 * SECOND, wall: int = 1_800_000_000 * SECOND) -> None:
        self.at = now
        self.of_wall = wall

    def now(self) -> int:
        return self.at

    def wall(self) -> int:
        return self.of_wall


class Bench:
    """One `Verdicts` with stand-ins all around."""

    def __init__(self, answer: Decision | None = None, **faults: object) -> None:
        self.core = FakeCore()
        self.desk = FakeDesk(answer)
        self.log = FakeLog()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.told: list[Exception] = []
        self.hurries = 0
        self.now = 1_000 * SECOND
        policy = FaultPolicy(**faults)  # type: ignore[arg-type]  # the test names its fields
        self.verdicts = Verdicts(
            self.core, self.desk, self.log, policy, self.counters, self._hurry, told=self.told.append
        )

    def _hurry(self) -> None:
        self.hurries += 1

    def decide(self, ticket: int = 1, *, passed: bool = False, again: bool = False, emergency: str = "") -> None:
        """A call wants a decision; what the driver does where it raises."""
        effect = Decide(ticket, call(emergency=emergency, number=ticket), passed, again)
        try:
            self.verdicts.decide(effect, self.now)
        except Broken as error:
            self.verdicts.failed(error, self.now)

    def land(self) -> None:
        self.verdicts.land(self.now)

    def commit(self, error: Exception | None = None) -> None:
        """The disk takes all that waits, and the loop hears of it."""
        self.log.commit(error)
        self.land()

    def later(self, micros: int) -> None:
        self.now += micros
        self.verdicts.wake(self.now)

    def counted(self) -> dict[str, int]:
        return {k: v for k, v in self.counters.items() if v}


class FakeDriver:
    """What streams talk to: keeps it, and can be waited for."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.failed: asyncio.Queue[str] = asyncio.Queue()
        self.closed: asyncio.Queue[Flow] = asyncio.Queue()
        self.faults: list[Exception] = []
        self.unanswered: tuple[str, ...] = ()
        self.distrust: list[str] = []
        self.at = 1_000 * SECOND
        self.on_message: Callable[[bytes, Flow], None] = lambda data, flow: None

    def receive(self, data: bytes, flow: Flow) -> None:
        self.messages.put_nowait((data, flow))
        self.on_message(data, flow)

    def send_failed(self, key: str) -> None:
        self.failed.put_nowait(key)

    def flow_closed(self, flow: Flow, unanswered: tuple[str, ...]) -> None:
        self.closed.put_nowait(flow)
        self.unanswered += unanswered

    def distrusted(self, flow: Flow, why: str) -> None:
        self.distrust.append(why)

    def fault(self, error: Exception) -> None:
        self.faults.append(error)

    def now(self) -> int:
        return self.at
