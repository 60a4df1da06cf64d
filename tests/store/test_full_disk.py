"""A disk that fills in the middle of a commit: who waits is told, nothing is lost or counted twice, and it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from guard.ledger.penalties import month_bounds, summarise
from guard.store.books import Books
from guard.store.reader import SqliteReader
from tests.store.making import AT
from tests.store.making_log import PARIS, details, verified


def run(what: str, path: Path, limit: int) -> tuple[int, int, int]:
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "tests.store.disk_filler", what, str(path), str(limit)]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    before, refused, after = json.loads(done.stdout)
    return before, refused, after


@pytest.mark.parametrize("limit", [1_500_000, 3_000_001])
def test_a_log_on_a_disk_that_fills(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "guard.db"
    before, refused, after = run("calls", path, limit)
    assert before > 10
    assert (refused, after) == (6, 10)
    found = verified(path)
    assert (found.ok, found.entries, found.lost) == (True, before + refused + after, 0)  # what was refused was kept
    kept = details(path)
    with SqliteReader(path) as reader:
        *_, total = summarise(reader.exposures(*month_bounds("2026-11", PARIS)), "rule", PARIS)
    assert total.avoided == len(kept) * 2_500_050_000
    assert total.numbers == total.calls == len(kept)


def test_books_on_a_disk_that_fills(tmp_path: Path) -> None:
    before, refused, after = run("books", tmp_path / "guard.db", 28_000)
    assert before > 10
    assert (refused, after) == (1, 10)
    with Books(tmp_path / "guard.db", PARIS) as books:
        assert books.verify() == ""
        assert len(books.passed_on(AT, AT + 1)) == before + after
