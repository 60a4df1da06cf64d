"""What the ledger asks of the log: the calls of a month that cost, and all of them as an operator may bill them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import starmap

from msgspec import Struct
from msgspec.structs import replace

from guard.ledger.lines import LedgerLine, lines_of
from guard.ledger.penalties import ORIGIN
from guard.ledger.reconcile import Kept
from guard.store.migrations import RUN_BITS
from guard.store.reader import PAGE, SqliteReader

_RULES = ", ".join("?" * len(ORIGIN))
_FOREIGN = f"call_rules r JOIN calls c ON c.seq = r.seq WHERE r.rule IN ({_RULES}) AND c.at >= ? AND c.at < ?"
# What was found when a call was over stands at its end; here both are one call.
_COSTLY = (
    "SELECT ifnull(e.call_seq, x.seq), x.seq FROM exposures x JOIN entries e ON e.seq = x.seq"
    f" WHERE x.at >= ? AND x.at < ? UNION SELECT c.seq, c.seq FROM {_FOREIGN} ORDER BY 1"
)
# Most calls of another country have no such tariff: bodies say so, and few need be read here.
_ORIGIN_ONLY = (
    f"SELECT DISTINCT c.seq FROM {_FOREIGN} AND EXISTS (SELECT 1 FROM entries d WHERE d.seq = c.seq"
    " AND json_extract(d.body, '$.money.origin_rate') > 0) ORDER BY c.seq"
)


def month_lines(reader: SqliteReader, since: int, until: int) -> Iterator[LedgerLine]:
    """The lines of the calls from `since` until before `until` (µs), by rising seq; penalties that were put off are
    still among them. Of a call whose record was erased the sums stay, without what it said."""
    found: array[int] = array("q")
    late: dict[int, int] = {}  # calls whose sums stand at their end, and where
    for seq, place in reader.fetch(_COSTLY, (since, until, *ORIGIN, since, until)):
        if not found or found[-1] != seq:
            found.append(seq)
        if place != seq:
            late[seq] = place
    for start in range(0, len(found), PAGE):
        seqs = found[start : start + PAGE]
        kept = {detail.record.seq: detail for detail in reader.of(seqs)}
        gone = [late.get(seq, seq) for seq in seqs if seq not in kept]
        erased = _erased(reader, gone) if gone else {}
        for seq in seqs:
            if seq in kept:
                yield from lines_of(seq, kept[seq].body, kept[seq].end)
            else:
                yield from erased.get(late.get(seq, seq), ())
    yield from _erased_surcharges(reader, since, until)


def _erased(reader: SqliteReader, seqs: list[int]) -> dict[int, list[LedgerLine]]:
    """The lines of calls that are known by their sums only."""
    marks = ", ".join("?" * len(seqs))
    rows = reader.fetch(f"SELECT seq, article FROM erased_money WHERE seq IN ({marks})", seqs) if _has(reader) else []
    articles: dict[int, str] = dict(rows)
    sql = (
        "SELECT seq, at, trunk, number, fined_rule, accrued, avoided, per_number, contract, reading FROM exposures"
        f" WHERE seq IN ({marks})"
    )
    out: dict[int, list[LedgerLine]] = {}
    for seq, at, trunk, number, rule, accrued, avoided, per_number, contract, reading in reader.fetch(sql, seqs):
        first = LedgerLine(
            at=at,
            kind="per-attempt",
            state="accrued" if accrued else "avoided",
            amount=accrued + avoided - per_number,
            trunk=trunk,
            number=number,
            rule=rule,
            contract=contract,
            article=articles.get(seq, ""),
            reading=reading,
            seq=seq,
            calls=1,
        )
        out[seq] = [first]
        if per_number:
            out[seq].append(replace(first, kind="per-number", amount=per_number, calls=0))
    return out


def _erased_surcharges(reader: SqliteReader, since: int, until: int) -> Iterator[LedgerLine]:
    """The tariff of undetermined origin of calls that were erased."""
    sql = (
        "SELECT seq, at, trunk, rule, contract, reading, origin_article, origin, calls FROM erased_money"
        " WHERE at >= ? AND at < ? AND origin > 0 ORDER BY seq"
    )
    for seq, at, trunk, rule, contract, reading, article, origin, calls in (
        reader.fetch(sql, (since, until)) if _has(reader) else ()
    ):
        yield LedgerLine(
            at=at,
            kind="undetermined-origin",
            state="accrued",
            amount=origin,
            trunk=trunk,
            rule=rule,
            contract=contract,
            article=article,
            reading=reading,
            seq=seq,
            calls=calls,
        )


def _has(reader: SqliteReader) -> bool:
    """Whether the log keeps what bodies said of money: one of an older guard does not."""
    return reader.has("erased_money")


def fined_and_erased(reader: SqliteReader) -> list[tuple[str, int]]:
    """Trunk and instant of each penalty per calling number whose call was erased."""
    sql = (
        "SELECT x.trunk, x.at FROM exposures x JOIN entries e ON e.seq = x.seq"
        " WHERE x.per_number > 0 AND e.body IS NULL"
    )
    return [(trunk, at) for trunk, at in reader.fetch(sql)]


def erased_sums(reader: SqliteReader, since: int, until: int) -> tuple[int, int, int]:
    """Of the calls of that time that were erased: how many cost, and what accrued and was avoided, as it was written;
    penalties that were put off are in it."""
    sql = (
        "SELECT count(DISTINCT ifnull(e.call_seq, x.seq)), sum(x.accrued), sum(x.avoided) FROM exposures x"
        " JOIN entries e ON e.seq = x.seq WHERE x.at >= ? AND x.at < ? AND e.body IS NULL"
    )
    rows = reader.fetch(sql, (since, until))
    calls, accrued, avoided = rows[0] if rows else (0, 0, 0)
    origins = list(_erased_surcharges(reader, since, until))
    calls += sum(line.calls for line in origins)
    return calls, (accrued or 0) + sum(line.amount for line in origins), avoided or 0


def erased_decisions(reader: SqliteReader, since: int, until: int) -> int:
    """How many decisions of that time were erased: of these nobody can say any more what they were."""
    sql = "SELECT count(*) FROM entries WHERE kind = 'decision' AND body IS NULL AND at >= ? AND at < ?"
    rows = reader.fetch(sql, (since, until))
    return int(rows[0][0]) if rows else 0


def ledger_lines(reader: SqliteReader, since: int, until: int) -> Iterator[LedgerLine]:
    """The ledger of one billing month: these lines without the penalties that were only put off, one by one."""
    numbers = [x for x in reader.exposures(since, until) if x.per_number]
    accrued = {(x.trunk, x.number) for x in numbers if x.accrued}
    # A number stands under its token where some of its calls were erased, and in bodies as it was.
    put_off = {x.seq for x in numbers if not x.accrued and (x.trunk, x.number) in accrued}
    for line in month_lines(reader, since, until):
        if line.kind != "per-number" or line.state == "accrued" or line.seq not in put_off:
            yield line


def surcharges(reader: SqliteReader, since: int, until: int) -> Iterator[LedgerLine]:
    """Only the lines of the tariff of undetermined origin: few calls, so that sums need not read every body."""
    found: array[int] = array("q")
    found.extend(row[0] for row in reader.fetch(_ORIGIN_ONLY, (*ORIGIN, since, until)))
    for detail in reader.of(found):
        yield from (
            one for one in lines_of(detail.record.seq, detail.body, detail.end) if one.kind == "undetermined-origin"
        )
    yield from _erased_surcharges(reader, since, until)


def kept_calls(reader: SqliteReader, since: int, until: int, trunk: str) -> Iterator[Kept]:
    """Every call of a trunk in that time, as far as an invoice can name it. No body is read."""
    after = 0
    sql = (
        "SELECT c.seq, c.at, c.verdict, c.caller, c.presented, c.callee, c.call_id,"
        " ifnull(x.accrued, y.accrued), x.avoided, ifnull(x.per_number, y.per_number), ifnull(x.number, y.number),"
        " ifnull(x.fined_rule, y.fined_rule) FROM calls c LEFT JOIN exposures x ON x.seq = c.seq"
        " LEFT JOIN ends n ON n.call_seq = c.seq LEFT JOIN exposures y ON y.seq = n.seq"
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


def accrued_since(reader: SqliteReader, since: int, after: int) -> list[tuple[int, int, int]]:
    """Place, instant and accrued sum of the next calls after entry `after` that accrued, from `since` on: one page."""
    sql = "SELECT seq, at, accrued FROM exposures WHERE seq > ? AND at >= ? AND accrued > 0 ORDER BY seq LIMIT ?"
    return [(seq, at, accrued) for seq, at, accrued in reader.fetch(sql, (after, since, PAGE))]


class Breach(Struct, frozen=True):
    """A call that an incident may be opened of; `number` is the one that the breach is of, "" where there is none."""

    seq: int
    at: int
    trunk: str
    line: str
    number: str
    rule: str
    reached: bool  # SQLite has 0 and 1


def before(reader: SqliteReader, since: int) -> int:
    """The entry before the first call from `since` on (Unix time, µs); the last one where there is no such call."""
    low = 0
    if reader.parted():
        rows = reader.fetch("SELECT min(run) FROM call_runs WHERE last_at >= ?", (since,))
        if rows and rows[0][0] is not None:
            low = rows[0][0] << RUN_BITS
    rows = reader.fetch(
        "SELECT seq FROM calls NOT INDEXED WHERE seq >= ? AND at >= ? ORDER BY seq LIMIT 1", (low, since)
    )
    return int(rows[0][0]) - 1 if rows else reader.last_seq()


def breaches(reader: SqliteReader, after: int) -> list[Breach]:
    """The next calls after entry `after` that cost money or would have: one page."""
    sql = (
        "SELECT x.seq, x.at, x.trunk, x.line, x.number, x.fined_rule, x.accrued > 0 FROM exposures x"
        " JOIN entries e ON e.seq = x.seq JOIN calls c ON c.seq = ifnull(e.call_seq, x.seq)"
        " WHERE x.seq > ? ORDER BY x.seq LIMIT ?"
    )
    return list(starmap(Breach, reader.fetch(sql, (after, PAGE))))


def abnormal(reader: SqliteReader, rules: Iterable[str], after: int) -> list[Breach]:
    """The next calls that one of these rules spoke of, with the number that they called: one page."""
    names = sorted(rules)
    sql = (
        "SELECT r.seq, c.at, c.trunk, c.line, c.callee, min(r.rule), c.verdict <> 'blocked' FROM call_rules r"
        " JOIN entries e ON e.seq = r.seq JOIN calls c ON c.seq = ifnull(e.call_seq, r.seq)"
        f" WHERE r.rule IN ({', '.join('?' * len(names))}) AND r.seq > ? GROUP BY r.seq ORDER BY r.seq LIMIT ?"
    )
    return list(starmap(Breach, reader.fetch(sql, (*names, after, PAGE))))


def traffic(reader: SqliteReader, since: int, until: int) -> tuple[int, list[int]]:
    """How many calls rules judged from `since` until before `until` (µs), going out and of a known source; and the
    hours of Unix time in which there were any."""
    sql = "FROM calls WHERE at >= ? AND at < ? AND direction = 'outbound' AND trunk <> ''"
    rows = reader.fetch(f"SELECT count(*) {sql}", (since, until))
    hours = reader.fetch(f"SELECT DISTINCT at / 3600000000 {sql} ORDER BY 1", (since, until))
    return (int(rows[0][0]) if rows else 0), [int(hour) for (hour,) in hours]
