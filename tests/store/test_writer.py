"""The writer: groups, promises kept, and what it does when the disk refuses."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from guard.ledger.record import DecisionBody, LostBody
from guard.model import CallAttempt, Finding
from guard.store import rows as rows_module
from guard.store import sqlite as module
from guard.store import tables
from guard.store.contract import Query
from guard.store.entries import Entry, Errand, Mark
from guard.store.errors import StoreError, StoreFull
from guard.store.passing import PassingLog
from guard.store.sqlite import SqliteWriter
from guard.store.tables import Pace, Row, Tables
from tests.store.making import AT, attempt, decision, ended, finding
from tests.store.making_log import DIGITS, details, seqs, verified

PATIENCE = 20.0  # seconds before a wait of these tests is a failure; nothing asserts how long a thing took
PREMIUM = finding("cli.premium")

Answers = SimpleQueue[BaseException | None]


class Grouped(SqliteWriter):
    """Tells what each transaction held."""

    groups: list[list[int]]

    def _transaction(self, batch: list[Entry]) -> None:
        super()._transaction(batch)
        self.groups.append([e.seq for e in batch if not isinstance(e, Mark | Errand)])


def until(condition: Callable[[], bool]) -> None:
    """Wait until another thread has done it."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def blocked(writer: SqliteWriter, n: int, answers: Answers) -> int:
    return writer.decided(attempt(n), decision("blocked", PREMIUM), answers.put)


def test_an_entry_that_somebody_waits_for_is_on_disk_when_done_is_called(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    found: SimpleQueue[tuple[BaseException | None, list[int], str]] = SimpleQueue()

    def done(error: BaseException | None) -> None:
        found.put((error, seqs(path, Query()), threading.current_thread().name))

    with closing(SqliteWriter(path, site="hq")) as writer:
        seq = writer.decided(attempt(), decision("blocked", PREMIUM), done)
        assert found.get(timeout=PATIENCE) == (None, [seq], "guard-log")
        assert found.empty()


def test_an_entry_that_nobody_waits_for_is_on_disk_soon(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(SqliteWriter(path, site="hq")) as writer:
        writer.decided(attempt(), decision(), None)
        until(lambda: seqs(path, Query(all=True)) == [1])


def test_entries_that_come_during_a_commit_go_together_into_the_next(tmp_path: Path) -> None:
    writer = Grouped(tmp_path / "guard.db", site="hq")
    writer.groups = []
    entered, go, answers = threading.Event(), threading.Event(), Answers()

    def hold(_: BaseException | None) -> None:
        entered.set()
        assert go.wait(PATIENCE)

    writer.decided(attempt(0), decision("blocked", PREMIUM), hold)
    assert entered.wait(PATIENCE)
    later = [blocked(writer, n, answers) for n in range(1, 101)]
    go.set()
    assert [answers.get(timeout=PATIENCE) for _ in later] == [None] * 100
    writer.close()
    assert writer.groups == [[1], later]


def test_a_group_is_bounded(tmp_path: Path) -> None:
    writer = Grouped(tmp_path / "guard.db", site="hq")
    writer.groups = []
    with writer._reading:  # the thread cannot commit yet
        for n in range(module.BATCH * 2):
            writer.decided(attempt(n), decision(), None)
    writer.close()
    assert max(map(len, writer.groups)) <= module.BATCH
    assert sum(map(len, writer.groups)) == module.BATCH * 2
    assert verified(tmp_path / "guard.db").ok


def pauses_of(entries: int) -> int:
    """In a transaction: while its rows are built, and between its statements."""
    return (entries - 1) // rows_module.POLITE + (entries - 1) // tables.GROUP


def test_its_thread_makes_way_for_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never takes the core from another thread that runs, and lets go of the interpreter every few entries."""
    pauses: list[float] = []
    monkeypatch.setattr(rows_module, "sleep", pauses.append)
    monkeypatch.setattr(tables, "sleep", pauses.append)
    before = {thread.native_id for thread in threading.enumerate()}
    writer = Grouped(tmp_path / "guard.db", site="hq")
    writer.groups = []
    own = [t.native_id for t in threading.enumerate() if t.native_id not in before and t.name == "guard-log"]
    with writer._reading:  # the thread cannot commit yet
        for n in range(10 * rows_module.POLITE):
            writer.decided(attempt(n), decision(), None)
    until(lambda: [os.sched_getscheduler(native) for native in own if native] == [os.SCHED_BATCH])
    writer.close()
    assert pauses == [tables.PAUSE] * sum(map(pauses_of, map(len, writer.groups)))
    assert pauses


def test_a_thread_that_cannot_keep_up_makes_way_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls wait for a crowd of records; a crowd that nobody waits for is none."""
    pauses: list[float] = []
    monkeypatch.setattr(rows_module, "sleep", pauses.append)
    monkeypatch.setattr(tables, "sleep", pauses.append)
    for waited in (True, False):
        writer = Grouped(tmp_path / f"{waited}.db", site="hq")
        writer.groups = []
        with writer._reading:  # the thread cannot commit yet
            for n in range(2 * rows_module.BEHIND):
                writer.decided(attempt(n), decision(), (lambda _: None) if waited and n % 10 == 0 else None)
        writer.close()
        small = [group for group in writer.groups if not waited or len(group) < rows_module.BEHIND]
        assert len(small) < len(writer.groups) or not waited
        assert pauses == [tables.PAUSE] * sum(map(pauses_of, map(len, small)))
        pauses.clear()


def test_a_thread_that_its_caller_waits_for_makes_way_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a replay or a tool writes: there are no calls beside it."""
    pauses: list[float] = []
    monkeypatch.setattr(rows_module, "sleep", pauses.append)
    monkeypatch.setattr(tables, "sleep", pauses.append)
    for writer in (
        SqliteWriter(tmp_path / "kept.db", site="hq", overflow="wait"),
        PassingLog(tmp_path / "passing.db", site="hq"),
    ):
        for n in range(4 * tables.GROUP):
            writer.decided(attempt(n), decision(), None)
        writer.close()
    assert pauses == []


def test_closing_commits_all_and_refuses_more(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    writer = SqliteWriter(path, site="hq")
    first = writer.decided(attempt(), decision(), None)
    writer.ended(first, ended())
    writer.close()
    writer.close()  # again: nothing
    assert details(path)[0].record.outcome == "answered"
    with pytest.raises(StoreError, match="is closed"):
        writer.decided(attempt(), decision(), None)


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    for n in range(3):
        with closing(SqliteWriter(path, site="hq")) as writer:
            assert writer.decided(attempt(n), decision(), None) == n + 1
    assert verified(path).entries == 3
    assert verified(path).ok


def test_a_log_in_memory(tmp_path: Path) -> None:
    with closing(SqliteWriter(":memory:", site="hq")) as writer:
        writer.decided(attempt(), decision(), None)
        writer.flush()
        with writer.reader() as reader:
            assert [r.seq for r in reader.records(Query(all=True))] == [1]
        assert writer.pending == 0
    assert not list(tmp_path.iterdir())


def test_readers_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    writer = SqliteWriter(path, site="hq")
    stop, odd = threading.Event(), []

    def read() -> None:
        with writer.reader() as reader:
            while not stop.is_set():
                found = [r.seq for r in reader.records(Query(all=True))]
                if found != list(range(1, len(found) + 1)):
                    odd.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    answers = Answers()
    for n in range(300):
        blocked(writer, n, answers)
        if n % 10 == 9:
            assert answers.get(timeout=PATIENCE) is None
    writer.flush()
    stop.set()
    for thread in readers:
        thread.join(PATIENCE)
    writer.close()
    assert odd == []
    assert len(seqs(path, Query())) == 300


def test_another_process_that_holds_the_file_delays_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    answers = Answers()
    with (
        closing(SqliteWriter(path, site="hq")) as writer,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        seq = blocked(writer, 0, answers)
        error = answers.get(timeout=PATIENCE)
        assert isinstance(error, sqlite3.OperationalError)
        assert "locked" in str(error)
        assert (writer.pending, writer.faults > 0, writer.lost) == (1, True, 0)
        other.execute("COMMIT")
        writer.flush()
        assert answers.empty()  # told once
        assert seqs(path, Query()) == [seq]
    assert verified(path).ok


def test_a_full_disk_is_told_at_once_and_loses_nothing_when_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    answers = Answers()
    with closing(SqliteWriter(path, site="hq")) as writer:
        pages = writer._db.execute("PRAGMA page_count").fetchone()[0]
        writer._db.execute(f"PRAGMA max_page_count = {pages}")
        taken = 0
        errors: list[BaseException] = []
        while not errors:
            blocked(writer, taken, answers)
            taken += 1
            answer = answers.get(timeout=PATIENCE)
            errors += [answer] if answer else []
        assert "full" in str(errors[0])
        blocked(writer, taken, answers)
        assert isinstance(answers.get(timeout=PATIENCE), sqlite3.OperationalError)
        with pytest.raises(StoreError, match=r"guard\.db.*full"):
            writer.flush()
        writer._db.execute("PRAGMA max_page_count = 100000")
        writer.flush()
        assert seqs(path, Query()) == list(range(1, taken + 2))
        assert sum(bool(d.body.money.per_number) for d in details(path)) == 0
    assert verified(path).ok


def test_a_penalty_and_its_entry_are_written_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "guard.db"
    answers = Answers()
    failed: list[int] = []
    put = Tables.put

    def once(own: Tables, rows: Sequence[Row], pace: Pace) -> None:
        if not failed:
            failed.append(len(rows))
            raise sqlite3.OperationalError("disk I/O error")
        put(own, rows, pace)

    monkeypatch.setattr(Tables, "put", once)
    with closing(SqliteWriter(path, site="hq", money={"operator": DIGITS})) as writer:
        blocked(writer, 0, answers)
        assert str(answers.get(timeout=PATIENCE)) == "disk I/O error"
        writer.flush()
    assert failed == [1]
    # The number was not fined by the try that failed, and so is by the one that did not.
    assert [d.body.money.per_number for d in details(path)] == [DIGITS.per_number]


def test_a_disk_that_turned_read_only_is_told_at_closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_PATIENCE", 0.2)
    path = tmp_path / "guard.db"
    writer = SqliteWriter(path, site="hq")
    writer._db.execute("PRAGMA query_only = 1")
    answers = Answers()
    blocked(writer, 0, answers)
    assert "readonly" in str(answers.get(timeout=PATIENCE))
    with pytest.raises(StoreError, match=r"1 entries could not be written.*readonly"):
        writer.close()
    with closing(SqliteWriter(path, site="hq")) as again:  # and the lock is free
        assert again.decided(attempt(), decision(), None) == 1


def test_a_full_queue_drops_tells_and_notes_what_it_dropped(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    answers = Answers()
    with closing(SqliteWriter(path, site="hq", queue_limit=3)) as writer:
        with writer._reading:
            first = writer.decided(attempt(0), decision(), None)
            writer.decided(attempt(1), decision(), None)
            writer.ended(first, ended())
            assert writer.decided(attempt(2, at=AT + 7), decision("blocked", PREMIUM), answers.put) == 0
            writer.ended(first, ended())
            assert writer.lost == 2
        assert isinstance(answers.get(timeout=PATIENCE), StoreFull)
        writer.flush()
        writer.ended(0, ended())  # of the call that has no record: let go
        assert writer.decided(attempt(3), decision(), None) == 5  # 4 is the note
    with closing(sqlite3.connect(path)) as db:
        kind, body = db.execute("SELECT kind, body FROM entries WHERE seq = 4").fetchone()
    import msgspec

    note = msgspec.json.decode(body, type=LostBody)
    assert (kind, note.entries, note.at, note.reason) == ("lost", 2, AT + 7, "the queue was full")
    assert seqs(path, Query(all=True)) == [1, 2, 5]
    assert (verified(path).ok, verified(path).lost) == (True, 2)


def test_a_full_queue_makes_a_replay_wait(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(SqliteWriter(path, site="hq", queue_limit=2, overflow="wait")) as writer:
        for n in range(20):
            assert writer.decided(attempt(n), decision(), None) == n + 1
        assert writer.lost == 0
    assert len(seqs(path, Query(all=True))) == 20


def test_what_is_dropped_last_is_noted_at_closing(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    writer = SqliteWriter(path, site="hq", queue_limit=1)
    with writer._reading:
        writer.decided(attempt(0), decision(), None)
        writer.decided(attempt(1), decision(), None)
    writer.close()
    assert (verified(path).entries, verified(path).lost) == (2, 1)


def test_an_entry_that_cannot_be_encoded_leaves_a_note_and_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    answers = Answers()
    odd = Finding(rule="cli.premium", action="block", article=(), text=PREMIUM.text, facts={"raw": "\ud800"})
    with closing(SqliteWriter(path, site="hq")) as writer:
        with writer._reading:
            blocked(writer, 0, answers)
            writer.decided(attempt(1), decision("blocked", odd), answers.put)
            blocked(writer, 2, answers)
        told = [answers.get(timeout=PATIENCE) for _ in range(3)]
        assert [type(e).__name__ for e in told] == ["NoneType", "UnicodeEncodeError", "NoneType"]
        writer.flush()
        assert writer.lost == 1
    assert seqs(path, Query()) == [1, 3]
    assert (verified(path).ok, verified(path).lost, verified(path).entries) == (True, 1, 3)


def test_a_callback_that_fails_does_not_end_the_log(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"

    def bad(_: BaseException | None) -> None:
        raise RuntimeError("not my day")

    with closing(SqliteWriter(path, site="hq")) as writer:
        writer.decided(attempt(0), decision("blocked", PREMIUM), bad)
        writer.flush()
        assert writer.faults == 1
        writer.decided(attempt(1), decision(), None)
    assert seqs(path, Query(all=True)) == [1, 2]


def test_one_writer_a_log(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    mine = rf"guard\.db: another guard is writing it \(process {os.getpid()}\)"
    with closing(SqliteWriter(path, site="hq")), pytest.raises(StoreError, match=mine):
        SqliteWriter(path, site="hq")
    SqliteWriter(path, site="hq").close()


def test_the_file_is_for_the_guard_alone(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    before = os.umask(0)
    try:
        with closing(SqliteWriter(path, site="hq")) as writer:
            writer.decided(attempt(), decision(), None)
            writer.flush()
            modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes.keys() >= {"guard.db", "guard.db-wal", "guard.db-lock"}
    assert set(modes.values()) == {0o600}


def test_power_durability_syncs_every_commit(tmp_path: Path) -> None:
    for durability, level in (("process", 1), ("power", 2)):
        writer = SqliteWriter(tmp_path / durability, site="hq", durability=durability)  # type: ignore[arg-type]
        assert writer._db.execute("PRAGMA synchronous").fetchone() == (level,)
        assert writer._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        writer.close()


def test_what_is_kept_is_what_was_seen(tmp_path: Path) -> None:
    """Every field of an attempt is in the body, or named here as left out."""
    left_out = {"diversions", "caller", "callee", "identities"}  # kept as text: identities, *_raw
    assert set(CallAttempt.__struct_fields__) - left_out <= set(DecisionBody.__struct_fields__)
