"""The dossier of a contest: it adds up, tells until when, and nothing of an operator's file becomes HTML."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from guard.ledger.invoice import Billed
from guard.ledger.reconcile import Kept, reconcile
from guard.report import dossier as module
from guard.report.dossier import CSV_HEAD, Contest, csv_row, dossier
from guard.report.html import Lang
from guard.report.words import WORDS
from tests.ledger.test_reconcile import CALLS, ROWS, call, row
from tests.report.reading import Page, adds_up
from tests.report.test_statement import NASTY
from tests.store.making import AT, SECOND
from tests.store.making_log import PARIS

CONTEST: Final = Contest(
    site="hq", trunk="operator", month="2026-11", file="facture.csv", contract="technicophone-sip-trunk", received=AT,
    made=AT, zone=PARIS, tolerance=120 * SECOND, limit=10, unit="days", article="003 CG 11.3", says="By letter.",
    deadline=AT + 86_400 * SECOND,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(ROWS, CALLS)
def test_it_adds_up_whatever_was_billed(drawn: list[Billed], calls: list[Kept]) -> None:
    rows = [replace(r, row=n) for n, r in enumerate(drawn, 2)]
    items = reconcile(rows, [replace(c, seq=n) for n, c in enumerate(calls, 1)])
    for lang in WORDS:
        for longest in (1, 1_000):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "LONGEST", longest)
                page = Page(dossier(CONTEST, items, lang))
            assert all(adds_up(table) for table in page.tables.values())
            assert page.values["billed"] == sum(r.amount or 0 for r in rows)
            assert page.values["contested"] == sum(i.contested for i in items)
            shown = sum(len(t.rows) for name, t in page.tables.items() if name.startswith("rows-"))
            assert shown <= len(items)
    written = [dict(zip(CSV_HEAD, csv_row(i, PARIS), strict=True)) for i in items]
    assert sum(int(str(w["contested_microeuros"])) for w in written) == sum(i.contested for i in items)
    assert [w["row"] for w in written if w["row"] != ""] == [r.row for r in rows]


@pytest.mark.parametrize(
    ("lang", "says"), [("en", "To be contested by 2026-11-22"), ("fr", "À contester au plus tard le 22/11/2026")]
)
def test_it_tells_until_when(lang: Lang, says: str) -> None:
    text = Page(dossier(CONTEST, [], lang)).text
    assert says in text
    assert "003 CG 11.3" in text
    none = Page(dossier(replace(CONTEST, deadline=None, says=""), [], lang)).text
    assert WORDS[lang]["no_deadline"] in none


def test_a_french_page_cites_the_contract_in_its_own_words_and_says_verdicts_in_french() -> None:
    contest = replace(CONTEST, quote="dans un délai de dix (10) jours")
    items = reconcile([row(2)], [call(1)])
    french, english = (Page(dossier(contest, items, lang)) for lang in ("fr", "en"))
    assert "«\u00a0dans un délai de dix (10) jours\u00a0»" in french.text
    assert "By letter." not in french.text
    assert "By letter." in english.text
    assert "By letter." in Page(dossier(CONTEST, items, "fr")).text  # better than nothing
    for page, verdict in ((french, "laissé passer, signalé"), (english, "let through, flagged")):
        assert page.tables["rows-agrees"].rows[0][7][0].endswith(f" · {verdict}")


def test_what_was_erased_or_left_out_is_said() -> None:
    text = Page(dossier(replace(CONTEST, erased=3, skipped=(4, 9)), [], "en")).text
    assert "3 calls of that month were erased" in text
    assert "left out: 4, 9." in text
    assert "erased" not in Page(dossier(CONTEST, [], "en")).text


def test_nothing_of_the_file_becomes_html() -> None:
    items = reconcile([row(2, caller=NASTY), row(3, callee=NASTY)], [replace(call(1), call_id=NASTY, rule=NASTY)])
    page = Page(dossier(replace(CONTEST, file=NASTY, trunk=NASTY, contract=NASTY, says=NASTY), items, "fr"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "</td><script>alert(1)</script>" in page.text


def test_a_row_that_is_billed_twice_names_the_other() -> None:
    page = Page(dossier(CONTEST, reconcile([row(2), row(3)], [call(1)]), "en"))
    assert page.tables["rows-unknown"].rows[0][7][0] == "the call is billed in row 2 already"
