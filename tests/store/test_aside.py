"""A damaged log: kept under another name, a new one begun, and told; what is no log of ours is left alone."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from guard.app_parts import contact_secret, open_store
from guard.config import Config, load
from guard.ledger.incidents import Event
from guard.policy.load import load_policy
from guard.store import aside
from guard.store.bookfile import damage_of
from guard.store.books import Books
from guard.store.errors import StoreError, StoreLocked
from guard.store.lock import Lock
from guard.store.sqlite import SqliteWriter
from sim.site import Site
from tests.store.making import AT, attempt, decision
from tests.store.making_log import details, verified


def site(folder: Path) -> Config:
    return load(Site(folder=folder, port=5060, trunk_port=5060, pbx_port=5060).write())


def opened(config: Config) -> SqliteWriter:
    return open_store(config, load_policy(config))


def filled(config: Config, calls: int = 200) -> None:
    """A log of that many calls, at rest."""
    store = opened(config)
    for n in range(calls):
        store.decided(attempt(n), decision("allowed"), None)
    store.close()
    contact_secret(config)  # as a guard does that runs on it


@pytest.mark.parametrize("how", ["cut", "overwritten", "header"])
def test_a_damaged_log_is_kept_and_a_new_one_begun(tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    config = site(tmp_path)
    path = config.store_path
    filled(config)
    if how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        with path.open("r+b") as file:
            file.seek(0 if how == "header" else 100)
            file.write(os.urandom(4_000))
    broken = path.read_bytes()
    store = opened(config)
    kept = store.replaces[str(path)]
    assert kept.startswith(f"{path}-damaged-")
    assert Path(kept).read_bytes() == broken
    assert "a new log is begun" in caplog.text
    store.decided(attempt(1), decision("allowed"), None)
    store.close()
    assert verified(path).ok
    assert len(details(path)) == 1
    again = opened(config)
    assert again.replaces == {}  # the new one is whole
    again.close()


def test_damage_that_is_found_while_it_is_written_is_kept_aside_at_the_next_start(tmp_path: Path) -> None:
    config = site(tmp_path)
    path = config.store_path
    store = opened(config)
    store._refused(sqlite3.DatabaseError("disk I/O error"))
    assert not aside.marked(path)  # the disk's fault, which may pass
    store._refused(sqlite3.DatabaseError("database disk image is malformed"))
    assert aside.marked(path)
    assert store.replaces == {}
    with pytest.raises(StoreLocked):
        opened(config)  # another guard still writes it: nothing is moved under it
    store.close()
    again = opened(config)
    assert Path(again.replaces[str(path)]).exists()
    assert not aside.marked(path)
    again.close()


def test_a_file_that_no_guard_has_written_is_left_alone(tmp_path: Path) -> None:
    config = site(tmp_path)
    config.store_path.write_bytes(b"somebody's letter " * 300)
    for _ in range(2):
        with pytest.raises(StoreError, match="no database"):
            opened(config)
    assert config.store_path.read_bytes().startswith(b"somebody's letter")


def test_a_log_of_a_newer_guard_is_left_alone(tmp_path: Path) -> None:
    config = site(tmp_path)
    filled(config, 1)
    with sqlite3.connect(config.store_path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(StoreError, match="newer guard"):
        opened(config)
    assert config.store_path.exists()


def test_two_that_are_kept_in_one_second_have_two_names(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    names = set()
    for n in range(3):
        path.write_bytes(b"%d" % n)
        Path(f"{path}-wal").write_bytes(b"w%d" % n)
        Path(f"{path}-journal").write_bytes(b"j%d" % n)
        names.add(aside.kept(path))
    assert {Path(n).read_bytes() for n in names} == {b"0", b"1", b"2"}
    assert {Path(n + "-wal").read_bytes() for n in names} == {b"w0", b"w1", b"w2"}
    assert {Path(n + "-journal").read_bytes() for n in names} == {b"j0", b"j1", b"j2"}
    with Lock(str(path)), pytest.raises(StoreLocked):
        aside.kept(path)


def with_books(config: Config) -> Path:
    """A log with books beside it that have a letter, at rest; the file of the books."""
    filled(config, 1)
    with Books(config.store_path, config.zone) as books:
        for n in range(100):
            books.open(Event(step="open", at=AT, written=AT, subject=f"+3314567{n:04}"))
        books.folder.mkdir()
        (books.folder / "letter").write_text("Dear operator", encoding="utf-8")
    return Path(books.path)


@pytest.mark.parametrize("how", ["cut", "overwritten", "header", "entry"])
def test_damaged_books_are_kept_with_their_letters_and_new_ones_begun(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = site(tmp_path)
    path = with_books(config)
    if how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "entry":
        with sqlite3.connect(path) as db:
            db.execute("UPDATE entries SET hash = x'00' WHERE seq = 50")
        db.close()
    else:
        with path.open("r+b") as file:
            file.seek(0 if how == "header" else 100)
            file.write(b"\xff" * 9_000)
    broken = path.read_bytes()
    assert damage_of(str(config.store_path))
    store = opened(config)
    kept = store.replaces[str(path)]
    assert list(store.replaces) == [str(path)]  # the log itself is whole
    assert Path(kept).read_bytes() == broken
    assert (Path(f"{kept}-files") / "letter").read_text("utf-8") == "Dear operator"
    assert "new books are begun" in caplog.text
    store.close()
    with Books(config.store_path, config.zone) as books:
        assert books.incidents() == {}
        books.open(Event(step="open", at=AT, written=AT, subject="+33145670001"))
        assert books.verify() == ""
        assert books.verify([(100, "00" * 32)]) != ""  # what a checkpoint has signed is missed all the same
    again = opened(config)
    assert again.replaces == {}
    again.close()


def test_books_that_are_altered_or_another_programs_are_left_alone(tmp_path: Path) -> None:
    """Whoever is shut off stays so while that can be read: nobody is let go by a stroke of the pen."""
    config = site(tmp_path)
    path = with_books(config)
    for change in ("UPDATE entries SET hash = zeroblob(32) WHERE seq = 50", "PRAGMA application_id = 7"):
        with sqlite3.connect(path) as db:
            db.execute(change)
        db.close()
        before = path.read_bytes()
        store = opened(config)
        assert store.replaces == {}
        store.close()
        assert path.read_bytes() == before
