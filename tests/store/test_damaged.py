"""Logs and books that were cut short or edited: a clear error that names the file, never a silent half."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.ledger.penalties import month_bounds
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.money import ledger_lines
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from tests.store.making import AT, attempt, decision, finding
from tests.store.making_log import DIGITS, PARIS, details, verified, write
from tests.store.test_books import BILL

NOVEMBER = month_bounds("2026-11", PARIS)
BLOCKED = decision("blocked", finding("cli.premium"))
SHARES = [0.0, 0.1, 0.5, 0.9, 0.99]


@pytest.mark.parametrize("share", SHARES[1:])
def test_a_log_that_was_cut_short(tmp_path: Path, share: float) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(n, caller=f"+3314567{n:04}"), BLOCKED) for n in range(300)])
    os.truncate(path, int(path.stat().st_size * share))
    for act in (lambda: details(path), lambda: verified(path), lambda: _lines(path)):
        with pytest.raises(StoreError, match=r"guard\.db: "):
            act()


def test_a_log_that_was_emptied_has_no_calls_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), BLOCKED)])
    os.truncate(path, 0)
    assert details(path) == []
    assert verified(path).entries == 0  # who kept a checkpoint elsewhere knows better: docs/evidence.md


def _lines(path: Path) -> list[object]:
    with SqliteReader(path) as reader:
        return list(ledger_lines(reader, *NOVEMBER))


@pytest.mark.parametrize("share", SHARES[1:])
def test_books_that_were_cut_short(tmp_path: Path, share: float) -> None:
    books = Books(tmp_path / "guard.db", PARIS)
    for _ in range(60):
        books.enter(BILL)
    books.close()
    os.truncate(books.path, int(os.stat(books.path).st_size * share))
    for act in (books.incidents, books.links, lambda: books.enter(BILL)):
        with pytest.raises(StoreError, match=r"guard\.db-books: "):
            act()
    assert "guard.db-books: " in books.verify()


def test_a_clock_that_jumps_back_counts_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    days = (0, 40, -40, 0)  # November, December, October, November again: each number once a month
    write(path, [(attempt(n, at=AT + day * 86_400_000_000), BLOCKED) for n, day in enumerate(days)])
    assert verified(path).ok
    found = {}
    for month in ("2026-10", "2026-11", "2026-12"):
        with SqliteReader(path) as reader:
            lines = list(ledger_lines(reader, *month_bounds(month, PARIS)))
        found[month] = (sum(line.amount for line in lines), len(lines))
    one = 2_500_050_000
    assert found == {"2026-10": (one, 2), "2026-11": (one + 50_000, 3), "2026-12": (one, 2)}


def test_a_month_without_calls(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with_none = SqliteWriter(path, site="hq", money={"operator": DIGITS})
    with_none.close()
    assert _lines(path) == []
