"""Sums of a month's money by SQLite itself: a month of an attack has millions of calls that cost.

The same sums as guard/ledger/penalties.summarise makes call by call, which tests hold side by side.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final

from guard.ledger.penalties import By, Line, summarise
from guard.store.erasing import PREFIX
from guard.store.filters import PREFIX_END
from guard.store.reader import SqliteReader

QUARTER: Final = 900_000_000  # µs: days begin on a quarter of an hour in every zone
SECOND: Final = 1_000_000
_KEYS: Final[dict[By, str]] = {
    "rule": "fined_rule",
    "number": "number",
    "trunk": "trunk",
    "line": "line",
    "day": f"at / {QUARTER}",
}
_SPAN: Final = "at >= ? AND at < ?"


def month_groups(reader: SqliteReader, since: int, until: int, by: By, zone: tzinfo) -> list[Line]:
    """The groups of one billing month (Unix time, µs), without a total. A number's penalty that was put off is not in
    them. Where some of a number's calls were erased, its name is found call by call."""
    span = (since, until)
    if reader.fetch(f"SELECT 1 FROM exposures WHERE {_SPAN} AND number >= ? AND number < ? LIMIT 1",
                    (*span, PREFIX, PREFIX + PREFIX_END)):  # fmt: skip
        return summarise(reader.exposures(since, until), by, zone)[:-1]
    key, lines = _KEYS[by], dict[str, Line]()
    sums = f"SELECT {key}, count(*), sum(per_number > 0), sum(accrued), sum(avoided) FROM exposures WHERE {_SPAN}"
    for found, calls, numbers, accrued, avoided in reader.fetch(f"{sums} GROUP BY 1", span):
        name = _name(found, zone)
        line = lines.get(name) or lines.setdefault(name, Line(key=name))
        line.add(calls, numbers, accrued, avoided)
    put_off = (
        f"SELECT {key}, trunk, number, per_number FROM exposures WHERE {_SPAN} AND per_number > 0 AND accrued = 0"
        f" AND (trunk, number) IN (SELECT trunk, number FROM exposures WHERE {_SPAN} AND per_number > 0"
        " AND accrued > 0) ORDER BY seq"
    )
    off = {(trunk, number): (found, amount) for found, trunk, number, amount in reader.fetch(put_off, (*span, *span))}
    for found, amount in off.values():
        name = _name(found, zone)
        (lines.get(name) or lines.setdefault(name, Line(key=name))).add(0, -1, 0, -amount)
    return sorted(lines.values(), key=lambda line: line.key)


def month_terms(reader: SqliteReader, since: int, until: int) -> set[tuple[str, str]]:
    """The contracts, each with its reading, under which calls of that time cost."""
    rows = reader.fetch(f"SELECT DISTINCT contract, reading FROM exposures WHERE {_SPAN}", (since, until))
    return {(contract, reading) for contract, reading in rows}


def _name(found: str | int, zone: tzinfo) -> str:
    if isinstance(found, str):
        return found
    return datetime.fromtimestamp(found * (QUARTER // SECOND), zone).strftime("%Y-%m-%d")
