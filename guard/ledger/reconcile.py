"""An operator's rows held against the log: what agrees, what is billed without ground, what was never billed. Pure.

Each row is explained by at most one call and each call explains at most one row. Where several calls would do, the one
that left is taken before one that was refused: that the guard refused a call is claimed only when nothing else fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Final, Literal

from msgspec import Struct

from guard.ledger.invoice import Billed

Class = Literal["agrees", "differs", "no-breach", "refused", "unknown", "not-billed"]
CLASSES: Final[tuple[Class, ...]] = ("agrees", "differs", "no-breach", "refused", "unknown", "not-billed")
CONTESTED: Final = frozenset({"differs", "no-breach", "refused", "unknown"})
EXACT: Final = 2_000_000  # microseconds between two clocks that are set right
TOLERANCE: Final = 120_000_000  # and between two that are not, or where one writes the start and one the answer


class Kept(Struct, frozen=True, kw_only=True):
    """A call of the log as an invoice can name it; `callers` are the numbers it went by (received, presented)."""

    seq: int
    at: int
    verdict: str
    callers: tuple[str, ...]
    callee: str
    call_id: str = ""
    accrued: int = 0
    avoided: int = 0
    per_number: int = 0
    number: str = ""
    rule: str = ""

    @property
    def left(self) -> bool:
        """Whether it reached the operator."""
        return self.verdict != "blocked"


class Item(Struct, frozen=True, kw_only=True):
    """One row, or one call that no row names, with its class. `ours` is what our ledger has for it (micro-euros)."""

    kind: Class
    billed: Billed | None
    kept: Kept | None
    ours: int = 0
    per_number: bool = False
    twice: int = 0

    @property
    def contested(self) -> int:
        """What of the row is billed without ground, by our records: never less than nothing."""
        if self.billed is None or self.billed.amount is None or self.kind not in CONTESTED:
            return 0
        return max(0, self.billed.amount - (self.ours if self.kind == "differs" else 0))


def reconcile(
    rows: Sequence[Billed], calls: Iterable[Kept], *, tolerance: int = TOLERANCE, penalties: bool = True
) -> list[Item]:
    """Every row with what it is, in the order of the file, then the calls of our ledger that no row names.

    With `penalties` False the rows are calls, not penalties: then every call that left agrees.
    """
    kept = list(calls)
    wanted = {(r.caller, r.callee) for r in rows if r.callee}
    by_pair: dict[tuple[str, str], list[Kept]] = {}
    by_number: dict[str, list[Kept]] = {}
    for call in kept:
        for caller in call.callers:
            if (caller, call.callee) in wanted:
                by_pair.setdefault((caller, call.callee), []).append(call)
            by_number.setdefault(caller, []).append(call)
    numbers = _Numbers(kept, by_number)
    fixed = {r.row: numbers.item(r) for r in rows if not r.callee}
    matches = _matched([r for r in rows if r.callee], by_pair, tolerance)
    taken = {call.seq: row for row, call in sorted(matches.items(), reverse=True)}
    items = [
        fixed[r.row] if not r.callee else _of_call(r, matches.get(r.row), by_pair, taken, numbers, penalties, tolerance)
        for r in rows
    ]
    return items + _not_billed(kept, taken, numbers)


class _Numbers:
    """The penalties per calling number of our ledger, and which of them a row has billed."""

    def __init__(self, kept: Sequence[Kept], by_number: dict[str, list[Kept]]) -> None:
        self.accrued = {c.number: c for c in kept if c.per_number and c.accrued}
        self.billed: set[str] = set()
        self._calls = by_number

    def item(self, row: Billed) -> Item:
        """A row that names no called number: a penalty per calling number."""
        call = self.accrued.get(row.caller)
        if call is not None and row.caller not in self.billed:
            self.billed.add(row.caller)
            same = row.amount in {None, call.per_number}
            kind: Class = "agrees" if same else "differs"
            return Item(kind=kind, billed=row, kept=call, ours=call.per_number, per_number=True)
        known = self._calls.get(row.caller, [])
        fined = next((c for c in known if c.accrued), None)
        if call is not None or fined is not None:  # counted already, this month or before
            return Item(kind="differs", billed=row, kept=call or fined, ours=0, per_number=True)
        left = next((c for c in known if c.left), None)
        if left is not None:
            return Item(kind="no-breach", billed=row, kept=left, per_number=True)
        return Item(
            kind="refused" if known else "unknown", billed=row, kept=known[0] if known else None, per_number=True
        )


def _matched(rows: Sequence[Billed], by_pair: dict[tuple[str, str], list[Kept]], tolerance: int) -> dict[int, Kept]:
    """Which call explains which row, by the row's line."""
    groups: dict[tuple[str, str], list[Billed]] = {}
    for row in rows:
        groups.setdefault((row.caller, row.callee), []).append(row)
    out: dict[int, Kept] = {}
    used: set[int] = set()
    exact = min(EXACT, tolerance)
    for wide, left in ((exact, True), (exact, False), (tolerance, True), (tolerance, False)):
        for pair, group in groups.items():
            free = [c for c in by_pair.get(pair, ()) if c.left == left and c.seq not in used]
            open_rows = [r for r in group if r.row not in out]
            for row, call in _assigned(open_rows, free, wide):
                out[row.row] = call
                used.add(call.seq)
    return out


def _assigned(rows: Sequence[Billed], calls: Sequence[Kept], wide: int) -> list[tuple[Billed, Kept]]:
    """As many pairs as there can be: calls in order of time, each to the open row that closes first (Glover)."""
    waiting = sorted(rows, key=lambda r: r.since, reverse=True)
    opened: list[tuple[int, int, Billed]] = []
    out: list[tuple[Billed, Kept]] = []
    for call in sorted(calls, key=lambda c: c.at):
        while waiting and waiting[-1].since - wide <= call.at:
            row = waiting.pop()
            heappush(opened, (row.until + wide, row.row, row))
        while opened and opened[0][0] < call.at:
            heappop(opened)
        if opened:
            out.append((heappop(opened)[2], call))
    return out


def _of_call(
    row: Billed,
    call: Kept | None,
    by_pair: dict[tuple[str, str], list[Kept]],
    taken: dict[int, int],
    numbers: _Numbers,
    penalties: bool,
    tolerance: int,
) -> Item:
    if call is None:
        near = (
            c for c in by_pair.get((row.caller, row.callee), ())
            if row.since - tolerance <= c.at <= row.until + tolerance and c.seq in taken
        )  # fmt: skip
        other = next(near, None)
        return Item(kind="unknown", billed=row, kept=None, twice=taken[other.seq] if other else 0)
    if not call.left:
        return Item(kind="refused", billed=row, kept=call)
    if not penalties:
        return Item(kind="agrees", billed=row, kept=call, ours=call.accrued)
    if not call.accrued:
        return Item(kind="no-breach", billed=row, kept=call)
    attempt = call.accrued - call.per_number
    if row.amount == call.accrued and call.per_number and call.number not in numbers.billed:
        numbers.billed.add(call.number)
        return Item(kind="agrees", billed=row, kept=call, ours=call.accrued)
    kind: Class = "agrees" if row.amount in {None, attempt} else "differs"
    return Item(kind=kind, billed=row, kept=call, ours=attempt)


def _not_billed(kept: Sequence[Kept], taken: dict[int, int], numbers: _Numbers) -> list[Item]:
    out: list[Item] = []
    for call in kept:
        if not call.accrued:
            continue
        attempt = call.accrued - call.per_number
        if attempt and call.seq not in taken:
            out.append(Item(kind="not-billed", billed=None, kept=call, ours=attempt))
        if call.per_number and call.number not in numbers.billed:
            out.append(Item(kind="not-billed", billed=None, kept=call, ours=call.per_number, per_number=True))
    return out
