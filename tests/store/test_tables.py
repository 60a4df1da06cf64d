"""Rows straight into the tables, and through the view: the same log either way."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from guard.ledger.record import LostBody
from guard.store.entries import Decided, Ended, Entry, Lost
from guard.store.migrations import RUN_BITS, SLACK
from guard.store.rows import Builder, commit
from guard.store.schema import open_writer
from guard.store.tables import GROUP, Pace, Value
from tests.store.making import AT, attempt, decision, ended, finding
from tests.store.making_log import DIGITS

PREMIUM: Final = finding("cli.premium")
LATE: Final = finding("cli.short", "flag")
TABLES: Final = (
    "entries", "head", "calls", "ends", "call_rules", "late_rules", "exposures", "fined_numbers", "call_runs",
)  # fmt: skip
MONEY: Final = {"operator": DIGITS}


def entries(calls: int, first: int = 1) -> list[Entry]:
    """Long runs of calls of which nobody speaks, and among them all that there is; a clock that jumps, and back."""
    found: list[Entry] = []
    seq = first
    for n in range(calls):
        odd = n % 60
        said = decision("blocked", PREMIUM) if odd == 17 else decision("flagged", LATE) if odd == 31 else decision()
        at = AT + n * 1_000 + (3 * SLACK if n % 500 == 3 else -5 * SLACK if n % 500 == 4 else 0)
        found.append(Decided(seq=seq, call=attempt(n, at=at), decision=said, done=None))
        call, seq = seq, seq + 1
        for _ in range(0 if odd == 7 else 2 if odd == 8 else 1):  # none, or a second one
            end = ended(at=at + 1)
            found.append(Ended(seq=seq, call=call, ended=replace(end, findings=(LATE,)) if odd == 22 else end))
            seq += 1
        if odd == 45:
            found.append(Lost(seq=seq, body=LostBody(entries=1, reason="the queue was full", at=at)))
            seq += 1
    return found


def written(path: Path, batches: list[list[Entry]], pace: Pace) -> dict[str, list[tuple[object, ...]]]:
    """What each table holds then."""
    with closing(open_writer(str(path), "process")) as db:
        builder, tip = Builder(db, "hq", MONEY, salts=bytes), bytes(32)
        for batch in batches:
            tip = commit(db, builder, batch, tip, pace)
        return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


@pytest.mark.parametrize("size", [1, 3, GROUP, GROUP + 1, 250, 1000])
def test_both_ways_write_the_same(tmp_path: Path, size: int) -> None:
    all_of_them = entries((1 << RUN_BITS) // 2 + 100)
    batches = [all_of_them[n : n + size] for n in range(0, len(all_of_them), size)]
    straight, viewed = (written(tmp_path / f"{p}.db", batches, p) for p in ("alone", "behind"))
    for table in TABLES:
        assert straight[table] == viewed[table], table
        assert straight[table], table
    assert len(straight["call_runs"]) == 2


class Telling(sqlite3.Connection):
    """Tells the first words of each statement."""

    told: list[str]

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> sqlite3.Cursor:  # type: ignore[override]
        self.told.append(" ".join(sql.partition("(")[0].split()[:3]))
        return super().execute(sql, parameters)


def statements(path: Path, batch: list[Entry], pace: Pace = "alone") -> list[str]:
    """Those of one transaction."""
    open_writer(str(path), "process").close()
    with closing(sqlite3.connect(path, isolation_level=None, factory=Telling)) as db:
        db.told = []
        commit(db, Builder(db, "hq", {}), batch, bytes(32), pace)
        return db.told


def test_who_waits_alone_waits_for_one_statement(tmp_path: Path) -> None:
    """Each more is a turn of a busy loop."""
    waits: list[Entry] = [Decided(seq=1, call=attempt(1), decision=decision("flagged", LATE), done=None)]
    assert statements(tmp_path / "guard.db", waits) == ["INSERT INTO intake"]


def test_a_crowd_is_one_statement(tmp_path: Path) -> None:
    assert statements(tmp_path / "guard.db", entries(100), "behind") == ["INSERT INTO intake"]


def test_a_usual_group_goes_straight(tmp_path: Path) -> None:
    assert statements(tmp_path / "guard.db", entries(8)[:GROUP]) == [
        "BEGIN IMMEDIATE", *["INSERT INTO call_runs"] * 3, "INSERT INTO entries", "INSERT INTO calls",
        "INSERT OR IGNORE", "INSERT OR REPLACE", "COMMIT",
    ]  # fmt: skip


def test_what_was_rolled_back_is_not_remembered(tmp_path: Path) -> None:
    """The times of a run of entries are written again with those that stand after all."""
    batch = entries(3)
    with closing(open_writer(str(tmp_path / "guard.db"), "process")) as db:
        builder = Builder(db, "hq", {})
        db.execute("CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.head BEGIN SELECT raise(FAIL, 'full'); END")
        with pytest.raises(sqlite3.IntegrityError, match="full"):
            commit(db, builder, batch, bytes(32))
        assert db.execute("SELECT count(*) FROM call_runs").fetchone() == (0,)
        db.execute("DROP TRIGGER refuse")
        commit(db, builder, batch, bytes(32))
        assert db.execute("SELECT count(*) FROM call_runs").fetchone() == (1,)
