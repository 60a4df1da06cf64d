"""A crash, or a disk that says no, at every step of writing the books: an entry is there whole, or not at all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.store.books import Books
from guard.store.errors import StoreError
from tests.store.making import AT
from tests.store.making_log import PARIS
from tests.store.test_books import BILL, SEEN, step

HERS = "+33145678111"


def enter(books: Books) -> None:
    books.enter(replace(BILL, number=HERS))


def see(books: Books) -> None:
    books.seen([replace(SEEN, subject="+33899000000"), SEEN])


def resolve(books: Books) -> None:
    books.step(step(1, "resolve"))


def erase(books: Books) -> None:
    books.erase(*books.about(HERS), "request", AT)


ACTS: list[Callable[[Books], None]] = [enter, see, resolve, erase]
AFTER = 3  # entries: each act adds one


def begun(folder: Path) -> Books:
    """An incident and a penalty."""
    folder.mkdir()
    books = Books(folder / "guard.db", PARIS)
    books.seen([SEEN])
    enter(books)
    return books


def watched(books: Books, look: Callable[[], int], steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `look` called at every so many steps of SQLite, within transactions that write."""
    whole = books._file._connected

    def connected(*, writing: bool) -> sqlite3.Connection:
        db = whole(writing=writing)
        if writing:
            db.execute("PRAGMA cache_spill = 1")
            db.set_progress_handler(look, steps)
        return db

    monkeypatch.setattr(books._file, "_connected", connected)


def state(books: Books) -> tuple[int, int, int]:
    """How many entries, incidents and penalties there are."""
    assert books.verify() == ""
    return len(books.links()), len(books.incidents()), len(books.passed_on(0, 1 << 62))


@pytest.mark.parametrize("act", ACTS)
def test_a_process_killed_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Books], None]
) -> None:
    books = begun(tmp_path / "live")
    seen: dict[bytes, Path] = {}

    def look() -> int:
        names = (books.path, f"{books.path}-journal")
        data = b"|".join(Path(n).read_bytes() if Path(n).exists() else b"" for n in names)
        if data not in seen:
            seen[data] = folder = tmp_path / f"state{len(seen)}"
            shutil.copytree(tmp_path / "live", folder)
        return 0

    before = state(books)
    watched(books, look, 3, monkeypatch)
    act(books)
    books.close()
    look()
    after = state(books)
    found = set()
    for folder in seen.values():
        with Books(folder / "guard.db", PARIS) as left:
            found.add(state(left))
            left.enter(BILL)
            assert left.verify() == ""
    assert found == {before, after}
    assert after[0] == AFTER


@pytest.mark.parametrize("act", ACTS)
def test_a_disk_that_refuses_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Books], None]
) -> None:
    refused = 0
    for at in range(0, 100_000, 5):
        books = begun(tmp_path / f"at{at}")
        before, steps = state(books), 0

        def refuse(at: int = at) -> int:
            nonlocal steps
            steps += 1
            return steps > at

        watched(books, refuse, 1, monkeypatch)
        try:
            act(books)
        except StoreError:
            refused += 1
        else:
            break
        finally:
            books.close()
        monkeypatch.undo()
        again = Books(tmp_path / f"at{at}" / "guard.db", PARIS)
        if state(again) == before:  # SQLite asks once more behind a COMMIT that is through: no disk says no there
            act(again)
        assert state(again)[0] == AFTER
        again.close()
    assert refused > 5
