"""guard penalties lines, statement, add, reconcile and --recount: on a log of the STORY of the ledger's tests."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Guard, Ran
from tests.ledger.test_lines import STORY, WATCHED, figures
from tests.report.reading import Page, adds_up
from tests.store.making import attempt
from tests.store.making_log import write
from tests.test_config import GOOD

ACCRUED, AVOIDED = 5_000_500_000, 2_500_200_000  # micro-euros of the story under chapter IV


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write(folder / "guard.db", STORY, figures(folder, "technicophone-sip-trunk"))
    text = GOOD.replace('name = "operator"\n', 'name = "operator"\ncontract = "technicophone-sip-trunk"\n', 1)
    (folder / "guard.toml").write_text(text + '\n[store]\npath = "guard.db"\n', encoding="utf-8")
    return folder


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    """A copy of its own: what is written stays in this test."""
    shutil.copytree(made, tmp_path / "site")
    return tmp_path / "site"


def money(guard: Guard, site: Path, *words: str | Path) -> Ran:
    return guard("penalties", *words, "-c", site / "guard.toml", "--month", "2026-11")


def total_of(ran: Ran) -> tuple[int, int]:
    found = ran.objects()[-1]
    return found["accrued_cents"], found["avoided_cents"]


# ---- lines and sums -------------------------------------------------------------------------------------------------


def test_every_line_names_its_ground_and_adds_up_to_the_total(guard: Guard, site: Path) -> None:
    lines = money(guard, site, "lines", "--json").objects()
    assert sum(one["amount_microeuros"] for one in lines if one["state"] == "accrued") == ACCRUED
    assert sum(one["amount_microeuros"] for one in lines if one["state"] == "avoided") == AVOIDED
    for one in lines:
        assert one["article"] == "003_742b69a7556570e9.txt IV-10.3"
        assert (one["rule"], one["reading"]) == ("cli.automated-range", "digits")
        assert one["call_id"].endswith("@pbx")
        assert one["seq"] > 0
    assert total_of(money(guard, site, "--json")) == (ACCRUED // 10_000, AVOIDED // 10_000)


def test_lines_as_csv_and_for_people(guard: Guard, site: Path) -> None:
    rows = list(csv.DictReader(money(guard, site, "lines", "--csv").out.splitlines()))
    assert sum(int(r["amount_microeuros"]) for r in rows) == ACCRUED + AVOIDED
    assert "2,500.00 EUR" in money(guard, site, "lines").out
    before = guard("penalties", "--month", "2026-11", "-c", site / "guard.toml", "lines", "--csv")
    assert before.out.count("\n") == len(rows) + 1  # options said before the word hold as well


def test_numbers_are_masked_for_those_who_may_not_see_them(guard: Guard, site: Path) -> None:
    shown = money(guard, site, "lines", "--json", "--numbers", "masked").out
    assert "+33145678900" not in shown
    assert "+3314567****" in shown
    by = money(guard, site, "--by", "number", "--json", "--numbers", "masked").objects()
    assert [g["key"] for g in by] == ["", "+3314567****", "+3314800****", "+3361234****", "total"]
    page = site / "s.html"
    assert money(guard, site, "statement", "--output", page, "--numbers", "masked").status == 0
    assert "+33145678900" not in page.read_text("utf-8")
    refused = money(guard, site, "reconcile", invoice(site, ""), "--numbers", "masked")
    assert (refused.status, refused.out) == (1, "")


# ---- entries by hand ------------------------------------------------------------------------------------------------


def test_a_penalty_passed_on_is_in_every_sum(guard: Guard, site: Path) -> None:
    letter = site / "orange.pdf"
    letter.write_bytes(b"%PDF")
    ran = money(guard, site, "add", "--amount", "1500,50", "--reason", "Orange", "--document", letter, "--json")
    # The month of an entry is that of its day; the tests' clock is today, so the day is given.
    assert ran.objects()[0]["amount_microeuros"] == 1_500_500_000
    ran = money(guard, site, "add", "--amount=-0.50", "--reason", "avoir", "--at", "2026-11-20")
    assert (ran.status, ran.out) == (0, "entry 2: -0.50 EUR on 2026-11-20\n")
    lines = [one for one in money(guard, site, "lines", "--json").objects() if one["kind"] == "passed-on"]
    assert lines[-1]["article"] == "003_742b69a7556570e9.txt IV-10.3"
    assert lines[-1]["contract"] == "technicophone-sip-trunk"
    assert any(one["document"].endswith(".pdf") for one in guarded(guard, site))
    groups = {g["key"]: g for g in money(guard, site, "--json").objects()}
    assert groups["total"]["accrued_cents"] == ACCRUED // 10_000 + sum(x["amount_microeuros"] for x in lines) // 10_000


def guarded(guard: Guard, site: Path) -> list[dict[str, str]]:
    """Lines of this month, which an entry without a day counts for."""
    return guard("penalties", "lines", "--json", "-c", site / "guard.toml").objects()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--amount", "abc", "--reason", "x"], 2, 'guard: --amount "abc" is no sum'),
        (["--amount", "0", "--reason", "x"], 2, "nothing"),
        (["--amount", "inf", "--reason", "x"], 2, "is no sum"),
        (["--amount", "0.0000001", "--reason", "x"], 2, "more than six decimals"),
        (["--amount", "1000000000001", "--reason", "x"], 2, "more than 1,000,000,000 euros"),
        (["--amount", "15e3", "--reason", "x"], 2, "is no sum"),
        (["--amount", "1,500", "--reason", "x"], 2, '"1,500" may be 1500 or 1.5 euros'),
        (["--amount=-12.000", "--reason", "x"], 2, '"-12.000" may be -12000 or -12 euros'),
        (["--amount", "1", "--reason", " "], 2, "--reason is empty"),
        (["--amount", "1", "--reason", "x", "--at", "2999-01-01"], 2, "still to come"),
        (["--amount", "1", "--reason", "x", "--trunk", "operatr"], 2, 'did you mean "operator"'),
        (["--amount", "1", "--reason", "x", "--document", "none.pdf"], 1, "none.pdf: No such file"),
    ],
)
def test_mistakes_of_an_entry(guard: Guard, site: Path, words: list[str], status: int, says: str) -> None:
    ran = money(guard, site, "add", *words)
    assert (ran.status, ran.out) == (status, "")
    assert says in ran.err
    assert not (site / "guard.db-books").exists()


# ---- statement ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "says"), [("fr", "Relevé d’exposition"), ("en", "Statement of exposure")])
def test_the_statement(guard: Guard, site: Path, lang: str, says: str) -> None:
    out = site / "statement.html"
    ran = money(guard, site, "statement", "--output", out, "--lang", lang)
    assert (ran.status, ran.err) == (0, "")
    assert "accrued 5,000.50 EUR, avoided 2,500.20 EUR" in ran.out
    page = Page(out.read_text("utf-8"))
    assert page.values == {"accrued": ACCRUED, "avoided": AVOIDED}
    assert all(adds_up(table) for table in page.tables.values())
    assert says in page.text
    assert out.stat().st_mode & 0o777 == 0o600
    assert money(guard, site, "statement", "--output", "-").out.startswith("<!doctype html>")


def test_a_statement_that_cannot_be_written(guard: Guard, site: Path) -> None:
    ran = money(guard, site, "statement", "--output", site / "none" / "s.html")
    assert (ran.status, ran.out) == (1, "")
    assert "No such file" in ran.err
    assert money(guard, site, "statement").status == 2


# ---- reconcile ------------------------------------------------------------------------------------------------------

ROWS = """\
21/11/2026;10:00:01;01 45 67 89 00;06 12 34 56 78;0,05
21/11/2026;10:00:02;0145678900;0612345678;0,09
21/11/2026;10:00:00;0612345678;0612345678;0,05
22/11/2026;12:00:00;0145678900;0612345678;0,05
21/11/2026;;0145678900;;2 500,00
21/11/2026;;0177000000;;2 500,00
"""


def invoice(site: Path, rows: str = ROWS) -> Path:
    path = site / "facture.csv"
    path.write_text("Date;Heure;Numéro appelant;Numéro appelé;Montant HT\n" + rows, encoding="cp1252")
    return path


def test_an_invoice_against_the_log(guard: Guard, site: Path) -> None:
    out = site / "dossier.html"
    words = ("reconcile", invoice(site), "--received", "2026-11-20", "--output", out, "--lang", "fr")
    ran = money(guard, site, *words)
    assert ran.status == 1  # there is something to contest
    assert "to be contested by 2026-11-30 (003_742b69a7556570e9.txt CG 11.3)" in ran.out
    page = Page(out.read_text("utf-8"))
    assert page.values == {"contested": 2_500_000_000 + 2 * 50_000 + 40_000, "billed": 5_000_240_000}
    assert all(adds_up(table) for table in page.tables.values())
    assert "À contester au plus tard le 30/11/2026" in page.text
    rows = list(csv.DictReader((site / "dossier.csv").read_text("utf-8").splitlines()))
    assert [r["finding"] for r in rows[:6]] == ["agrees", "differs", "refused", "unknown", "agrees", "unknown"]
    assert sum(int(r["contested_microeuros"]) for r in rows) == page.values["contested"]
    assert all(r["finding"] == "not-billed" for r in rows[6:])
    assert rows[2]["record_verdict"] == "blocked"


def test_as_json_with_the_deadline(guard: Guard, site: Path) -> None:
    *rows, total = money(guard, site, "reconcile", invoice(site), "--received", "2026-11-20", "--json").objects()
    assert total["deadline"] == "2026-11-30T23:59:59.999999+01:00"
    assert (total["refused"], total["unknown"], total["agrees"], total["differs"]) == (1, 2, 2, 1)
    assert json.dumps(rows).count('"not-billed"') == total["not-billed"]


def test_an_invoice_that_agrees_is_status_0(guard: Guard, site: Path) -> None:
    good = invoice(site, ROWS.splitlines()[0] + "\n")
    ran = money(guard, site, "reconcile", good, "--columns", "at=Date,amount=Montant HT")
    assert ran.status == 0
    assert money(guard, site, "reconcile", good, "--calls").status == 0


def test_a_call_of_the_last_second_explains_a_row_of_the_next_month(guard: Guard, site: Path) -> None:
    last = 1_796_079_599_000_000  # 2026-11-30 23:59:59 in Paris
    log = site / "other.db"
    write(log, [(attempt(0, at=last), WATCHED)], figures(site, "technicophone-sip-trunk"))
    rows = "01/12/2026;00:00:01;0145678900;0612345678;0,05\n"
    words = ("reconcile", invoice(site, rows), "-c", site / "guard.toml", "--store", log, "--json")
    *found, total = guard("penalties", *words, "--month", "2026-12").objects()
    assert [f["finding"] for f in found] == ["agrees"]  # and what November still owes is not told here
    *found, total = guard("penalties", *words, "--month", "2026-11").objects()
    assert (total["agrees"], total["not-billed"]) == (1, 1)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["none.csv"], 1, "none.csv: No such file"),
        (["{}", "--columns", "at"], 2, "write it as at=Date,caller=Appelant"),
        (["{}", "--columns", "at=Jour"], 1, 'no column "Jour"; the file has Date, Heure'),
        (["{}", "--trunk", "x"], 2, 'no [[trunk]] "x"'),
        (["{}", "--tolerance", "-1"], 2, "--tolerance"),
        (["{}", "--received", "2999-01-01"], 2, "still to come"),
    ],
)
def test_mistakes_of_a_reconciliation(guard: Guard, site: Path, words: list[str], status: int, says: str) -> None:
    ran = money(guard, site, "reconcile", *(str(invoice(site)) if w == "{}" else w for w in words))
    assert (ran.status, ran.out) == (status, "")
    assert says in ran.err


# ---- recount --------------------------------------------------------------------------------------------------------


def test_a_recount_agrees_with_what_was_written(guard: Guard, site: Path) -> None:
    ran = money(guard, site, "--recount")
    assert (ran.status, ran.err) == (0, "")
    assert "14 calls counted anew" in ran.out
    assert "0 differ" in ran.out


def test_a_recount_under_other_terms_names_what_differs(guard: Guard, site: Path) -> None:
    path = site / "guard.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace('contract = "tech', 'reading = "words"\ncontract = "tech', 1), encoding="utf-8")
    *found, total = money(guard, site, "--recount", "--json").objects()
    assert total["differences"] == len(found) == 14
    assert set(found[0]["fields"]) == {"avoided", "per_attempt", "per_number", "reading"}
    ran = money(guard, site, "--recount")
    assert ran.status == 1
    assert "#1 call-0@pbx: written 0.00 EUR accrued, 2,500.05 EUR avoided; counted 0.00 EUR, 2,000.02 EUR" in ran.out


def test_a_recount_needs_the_contracts(guard: Guard, site: Path) -> None:
    ran = guard("penalties", "--recount", "--store", site / "guard.db")
    assert (ran.status, ran.out) == (2, "")
    assert "needs a configuration" in ran.err
