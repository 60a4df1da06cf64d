"""What can be wrong with the file: each is one error that names it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from guard.store import migrations, schema
from guard.store.contract import Query
from guard.store.errors import StoreError
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from tests.store.making import attempt, decision
from tests.store.making_log import details, seqs, verified, write

NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom file modes bind: tests may run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def refused(path: Path, message: str, *, read: bool = True) -> None:
    """Both the writer and the reader say so, and leave the file as it is."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=message) as raised:
        SqliteWriter(path, site="hq")
    assert str(path) in str(raised.value)
    if read:
        with pytest.raises(StoreError, match=message) as raised:
            SqliteReader(path)
        assert str(path) in str(raised.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    path.write_bytes(b"site = 'hq'\n" * 100)
    refused(path, "not a log of the guard")


def test_another_programs_database(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE moz_places(url TEXT)")
    refused(path, "another program's database")


def test_a_newer_guards_log(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision())])
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(migrations.MIGRATIONS) + 1}")
    refused(path, "made by a newer guard")


def test_no_such_folder(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "guard.db"
    with pytest.raises(StoreError, match=r"nowhere/guard\.db: cannot be locked: .*No such file"):
        SqliteWriter(path, site="hq")
    with pytest.raises(StoreError, match=r"nowhere/guard\.db: no such log"):
        SqliteReader(path)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    path.mkdir()
    with pytest.raises(StoreError, match=r"guard\.db: cannot be opened for writing: Is a directory"):
        SqliteWriter(path, site="hq")
    with pytest.raises(StoreError, match=r"guard\.db: "):
        SqliteReader(path)


def test_a_folder_that_cannot_be_written_is_read_and_not_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "guard.db"
        write(path, [(attempt(), decision())])
        (folder / "guard.db-lock").unlink()
        path.chmod(0o444)
        folder.chmod(0o555)
        with unprivileged():
            assert [d.record.seq for d in details(path)] == [1]
            assert verified(path).ok
            with pytest.raises(StoreError, match=r"guard\.db: cannot be locked: .*Permission denied"):
                SqliteWriter(path, site="hq")
        path.chmod(0)  # another user's, who keeps it to himself
        with unprivileged(), pytest.raises(StoreError, match=r"guard\.db: unable to open"):
            SqliteReader(path)
        folder.chmod(0o755)


def test_a_damaged_page_names_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(n), decision()) for n in range(200)])
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 60_000)
    with pytest.raises(StoreError, match=r"guard\.db: .*(damaged|malformed).*--verify"):
        details(path)
    with pytest.raises(StoreError, match=r"guard\.db: "):
        verified(path)


def test_a_log_that_is_just_being_made_has_no_records_yet(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    path.touch()
    with SqliteReader(path) as reader:
        assert list(reader.records(Query(all=True))) == []
        assert (reader.last_seq(), reader.count(Query()), reader.names("rule")) == (0, 0, frozenset())
        write(path, [(attempt(), decision())])
        assert [r.seq for r in reader.records(Query(all=True))] == [1]


def test_an_older_log_is_brought_to_the_new_version_and_keeps_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision())])
    newer = (*migrations.MIGRATIONS, ("ALTER TABLE calls ADD COLUMN carrier TEXT", "CREATE TABLE carriers(id)"))
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    with closing(SqliteWriter(path, site="hq")) as writer:
        assert writer._db.execute("PRAGMA user_version").fetchone() == (len(newer),)
        assert writer.decided(attempt(1), decision(), None) == 2
    assert seqs(path, Query(all=True)) == [1, 2]


def test_a_migration_that_fails_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision())])
    with monkeypatch.context() as patched:
        broken = (*migrations.MIGRATIONS, ("CREATE TABLE carriers(id)", "CREATE TABLE calls(id)"))
        patched.setattr(schema, "MIGRATIONS", broken)
        with pytest.raises(StoreError, match=r"guard\.db: .*already exists"):
            SqliteWriter(path, site="hq")
    with closing(SqliteWriter(path, site="hq")) as writer:
        assert writer._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'carriers'").fetchone() == (0,)
        assert writer.decided(attempt(1), decision(), None) == 2
