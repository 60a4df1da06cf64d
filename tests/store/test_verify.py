"""Tampering: each kind is seen, and the first entry that is broken is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.ledger.chain import GENESIS, body_hash, link
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from guard.store.verify import PAGE, verify
from tests.store.making import attempt, decision, ended, finding
from tests.store.making_log import verified, write

TEN = 10  # entries: decisions 1, 3, 5, 7, 9, each with its end after it


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "guard.db"
    premium = finding("cli.premium")
    write(path, [(attempt(n), decision("blocked", premium), ended("blocked")) for n in range(TEN // 2)])
    return path


def change(path: Path, *statements: str) -> None:
    """What somebody with the file and a database tool would do."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def chained_again(path: Path, first: int) -> None:
    """Make the hashes from entry `first` on follow again from what stands there, the head left alone."""
    with closing(sqlite3.connect(path)) as db, db:
        found = db.execute("SELECT hash FROM entries WHERE seq < ? ORDER BY seq DESC LIMIT 1", (first,)).fetchone()
        tip = found[0] if found else GENESIS
        rows = db.execute("SELECT seq, kind, salt, body FROM entries WHERE seq >= ? ORDER BY seq", (first,)).fetchall()
        for seq, kind, salt, body in rows:
            digest = body_hash(salt, body)
            tip = link(tip, seq, kind, digest)
            db.execute("UPDATE entries SET body_hash = ?, hash = ? WHERE seq = ?", (digest, tip, seq))


def test_a_log_as_it_was_written(log: Path) -> None:
    found = verified(log)
    assert (found.ok, found.entries, found.seq, found.broken, found.reason) == (True, TEN, TEN, None, "")
    with closing(sqlite3.connect(log)) as db:
        assert found.hash == db.execute("SELECT hash FROM entries WHERE seq = 10").fetchone()[0].hex()


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "guard.db", [])
    assert verified(tmp_path / "guard.db").ok
    (tmp_path / "new.db").touch()
    assert verified(tmp_path / "new.db").ok


SWAP_BODIES = (
    "CREATE TEMP TABLE t AS SELECT * FROM entries WHERE seq IN (3, 5)",
    "UPDATE entries SET (body, salt, body_hash) = (SELECT body, salt, body_hash FROM t WHERE t.seq = 8 - entries.seq)"
    " WHERE seq IN (3, 5)",
)
SWAP_NUMBERS = (
    "UPDATE entries SET seq = -3 WHERE seq = 3",
    "UPDATE entries SET seq = 3 WHERE seq = 5",
    "UPDATE entries SET seq = 5 WHERE seq = -3",
)
MOVE_UP = (*(f"UPDATE entries SET seq = {n + 1} WHERE seq = {n}" for n in range(TEN, 4, -1)),)
INSERT = (
    "INSERT INTO entries SELECT {to}, kind, call_seq, at, body_hash, hash, salt, body FROM entries WHERE seq = {of}"
)


@pytest.mark.parametrize(
    ("statements", "broken", "reason"),
    [
        (["UPDATE entries SET body = CAST(replace(body, '+33', '+44') AS BLOB) WHERE seq = 5"], 5, "body"),
        (["UPDATE entries SET salt = zeroblob(16) WHERE seq = 5"], 5, "body"),
        (["UPDATE entries SET body_hash = zeroblob(32) WHERE seq = 5"], 5, "body"),
        (["UPDATE entries SET body_hash = zeroblob(32), body = NULL, salt = NULL WHERE seq = 5"], 5, "hash"),
        (["UPDATE entries SET hash = zeroblob(32) WHERE seq = 5"], 5, "hash"),
        (["UPDATE entries SET kind = 'end' WHERE seq = 5"], 5, "hash"),
        (["UPDATE entries SET kind = 'none' WHERE seq = 5"], 5, "kind"),
        (["UPDATE entries SET body = CAST(body AS TEXT) WHERE seq = 5"], 5, "type"),
        (["UPDATE entries SET salt = NULL WHERE seq = 5"], 5, "alone"),
        (["DELETE FROM entries WHERE seq = 5"], 5, "entry 5 is missing"),
        (["DELETE FROM entries WHERE seq BETWEEN 4 AND 6"], 4, "entries 4 to 6 are missing"),
        (["DELETE FROM entries WHERE seq = 1"], 1, "entry 1 is missing"),
        (["DELETE FROM entries WHERE seq > 7"], 8, "cut off: the head names entry 10"),
        (["DELETE FROM entries"], 1, "cut off"),
        (["DELETE FROM head"], 10, "head"),
        (["UPDATE head SET hash = zeroblob(32)"], 10, "head"),
        (["UPDATE head SET seq = 8, hash = (SELECT hash FROM entries WHERE seq = 8)"], 9, "head"),
        (SWAP_BODIES, 3, "hash"),
        (SWAP_NUMBERS, 3, "hash"),
        ([INSERT.format(to=11, of=5)], 11, "hash"),
        ([*MOVE_UP, INSERT.format(to=5, of=3)], 5, "hash"),
        ([INSERT.format(to=-1, of=5)], -1, "not one of this log"),
        ([INSERT.format(to=0, of=5)], 0, "not one of this log"),
    ],
)
def test_tampering_with_the_log(log: Path, statements: list[str], broken: int, reason: str) -> None:
    change(log, *statements)
    found = verified(log)
    assert (found.ok, found.broken) == (False, broken)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["UPDATE calls SET verdict = 'allowed' WHERE seq = 5"], 5),  # `guard log` would not show it
        (["UPDATE calls SET caller = '+33199000000' WHERE seq = 5"], 5),
        (["UPDATE calls SET at = at - 86400000000 WHERE seq = 5"], 5),
        (["UPDATE entries SET at = 0 WHERE seq = 5"], 5),
        (["UPDATE entries SET call_seq = 3 WHERE seq = 6"], 6),
        (["DELETE FROM calls WHERE seq = 5"], 5),
        (["INSERT INTO calls SELECT 6, at, verdict, caller, presented, callee, source, trunk, line, call_id, direction"
          " FROM calls WHERE seq = 5"], 6),
        (["INSERT INTO calls SELECT 99, at, verdict, caller, presented, callee, source, trunk, line, call_id, direction"
          " FROM calls WHERE seq = 5"], 99),
        (["DELETE FROM call_rules WHERE seq = 5"], 5),
        (["INSERT INTO call_rules VALUES ('cli.mobile', 5)"], 5),
        (["INSERT INTO call_rules VALUES ('cli.mobile', 99)"], 99),
        (["DELETE FROM ends WHERE seq = 6"], 6),
        (["UPDATE ends SET outcome = 'answered' WHERE seq = 6"], 6),
        (["UPDATE ends SET seq = 10 WHERE seq = 6"], 6),
        (["INSERT INTO ends VALUES (99, 100, 0, 'failed')"], 100),
        (["INSERT INTO ends VALUES (99, 5, 0, 'failed')"], 5),
        (["DELETE FROM exposures WHERE seq = 5"], 5),
        (["UPDATE exposures SET avoided = avoided + 1 WHERE seq = 5"], 5),
        (["UPDATE exposures SET per_number = 1 WHERE seq = 5"], 5),
        (["INSERT INTO exposures SELECT 99, at, trunk, line, number, fined_rule, accrued, avoided, per_number,"
          " contract, reading FROM exposures WHERE seq = 5"], 99),
    ],
)  # fmt: skip
def test_tampering_with_the_index(log: Path, statements: list[str], broken: int) -> None:
    change(log, *statements)
    found = verified(log)
    assert (found.ok, found.broken) == (False, broken)
    assert "index" in found.reason


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM call_runs",
        "UPDATE call_runs SET last_at = first_at - 1",
        "UPDATE call_runs SET first_at = last_at",
        "DELETE FROM late_rules",
        "INSERT INTO late_rules VALUES ('cli.mobile', 1)",
        "UPDATE late_rules SET rule = 'cli.mobile'",
    ],
)
def test_tampering_with_what_finds_a_call(tmp_path: Path, statement: str) -> None:
    """By its time, or by a rule that spoke when it was over."""
    path = tmp_path / "guard.db"
    late = replace(ended(), findings=(finding("traffic.callback", "flag"),))
    write(path, [(attempt(), decision("blocked", finding("cli.premium")), late)])
    assert verified(path).ok
    change(path, statement)
    found = verified(path)
    assert (found.ok, found.broken) == (False, 1)
    assert "what finds it" in found.reason


def test_a_chain_made_anew_is_given_away_by_the_head(log: Path) -> None:
    change(log, "UPDATE entries SET body = CAST(replace(body, '192.0.2.5', '192.0.2.6') AS BLOB) WHERE seq = 5")
    chained_again(log, 5)
    found = verified(log)
    assert (found.ok, found.broken, found.reason) == (False, 10, "the head has another hash of it")


def test_a_cut_tail_is_still_seen_when_the_guard_has_written_on(log: Path) -> None:
    change(log, "DELETE FROM entries WHERE seq > 7")
    with closing(SqliteWriter(log, site="hq")) as writer:
        assert writer.decided(attempt(), decision(), None) == TEN + 1
    found = verified(log)
    assert (found.ok, found.broken, found.reason) == (False, 8, "entries 8 to 10 are missing")


def test_a_body_that_is_taken_away_without_a_note_of_it(log: Path) -> None:
    change(log, "UPDATE entries SET body = NULL, salt = NULL WHERE seq = 5", "DELETE FROM call_rules WHERE seq = 5")
    assert (verified(log).broken, verified(log).reason) == (5, "it was erased and the index still has it")
    change(log, "DELETE FROM calls WHERE seq = 5")
    found = verified(log)
    assert (found.ok, found.broken, found.erased) == (False, 5, 1)
    assert "no note that it was erased" in found.reason


def test_a_second_end_is_part_of_a_whole_log(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision(), ended(), ended("failed"))])
    assert verified(path).ok


def test_pages_and_progress(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, ((attempt(n), decision("blocked", finding("cli.premium"))) for n in range(2 * PAGE + 1)))
    told: list[tuple[int, int]] = []
    tell: Callable[[int, int], None] = lambda done, of: told.append((done, of))  # noqa: E731
    with SqliteReader(path) as reader:
        assert verify(reader, tell).ok
    assert told == [(n, 2 * PAGE + 1) for n in (PAGE, 2 * PAGE, 2 * PAGE + 1)]


def test_a_log_is_verified_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, ((attempt(n), decision()) for n in range(2 * PAGE)))
    writer = SqliteWriter(path, site="hq")

    def more(_done: int, _of: int) -> None:
        writer.ended(writer.decided(attempt(), decision("blocked", finding("rate.cps")), None), ended())
        writer.flush()

    with SqliteReader(path) as reader:
        found = verify(reader, more)
    writer.close()
    assert (found.ok, found.seq) == (True, 2 * PAGE)
    assert verified(path).seq == 2 * PAGE + 4
