"""The lines of a month, added up as they come: like lines as one position with a quantity, and sums by every grouping.

A flood of a million calls from one number is one position; what is held grows with numbers and rules, not with calls.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Final, get_args

from msgspec import Struct

from guard.ledger.lines import LedgerLine, key_of
from guard.ledger.penalties import By, Line, State

GROUPS: Final[tuple[By, ...]] = get_args(By)


class Position(Struct, kw_only=True):
    """So many lines of one unit amount (micro-euros), under one rule and article of one number; `first` is the line
    that came first of them."""

    first: LedgerLine
    quantity: int = 0
    amount: int = 0
    last_at: int = 0


class Tally:
    """Sums of lines; `zone` is where days begin."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._positions: dict[tuple[object, ...], Position] = {}
        self._by: dict[By, dict[str, Line]] = {by: {} for by in GROUPS}
        self.total = Line(key="total")

    def add(self, line: LedgerLine) -> None:
        """One more line."""
        # What stands in no class with others (a letter, an incident) is a position of its own.
        alone = line.incident or line.document
        key = (
            line.trunk,
            line.number,
            line.rule,
            line.kind,
            line.article,
            line.reading,
            line.state,
            line.amount,
            alone,
        )
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = Position(first=line)
        position.quantity += 1
        position.amount += line.amount
        position.last_at = max(position.last_at, line.at)
        accrued = line.state == "accrued"
        sums = (
            line.calls,
            1 if line.kind == "per-number" else 0,
            line.amount if accrued else 0,
            0 if accrued else line.amount,
        )
        self.total.add(*sums)
        for by, lines in self._by.items():
            name = key_of(line, by, self._zone)
            (lines.get(name) or lines.setdefault(name, Line(key=name))).add(*sums)

    def by(self, by: By) -> list[Line]:
        """The sums of a grouping, ordered by key."""
        return [line for _, line in sorted(self._by[by].items())]

    def positions(self, state: State) -> list[Position]:
        """The positions that accrued, or that were avoided: largest amount first."""
        found = [p for p in self._positions.values() if p.first.state == state]
        return sorted(found, key=lambda p: (-p.amount, p.first.at, p.first.seq))
