"""The log that reading is measured on: a whole one, the same each time, with all that the benchmark asks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.__main__ import main
from tests.store.making_log import verified


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "guard.db"
    assert main(["logfill", "--rows", "6000", "--path", str(path)]) == 0
    return path


def test_its_chain_and_its_index_are_whole(log: Path, tmp_path: Path) -> None:
    found = verified(log)
    assert found.ok, found.reason
    assert main(["logfill", "--rows", "6000", "--path", str(tmp_path / "again.db")]) == 0
    assert verified(tmp_path / "again.db").hash == found.hash


def test_an_older_one_is_upgraded_to_the_same(log: Path, tmp_path: Path) -> None:
    from guard.store.sqlite import SqliteWriter

    path = tmp_path / "old.db"
    assert main(["logfill", "--rows", "6000", "--old", "4", "--path", str(path)]) == 0
    SqliteWriter(path, site="hq").close()
    assert verified(path) == verified(log)


def test_it_takes_no_file_that_is_there(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logfill", "--rows", "10", "--path", str(log)]) == 1
    assert "there already" in capsys.readouterr().err
    assert main(["logfill", "--rows", "0", "--path", str(log) + "-2"]) == 1


def test_the_benchmark_asks_for_every_filter(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["logbench", "--path", str(log), "--rounds", "2"])
    out = capsys.readouterr().out
    rows = re.findall(r"^\| (.+?) \| (\d+) \|", out, re.MULTILINE)
    found = {name: int(count) for name, count in rows}
    assert len(found) == len(rows) > 50
    for name in ("none", "all", "rule, often", "caller busiest", "line busiest, all", "call-id", "last hour, all"):
        assert found[name] > 0, name
    for name in ("rule never", "caller nobody, all", "after the log", "callee +44*, all"):
        assert found[name] == 0, name
    assert "exposure of 2026-11 by rule:" in out


def test_the_benchmark_needs_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logbench", "--path", str(tmp_path / "none.db")]) == 1
    assert "logfill" in capsys.readouterr().err
