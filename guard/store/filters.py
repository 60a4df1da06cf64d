"""A `Query` as SQL: which index rows fit."""

from __future__ import annotations

from guard.store.contract import Query

PREFIX_END = "\U0010ffff"  # sorts after every character: prefix <= x < prefix + this
NO_SEQ = (1 << 63) - 1  # above every seq: SQLite's largest integer

Value = str | int | bytes
Condition = tuple[str, tuple[Value, ...]]


def select(query: Query) -> Condition:
    """The statement that finds the seqs of the calls that fit, and its values."""
    conditions = [*_place(query), *_words(query)]
    values: list[Value] = [v for _, given in conditions for v in given]
    sql = f"SELECT seq FROM calls WHERE {' AND '.join(c for c, _ in conditions) or '1'} ORDER BY seq"
    if query.newest_first or query.tail:
        sql += " DESC"
    if query.limit is not None:
        sql += " LIMIT ?"
        values.append(query.limit)
    return sql, tuple(values)


def clauses(query: Query, rules: tuple[str, ...], without: str) -> Condition:
    """What a call `c` must be beside what one filter (`without`) has let through; "" where that was all. `rules` are
    those asked for, by name. For guard/store/searching.py: where an index must not lead, none does."""
    found: list[Condition] = []
    if query.since is not None:
        found.append(("c.at >= ?", (query.since,)))
    if query.until is not None:
        found.append(("c.at < ?", (query.until,)))
    exact = (("verdict", query.verdict), ("trunk", query.trunk), ("call_id", query.call_id))
    given = [*exact, ("direction", query.direction), ("line", query.line), ("callee", query.callee)]
    found += [_whole(f"c.{name}", name, word) for name, word in given if word and name != without]
    if query.caller and without != "caller":
        (received, values), (presented, _) = matches("c.caller", query.caller), matches("c.presented", query.caller)
        found.append((f"({received} OR {presented})", (*values, *values)))
    if without in {"rule", "call_id"} and query.verdict is None and not query.all:
        found.append(("c.verdict <> 'allowed'", ()))
    if without == "rule":
        found.append(("1", ()))  # of its rows some are of ends, which are no calls: each must be looked at
    elif query.rule:
        marks = ", ".join("?" * len(rules))
        spoke = [
            f"EXISTS (SELECT 1 FROM {table} r WHERE r.rule IN ({marks}) AND r.seq = c.seq)"
            for table in ("call_rules", "late_rules")
        ]
        found.append((f"({' OR '.join(spoke)})", (*rules, *rules)))
    return " AND ".join(c for c, _ in found), tuple(v for _, values in found for v in values)


def _whole(column: str, name: str, word: str) -> Condition:
    return matches(column, word) if name in {"line", "callee"} else (f"{column} = ?", (word,))


def matches(column: str, pattern: str) -> Condition:
    """`column` is `pattern`, or begins with what stands before its `*`."""
    if pattern.endswith("*"):
        return f"{column} >= ? AND {column} < ?", (pattern[:-1], pattern[:-1] + PREFIX_END)
    return f"{column} = ?", (pattern,)


def names(column: str, table: str) -> str:
    """The statement that finds each value of an indexed column once.

    A loose index scan: one look a name, where DISTINCT would read every row.
    """
    return (
        f"WITH RECURSIVE n(name) AS (SELECT min({column}) FROM {table} UNION ALL"
        f" SELECT (SELECT min({column}) FROM {table} WHERE {column} > n.name) FROM n WHERE n.name IS NOT NULL)"
        " SELECT name FROM n WHERE name <> ''"
    )


def _place(query: Query) -> list[Condition]:
    """Where in the log, and when."""
    found: list[Condition] = []
    if query.after:
        found.append(("seq > ?", (query.after,)))
    if query.upto is not None:
        found.append(("seq <= ?", (query.upto,)))
    if query.since is not None:
        # the range of seqs first, from the index of times alone: it keeps the order that the limit needs
        condition = f"seq >= (SELECT ifnull(min(seq), {NO_SEQ}) FROM calls WHERE at >= ?) AND at >= ?"
        found.append((condition, (query.since, query.since)))
    if query.until is not None:
        found.append(("at < ?", (query.until,)))
    if query.ended is not None:
        # by the key of entries: what came last is a short range, however long the log; a second end is none
        condition = (
            "seq IN (SELECT x.call_seq FROM entries n JOIN ends x ON x.call_seq = n.call_seq AND x.seq = n.seq"
            " WHERE n.seq > ? AND n.seq <= ? AND n.kind = 'end')"
        )
        found.append((condition, query.ended))
    return found


def _words(query: Query) -> list[Condition]:
    """What the call is."""
    exact = (("verdict", query.verdict), ("trunk", query.trunk), ("call_id", query.call_id))
    found: list[Condition] = [(f"{c} = ?", (v,)) for c, v in (*exact, ("direction", query.direction)) if v]
    found += [matches(c, v) for c, v in (("line", query.line), ("callee", query.callee)) if v]
    if query.verdict != "allowed" and (query.verdict or not query.all):
        found.append(("verdict <> 'allowed'", ()))  # said beside the verdict too: partial indexes ask for it
    if query.rule:
        condition, given = matches("r.rule", query.rule)
        # What was found when a call was over stands at its end.
        found.append(
            (
                "seq IN (SELECT ifnull(e.call_seq, r.seq) FROM call_rules r JOIN entries e ON e.seq = r.seq"
                f" WHERE {condition})",
                given,
            )
        )
    if query.caller:
        caller, given = matches("caller", query.caller)
        presented, _ = matches("presented", query.caller)
        # two ranges of two indexes: with OR, SQLite would read every row
        condition = (
            f"seq IN (SELECT seq FROM calls WHERE {caller}"
            f" UNION ALL SELECT seq FROM calls WHERE {presented} AND presented <> caller)"
        )
        found.append((condition, (*given, *given)))
    return found
