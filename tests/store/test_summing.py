"""The month's sums by SQLite are those that are made call by call: every grouping, numbers put off, erased ones."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from guard.ledger.penalties import By, Line, month_bounds, summarise
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from guard.store.summing import month_groups, month_terms
from tests.store.making import AT, attempt, decision, finding
from tests.store.making_log import DIGITS, PARIS, Call, write

HOUR = 3_600_000_000
NOVEMBER = month_bounds("2026-11", PARIS)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Calls of 30 numbers over three weeks and a month's end: refused and flagged in any turn."""
    dice = random.Random(5)
    calls: list[Call] = []
    for n in range(300):
        at = AT + (n - 150) * 3 * HOUR
        caller = f"+338990000{dice.randrange(30):02d}"
        call = attempt(n, at=at, caller=caller, line=dice.choice(("200", "201")))
        rule = dice.choice(("cli.premium", "cli.mobile"))
        calls.append((call, decision(dice.choice(("blocked", "flagged")), finding(rule))))
    path = tmp_path / "guard.db"
    write(path, calls)
    return path


def as_rows(lines: list[Line]) -> list[tuple[str, int, int, int, int]]:
    return [(line.key, line.calls, line.numbers, line.accrued, line.avoided) for line in lines]


@pytest.mark.parametrize("by", get_args(By))
@pytest.mark.parametrize("erased", [False, True])
def test_sums_are_those_of_each_call(log: Path, by: By, erased: bool) -> None:
    if erased:
        with SqliteReader(log) as reader:
            some = tuple(r.seq for r in reader.records(Query(all=True)))[100:140]
        with closing(SqliteWriter(log, site="hq", money={"operator": DIGITS})) as writer:
            writer.erase(some, "request", AT)
    with SqliteReader(log) as reader:
        *wanted, total = summarise(reader.exposures(*NOVEMBER), by, PARIS)
        found = month_groups(reader, *NOVEMBER, by, PARIS)
        assert as_rows(found) == as_rows(wanted)
        assert (total.accrued > 0, total.avoided > 0) == (True, True)
        put_off = sum(1 for x in reader.exposures(*NOVEMBER) if x.per_number) - total.numbers
        assert put_off > 0
        assert month_terms(reader, *NOVEMBER) == {("technicophone-sip-trunk", "digits")}


def test_a_month_of_nothing(log: Path) -> None:
    with SqliteReader(log) as reader:
        assert month_groups(reader, *month_bounds("2020-01", PARIS), "rule", PARIS) == []
        assert month_terms(reader, *month_bounds("2020-01", PARIS)) == set()
