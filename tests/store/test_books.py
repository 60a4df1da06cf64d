"""The books beside the log: kept for good, chained, one incident a subject, letters whole, several writers at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.ledger.incidents import NO_TERMS, Event, WrongStep
from guard.ledger.sightings import Sighting
from guard.policy.money import incident_terms
from guard.store.bookentries import PassedOn, line_of
from guard.store.books import FEED_EVERY, MAX_LETTER, Books
from guard.store.errors import StoreError
from tests.policy.reading import contracts
from tests.store.making import AT, SECOND
from tests.store.making_log import PARIS

HOUR = 3600 * SECOND
TERMS = incident_terms(contracts()["technicophone-sva"])
SEEN = Sighting(
    subject_kind="sva", subject="+33899123456", trunk="operator", rule="traffic.ping-call", at=AT, reached=False,
    text="12 calls rang once", terms=TERMS,
)  # fmt: skip
BILL = PassedOn(at=AT, written=AT, amount=1_500_000_000, reason="Orange passes on", trunk="operator")


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path / "guard.db", PARIS)


def step(incident: int, name: str, at: int = AT + HOUR) -> Event:
    return Event(step=name, at=at, written=at, incident=incident, letter="breach" if name == "notify" else "")  # type: ignore[arg-type]


def test_nothing_is_made_until_something_is_written(books: Books, tmp_path: Path) -> None:
    assert books.incidents() == {}
    assert books.passed_on(0, 2 * AT) == []
    assert books.verify() == ""
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_there_for_another_process(books: Books, tmp_path: Path) -> None:
    found, new = books.seen([SEEN])[0]
    assert (new, found.name, found.state) == (True, "INC-1", "open")
    assert books.enter(BILL) == 2
    books.step(step(1, "notify"))
    books.step(step(1, "resolve"))
    with Books(tmp_path / "guard.db", PARIS) as other:
        assert other.incidents()[1].state == "resolved"
        assert other.incidents()[1].reached
        assert other.passed_on(AT, AT + 1) == [(2, BILL)]
        assert other.passed_on(AT + 1, AT + 2) == []
        assert other.verify() == ""
    assert (tmp_path / "guard.db-books").stat().st_mode & 0o777 == 0o600


def test_one_incident_a_subject_at_a_time(books: Books) -> None:
    assert books.seen([SEEN])[0][1]
    again, new = books.seen([replace(SEEN, at=AT + HOUR // 2)])[0]
    assert (again.id, new, len(again.events)) == (1, False, 1)  # nothing new within the hour
    reached, _ = books.seen([replace(SEEN, at=AT + HOUR // 2, reached=True)])[0]
    assert (len(reached.events), reached.reached) == (2, True)
    later, _ = books.seen([replace(SEEN, at=AT + HOUR // 2 + FEED_EVERY, reached=True)])[0]
    assert len(later.events) == 3
    assert books.seen([replace(SEEN, trunk="backup")])[0][1]
    assert books.seen([replace(SEEN, subject="+33899000000")])[0][1]
    with pytest.raises(WrongStep, match=r"INC-1 is open for \+33899123456 already"):
        books.open(replace(later.events[0], at=AT))


def test_seen_again_after_it_was_put_right_is_a_repeat(books: Books) -> None:
    books.seen([SEEN])
    books.step(step(1, "resolve"))
    again, new = books.seen([replace(SEEN, at=AT + 2 * HOUR)])[0]
    assert (new, again.state, again.repeats) == (True, "repeated", 1)
    books.step(step(again.id, "release", AT + 3 * HOUR))
    third, _ = books.seen([replace(SEEN, at=AT + 4 * HOUR)])[0]
    assert (third.state, third.repeats) == ("repeated", 1)  # the one let go between was no breach
    books.step(step(third.id, "release", AT + 5 * HOUR))
    other, _ = books.seen([replace(SEEN, at=AT + 6 * HOUR, terms=NO_TERMS)])[0]
    assert (other.state, other.repeats) == ("open", 0)


def test_a_step_that_cannot_be_taken_writes_nothing(books: Books) -> None:
    books.seen([SEEN])
    for event in (step(1, "answer"), step(9, "resolve")):
        with pytest.raises(WrongStep):
            books.step(event)
    assert len(books.incidents()[1].events) == 1
    assert books.verify() == ""


def test_letters_are_kept_whole_and_told_when_changed(books: Books, tmp_path: Path) -> None:
    letter = tmp_path / "Lettre AR n°1.pdf"
    letter.write_bytes(b"%PDF-1.7 ...")
    document = books.keep(letter)
    assert books.keep(letter) == document
    kept = books.folder / document.kept
    assert (document.name, document.size, kept.read_bytes()) == ("Lettre AR n°1.pdf", 12, b"%PDF-1.7 ...")
    assert kept.suffix == ".pdf"
    assert [p.name for p in books.folder.iterdir()] == [document.kept]
    assert (books.folder.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)
    books.enter(replace(BILL, document=document))
    assert books.verify() == ""
    kept.write_bytes(b"%PDF-1.7 ..!")
    assert "its letter" in books.verify()
    assert books.verify().endswith("was changed")
    kept.unlink()
    assert books.verify().endswith("is gone")


def test_letters_that_cannot_be_kept(books: Books, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        books.keep(tmp_path / "none.pdf")
    with pytest.raises(StoreError, match="Is a directory"):
        books.keep(tmp_path)
    huge = tmp_path / "huge"
    with huge.open("wb") as out:
        out.truncate(MAX_LETTER + 1)
    with pytest.raises(StoreError, match="larger than 64 MiB"):
        books.keep(huge)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE entries SET body = replace(body, '1500000000', '1500000001') WHERE seq = 2", "not what was written"),
        ("DELETE FROM entries WHERE seq = 1", "entry 1 is missing"),
        ("UPDATE entries SET kind = 'passed-on' WHERE seq = 1", "does not follow"),
        ("UPDATE entries SET kind = 'end' WHERE seq = 1", "none of this log"),
        ("UPDATE entries SET seq = 9 WHERE seq = 3", "missing"),
    ],
)
def test_what_was_changed_is_found(books: Books, statement: str, says: str) -> None:
    books.seen([SEEN])
    books.enter(BILL)
    books.enter(BILL)
    books.close()
    db = sqlite3.connect(books.path)
    db.execute(statement)
    db.commit()
    db.close()
    assert says in books.verify()


def test_files_that_are_no_books(books: Books) -> None:
    Path(books.path).write_text("hello, this is no database at all", encoding="utf-8")
    for act in (books.incidents, lambda: books.enter(BILL)):
        with pytest.raises(StoreError, match="no database"):
            act()
    Path(books.path).unlink()
    db = sqlite3.connect(books.path)
    db.execute("CREATE TABLE other(x)")
    db.close()
    with pytest.raises(StoreError, match="another program"):
        books.incidents()
    Path(books.path).unlink()
    books.enter(BILL)
    books.close()
    db = sqlite3.connect(books.path)
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(StoreError, match="newer guard"):
        books.incidents()


def test_a_file_that_was_only_made_is_empty(books: Books) -> None:
    Path(books.path).touch()
    assert books.incidents() == {}
    assert books.enter(BILL) == 1


WRITER = """
import sys
from tests.store.test_books import BILL, Books, PARIS
for _ in range(25):
    with Books(sys.argv[1], PARIS) as books:
        books.enter(BILL)
"""


def test_several_processes_write_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=Path(__file__).parents[2]) for _ in "ab"]
    assert [p.wait(60) for p in running] == [0, 0]
    with Books(path, PARIS) as books:
        assert [seq for seq, _ in books.passed_on(AT, AT + 1)] == list(range(1, 51))
        assert books.verify() == ""


def test_who_writes_reads_the_tip_alone(books: Books) -> None:
    books.enter(BILL)
    other = sqlite3.connect(books.path, timeout=0, isolation_level=None)
    with books._file.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_line_of_the_ledger_names_its_letter(books: Books, tmp_path: Path) -> None:
    (tmp_path / "l.pdf").write_bytes(b"x")
    document = books.keep(tmp_path / "l.pdf")
    line = line_of(7, replace(BILL, document=document, number="+33145678900"))
    assert (line.kind, line.state, line.amount, line.trunk) == ("passed-on", "accrued", 1_500_000_000, "operator")
    assert (line.document, line.reason, line.incident) == (document.kept, "Orange passes on", "#7")
