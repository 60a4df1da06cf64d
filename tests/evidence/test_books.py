"""The books in the log's checkpoints and in an extract: every way of changing them is found and named, in both."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pytest

from guard.evidence import extract
from guard.evidence.export import CannotExport
from guard.ledger import checkpoint
from guard.ledger.incidents import Event, Step
from guard.store.bookentries import PassedOn
from guard.store.books import Books
from guard.store.reader import SqliteReader
from guard.store.verify import signatures, signed_books
from tests.evidence.making import DAY, checked, exported, lines, rewritten, writer
from tests.store.making import AT, attempt, decision, ended, finding
from tests.store.making_log import PARIS

OCTOBER = AT - 40 * DAY
LETTER = b"%PDF-1.7 mise en demeure"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Calls of November under two checkpoints. The books: 1, 2 an incident of October, closed then; 3 to 5 one of
    November with a letter; 6 a penalty of November, 7 one of October; the last two behind the first checkpoint."""
    path = tmp_path / "guard.db"
    with Books(path, PARIS) as books, closing(writer(path)) as log:
        letter = tmp_path / "letter.pdf"
        letter.write_bytes(LETTER)
        books.open(Event(step="open", at=OCTOBER, written=OCTOBER, subject="+33145670001", trunk="operator"))
        step(books, 1, "resolve", OCTOBER + DAY)
        books.open(Event(step="open", at=AT, written=AT, subject="+33145670002", trunk="operator"))
        event = Event(step="notify", at=AT, written=AT, incident=3, letter="question", document=books.keep(letter))
        books.step(event)
        step(books, 3, "answer", AT + DAY)
        seq = log.decided(attempt(1), decision("blocked", finding("cli.premium")), None)
        log.ended(seq, ended("blocked"))
        log.sign(AT + 1)
        log.flush()
        for at in (AT, OCTOBER):
            books.enter(PassedOn(at=at, written=AT + DAY, amount=1_000_000, reason="+33145670003", trunk="operator"))
    return path


def step(books: Books, incident: int, name: Step, at: int) -> None:
    books.step(Event(step=name, at=at, written=at, incident=incident))


@pytest.fixture
def output(log: Path, tmp_path: Path) -> Path:
    exported(log, tmp_path / "november.zip")
    return tmp_path / "november.zip"


def wrong(log: Path) -> str:
    """What `guard log --verify` finds of the books."""
    with SqliteReader(log) as reader, Books(log, PARIS) as books:
        return books.verify(signed_books(reader))


def edit(log: Path, *statements: str) -> None:
    with closing(sqlite3.connect(f"{log}-books")) as db, db:
        for statement in statements:
            db.execute(statement)


def test_each_checkpoint_names_how_far_the_books_had_come(log: Path) -> None:
    with SqliteReader(log) as reader:
        found = [checkpoint.decode(row[1]) for row in signatures(reader)]  # type: ignore[arg-type]
    with Books(log, PARIS) as books:
        hashes = [link.hash.hex() for link in books.links()]
    assert [(c.books, c.books_hash) for c in found] == [(5, hashes[4]), (7, hashes[6])]
    assert wrong(log) == ""


def test_books_that_cannot_be_read_cost_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    Path(f"{path}-books").write_text("hello, no database", encoding="utf-8")
    writer(path).close()
    with SqliteReader(path) as reader:
        (row,) = signatures(reader)
    said = checkpoint.decode(row[1])  # type: ignore[arg-type]
    assert (said.books, said.books_hash) == (0, "")


SWAP = "UPDATE entries SET seq = -seq WHERE seq IN (3, 4)", "UPDATE entries SET seq = 7 + seq WHERE seq < 0"


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["UPDATE entries SET body = replace(body, 'operator', 'operatos') WHERE seq = 3"], "entry 3: its body is not"),
        (["DELETE FROM entries WHERE seq = 4"], "entry 4: entry 4 is missing"),
        (SWAP, "entry 3"),
        (
            ["INSERT INTO entries SELECT 8, kind, body_hash, hash, salt, body FROM entries WHERE seq = 3"],
            "entry 8: its",
        ),
        (["DELETE FROM entries WHERE seq > 5"], "entries 6 to 7 are missing: a checkpoint of the log names entry 7"),
        (["DELETE FROM entries WHERE seq < 3"], "entry 1: entries 1 to 2 are missing"),
        (["DELETE FROM entries"], "entries 1 to 5 are missing: a checkpoint of the log names entry 5"),
        (["UPDATE entries SET body = NULL, salt = NULL WHERE seq = 6"], "entry 6: what it said is gone, and no entry"),
    ],
    ids=["flipped", "deleted", "swapped", "re-inserted", "tail cut", "head cut", "emptied", "taken away"],
)
def test_tampering_with_the_books_is_named_and_makes_no_extract(
    log: Path, tmp_path: Path, statements: tuple[str, ...], says: str
) -> None:
    edit(log, *statements)
    assert says in wrong(log)
    with pytest.raises(CannotExport, match=r"guard\.db-books"):
        exported(log, tmp_path / "november.zip")
    assert not (tmp_path / "november.zip").exists()


def test_books_made_anew_from_somewhere_on_are_given_away(log: Path) -> None:
    edit(log, "DELETE FROM entries WHERE seq > 5")
    with Books(log, PARIS) as books:
        for _ in range(3):
            books.enter(PassedOn(at=AT, written=AT, amount=1, reason="made anew"))
    assert "up to entry 7 it is not what a checkpoint of the log has signed" in wrong(log)
    shutil.rmtree(f"{log}-files")
    edit(log, "DELETE FROM entries WHERE seq > 5")
    assert "entries 6 to 7 are missing" in wrong(log)


def test_what_is_of_them_in_an_extract(log: Path, output: Path) -> None:
    found = checked(output)
    assert (found.ok, found.faults) == (True, ())
    rows = lines(output, extract.BOOKS)
    assert [(row["seq"], "body" in row) for row in rows] == [
        (1, False), (2, False), (3, True), (4, True), (5, True), (6, True), (7, False),
    ]  # fmt: skip
    with ZipFile(output) as archive:
        (letter,) = [name for name in archive.namelist() if name.startswith("letters/")]
        assert archive.read(letter) == LETTER
        assert b"+33145670001" not in archive.read(extract.BOOKS)
    again = output.with_name("again.zip")
    exported(log, again)
    assert again.read_bytes() == output.read_bytes()


def test_a_log_without_books(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(writer(path)) as log:
        log.decided(attempt(1), decision("blocked", finding("cli.premium")), None)
    exported(path, tmp_path / "november.zip")
    assert checked(tmp_path / "november.zip").ok
    with ZipFile(tmp_path / "november.zip") as archive:
        assert extract.BOOKS not in archive.namelist()


def test_what_was_erased_is_erased_in_the_extract_too(log: Path, tmp_path: Path) -> None:
    with Books(log, PARIS) as books:
        assert books.erase(*books.about("+33145670002"), "request", AT + 2 * DAY) == (3, 1)
    output = tmp_path / "november.zip"
    exported(log, output)
    assert checked(output).ok
    assert [row["seq"] for row in lines(output, extract.BOOKS) if row.get("erased")] == [3, 4, 5]
    rewritten(output, extract.BOOKS, lambda data: b"".join(data.splitlines(keepends=True)[:-1]))
    assert "books.jsonl: entry 3: what it said is gone, and no entry says that it was erased" in checked(output).faults


def at(seq: int, change: Callable[[dict[str, object]], None]) -> Callable[[bytes], bytes]:
    """An edit of one line of books.jsonl."""

    def made(data: bytes) -> bytes:
        rows = [json.loads(line) for line in data.splitlines()]
        change(rows[seq - 1])
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    return made


def without(*seqs: int) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(line for line in data.splitlines(keepends=True) if json.loads(line)["seq"] not in seqs)


def swapped(data: bytes) -> bytes:
    rows = data.splitlines(keepends=True)
    return b"".join([*rows[:2], rows[3], rows[2], *rows[4:]])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (at(3, lambda row: row.update(body=str(row["body"]).replace("operator", "operatos"))), "entry 3: its body is"),
        (without(4), "entry 4: entry 4 is missing"),
        (swapped, "entry 3: entry 3 is missing"),
        (lambda data: data + data.splitlines(keepends=True)[2], "entry 3: its number is not one of this log"),
        (without(6, 7), "ends at entry 5, and the manifest names another as the last"),
        (without(5, 6, 7), "checkpoint 1: names entry 5 of the books, which is not in books.jsonl"),
        (at(7, lambda row: row.update(hash="00" * 32)), "entry 7: its hash does not follow"),
        (at(7, lambda row: row.update(hash="hello")), "entry 7: its hashes cannot be read"),
        (lambda data: b"[]\n" + data, "books.jsonl: line 1 cannot be read"),
    ],
    ids=["flipped", "deleted", "swapped", "re-inserted", "tail cut", "below a checkpoint", "hash", "no hash", "no row"],
)
def test_what_is_changed_in_an_extract_is_named(output: Path, change: Callable[[bytes], bytes], says: str) -> None:
    rewritten(output, extract.BOOKS, change)
    found = checked(output)
    assert "books.jsonl: changed" in found.faults
    assert any(says in text for text in found.faults), found.faults


def test_a_letter_that_is_another_or_gone(output: Path) -> None:
    with ZipFile(output) as archive:
        (letter,) = [name for name in archive.namelist() if name.startswith("letters/")]
    rewritten(output, letter, lambda data: data + b"!")
    assert f"{letter}: not the letter that books.jsonl names" in checked(output).faults
    with ZipFile(output) as archive:
        files = {n: archive.read(n) for n in archive.namelist() if n != letter}
    with ZipFile(output, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert f"{letter}: missing" in checked(output).faults
