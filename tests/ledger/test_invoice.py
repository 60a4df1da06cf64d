"""Invoices as operators write them: columns, dates, sums and numbers read; every mistake named."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.ledger.invoice import InvoiceError, instant_of, micros_of, number_of, plain, read_invoice, text_of
from tests.store.making_log import PARIS


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp()) * 1_000_000


FRENCH = """\
Date;Heure;N° appelant;Numéro appelé;Montant HT
21/11/2026;10:00:01;01 45 67 89 00;06.12.34.56.78;0,05 €
21/11/2026;;0145678900;;2 500,00
;;;;2 500,05
"""
ENGLISH = """\
Start time,Calling number,Called number,Amount (EUR)
2026-11-21 10:00:01,+33145678900,+33612345678,0.05
2026-11-21T10:00:02+01:00,33145678900,0033612345678,"2,500.00"
"""


def test_a_french_spreadsheet() -> None:
    invoice = read_invoice(FRENCH, PARIS, {"caller": "n appelant"})
    first, second = invoice.rows
    assert (first.row, first.since, first.until) == (2, at("2026-11-21T10:00:01"), at("2026-11-21T10:00:01"))
    assert (first.caller, first.callee, first.amount) == ("+33145678900", "+33612345678", 50_000)
    assert (second.callee, second.amount) == ("", 2_500_000_000)
    assert (second.since, second.until) == (at("2026-11-21T00:00"), at("2026-11-22T00:00") - 1)
    assert invoice.skipped == (4,)
    assert invoice.columns["at"] == "Date"


def test_an_english_file() -> None:
    invoice = read_invoice(ENGLISH.replace("\n", "\r\n"), PARIS)
    assert [(r.caller, r.callee, r.amount) for r in invoice.rows] == [
        ("+33145678900", "+33612345678", 50_000),
        ("+33145678900", "+33612345678", 2_500_000_000),
    ]
    assert [r.since for r in invoice.rows] == [at("2026-11-21T10:00:01"), at("2026-11-21T10:00:02")]


def test_call_records_need_no_amount() -> None:
    (row,) = read_invoice("date,caller,called\n2026-11-21 10:00,0145678900,3949\n", PARIS).rows
    assert (row.amount, row.callee) == (None, "3949")


@pytest.mark.parametrize(
    ("written", "decimal", "micros"),
    [
        ("0,05", ",", 50_000),
        ("0.05", ",", 50_000),
        ("0,05", ".", 50_000),
        ("2 500,00", ",", 2_500_000_000),
        ("2\u202f500,00 €", ",", 2_500_000_000),
        ("2.500,00", ",", 2_500_000_000),
        ("2,500.00", ".", 2_500_000_000),
        ("2.500", ",", 2_500_000_000),  # a French file: the point stands between thousands
        ("2,500", ".", 2_500_000_000),
        ("2,500", ",", 2_500_000),
        ("-12,50 EUR HT", ",", -12_500_000),
        ("\u221212.5", ".", -12_500_000),
        ("1 234 567", ",", 1_234_567_000_000),
        (".5", ".", 500_000),
        ("", ",", None),
        ("gratis", ",", None),
        ("1e3", ".", None),
        ("0,0000001", ",", None),
        ("1,2,3", ",", None),
        ("9" * 13, ",", None),
        ("١٢", ",", None),
    ],
)
def test_sums(written: str, decimal: str, micros: int | None) -> None:
    assert micros_of(written, decimal) == micros


@pytest.mark.parametrize(
    ("day", "clock", "begins"),
    [
        ("2026-11-21", "10:00:01", "2026-11-21T10:00:01"),
        ("2026-11-21 10:00:01", "", "2026-11-21T10:00:01"),
        ("21/11/2026", "10:00", "2026-11-21T10:00"),
        ("21/11/26", "10h05", "2026-11-21T10:05"),
        ("21.11.2026 10:00:01", "", "2026-11-21T10:00:01"),
        ("20261121", "100001", "2026-11-21T10:00:01"),
        ("01/02/2026", "00:00", "2026-02-01T00:00"),  # day first, always
    ],
)
def test_instants(day: str, clock: str, begins: str) -> None:
    assert instant_of(day, clock, PARIS) == (at(begins), at(begins))


@pytest.mark.parametrize("day", ["2026-11-21", "21/11/2026", "20261121"])
def test_a_day_alone_is_the_whole_of_it(day: str) -> None:
    since, until = instant_of(day, "", PARIS) or (0, 0)
    assert (since, until) == (at("2026-11-21T00:00"), at("2026-11-22T00:00") - 1)


@pytest.mark.parametrize("day", ["", "11/21/2026", "2026-13-01", "yesterday", "0001-01-01", "31/02/2026"])
def test_what_is_no_date(day: str) -> None:
    assert instant_of(day, "", PARIS) is None


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("01 45 67 89 00", "+33145678900"),
        ("+33 (0)1-45", "+330145"),
        ("33145678900", "+33145678900"),
        ("0033145678900", "+33145678900"),
        ("+41441234567", "+41441234567"),
        ("3949", "3949"),
        ("anonymous", "anonymous"),
        ("", ""),
    ],
)
def test_numbers(written: str, means: str) -> None:
    assert number_of(written) == means


@pytest.mark.parametrize(
    ("text", "columns", "says"),
    [
        ("", {}, 'no column for "at"'),
        ("Date;Montant\n", {}, 'no column for "caller"; the file has Date, Montant: name it with --columns caller='),
        (FRENCH, {"caller": "Xyz"}, 'no column "Xyz"'),
        (FRENCH, {"caler": "Date", "caller": "N° appelant"}, '"caler" is none of at, time, caller, callee, amount'),
        ("date,caller,amount\n2026-11-21,+33145678900,x\n", {}, 'line 2: "x" is no amount'),
        ("date,caller,amount\nsoon,+33145678900,1\n", {}, 'line 2: "soon" is no date'),
        ("date,caller,amount\n", {}, "no rows"),
        ('date,caller,amount\n"2026-11-21,0145678900,1\n' + "x" * 200_000, {}, "no CSV"),
    ],
)
def test_mistakes(text: str, columns: dict[str, str], says: str) -> None:
    with pytest.raises(InvoiceError) as caught:
        read_invoice(text, PARIS, columns)
    assert any(says in problem for problem in caught.value.problems)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InvoiceError) as caught:
        read_invoice("date,caller,amount\nsoon,a,x\n2026-11-21,b,y\n", PARIS)
    assert len(caught.value.problems) == 3


def test_encodings_of_spreadsheets() -> None:
    for encoding in ("utf-8", "utf-8-sig", "cp1252"):
        assert text_of("Numéro appelé €".encode(encoding)) == "Numéro appelé €"
    assert text_of(b"\x81\x8d") == "\x81\x8d"
    assert plain("N°  d'Appelé ") == "n d appele"


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200))
def test_whatever_a_file_holds_it_is_read_or_refused(text: str) -> None:
    for head in ("", "date,caller,callee,amount\n", "Date;Appelant;Appelé;Montant\n"):
        try:
            invoice = read_invoice(head + text, PARIS)
        except InvoiceError:
            continue  # refused and told why; anything else would be a fault
        assert all(r.since <= r.until for r in invoice.rows)
