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
from guard.store.migrations import BLOCK_BITS

FEW: Final = 2_000  # calls that an index is counted up to: a millisecond
VALUES: Final = 40  # values that a beginning may stand for, to be taken one by one in order
SORTED: Final = 20_000  # calls of more values than those, which are sorted instead: some 50 ms
WINDOWS: Final = (1_000, 5_000, 15_000)  # calls looked at, then so many more, where other filters must be asked too
CHEAP: Final = 8  # rules that may be asked for of each call; of more, fewer calls are looked at

Fetch = Callable[[str, Sequence[Value]], list[tuple[Any, ...]]]


class Found(Struct, frozen=True):
    """Calls that fit. Where the search was broken off, `beyond` is the last seq that it looked at (by falling seq, with
    `newest_first`, the lowest): there it goes on; None where it came to the end, or found as many as were asked for."""

    seqs: list[int]
    beyond: int | None


class _Lead(Struct, frozen=True):
    """Statements for seqs, each in order by an index, that together have what one filter (`name`) lets through."""

    name: str
    legs: tuple[Condition, ...]
    ordered: bool = True


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
        if not lead.ordered or not others:
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
            ((block,),) = self._fetch("SELECT min(block) FROM call_spans WHERE last_at >= ?", (query.since,))
            low = max(low, block << BLOCK_BITS) if block is not None else NO_SEQ
        if query.until is not None:
            ((block,),) = self._fetch("SELECT max(block) FROM call_spans WHERE first_at < ?", (query.until,))
            high = min(high, ((block + 1) << BLOCK_BITS) - 1) if block is not None else -1
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
        spread: list[_Lead] = []
        for lead in self._leads():
            if not lead.ordered:
                spread.append(lead)
                continue
            count = self._count(lead, FEW + 1)
            if count < fewest or best is base:
                best, fewest = lead, count
        if fewest > FEW:
            for lead in spread:
                if self._count(lead, SORTED + 1) <= SORTED:
                    return lead
        return best

    def _leads(self) -> list[_Lead]:
        """What may lead, the likely best one first: the first counts where several have very many calls."""
        query, out = self._query, []
        if query.call_id:
            out.append(_Lead("call_id", (("calls INDEXED BY calls_call_id WHERE call_id = ?", (query.call_id,)),)))
        if query.callee:
            out.append(self._column("callee", query.callee))
        if query.caller:
            out.append(self._caller(query.caller))
        if query.line:
            out.append(self._column("line", query.line))
        if self._rules:
            legs = [
                (f"{table} WHERE rule = ?", (name,)) for name in self._rules for table in ("call_rules", "late_rules")
            ]
            out.append(_Lead("rule", tuple(legs)))
        if query.verdict is not None and query.verdict != "allowed":
            leg = ("calls INDEXED BY calls_verdict WHERE verdict = ? AND verdict <> 'allowed'", (query.verdict,))
            out.append(_Lead("verdict", (leg,)))
        if query.trunk:
            out.append(self._column("trunk", query.trunk))
        return out

    def _column(self, column: str, pattern: str) -> _Lead:
        legs, ordered = self._legs(column, pattern)
        return _Lead(column, legs, ordered)

    def _caller(self, pattern: str) -> _Lead:
        """As received, and as presented where that is another number."""
        received, in_order = self._legs("caller", pattern)
        presented, as_well = self._legs("presented", pattern)
        if not (in_order and as_well):
            received, presented = (self._spread("caller", pattern),), (self._spread("presented", pattern),)
        return _Lead("caller", (*received, *presented), in_order and as_well)

    def _legs(self, column: str, pattern: str) -> tuple[tuple[Condition, ...], bool]:
        """A statement for each value of a column that fits, or one of them all where they are too many."""
        if not pattern.endswith("*"):
            return ((self._where(column, f"{column} = ?"), (pattern,)),), True
        sql, values = self._spread(column, pattern)
        least, more = f"SELECT min({column}) FROM", self._where(column, f"{column} > n.v AND {column} < ?")
        sql = (
            f"WITH RECURSIVE n(v) AS ({least} {sql} UNION ALL SELECT ({least} {more})"
            " FROM n WHERE n.v IS NOT NULL LIMIT ?) SELECT v FROM n WHERE v IS NOT NULL"
        )
        found = [row[0] for row in self._fetch(sql, (*values, values[1], VALUES + 2))]
        if len(found) > VALUES:
            return (self._spread(column, pattern),), False
        return tuple((self._where(column, f"{column} = ?"), (value,)) for value in found), True

    def _spread(self, column: str, pattern: str) -> Condition:
        condition, values = matches(column, pattern)
        return self._where(column, condition), values

    def _where(self, column: str, condition: str) -> str:
        """The calls of a column by its index: of notable ones, where only they are asked for."""
        if column == "presented":  # an index of its own kind: most calls present what was received
            notable = " AND verdict <> 'allowed'" if self._notable else ""
            return f"calls INDEXED BY calls_presented WHERE {condition} AND presented <> caller{notable}"
        if self._notable:
            return f"calls INDEXED BY notable_{column} WHERE {condition} AND verdict <> 'allowed'"
        return f"calls INDEXED BY calls_{column} WHERE {condition}"

    def _union(self, lead: _Lead, low: int, high: int) -> Condition:
        """The seqs of a lead between two seqs."""
        between = "AND seq >= ? AND seq <= ?"
        sql = " UNION ".join(f"SELECT seq FROM {where} {between}" for where, _ in lead.legs)
        return sql, tuple(v for _, values in lead.legs for v in (*values, low, high))

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
        order = "DESC" if self._falling else "ASC"
        rows = self._fetch(f"{sql} ORDER BY seq {order} LIMIT 1 OFFSET ?", (*values, count - 1))
        return int(rows[0][0]) if rows else (low if self._falling else high)

    def _found(self, lead: _Lead, others: str, values: tuple[Value, ...], low: int, high: int, limit: int) -> list[int]:
        """The first of those between two seqs that all other filters let through too."""
        if not lead.legs:
            return []
        order = "DESC" if self._falling else "ASC"
        sql, given = self._union(lead, low, high)
        if others:
            sql = f"SELECT c.seq FROM ({sql}) l CROSS JOIN calls c ON c.seq = l.seq WHERE {others}"
            return self._column_of(f"{sql} ORDER BY c.seq {order} LIMIT ?", (*given, *values, limit))
        return self._column_of(f"{sql} ORDER BY seq {order} LIMIT ?", (*given, limit))

    def _column_of(self, sql: str, values: tuple[Value, ...]) -> list[int]:
        return [row[0] for row in self._fetch(sql, values)]
