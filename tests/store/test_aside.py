"""A damaged log: kept under another name, a new one begun, and told; what is no log of ours is left alone."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from guard.app_parts import contact_secret, open_store
from guard.config import Config, load
from guard.policy.load import load_policy
from guard.store import aside
from guard.store.errors import StoreError, StoreLocked
from guard.store.lock import Lock
from guard.store.sqlite import SqliteWriter
from sim.site import Site
from tests.store.making import attempt, decision
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
    assert store.replaces.startswith(f"{path}-damaged-")
    assert Path(store.replaces).read_bytes() == broken
    assert "a new log is begun" in caplog.text
    store.decided(attempt(1), decision("allowed"), None)
    store.close()
    assert verified(path).ok
    assert len(details(path)) == 1
    again = opened(config)
    assert again.replaces == ""  # the new one is whole
    again.close()


def test_damage_that_is_found_while_it_is_written_is_kept_aside_at_the_next_start(tmp_path: Path) -> None:
    config = site(tmp_path)
    path = config.store_path
    store = opened(config)
    store._refused(sqlite3.DatabaseError("disk I/O error"))
    assert not aside.marked(path)  # the disk's fault, which may pass
    store._refused(sqlite3.DatabaseError("database disk image is malformed"))
    assert aside.marked(path)
    assert store.replaces == ""
    with pytest.raises(StoreLocked):
        opened(config)  # another guard still writes it: nothing is moved under it
    store.close()
    again = opened(config)
    assert Path(again.replaces).exists()
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
        names.add(aside.kept(path))
    assert {Path(n).read_bytes() for n in names} == {b"0", b"1", b"2"}
    assert {Path(n + "-wal").read_bytes() for n in names} == {b"w0", b"w1", b"w2"}
    with Lock(str(path)), pytest.raises(StoreLocked):
        aside.kept(path)
