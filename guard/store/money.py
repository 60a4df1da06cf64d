"""What the ledger asks of the log: the calls of a month that cost, and all of them as an operator may bill them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from guard.ledger.lines import LedgerLine, lines_of
from guard.ledger.penalties import ORIGIN
from guard.ledger.reconcile import Kept
from guard.store.reader import PAGE, Detail, SqliteReader

_RULES = ", ".join("?" * len(ORIGIN))
_FOREIGN = f"call_rules r JOIN calls c ON c.seq = r.seq WHERE r.rule IN ({_RULES}) AND c.at >= ? AND c.at < ?"
_COSTLY = f"SELECT seq FROM exposures WHERE at >= ? AND at < ? UNION SELECT c.seq FROM {_FOREIGN} ORDER BY seq"
_ORIGIN_ONLY = f"SELECT DISTINCT c.seq FROM {_FOREIGN} ORDER BY c.seq"


def costly(reader: SqliteReader, since: int, until: int) -> Iterator[Detail]:
    """Calls from `since` until before `until` (µs) that cost or would have cost, by rising seq."""
    found: array[int] = array("q")
    found.extend(row[0] for row in reader.fetch(_COSTLY, (since, until, *ORIGIN, since, until)))
    return reader.of(found)


def month_lines(reader: SqliteReader, since: int, until: int) -> Iterator[LedgerLine]:
    """The lines of these calls; penalties that were put off are still among them (`lines.put_off`)."""
    for detail in costly(reader, since, until):
        yield from lines_of(detail.record.seq, detail.body, detail.end)


def ledger_lines(reader: SqliteReader, since: int, until: int) -> Iterator[LedgerLine]:
    """The ledger of one billing month: these lines without the penalties that were only put off, one by one."""
    sql = "SELECT DISTINCT trunk, number FROM exposures WHERE at >= ? AND at < ? AND per_number > 0 AND accrued > 0"
    accrued = set(reader.fetch(sql, (since, until)))
    for line in month_lines(reader, since, until):
        if line.kind != "per-number" or line.state == "accrued" or (line.trunk, line.number) not in accrued:
            yield line


def surcharges(reader: SqliteReader, since: int, until: int) -> Iterator[LedgerLine]:
    """Only the lines of the tariff of undetermined origin: few calls, so that sums need not read every body."""
    found: array[int] = array("q")
    found.extend(row[0] for row in reader.fetch(_ORIGIN_ONLY, (*ORIGIN, since, until)))
    for detail in reader.of(found):
        yield from (
            one for one in lines_of(detail.record.seq, detail.body, detail.end) if one.kind == "undetermined-origin"
        )


def kept_calls(reader: SqliteReader, since: int, until: int, trunk: str) -> Iterator[Kept]:
    """Every call of a trunk in that time, as far as an invoice can name it. No body is read."""
    after = 0
    sql = (
        "SELECT c.seq, c.at, c.verdict, c.caller, c.presented, c.callee, c.call_id, x.accrued, x.avoided, x.per_number,"
        " x.number, x.fined_rule FROM calls c LEFT JOIN exposures x ON x.seq = c.seq"
        " WHERE c.at >= ? AND c.at < ? AND c.trunk = ? AND c.direction = 'outbound' AND c.seq > ?"
        " ORDER BY c.seq LIMIT ?"
    )
    while rows := reader.fetch(sql, (since, until, trunk, after, PAGE)):
        after = rows[-1][0]
        for seq, at, verdict, caller, presented, callee, call_id, accrued, avoided, per_number, number, rule in rows:
            yield Kept(
                seq=seq,
                at=at,
                verdict=verdict,
                callers=_callers(verdict, presented, caller),
                callee=callee,
                call_id=call_id,
                accrued=accrued or 0,
                avoided=avoided or 0,
                per_number=per_number or 0,
                number=number or "",
                rule=rule or "",
            )


def _callers(verdict: str, presented: str, caller: str) -> tuple[str, ...]:
    """The numbers that an operator may bill a call under: as sent on ("" where it went out without), as received."""
    if verdict == "blocked":
        return (caller,)
    return tuple(dict.fromkeys((presented, caller)))
