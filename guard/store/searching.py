"""A page of the log in the time that a person waits, however long the log and whatever the filters.

SQLite has no statistics of a log that is always written to, so which index leads is found out each time: each filter's
calls are counted up to a few thousand, and the one with the fewest leads; the others are looked at call by call, as far
as a bounded number of calls. Where that ends before the page is full, the search says so, and goes on from there when
it is asked again. Calls always come in the order of the log, and each once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from guard.store.contract import Query
from guard.store.filters import NO_SEQ, Condition, Value, clauses, matches
from guard.store.migrations import RUN_BITS

FEW: Final = 2_000  # calls that an index is counted up to: a millisecond
WINDOWS: Final = (1_000, 5_000, 15_000)  # calls looked at, then so many more, where other filters must be asked too
CHEAP: Final = 8  # rules that may be asked for of each call; of more, fewer calls are looked at

PARTED: Final = "call_runs r CROSS JOIN calls c INDEXED BY"  # an index that is parted by runs

Fetch = Callable[[str, Sequence[Value]], list[tuple[Any, ...]]]


class Found(Struct, frozen=True):
    """Calls that fit. Where the search was broken off, `beyond` is the last seq that it looked at (by falling seq, with
    `newest_first`, the lowest): there it goes on; None where it came to the end, or found as many as were asked for."""

    seqs: list[int]
    beyond: int | None


class _Lead(Struct, frozen=True):
    """Statements for seqs, each in order by an index, that together have what one filter (`name`) lets through. Where
    the indexes are `parted`, they go from run to run."""

    name: str
    legs: tuple[Condition, ...]
    parted: bool = False


class Search:
    """One search; `fetch` runs a statement, `names` are the rules that the log has."""

    def __init__(self, fetch: Fetch, query: Query, rules: Callable[[], frozenset[str]]) -> None:
        self._fetch = fetch
        self._query = query
        self._notable = query.verdict != "allowed" and (query.verdict is not None or not query.all)
        self._falling = query.newest_first or query.tail
        self._rules = self._named(rules) if query.rule else ()
        self._low, self._high = self._bounds()

    def run(self, limit: int) -> Found:
        """The first `limit` in the order asked for."""
        if limit < 1 or self._low > self._high or (self._query.rule and not self._rules):
            return Found([], None)
        lead = self._lead()
        others, values = clauses(self._query, self._rules, lead.name)
        low, high = self._low, self._high
        if not others:
            return Found(self._found(lead, others, values, low, high, limit), None)
        seqs: list[int] = []
        weight = max(1, len(self._rules) // CHEAP) if lead.name != "rule" else 1
        for window in WINDOWS:
            border = self._border(lead, low, high, max(1, window // weight))
            first, last = (border, high) if self._falling else (low, border)
            seqs += self._found(lead, others, values, first, last, limit - len(seqs))
            if len(seqs) == limit or border == (low if self._falling else high):
                return Found(seqs, None)
            low, high = (low, border - 1) if self._falling else (border + 1, high)
        return Found(seqs, border)

    def _bounds(self) -> tuple[int, int]:
        """The lowest and the highest seq that can fit; times are bounded by runs of entries only."""
        query = self._query
        low, high = query.after + 1, NO_SEQ - 1 if query.upto is None else query.upto
        if query.since is not None:
            ((run,),) = self._fetch("SELECT min(run) FROM call_runs WHERE last_at >= ?", (query.since,))
            low = max(low, run << RUN_BITS) if run is not None else NO_SEQ
        if query.until is not None:
            ((run,),) = self._fetch("SELECT max(run) FROM call_runs WHERE first_at < ?", (query.until,))
            high = min(high, ((run + 1) << RUN_BITS) - 1) if run is not None else -1
        return max(low, 0), high

    def _named(self, rules: Callable[[], frozenset[str]]) -> tuple[str, ...]:
        """The rules that are asked for, of those that spoke."""
        wanted = self._query.rule
        if not wanted.endswith("*"):
            return (wanted,)
        return tuple(sorted(name for name in rules() if name.startswith(wanted[:-1])))

    def _lead(self) -> _Lead:
        """What leads: of the filters given the one with the fewest calls, else the log itself."""
        where = "INDEXED BY calls_notable WHERE verdict <> 'allowed'" if self._notable else "NOT INDEXED WHERE 1"
        base = _Lead("", ((f"calls {where}", ()),))
        best, fewest = base, FEW + 1
        for lead in self._leads():
            count = self._count(lead, FEW + 1)
            if count < fewest or best is base:
                best, fewest = lead, count
        return best

    def _leads(self) -> list[_Lead]:
        """What may lead, the likely best one first: the first counts where several have very many calls."""
        query, out = self._query, []
        if query.call_id:
            leg = (f"{PARTED} calls_call_id WHERE c.run = r.run AND c.call_id = ?", (query.call_id,))
            out.append(_Lead("call_id", (leg,), parted=True))
        if query.callee:
            out.append(self._column("callee", query.callee))
        if query.caller:
            # as received, and as presented where that is another number
            legs = (self._leg("caller", query.caller), self._leg("presented", query.caller))
            out.append(_Lead("caller", legs, parted=True))
        if query.line:
            out.append(self._column("line", query.line))
        if self._rules:
            tables = ("call_rules", "late_rules")
            spoke = [(f"{table} WHERE rule = ?", (name,)) for name in self._rules for table in tables]
            out.append(_Lead("rule", tuple(spoke)))
        if query.verdict is not None and query.verdict != "allowed":
            leg = ("calls INDEXED BY calls_verdict WHERE verdict = ? AND verdict <> 'allowed'", (query.verdict,))
            out.append(_Lead("verdict", (leg,)))
        if query.trunk:
            index, notable = ("notable_trunk", " AND verdict <> 'allowed'") if self._notable else ("calls_trunk", "")
            out.append(_Lead("trunk", ((f"calls INDEXED BY {index} WHERE trunk = ?{notable}", (query.trunk,)),)))
        return out

    def _column(self, column: str, pattern: str) -> _Lead:
        return _Lead(column, (self._leg(column, pattern),), parted=True)

    def _leg(self, column: str, pattern: str) -> Condition:
        """The calls of a column by its index: of notable ones, where only they are asked for."""
        condition, values = matches(f"c.{column}", pattern)
        index = f"calls_{column}"
        if column == "presented":  # an index of its own kind: most calls present what was received
            condition += " AND c.presented <> c.caller"
        elif self._notable:
            index = f"notable_{column}"
        if self._notable:
            condition += " AND c.verdict <> 'allowed'"
        return f"{PARTED} {index} WHERE c.run = r.run AND {condition}", values

    def _union(self, lead: _Lead, low: int, high: int) -> Condition:
        """The seqs of a lead between two seqs, behind their runs where it goes by them."""
        what, between = "seq", "AND seq >= ? AND seq <= ?"
        bounds: tuple[int, ...] = (low, high)
        if lead.parted:
            what, between = "r.run AS run, c.seq AS seq", "AND c.seq >= ? AND c.seq <= ? AND r.run >= ? AND r.run <= ?"
            bounds = (low, high, low >> RUN_BITS, high >> RUN_BITS)
        sql = " UNION ".join(f"SELECT {what} FROM {where} {between}" for where, _ in lead.legs)
        return sql, tuple(v for _, values in lead.legs for v in (*values, *bounds))

    def _order(self, lead: _Lead) -> str:
        way = "DESC" if self._falling else "ASC"
        return f"ORDER BY run {way}, seq {way}" if lead.parted else f"ORDER BY seq {way}"

    def _count(self, lead: _Lead, most: int) -> int:
        if not lead.legs:
            return 0
        sql, values = self._union(lead, self._low, self._high)
        sql = sql.replace(" UNION ", " UNION ALL ")
        ((count,),) = self._fetch(f"SELECT count(*) FROM ({sql} LIMIT ?)", (*values, most))
        return int(count)

    def _border(self, lead: _Lead, low: int, high: int, count: int) -> int:
        """The seq of the `count`th call that leads, in the order asked for; the far bound where there are fewer."""
        if not lead.legs:
            return low if self._falling else high
        sql, values = self._union(lead, low, high)
        rows = self._fetch(f"{sql} {self._order(lead)} LIMIT 1 OFFSET ?", (*values, count - 1))
        return int(rows[0][-1]) if rows else (low if self._falling else high)

    def _found(self, lead: _Lead, others: str, values: tuple[Value, ...], low: int, high: int, limit: int) -> list[int]:
        """The first of those between two seqs that all other filters let through too."""
        if not lead.legs:
            return []
        sql, given = self._union(lead, low, high)
        if others:
            way = "DESC" if self._falling else "ASC"
            sql = f"SELECT c.seq FROM ({sql}) l CROSS JOIN calls c ON c.seq = l.seq WHERE {others} ORDER BY c.seq {way}"
            rows = self._fetch(f"{sql} LIMIT ?", (*given, *values, limit))
        else:
            rows = self._fetch(f"{sql} {self._order(lead)} LIMIT ?", (*given, limit))
        return [row[-1] for row in rows]
