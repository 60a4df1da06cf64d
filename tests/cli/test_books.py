"""The books by commands: verified with the log, handed to a person, erased, purged; sums stay what they were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Guard, Ran
from tests.ledger.test_lines import STORY, figures
from tests.report.reading import Page, adds_up
from tests.store.making import CALLER
from tests.store.making_log import write
from tests.test_config import GOOD

SVA = "+33899123456"
MONTH = ("--month", "2026-11")


@pytest.fixture
def site(guard: Guard, tmp_path: Path) -> Path:
    """Calls of CALLER that cost. INC-1 of an SVA number, closed, with a letter; INC-4 of CALLER, open; a penalty."""
    write(tmp_path / "guard.db", STORY, figures(tmp_path, "technicophone-sva"))
    text = GOOD.replace('name = "operator"\n', 'name = "operator"\ncontract = "technicophone-sva"\n', 1)
    (tmp_path / "guard.toml").write_text(text + '\n[store]\npath = "guard.db"\n', encoding="utf-8")
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7 letter")
    sva = ("open", SVA, "--kind", "sva", "--rule", "traffic.ping-call", "--at", "2026-11-02T10:00")
    letter = ("notify", "1", "--letter", "breach", "--at", "2026-11-03T09:00", "--document", tmp_path / "letter.pdf")
    for words in (sva, letter, ("resolve", "1", "--at", "2026-11-12"), ("open", CALLER, "--at", "2026-11-20")):
        assert guard("incidents", *words, "-c", tmp_path / "guard.toml").status == 0
    add = ("--amount", "1500", "--reason", f"Orange, {CALLER}", "--at", "2026-11-05", "--document")
    assert guard("penalties", "add", "-c", tmp_path / "guard.toml", *add, tmp_path / "letter.pdf").status == 0
    return tmp_path


def on(guard: Guard, site: Path, *words: str | Path) -> Ran:
    return guard(*words, "-c", site / "guard.toml")


def totals(guard: Guard, site: Path) -> list[int]:
    """Accrued and avoided in micro-euros by every way to ask; all the same."""
    ways = []
    for by in ("rule", "number", "trunk", "line", "day"):
        line = on(guard, site, "penalties", *MONTH, "--by", by, "--json").objects()[-1]
        ways.append([line.get(f"{n}_microeuros", line[f"{n}_cents"] * 10_000) for n in ("accrued", "avoided")])
    lines = on(guard, site, "penalties", "lines", *MONTH, "--json").objects()
    ways.append([sum(x["amount_microeuros"] for x in lines if x["state"] == s) for s in ("accrued", "avoided")])
    page = Page(on(guard, site, "penalties", "statement", *MONTH, "--output", "-").out)
    assert all(adds_up(table) for table in page.tables.values() if table.total is not None)
    ways.append([page.values["accrued"], page.values["avoided"]])
    assert all(way == ways[0] for way in ways)
    return ways[0]


def test_a_log_is_verified_with_its_books(guard: Guard, site: Path) -> None:
    ran = on(guard, site, "log", "--verify")
    assert (ran.status, f"{site / 'guard.db'}-books: 5 entries as they were written" in ran.out) == (0, True)
    (found,) = on(guard, site, "log", "--verify", "--json").objects()
    assert (found["ok"], found["books"], found["books_reason"]) == (True, 5, "")
    (letter,) = (site / "guard.db-files").iterdir()
    letter.write_bytes(b"another")
    ran = on(guard, site, "log", "--verify")
    assert (ran.status, ran.err) == (1, f"guard: {site}/guard.db-books: entry 2: its letter {letter} was changed\n")
    letter.unlink()
    with closing(sqlite3.connect(f"{site}/guard.db-books")) as db, db:
        db.execute("DELETE FROM entries WHERE seq = 3")
    (found,) = on(guard, site, "log", "--verify", "--json").objects()
    assert (found["ok"], found["broken"], "entry 3" in found["books_reason"]) == (False, None, True)


def test_a_person_gets_what_the_books_hold(guard: Guard, site: Path) -> None:
    ran = on(guard, site, "subject", "export", SVA)
    (found,) = ran.objects()
    assert (found["incident"]["id"], found["incident"]["events"][1]["document"]["name"]) == ("INC-1", "letter.pdf")
    assert "0 calls, 1 incidents, 0 penalties entered by hand" in ran.err
    assert "letter: " in ran.err
    ran = on(guard, site, "subject", "export", "01 45 67 89 00")
    assert [next(iter(x)) for x in ran.objects()][-2:] == ["incident", "entry"]
    assert ran.objects()[-1]["penalty"]["amount"] == 1_500_000_000


def test_a_person_is_forgotten_in_the_books_too_and_no_sum_changes(guard: Guard, site: Path) -> None:
    before = totals(guard, site)
    said = on(guard, site, "subject", "erase", CALLER, "--dry-run")
    assert "INC-4 stays: it is open, a claim under way; --with-open erases it too" in said.err
    assert said.out.endswith("calls, 1 penalties entered by hand said\n")
    ran = on(guard, site, "subject", "erase", CALLER, "--yes")
    assert "guard.db-books: erased: 1 entries and 0 letters; the amounts stay, without a name" in ran.out
    assert on(guard, site, "incidents", "--json").objects()[0]["subject"] == CALLER
    ran = on(guard, site, "subject", "erase", CALLER, "--yes", "--with-open")
    assert "guard.db-books: erased: 1 entries" in ran.out
    assert on(guard, site, "subject", "erase", SVA, "--yes").out.endswith(
        "erased: 3 entries and 1 letters; the amounts stay, without a name\n"
    )
    assert totals(guard, site) == before
    assert on(guard, site, "log", "--verify").status == 0
    assert list((site / "guard.db-files").iterdir()) == []
    for file in site.glob("guard.db*"):
        if file.is_file():
            assert CALLER[3:].encode() not in file.read_bytes(), file
    recount = on(guard, site, "penalties", "--recount")
    assert "calls that cost were erased: " in recount.out
    assert on(guard, site, "subject", "erase", SVA, "--yes").out.endswith(
        "no call, incident or penalty of this number\n"
    )


def test_what_is_old_is_purged(guard: Guard, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = totals(guard, site)
    ran = on(guard, site, "evidence", "purge", "--dry-run")
    assert "guard.db-books" not in ran.out
    later = (2_000 * 86_400 + 1_795_251_600) * 1_000_000_000
    monkeypatch.setattr("guard.cli.evidence.time.time_ns", lambda: later)
    ran = on(guard, site, "evidence", "purge", "--dry-run")
    assert "would be erased: 1 incidents and 1 penalties entered by hand that are older than 730 days" in ran.out
    assert totals(guard, site) == before
    on(guard, site, "evidence", "purge")
    assert [i["id"] for i in on(guard, site, "incidents", "--all", "--json").objects()] == ["INC-4"]
    assert on(guard, site, "log", "--verify").status == 0
    monkeypatch.undo()
    assert totals(guard, site) == before
