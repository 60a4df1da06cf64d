"""A crash, or a disk that says no, at every point of writing: ledger and log agree, and nothing is counted twice."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from guard.ledger.penalties import month_bounds
from guard.ledger.recount import Recount
from guard.store import retention
from guard.store.contract import Query
from guard.store.entries import Decided, Ended, Entry, Erase, Errand, Sign
from guard.store.reader import SqliteReader
from guard.store.rows import Builder, commit
from guard.store.schema import open_writer
from guard.store.sqlite import SqliteWriter
from tests.evidence.making import KEY, PARTS, POLICY
from tests.evidence.making import verified as verified_signed
from tests.store.making import AT, attempt, decision, ended, finding
from tests.store.making_log import DIGITS, PARIS, details

PREMIUM = finding("cli.premium")
FIGURES = {"operator": DIGITS}
HERS = "+33145678111"


def blocked(seq: int, caller: str) -> Decided:
    return Decided(seq=seq, call=attempt(seq, caller=caller), decision=decision("blocked", PREMIUM), done=None)


def batches() -> list[list[Entry]]:
    """Three transactions: calls with money and a checkpoint; more, with a policy; an erasure and what comes after."""
    from guard.evidence.policies import keep

    return [
        [blocked(1, HERS), Ended(seq=2, call=1, ended=ended("blocked")), blocked(3, HERS), Sign(seq=3, at=AT)],
        [
            blocked(4, "+33145678222"),
            Errand(work=keep(POLICY, AT, PARTS)),
            Ended(seq=5, call=4, ended=ended("blocked")),
        ],
        [Erase(seq=6, seqs=(1, 2), reason="request", at=AT), blocked(7, HERS), Sign(seq=7, at=AT)],
    ]


class Log:
    """The writer's own transactions, one after the other in this thread, with a look at every step of SQLite."""

    def __init__(self, path: Path) -> None:
        self.db = open_writer(str(path), "process")
        self.builder = Builder(self.db, "hq", FIGURES, signer=KEY)
        self.tip = bytes(32)

    def write(self, batch: list[Entry]) -> None:
        """One of the writer's transactions."""
        self.tip = commit(self.db, self.builder, batch, self.tip)


def consistent(path: Path) -> int:
    """What must be so of any log; the last entry's seq."""
    found = verified_signed(path)
    assert found.ok, found.reason
    with SqliteReader(path) as reader:
        exposures = list(reader.exposures(*month_bounds("2026-11", PARIS)))
        bodies = {d.record.seq: d.body for d in reader.details(Query(all=True))}
    owed = [(e.trunk, e.number) for e in exposures if e.per_number]
    assert len(owed) == len(set(owed))
    with closing(sqlite3.connect(path)) as db:
        stakes = dict(db.execute("SELECT seq, accrued + avoided FROM exposures"))
        gone = {s for (s,) in db.execute("SELECT seq FROM entries WHERE kind = 'decision' AND body IS NULL")}
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    money = {seq: b.money.accrued + b.money.avoided for seq, b in bodies.items()}
    assert {seq: sum_ for seq, sum_ in stakes.items() if seq not in gone} == money
    if not gone:
        recount = Recount(FIGURES)
        assert [recount.take(seq, body) for seq, body in bodies.items()] == [None] * len(bodies)
    return found.seq


def snapshots(folder: Path) -> Iterator[Path]:
    """The files as they stand at every step at which they have changed: what a killed process leaves behind."""
    path = folder / "live" / "guard.db"
    path.parent.mkdir()
    log = Log(path)
    states: list[Path] = []
    seen: set[bytes] = set()

    def look() -> int:
        data = b"".join(p.read_bytes() for p in (path, path.with_name("guard.db-wal")) if p.exists())
        if data not in seen:
            seen.add(data)
            state = folder / f"state{len(states)}"
            state.mkdir()
            for name in ("guard.db", "guard.db-wal"):
                shutil.copy(path.with_name(name), state / name)
            states.append(state / "guard.db")
        return 0

    log.db.execute("PRAGMA wal_autocheckpoint = 3")  # pages: into the database itself, again and again
    log.db.execute("PRAGMA cache_spill = 2")
    log.db.set_progress_handler(look, 20)
    for batch in batches():
        look()
        log.write(batch)
    log.db.set_progress_handler(None, 0)
    look()
    log.db.close()
    yield from states


def test_a_process_killed_at_any_step_leaves_a_log_that_agrees_with_its_ledger(tmp_path: Path) -> None:
    seqs = set()
    for state in snapshots(tmp_path):
        last = consistent(state)
        seqs.add(last)
        with closing(SqliteWriter(state, site="hq", money=FIGURES, signer=KEY)) as writer:
            assert writer.decided(attempt(50, caller=HERS), decision("blocked", PREMIUM), None) == last + 1
        assert consistent(state) == last + 1
        owed = [d.body.money.per_number for d in details(state) if d.record.seq == last + 1]
        assert owed == [0 if last else 2_500_000_000]
    assert seqs == {0, 3, 5, 7}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_disk_that_refuses_at_any_step_is_asked_again_and_nothing_is_counted_twice(
    tmp_path: Path, number: int
) -> None:
    """Every step of one transaction fails once; then the same entries go in as if nothing had been."""
    refused = 0
    for at in range(0, 1_000_000, 7):
        path = tmp_path / f"{at}.db"
        log = Log(path)
        for batch in batches()[:number]:
            log.write(batch)
        batch = batches()[number]
        steps = 0

        def refuse(at: int = at) -> int:
            nonlocal steps
            steps += 1
            return steps > at

        log.db.set_progress_handler(refuse, 1)
        try:
            log.write(batch)
        except sqlite3.OperationalError:
            refused += 1
            log.db.set_progress_handler(None, 0)
            last = log.db.execute("SELECT max(seq) FROM entries").fetchone()[0]
            # SQLite asks the handler once more behind a COMMIT that is through: no disk says no there
            if log.db.in_transaction or last != (3, 5, 7)[number]:
                log.write(batch)
            whole = False
        else:
            whole = True
        log.db.close()
        assert consistent(path) == (3, 5, 7)[number]
        if whole:
            break
    assert refused > 5


def test_a_purge_that_was_killed_between_two_slices_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "guard.db"
    monkeypatch.setattr(retention, "ERASE_LIMIT", 2)
    old = [attempt(n, at=AT - 200 * retention.DAY) for n in range(5)]
    with closing(SqliteWriter(path, site="hq")) as writer:
        for call in old:
            writer.decided(call, decision(), None)
        writer.flush()
        with writer.reader() as reader:
            wanted = retention.due(reader, AT, 180)
            seqs, mark = next(retention.slices(reader, wanted))
        writer.erase(seqs, "retention", AT, mark, wanted.forget)
    with SqliteReader(path) as reader:
        left = retention.due(reader, AT, 180)
        assert (left.first, retention.count(reader, left)) == (2, (3, 3))
