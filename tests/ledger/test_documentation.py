"""docs/records.md is true: its script verifies a log, its table names every field."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from guard.ledger.record import CallRecord, FindingRecord
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from tests.store.making import attempt, decision, ended, finding
from tests.store.making_log import write

TEXT = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")
(SCRIPT,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "guard.db"
    write(path, [(attempt(n), decision("blocked", finding("cli.premium")), ended()) for n in range(3)])
    return path


def run(path: Path) -> tuple[int, str]:
    """The script's status, and what it said."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_script_verifies_a_log(log: Path) -> None:
    with SqliteReader(log) as reader:
        last = next(iter(reader.records(Query(newest_first=True, limit=1))))
    status, said = run(log)
    assert status == 0
    assert re.fullmatch(r"6 entries, last hash [0-9a-f]{64}\n", said)
    with closing(sqlite3.connect(log)) as db:
        (digest,) = db.execute("SELECT hash FROM entries WHERE seq = 6").fetchone()
        assert said.split()[-1] == digest.hex()
        (digest,) = db.execute("SELECT hash FROM entries WHERE seq = ?", (last.seq,)).fetchone()
        assert last.hash == digest.hex()


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE entries SET body = CAST(replace(body, '192.', '193.') AS BLOB) WHERE seq = 3", "entry 3: the body"),
        ("UPDATE entries SET kind = 'end' WHERE seq = 3", "entry 3: changed, missing"),
        ("DELETE FROM entries WHERE seq = 3", "entry 3: changed, missing"),
        ("DELETE FROM entries WHERE seq > 4", "entry 5: the end was cut off"),
    ],
)
def test_the_script_sees_tampering(log: Path, statement: str, says: str) -> None:
    with closing(sqlite3.connect(log)) as db, db:
        db.execute(statement)
    status, said = run(log)
    assert status == 1
    assert said.startswith(says)


def test_the_script_accepts_an_erased_body(log: Path) -> None:
    with closing(sqlite3.connect(log)) as db, db:
        db.execute("UPDATE entries SET body = NULL, salt = NULL WHERE seq = 3")
    assert run(log)[0] == 0


def test_every_field_of_the_record_is_documented() -> None:
    table = TEXT.partition("## The record")[2].partition("Names, once published")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert set(CallRecord.__struct_fields__) <= named
    assert set(FindingRecord.__struct_fields__) <= named
