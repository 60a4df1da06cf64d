"""Between the core, the desk and the log: what is decided, when it may be revealed, and what the record says of it.

What refuses, masks or flags a call is committed before the core hears it, and so before any message can reveal it. An
allowed call goes out at once, and an emergency call is out already: neither ever waits for a disk, unless the file says
that calls rather stop than go unrecorded (`faults.store = "block"`).

A fault of one call, whichever part it comes from, stays that call's own: it is told, what is configured stands in for
what is missing, and the next call has its turn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from guard.faulty import faulty
from guard.model import SECOND, CallAttempt, CallEnded, Decision, Finding, Verdict
from guard.net.faults import FaultPolicy
from guard.proxy.effects import Decide, Ended, Stranger, Withdraw
from guard.store.contract import Writer

STRANGERS_REMEMBERED: Final = 4096  # attempts whose repetitions are known; a flood only forgets them sooner
REPEATS: Final = 32 * SECOND  # µs that a caller sends an unanswered INVITE again (RFC 3261, timer B)
STRANGERS_RECORDED: Final = 10  # records a second of calls from nowhere: evidence of a scan, not a way to fill the disk
P = ParamSpec("P")
R = TypeVar("R")
# µs, of the histogram of what the guard adds to a set-up: from what costs a decision to the longest wait for a place.
BOUNDS: Final = (250, 500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 2_500_000)
LANDED: Final = 64  # decisions shown in a row once they are on disk, some 10 ms; a commit may hold a thousand
LOST: Final = -1  # instead of a record's number: the log took nothing

COUNTERS: Final = (
    "decided", "allowed", "flagged", "masked", "blocked", "held", "faults_engine", "faults_store", "store_late",
    "unrecorded", "strangers_unrecorded", "strangers_repeated",
)  # fmt: skip


class Core(Protocol):
    """What the core hears."""

    def decided(self, ticket: int, decision: Decision, seq: int, now: int) -> None:
        """The decision on a `Decide`."""


class Desk(Protocol):
    """Where an attempt waits for its decision (guard/desk.py). `waited` is how many had to wait for a place, so far."""

    waited: int

    def submit(self, ticket: int, call: CallAttempt, now: int) -> list[tuple[int, Decision]]:
        """A new attempt: what is decided now; nothing when it is held, or its counters are being read."""

    def judge(self, call: CallAttempt, now: int) -> Decision:
        """What the rules say, with nothing counted."""

    def withdraw(self, ticket: int, now: int) -> Decision | None:
        """A held call gave up: its decision so far. None: it was not held."""

    def wake(self, now: int) -> list[tuple[int, Decision]]:
        """Held calls whose place came, or whose time is up."""

    def next_wake(self) -> int | None:
        """When `wake` wants to be called."""

    def departed(self, ticket: int, now: int) -> None:
        """The set-up left."""

    def ended(self, ticket: int, now: int, ended: CallEnded | None = None) -> tuple[Finding, ...]:
        """The call is over: what is found only now."""


class Uncommitted(Struct):
    """A decision that is on its way to the disk; `until` is when we stop waiting for it."""

    ticket: int
    decision: Decision
    seq: int
    until: int


class Verdicts:
    """Takes the core's `Decide`, `Withdraw`, `Ended` and `Stranger`. `hurry` wakes the loop from the log's thread.

    `told` hears of exceptions that only one of several calls is to suffer from; without it they are raised. `by` counts
    decisions by trunk, verdict and rule: of as many as the configuration names. `latency` counts set-ups by how long
    they took from their INVITE to its being sent on, in the classes of BOUNDS and one beyond.
    """

    def __init__(
        self,
        core: Core,
        desk: Desk,
        log: Writer,
        faults: FaultPolicy,
        counters: dict[str, int],
        hurry: Callable[[], None],
        told: Callable[[Exception], None] | None = None,
    ) -> None:
        self._core = core
        self._desk = desk
        self._log = log
        self._faults = faults
        self._counters = counters
        self._hurry = hurry
        self._told = told
        self._asked_by: Core | None = None  # who hears of calls that others set up: their tickets are negative
        self._asked: dict[int, Decide] = {}  # held: no decision yet. All tables hold at most the core's open calls
        self._seqs: dict[int, int] = {}  # decided: the record's number, 0 where there is none
        self._since: dict[int, int] = {}  # when a call came that has not left yet
        self.by: dict[tuple[str, Verdict, str], int] = {}
        self.latency = [0] * (len(BOUNDS) + 1)
        self.latency_sum = 0
        self._uncommitted: dict[int, Uncommitted] = {}
        self._deadlines: deque[tuple[int, int]] = deque()  # (until, ticket), in order: all wait equally long
        self._landed: deque[tuple[int, BaseException | None]] = deque()  # filled by the log's thread
        self._hurried = False
        self._departing: list[int] = []
        self._deciding: Decide | None = None
        self._strangers = (0, 0)  # second, records in it
        self._met: OrderedDict[tuple[str, str, str], int] = OrderedDict()  # strangers' attempts, and when

    def serve(self, others: Core) -> None:
        """Calls with negative tickets are decided for `others`, which set them up themselves."""
        self._asked_by = others

    def adopt(self, faults: FaultPolicy) -> None:
        """What becomes of faults from now on."""
        self._faults = faults

    # ---- from the core ---------------------------------------------------------------------------------------------

    def resume(self, ticket: int, seq: int) -> None:
        """A call of an earlier life of the guard goes on, with that record's number."""
        self._seqs[ticket] = seq

    def seq_of(self, ticket: int) -> int:
        """The number of a decided call's record, 0 where there is none."""
        return self._seqs.get(ticket, 0)

    def decide(self, effect: Decide, now: int) -> None:
        """A call wants a decision."""
        if effect.error:
            self._engine_failed(effect, effect.error, now)
            return
        self._deciding = effect
        if effect.again:
            decision = self._desk.judge(effect.call, now)
            self._deciding = None
            self._settle(effect, decision, now)
            return
        self._since[effect.ticket] = now
        decided = self._desk.submit(effect.ticket, effect.call, now)
        self._deciding = None
        self._asked[effect.ticket] = effect
        self._counters["held"] = self._desk.waited
        self._take_all(decided, now)

    def failed(self, error: BaseException, now: int) -> bool:
        """Something raised. If it was the decision on a call, the configured verdict stands in for it."""
        effect, self._deciding = self._deciding, None
        if effect is None:
            return False
        self._engine_failed(effect, type(error).__name__, now)
        return True

    def _engine_failed(self, effect: Decide, error: str, now: int) -> None:
        self._counters["faults_engine"] += 1
        call = effect.call  # no policy says of a fault that it refuses calls that come in
        passes = self._faults.engine == "pass" or bool(call.emergency) or call.direction == "inbound"
        self._settle(effect, faulty("engine", error, passes=passes), now)

    def withdraw(self, effect: Withdraw, now: int) -> None:
        """The caller gave up before it heard a decision."""
        self._finish(effect.ticket, effect.ended, now)

    def ended(self, effect: Ended, now: int) -> None:
        """A decided call is over."""
        self._finish(effect.ticket, effect.ended, now)

    def stranger(self, effect: Stranger, now: int) -> None:
        """A call from nowhere: nobody is answered, and only so many are recorded."""
        call = effect.call
        if call is None:
            return
        attempt = (call.source_address, call.call_id, call.from_tag)
        if now - self._met.get(attempt, now - REPEATS) < REPEATS:
            self._counters["strangers_repeated"] += 1  # nobody answers it, so it comes again
            return
        self._met[attempt] = now
        if len(self._met) > STRANGERS_REMEMBERED:
            self._met.popitem(last=False)
        second, recorded = self._strangers
        if now // SECOND != second:
            second, recorded = now // SECOND, 0
        self._strangers = (second, recorded + 1)
        if recorded >= STRANGERS_RECORDED:
            self._counters["strangers_unrecorded"] += 1
            return
        # It got no answer, whatever the rule would have answered.
        decision = replace(self._desk.judge(call, now), verdict="blocked", status=0, retry_after=0)
        seq = self._record(call, decision, None)
        if seq > 0:
            self._log.ended(seq, CallEnded(at=call.at, outcome="blocked", by="guard"))

    def forget(self, ticket: int, now: int) -> None:
        """Nobody will tell how a decided call ended: what it holds goes back, and its record stays without an end."""
        self._seqs.pop(ticket, None)
        self._since.pop(ticket, None)
        self._alone(self._desk.ended, ticket, now)

    # ---- time ------------------------------------------------------------------------------------------------------

    def next_wake(self) -> int | None:
        """When `wake` wants to be called."""
        held = self._desk.next_wake()
        if not self._deadlines:
            return held
        until = self._deadlines[0][0]
        return until if held is None or until < held else held

    def wake(self, now: int) -> None:
        """Held calls whose turn has come, and commits that take too long."""
        try:
            ready = self._desk.wake(now)
            self._counters["held"] = self._desk.waited
        except Exception as error:  # noqa: BLE001 - told; whoever waits gets what is configured instead of its turn
            self._tell(error)
            self._let_go(type(error).__name__, now)
        else:
            self._take_all(ready, now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, ticket = self._deadlines.popleft()
            waiting = self._uncommitted.get(ticket)
            if waiting is not None:
                self._counters["store_late"] += 1
                self._unsaved(waiting, now)

    def _let_go(self, error: str, now: int) -> None:
        """The desk cannot say whose turn it is: nobody shall wait for it in vain."""
        for ticket, effect in tuple(self._asked.items()):
            del self._asked[ticket]
            self._alone(self._desk.withdraw, ticket, now)
            self._alone(self._engine_failed, effect, error, now)

    def land(self, now: int) -> None:
        """What the log's thread has told since the last time."""
        self._hurried = False  # before the queue is read: what comes from now on hurries again
        for _ in range(LANDED):
            if not self._landed:
                return
            ticket, error = self._landed.popleft()
            waiting = self._uncommitted.get(ticket)
            if waiting is None:
                continue  # it was not waited for any longer
            if error is None:
                self._reveal(ticket, waiting.decision, waiting.seq, now)
            else:
                self._counters["faults_store"] += 1
                self._unsaved(waiting, now)
        if self._landed:
            self._hurry_up()

    def depart(self, clock: Callable[[], int]) -> None:
        """All that was to be sent has left: count the set-ups among it from this very instant."""
        if self._departing:
            departing, self._departing = self._departing, []
            now = clock()
            for ticket in departing:
                since = self._since.pop(ticket, None)
                if since is not None:
                    self.latency[bisect_left(BOUNDS, now - since)] += 1
                    self.latency_sum += now - since
                self._alone(self._desk.departed, ticket, now)

    # ---- one decision ----------------------------------------------------------------------------------------------

    def _take_all(self, taken: list[tuple[int, Decision]], now: int) -> None:
        for ticket, decision in taken:
            effect = self._asked.pop(ticket, None)
            if effect is not None:
                self._alone(self._settle, effect, decision, now)

    def _alone(self, what: Callable[P, R], *args: P.args, **named: P.kwargs) -> R | None:
        """Do what concerns one call: an exception is told, and stays here."""
        try:
            return what(*args, **named)
        except Exception as error:  # noqa: BLE001 - see the module
            self._tell(error)
            return None

    def _tell(self, error: Exception) -> None:
        if self._told is None:
            raise error
        self._told(error)

    def _settle(self, effect: Decide, decision: Decision, now: int) -> None:
        """Record a decision, and reveal it as soon as it may be."""
        ticket, call = effect.ticket, effect.call
        if effect.passed and decision.verdict == "blocked":
            # It is on its way already (inbound, emergency): the record must not claim that it was stopped.
            decision = replace(decision, verdict="flagged", status=0, retry_after=0)
        if effect.again and decision.verdict == "allowed":
            self._core.decided(ticket, decision, 0, now)
            return
        if not effect.again:
            self._count(call, decision)
        # What comes in is screened, and not held up: whatever it is allowed, it goes on at once.
        comes_in = call.direction == "inbound" and decision.verdict != "blocked"
        quick = effect.passed or bool(call.emergency) or comes_in
        if not quick and decision.verdict == "allowed":
            quick = self._faults.store == "pass"
        seq = self._record(call, decision, None if quick else partial(self._committed, ticket))
        if not effect.again:
            self._seqs[ticket] = max(seq, 0)
        if quick:
            self._reveal(ticket, decision, max(seq, 0), now)
            return
        if seq == LOST:
            self._unsaved(Uncommitted(ticket, decision, 0, now), now)
            return
        until = now + self._faults.wait
        self._uncommitted[ticket] = Uncommitted(ticket, decision, seq, until)
        self._deadlines.append((until, ticket))

    def _count(self, call: CallAttempt, decision: Decision) -> None:
        self._counters["decided"] += 1
        self._counters[decision.verdict] += 1
        key = call.trunk, decision.verdict, decision.rule
        self.by[key] = self.by.get(key, 0) + 1

    def _record(
        self, call: CallAttempt, decision: Decision, done: Callable[[BaseException | None], None] | None
    ) -> int:
        """The number of the record; 0 where the log is full (`done` hears of it), LOST where it raised."""
        try:
            seq = self._log.decided(call, decision, done)
        except Exception as error:  # noqa: BLE001 - told; what the file says for a failing log stands in
            self._counters["faults_store"] += 1
            self._tell(error)
            seq = LOST
        if seq <= 0:
            self._counters["unrecorded"] += 1
        return seq

    def _reveal(self, ticket: int, decision: Decision, seq: int, now: int) -> None:
        self._uncommitted.pop(ticket, None)
        if decision.verdict != "blocked" and ticket in self._seqs:
            self._departing.append(ticket)
        to = self._core if ticket > 0 or self._asked_by is None else self._asked_by
        self._alone(to.decided, ticket, decision, seq, now)

    def _unsaved(self, waiting: Uncommitted, now: int) -> None:
        """Its record is not on disk, and may never be: what the file says for that."""
        decision = waiting.decision
        if self._faults.store == "block":
            decision = faulty("store", "", passes=False)
        self._reveal(waiting.ticket, decision, waiting.seq, now)

    def _finish(self, ticket: int, ended: CallEnded, now: int) -> None:
        """A call is over, decided or not: counters go back, and the record closes."""
        self._uncommitted.pop(ticket, None)
        self._since.pop(ticket, None)
        seq = self._seqs.pop(ticket, None)
        if seq is None:
            effect = self._asked.pop(ticket, None)
            if effect is None:
                return
            # A fault is what it was where the desk does not know of it any more.
            decision = self._alone(self._desk.withdraw, ticket, now) or faulty("engine", "", passes=True)
            seq = self._record(effect.call, decision, None)
            self._count(effect.call, decision)
        else:
            late = self._alone(self._desk.ended, ticket, now, ended)
            if late:
                ended = replace(ended, findings=(*ended.findings, *late))
        if seq > 0:
            self._log.ended(seq, ended)

    def _committed(self, ticket: int, error: BaseException | None) -> None:
        """Called by the log's thread. One wake-up of the loop serves all that land before it."""
        self._landed.append((ticket, error))
        self._hurry_up()

    def _hurry_up(self) -> None:
        if not self._hurried:
            self._hurried = True
            self._hurry()
