"""A log that goes away again: the same log, written without a thread and without indexes."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.ledger.record import MS
from guard.model import CallEnded, Finding
from guard.store.contract import Query
from guard.store.errors import StoreError
from guard.store.passing import PassingLog, SummedLog
from guard.store.sqlite import BATCH, SqliteWriter
from guard.store.tables import Tables
from tests.store.making import AT, attempt, decision, ended, finding
from tests.store.making_log import DIGITS, details, verified

PREMIUM = finding("cli.premium")
LATE = finding("cli.short", "flag")
TABLES = ("entries", "head", "calls", "ends", "call_rules", "late_rules", "exposures", "fined_numbers")


def fill(writer: SqliteWriter, calls: int) -> None:
    """Calls allowed, refused at a price, flagged, with a late finding, and without an end."""
    for n in range(calls):
        said = (
            decision("blocked", PREMIUM) if n % 7 == 1 else decision("flagged", LATE) if n % 7 == 2 else decision()
        )  # fmt: skip
        seq = writer.decided(attempt(n, at=AT + n), said, None)
        if n % 7 == 3:
            end = ended(at=AT + n)
            writer.ended(seq, CallEnded(at=end.at, outcome=end.outcome, talk_us=end.talk_us, findings=(LATE,)))
        elif n % 7 != 4:
            writer.ended(seq, ended(at=AT + n))


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return sorted(db.execute(f"SELECT * FROM {table}").fetchall())


def test_it_is_the_log_that_a_thread_would_have_written(tmp_path: Path) -> None:
    here, there = tmp_path / "here.db", tmp_path / "there.db"
    money = {"operator": DIGITS}
    with closing(SqliteWriter(there, site="hq", money=money, salts=bytes, overflow="wait")) as writer:
        fill(writer, BATCH)
    with closing(PassingLog(here, site="hq", money=money)) as writer:
        fill(writer, BATCH)
    assert verified(here) == verified(there)
    for table in TABLES:
        assert rows(here, table) == rows(there, table), table
        assert rows(here, table), table
    assert details(here, Query(all=True)) == details(there, Query(all=True))


def test_no_thread_and_no_more_than_a_group_waits(tmp_path: Path) -> None:
    before = threading.active_count()
    with closing(PassingLog(tmp_path / "guard.db", site="hq")) as writer:
        assert threading.active_count() == before
        most = 0
        for n in range(2 * BATCH + 1):
            assert writer.decided(attempt(n), decision(), None) == n + 1
            most = max(most, writer.pending)
        assert most == BATCH


def test_who_waits_is_told_at_once(tmp_path: Path) -> None:
    told: list[BaseException | None] = []
    with closing(PassingLog(tmp_path / "guard.db", site="hq")) as writer:
        writer.decided(attempt(), decision(), told.append)
        assert (told, writer.pending) == ([None], 0)


def test_an_entry_that_cannot_be_encoded_leaves_a_note(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    odd = Finding(rule="cli.premium", action="block", article=(), text=PREMIUM.text, facts={"raw": "\ud800"})
    with closing(PassingLog(path, site="hq")) as writer:
        writer.decided(attempt(0), decision(), None)
        writer.decided(attempt(1), decision("blocked", odd), None)
        writer.decided(attempt(2), decision(), None)
    assert (verified(path).ok, verified(path).lost, verified(path).entries) == (True, 1, 3)


def test_a_disk_that_refuses_holds_the_group_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "guard.db"
    whole = Tables.put

    def refuses(own: Tables, rows: object, pace: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with closing(PassingLog(path, site="hq", money={"operator": DIGITS})) as writer:
        monkeypatch.setattr(Tables, "put", refuses)
        for n in range(BATCH):
            writer.decided(attempt(n), decision("blocked", PREMIUM), None)
        for _ in range(2):
            with pytest.raises(StoreError, match=r"guard\.db.*full"):
                writer.decided(attempt(BATCH), decision(), None)
        assert writer.pending == BATCH
        monkeypatch.setattr(Tables, "put", whole)
        assert writer.decided(attempt(BATCH), decision(), None) == BATCH + 1
    assert verified(path).ok
    assert sum(bool(d.body.money.per_number) for d in details(path)) == 1


def test_closing_says_what_could_not_be_written(tmp_path: Path) -> None:
    writer = PassingLog(tmp_path / "guard.db", site="hq")
    writer.decided(attempt(), decision(), None)
    writer._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match=r"1 entries could not be written.*readonly"):
        writer.close()
    with pytest.raises(StoreError, match="closed"):
        writer.decided(attempt(), decision(), None)


# ---- where only the sums are asked for -------------------------------------------------------------------------------


def test_what_nobody_speaks_of_is_counted_and_not_written(tmp_path: Path) -> None:
    """Of each seven calls (`fill`) one is refused, one flagged, and one has a late finding: these are written."""
    whole, summed = tmp_path / "whole.db", tmp_path / "summed.db"
    money = {"operator": DIGITS}
    with closing(PassingLog(whole, site="hq", money=money)) as writer:
        fill(writer, 70)
    with closing(SummedLog(summed, site="hq", money=money)) as counting:
        fill(counting, 70)
    spoken = [d for d in details(whole, Query(all=True)) if d.record.findings]
    assert len(spoken) == 30
    written = details(summed, Query(all=True))
    assert [replace(d, record=replace(d.record, hash="")) for d in written] == [
        replace(d, record=replace(d.record, hash="")) for d in spoken
    ]
    assert (counting.allowed, counting.outcomes, counting.held) == (40, {"answered": 30, None: 10}, 0)


def test_of_a_held_call_is_told_what_its_record_would_tell(tmp_path: Path) -> None:
    with closing(SummedLog(tmp_path / "guard.db", site="hq")) as writer:
        for held in (0, MS - 1, MS, 5 * MS):
            writer.ended(writer.decided(attempt(), replace(decision(), held_us=held), None), ended())
    assert (writer.allowed, writer.held) == (4, 2)


def test_of_a_call_that_ended_twice_the_first_counts(tmp_path: Path) -> None:
    with closing(SummedLog(tmp_path / "guard.db", site="hq")) as writer:
        seq = writer.decided(attempt(), decision(), None)
        writer.ended(seq, ended())
        writer.ended(seq, replace(ended(), outcome="failed"))
    assert writer.outcomes == {"answered": 1}
