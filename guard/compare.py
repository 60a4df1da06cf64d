"""What another policy would have decided: past calls of a log or a capture, judged by two policies."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from guard.engine import Engine
from guard.ledger.past import attempt_of_body
from guard.ledger.record import DecisionBody, shown
from guard.model import CallAttempt, CallEnded, Decision, Verdict
from guard.numbering.number import Dial
from guard.sources import Source

EXAMPLES: Final = 3  # calls shown of each kind of change
PLAIN: Final = Dial()


class Side(Struct, frozen=True, order=True):
    """What one policy decides: the verdict, the rule that decided ("": none did), and what it answered or showed in
    place of the caller's number. `verdict` is "" where it never saw such a call."""

    verdict: Verdict | str
    rule: str = ""
    status: int = 0
    presented: str = ""


class Example(Struct, frozen=True):
    """One of the calls, `at` in µs of Unix time."""

    at: int
    call_id: str
    caller: str
    callee: str


class Change(Struct):
    """One kind of change: how many calls, and the first of them."""

    before: Side
    after: Side
    calls: int = 0
    examples: list[Example] = []


class Differences:
    """Counts what two policies decide of the same calls."""

    def __init__(self) -> None:
        self.judged = 0
        self._changes: dict[tuple[Side, Side], Change] = {}

    def add(self, example: Example, before: Side, after: Side) -> None:
        """One call."""
        self.judged += 1
        if before == after:
            return
        key = (_kind(before), _kind(after))
        change = self._changes.get(key)
        if change is None:
            change = self._changes[key] = Change(before=key[0], after=key[1])
        change.calls += 1
        if len(change.examples) < EXAMPLES:
            change.examples.append(example)

    @property
    def changed(self) -> int:
        """How many calls would be decided otherwise."""
        return sum(change.calls for change in self._changes.values())

    @property
    def changes(self) -> list[Change]:
        """Each kind of change, those of most calls first."""
        return sorted(self._changes.values(), key=lambda c: (-c.calls, c.before, c.after))


def _kind(side: Side) -> Side:
    """What calls are counted together by: without the number shown, which may differ from call to call."""
    return Side(side.verdict, side.rule, side.status)


def side_of(decision: Decision) -> Side:
    """What a decision comes to."""
    masked = decision.presented if decision.masked else ""
    return Side(decision.verdict, decision.rule, decision.status, masked)


# ---- a log -----------------------------------------------------------------------------------------------------------


class Judges:
    """Two policies that judge calls of a log. Nothing is counted: limits, rates and quotas say nothing."""

    def __init__(self, before: Engine, after: Engine, sources: Iterable[Source]) -> None:
        self._before = before
        self._after = after
        self._dials = {source.name: source.dial for source in sources}
        self.found = Differences()

    def add(self, body: DecisionBody, example: Callable[[], Example]) -> None:
        """One call of the log. Emergency calls are no policy's to decide, and always pass."""
        call = attempt_of_body(body, self._dials.get(body.source, PLAIN))
        before, after = side_of(self._before.judge(call)), side_of(self._after.judge(call))
        self.found.add(example() if before != after else _UNSEEN, before, after)


_UNSEEN: Final = Example(0, "", "", "")


# ---- a capture -------------------------------------------------------------------------------------------------------


class Sink:
    """The log of one of two replays: it keeps of each decision what has no counterpart yet."""

    def __init__(self, pairs: Pairs, first: bool) -> None:
        self._pairs = pairs
        self._first = first
        self._seq = 0

    def decided(
        self, call: CallAttempt, decision: Decision, done: Callable[[BaseException | None], None] | None
    ) -> int:
        """See `store.contract.Writer`."""
        if done is not None:
            done(None)
        self._pairs.add(call, side_of(decision), first=self._first)
        self._seq += 1
        return self._seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        """See `store.contract.Writer`."""

    def close(self) -> None:
        """See `store.contract.Writer`."""


class Pairs:
    """Decisions of two replays of one capture, brought together call by call: a call may be decided at another time by
    each, since one may hold it."""

    def __init__(self) -> None:
        self.found = Differences()
        self.before = Sink(self, first=True)
        self.after = Sink(self, first=False)
        self._open: dict[tuple[str, str], deque[tuple[bool, Example, Side]]] = defaultdict(deque)

    def add(self, call: CallAttempt, side: Side, *, first: bool) -> None:
        """A decision of one side."""
        key = (call.call_id, call.from_tag)
        waiting = self._open[key]
        example = Example(call.at, call.call_id, shown(call.caller), shown(call.callee))
        if waiting and waiting[0][0] is not first:
            _, _, other = waiting.popleft()
            self.found.add(example, *((side, other) if first else (other, side)))
            if not waiting:
                del self._open[key]
        else:
            waiting.append((first, example, side))

    def finish(self) -> Differences:
        """Both replays are over: what only one of them decided is a change as well."""
        for waiting in self._open.values():
            for first, example, side in waiting:
                self.found.add(example, *((side, Side("")) if first else (Side(""), side)))
        self._open.clear()
        return self.found
