"""The ledger counted again from the log: every call assessed anew, in the order of the log, and held against what was
written. Pure: what was first of its number is worked out here, by the same rule as the store's, with no table."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import asdict, replace

from guard.ledger.past import attempt_of_body
from guard.ledger.penalties import Figures, Stake, assess, period_of
from guard.ledger.record import NO_MONEY, DecisionBody, Money
from guard.model import Decision, Finding


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
    """One pass over the log, oldest entry first; `figures` are those of each trunk."""

    def __init__(self, figures: Mapping[str, Figures]) -> None:
        self._figures = figures
        self._known: dict[tuple[str, str, str], set[str]] = {}
        self._erased: set[tuple[str, str]] = set()
        self.calls = 0
        self.accrued = self.avoided = 0
        self.unsure = 0

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
        counted = self._money(body)
        if counted.per_number and not body.money.per_number and self._may_be_erased(body):
            self.unsure += 1
            counted = self._without(counted)
        self.accrued += counted.accrued
        self.avoided += counted.avoided
        if counted == body.money:
            return None
        return Difference(seq=seq, call_id=body.call_id, trunk=body.trunk, written=body.money, counted=counted)

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


def decision_of_body(body: DecisionBody) -> Decision:
    """The decision that was kept, as far as money asks for it."""
    return Decision(
        verdict=body.verdict,
        findings=tuple(
            Finding(rule=f.rule, action=f.action, article=f.article, text=f.text, facts=f.facts, mode=f.mode)
            for f in body.findings
        ),
        rule=body.rule,
        status=body.status,
        presented=body.presented,
        masked=body.masked,
        masked_numbers=body.masked_numbers,
        held_us=body.held_us,
        held_until=1 if body.withdrawn else 0,
        policy=body.policy,
    )
