"""What a log knows of calls that were up: whose records they are, and whether they are over."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.store import reader as module
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from tests.store.making import AT, attempt, decision, ended, finding
from tests.store.making_log import write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """1 goes on, 2 is over (3), 4 is over (5) and will be erased, 6 was refused (7), 8 goes on."""
    path = tmp_path / "guard.db"
    write(
        path,
        [
            (attempt(1), decision()),
            (attempt(2), decision(), ended("answered")),
            (attempt(3), decision(), ended("answered")),
            (attempt(4), decision("blocked", finding("cli.premium")), ended("blocked")),
            (attempt(5), decision()),
        ],
    )
    return path


def test_of_each_its_call_id_and_whether_it_is_over(log: Path) -> None:
    with SqliteReader(log) as reader:
        assert reader.standing([8, 1, 2, 6]) == {
            1: ("call-1@pbx", False),
            2: ("call-2@pbx", True),
            6: ("call-4@pbx", True),
            8: ("call-5@pbx", False),
        }


def test_of_ends_of_what_was_erased_and_of_what_is_not_there_nothing(log: Path) -> None:
    writer = SqliteWriter(log, site="hq", money={})
    writer.erase((4, 5), "request", AT)
    writer.close()
    with SqliteReader(log) as reader:
        assert reader.standing([3, 4, 5, 99]) == {}


def test_as_many_as_are_asked_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    with SqliteReader(log) as reader:
        assert list(reader.standing([1, 2, 4, 6, 8])) == [1, 2, 4, 6, 8]
        assert reader.standing([]) == {}


def test_of_a_log_that_is_still_being_made_nothing(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    path.touch()
    with SqliteReader(path) as reader:
        assert reader.standing([1]) == {}
