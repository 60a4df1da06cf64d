"""The ledger counted again from the log: every call assessed anew, in the order of the log, and held against what was
written. Pure: what was first of its number is worked out here, by the same rule as the store's, with no table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush

from msgspec import Struct
from msgspec.structs import asdict, replace

from guard.ledger.late import late_stake
from guard.ledger.past import attempt_of_body, decision_of_body
from guard.ledger.penalties import Figures, Stake, assess, period_of
from guard.ledger.record import NO_MONEY, DecisionBody, EndBody, Money


class Difference(Struct, frozen=True, kw_only=True):
    """A call whose money comes out otherwise: `fields` are those that differ."""

    seq: int
    call_id: str
    trunk: str
    written: Money
    counted: Money

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of what differs."""
        counted = asdict(self.counted)
        return tuple(name for name, value in asdict(self.written).items() if counted[name] != value)


class Recount:
    """One pass over the log, oldest entry first; `figures` are those of each trunk.

    `take` takes the calls by rising seq. What was found when one was over (`ended`) counts at the place of its end:
    `late` comes before each `take`, and once more when all is taken.
    """

    def __init__(self, figures: Mapping[str, Figures]) -> None:
        self._figures = figures
        self._known: dict[tuple[str, str, str], set[str]] = {}
        self._erased: set[tuple[str, str]] = set()
        self.calls = 0
        self.accrued = self.avoided = 0
        self.unsure = 0
        self._late: list[tuple[int, int, DecisionBody, EndBody]] = []  # a heap, by the place of the end

    def erased(self, trunk: str, at: int) -> None:
        """The call that owed a penalty per number at `at` was erased: whose it was, nobody knows. Said before `take`.

        Where a number then seems to be the first of its period and was not written so, what was written is believed,
        and counted in `unsure`.
        """
        figures = self._figures.get(trunk)
        if figures is not None:
            self._erased.add((trunk, period_of(at, figures)))

    def take(self, seq: int, body: DecisionBody) -> Difference | None:
        """Count one decision; what differs, None when nothing does."""
        self.calls += 1
        return self._compared(seq, body, body.money, self._money(body))

    def ended(self, place: int, seq: int, body: DecisionBody, end: EndBody | None) -> None:
        """The end of a call, entry `place`; said before or after its `take`, but before any entry behind that place."""
        if end is not None and end.findings:
            heappush(self._late, (place, seq, body, end))

    def late(self, upto: int | None = None) -> Iterator[Difference]:
        """Count what was found at ends before entry `upto`, or all of it; what differs."""
        while self._late and (upto is None or self._late[0][0] < upto):
            _, seq, body, end = heappop(self._late)
            figures = self._figures.get(body.trunk)
            stake = late_stake(body, end.findings, figures) if figures is not None else None
            counted = NO_MONEY if stake is None else stake.money(first=self._first(body.trunk, stake))
            found = self._compared(seq, body, end.money, counted)
            if found is not None:
                yield found

    def _compared(self, seq: int, body: DecisionBody, written: Money, counted: Money) -> Difference | None:
        if counted.per_number and not written.per_number and self._may_be_erased(body):
            self.unsure += 1
            counted = self._without(counted)
        self.accrued += counted.accrued
        self.avoided += counted.avoided
        if counted == written:
            return None
        return Difference(seq=seq, call_id=body.call_id, trunk=body.trunk, written=written, counted=counted)

    def _may_be_erased(self, body: DecisionBody) -> bool:
        figures = self._figures[body.trunk]
        return (body.trunk, period_of(body.at, figures)) in self._erased

    @staticmethod
    def _without(money: Money) -> Money:
        """The same without the penalty per number."""
        accrued = money.accrued - money.per_number if money.accrued else 0
        avoided = money.avoided - money.per_number if money.avoided else 0
        return replace(money, accrued=accrued, avoided=avoided, per_number=0)

    def _money(self, body: DecisionBody) -> Money:
        figures = self._figures.get(body.trunk)
        if figures is None or not body.findings:
            return NO_MONEY
        stake = assess(attempt_of_body(body), decision_of_body(body), figures)
        return NO_MONEY if stake is None else stake.money(first=self._first(body.trunk, stake))

    def _first(self, trunk: str, stake: Stake) -> bool:
        """Once accrued, a number's penalty can no longer be avoided in its period; one avoided may still accrue."""
        if not stake.number:
            return False
        states = self._known.setdefault((trunk, stake.period, stake.number), set())
        if stake.state in states or "accrued" in states:
            return False
        states.add(stake.state)
        return True
