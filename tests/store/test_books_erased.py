"""What the books held of a person is gone, its letters too; the amounts stay, the chain holds, and the rest goes on."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.ledger.incidents import Event, Incident, Step, costs
from guard.ledger.lines import LedgerLine
from guard.store.bookentries import PassedOn, line_of, names
from guard.store.bookfile import tip_of
from guard.store.books import Books
from guard.store.errors import StoreError
from tests.store.making import AT
from tests.store.making_log import PARIS
from tests.store.test_books import BILL, HOUR, SEEN

os_utime = os.utime

HERS = "+33145678111"
DAY = 24 * HOUR
LATER = AT + 30 * DAY
FAR = 1 << 33  # s: the year 2242


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """1, 2, 5, 6: an SVA number put right too late, with a letter. 3: another number's incident, open. 4: a penalty."""
    books = Books(tmp_path / "guard.db", PARIS)
    books.seen([SEEN])
    step(books, 1, "notify", AT + HOUR, letter(books, "mise en demeure"))
    books.seen([replace(SEEN, subject="+33145678999", subject_kind="number")])
    books.enter(replace(BILL, number=HERS, document=letter(books, "facture").document))
    step(books, 1, "note", AT + 2 * HOUR)
    step(books, 1, "resolve", AT + 20 * DAY)
    return books


def letter(books: Books, text: str) -> PassedOn:
    path = Path(books.path).with_name("letter.pdf")
    path.write_text(text, encoding="utf-8")
    return replace(BILL, document=books.keep(path))


def step(books: Books, number: int, name: Step, at: int, of: PassedOn = BILL) -> Incident:
    kind = "breach" if name == "notify" else ""
    event = Event(step=name, at=at, written=at, incident=number, letter=kind, document=of.document)  # type: ignore[arg-type]
    return books.step(event)


def lines(books: Books) -> list[LedgerLine]:
    """Everything that the books add to the ledger."""
    found = [line_of(seq, one) for seq, one in books.passed_on(0, 1 << 62)]
    found += [line for i in books.incidents().values() for line in costs(i, LATER, PARIS)]
    return found + books.erased_lines(0, 1 << 62)


def sums(books: Books) -> dict[tuple[str, str, int, str], int]:
    out: dict[tuple[str, str, int, str], int] = {}
    for line in lines(books):
        key = (line.kind, line.state, line.at, line.trunk)
        out[key] = out.get(key, 0) + line.amount
    return out


def test_an_incident_goes_whole_and_what_it_cost_stays(books: Books) -> None:
    before = sums(books)
    assert sum(before.values()) == 16_500_000_000  # 5 000 + 10 000 put right too late, and 1 500 passed on
    incidents, entries = books.about(SEEN.subject)
    assert ([i.id for i in incidents], entries) == ([1], [])
    assert books.erase(incidents, entries, "request", LATER) == (4, 1)
    assert books.verify() == ""
    assert sums(books) == before
    assert [(line.number, line.reason, line.document) for line in books.erased_lines(0, LATER)] == [("", "", "")] * 2
    assert list(books.incidents()) == [3]
    assert SEEN.subject.encode() not in Path(books.path).read_bytes()
    assert len(list(books.folder.iterdir())) == 1
    step(books, 3, "resolve", AT + 21 * DAY)
    assert books.seen([replace(SEEN, at=LATER)])[0][0].name == "INC-9"
    assert books.verify() == ""


def test_a_penalty_entered_by_hand_goes_with_its_letter(books: Books) -> None:
    before = sums(books)
    incidents, entries = books.about(HERS)
    assert (incidents, [seq for seq, _ in entries]) == ([], [4])
    assert books.erase(incidents, entries, "request", LATER) == (1, 1)
    assert (books.passed_on(0, LATER), sums(books), books.verify()) == ([], before, "")
    assert books.about(HERS) == ([], [])
    assert books.erase([], [], "request", LATER) == (0, 0)


def test_a_letter_that_another_entry_names_stays(books: Books) -> None:
    books.enter(replace(BILL, number=HERS, document=letter(books, "mise en demeure").document))
    assert books.erase(*books.about(HERS), "request", LATER) == (2, 1)
    assert books.verify() == ""


def test_what_is_closed_or_was_entered_long_ago_is_old(books: Books) -> None:
    assert books.old(AT) == ([], [])
    incidents, entries = books.old(AT + 20 * DAY + 1)
    assert ([i.id for i in incidents], [seq for seq, _ in entries]) == ([1], [4])  # not the one that is open
    assert books.erase(incidents, entries, "retention", LATER) == (5, 2)
    assert books.verify() == ""


@pytest.mark.parametrize("seq", [1, 4])
def test_a_body_that_is_taken_away_without_a_note_of_it_is_seen(books: Books, seq: int) -> None:
    books.close()
    with closing(sqlite3.connect(books.path)) as db, db:
        db.execute("UPDATE entries SET body = NULL, salt = NULL WHERE seq = ?", (seq,))
    assert f"entry {seq}: what it said is gone, and no entry says that it was erased" in books.verify()


def test_what_a_checkpoint_names_must_be_there(books: Books, tmp_path: Path) -> None:
    seq, tip = tip_of(str(tmp_path / "guard.db")) or (0, b"")
    assert seq == 6
    assert books.verify({(6, tip.hex())}) == ""
    books.close()
    with closing(sqlite3.connect(books.path)) as db, db:
        db.execute("DELETE FROM entries WHERE seq = 6")
    assert books.verify() == ""  # the chain alone does not know of it
    assert "entry 6 is missing: a checkpoint of the log names entry 6, the end was cut off" in books.verify(
        {(6, tip.hex())}
    )
    books.close()
    step(books, 1, "note", AT + 21 * DAY)  # written anew behind the cut
    assert "up to entry 6 it is not what a checkpoint of the log has signed" in books.verify({(6, tip.hex())})
    Path(books.path).unlink()
    books.close()
    assert "entries 1 to 6 are missing" in books.verify({(6, tip.hex())})


def test_the_tip_of_no_books_and_of_what_is_none(tmp_path: Path) -> None:
    assert tip_of(str(tmp_path / "guard.db")) == (0, bytes(32))
    (tmp_path / "guard.db-books").write_text("hello, no database", encoding="utf-8")
    assert tip_of(str(tmp_path / "guard.db")) is None


def test_a_letter_that_cannot_be_deleted_is_told(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=r"Operation not permitted: delete it by hand"):
        books.erase(*books.about(HERS), "request", LATER)


class Fallen(Exception):
    """The process ended here."""


def fallen(books: Books, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """The erasure of what names HERS is in the books when the crash comes, before its letter is deleted; the tip."""

    def fall(_self: Books, _letters: object) -> int:
        raise Fallen

    with monkeypatch.context() as patch:
        patch.setattr(Books, "_drop", fall)
        with pytest.raises(Fallen):
            books.erase(*books.about(HERS), "request", time.time_ns() // 1_000 + HOUR)
    books.close()
    seq, tip = tip_of(books.path.removesuffix("-books")) or (0, b"")
    return seq, tip.hex()


def test_a_deletion_of_letters_that_a_crash_broke_off_is_finished(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = books.folder / "notes.txt"
    own.write_text("a person's own", encoding="utf-8")
    seq, tip = fallen(books, monkeypatch)
    assert len(list(books.folder.iterdir())) == 3
    assert books.settle(seq, tip) == 1
    assert len(list(books.folder.iterdir())) == 2
    assert own.exists()
    assert books.verify() == ""
    assert books.settle(seq, tip) == 0


def test_no_letter_goes_that_may_be_wanted(books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seq, tip = tip_of(str(tmp_path / "guard.db")) or (0, b"")
    strange = books.folder / ("a" * 32 + ".pdf")
    strange.write_text("no entry names it, and nothing was ever erased", encoding="utf-8")
    assert books.settle(seq, tip.hex()) == 0
    seq, late = fallen(books, monkeypatch)
    assert books.settle(seq + 1, late) == 0  # the books are an older copy than the log's checkpoint knows
    assert books.settle(seq, tip.hex()) == 0  # not the books that it knows
    for path in books.folder.iterdir():
        os.utime(path, (FAR, FAR))  # kept after the erasure: a command is about to enter it
    assert books.settle(seq, late) == 0
    books.close()
    with closing(sqlite3.connect(books.path)) as db, db:
        db.execute("DELETE FROM entries WHERE seq = 2")
    assert books.settle(0, "") == 0  # books that were cut do not know their letters
    books.close()
    Path(books.path).unlink()
    assert books.settle(0, "") == 0
    assert len(list(books.folder.iterdir())) == 3


def test_a_letter_kept_again_is_no_leftover(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    seq, tip = fallen(books, monkeypatch)
    for path in books.folder.iterdir():
        os.utime(path, (0, 0))
    monkeypatch.setattr("guard.store.books.os.utime", lambda path: os_utime(path, (FAR, FAR)))
    letter(books, "facture")  # the very one that was erased, and its entry is not written yet
    assert books.settle(seq, tip) == 0
    assert books.verify() == ""


@pytest.mark.parametrize(
    ("text", "number", "found"),
    [
        ("+33145678111", HERS, True),
        ("0145678111", HERS, True),
        ("Mme Martin (01 45 67 81 11) écrit", HERS, True),
        ("01.45.67.81.12", HERS, False),
        ("", HERS, False),
        ("200", "200", True),
        ("line 200 called", "200", True),
        ("12 calls of 2000", "200", False),
        ("#12", HERS, False),
    ],
)
def test_how_a_number_is_found_in_what_people_write(text: str, number: str, found: bool) -> None:
    assert names(text, number) == found
