"""The monthly statement: totals are the sums of what is printed; nothing that others chose becomes HTML."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.ledger.lines import Kind, LedgerLine
from guard.ledger.tally import Tally
from guard.report import statement as module
from guard.report.chart import bars, scale
from guard.report.html import WORD, Lang, euros, safe
from guard.report.statement import Head, statement
from guard.report.words import WORDS
from tests.report.reading import Page, adds_up
from tests.store.making import AT, SECOND
from tests.store.making_log import PARIS

HEAD = Head(site="hq", month="2026-11", made=AT, zone=PARIS)
LINE = LedgerLine(
    at=AT, kind="per-attempt", state="accrued", amount=50_000, trunk="operator", line="200", number="+33145678900",
    rule="cli.premium", contract="technicophone-sip-trunk", article="003 IV-10.3", reading="digits", seq=7,
    call_id="a@b", calls=1,
)  # fmt: skip
NASTY = "</td><script>alert(1)</script>\"'&\u202e\x1b[2J\x00\n<!--"
KINDS: st.SearchStrategy[Kind] = st.sampled_from(
    ("per-number", "per-attempt", "undetermined-origin", "sva-number", "sva-not-put-right", "passed-on")
)
TEXTS = st.one_of(st.sampled_from(("", NASTY, "+33145678900", "a", "b")), st.text(max_size=8))
LINES = st.builds(
    LedgerLine,
    at=st.integers(0, 29 * 86_400).map(lambda s: 1_793_487_600_000_000 + s * SECOND),  # in November 2026
    kind=KINDS,
    state=st.sampled_from(("accrued", "avoided")),
    amount=st.one_of(st.sampled_from((50_000, 2_500_000_000, 1, -70_000)), st.integers(-(10**12), 10**12)),
    trunk=TEXTS, line=TEXTS, number=TEXTS, rule=TEXTS, contract=TEXTS, article=TEXTS, reading=TEXTS, call_id=TEXTS,
    reason=TEXTS, incident=TEXTS, document=TEXTS, seq=st.integers(0, 3), calls=st.integers(0, 1),
)  # fmt: skip


def tallied(lines: list[LedgerLine]) -> Tally:
    tally = Tally(PARIS)
    for line in lines:
        tally.add(line)
    return tally


def printed(lines: list[LedgerLine], lang: Lang = "en") -> Page:
    return Page(statement(HEAD, tallied(lines), lang))


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=30), st.sampled_from(("en", "fr")), st.integers(1, 8))
def test_totals_are_the_sums_of_the_printed_lines(lines: list[LedgerLine], lang: Lang, longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST", longest)
        page = printed(lines, lang)
    accrued = sum(one.amount for one in lines if one.state == "accrued")
    avoided = sum(one.amount for one in lines if one.state == "avoided")
    assert page.values == {"accrued": accrued, "avoided": avoided}
    assert all(adds_up(table) for table in page.tables.values())
    if lines:
        for by in ("rule", "trunk", "number", "day"):
            total = page.tables[f"by-{by}"].total
            assert total is not None
            assert [value for _, value in total][-2:] == [accrued, avoided]
            assert len(page.tables[f"by-{by}"].rows) <= longest + 1
    for state, amount in (("accrued", accrued), ("avoided", avoided)):
        table = page.tables.get(f"lines-{state}")
        assert (table is not None) == any(one.state == state for one in lines)
        if table is not None:
            assert table.total is not None
            assert table.total[6][1] == amount
            assert table.total[4][1] == sum(one.state == state for one in lines)
            assert len(table.rows) <= longest + 1


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, max_size=8), st.sampled_from(("en", "fr")))
def test_nothing_that_others_chose_becomes_html_and_nothing_is_loaded(lines: list[LedgerLine], lang: Lang) -> None:
    allowed = {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "b", "br", "span", "table", "thead",
        "tbody", "tr", "th", "td", "svg", "line", "text", "rect", "i",
    }  # fmt: skip
    page = printed(lines, lang)
    for tag, attributes in page.tags:
        assert tag in allowed
        assert not {"src", "href", "onload", "onclick"} & attributes.keys()
    html = statement(HEAD, tallied(lines), lang)
    assert all(c.isprintable() or c in "\n\u00a0\u202f" for c in html)
    assert "default-src 'none'" in html


def test_what_is_shown_is_what_was_meant() -> None:
    page = printed([replace(LINE, number=NASTY), LINE, replace(LINE, at=AT + 1)])
    table = page.tables["lines-accrued"]
    assert table.rows[0][1] == ("+33145678900", None)
    assert table.rows[0][4] == ("2", 2)
    assert [text for text, _ in table.rows[0]][5:] == ["€0.05", "€0.10", "2026-11-21 record 7"]
    assert table.rows[1][1][0] == "</td><script>alert(1)</script>\"'&\\u202e\\u001b[2J\\u0000\\u000a<!--"
    assert "amounts as its digits say" in page.text


def test_numbers_and_sums_are_not_cut_in_two_and_what_strangers_chose_is() -> None:
    lines = [LINE, replace(LINE, number="9" * (WORD + 1), rule="a-" * WORD)]
    html = statement(HEAD, tallied(lines), "fr")
    for whole in ("+33145678900", "0,05\u00a0€", "21/11/2026 enregistrement 7", "a-" * WORD + " · operator"):
        assert f"<td class=w>{whole}</td>" in html
    assert f"<td>{'9' * (WORD + 1)}</td>" in html
    wide = {str(named["id"]) for tag, named in Page(html).tags if tag == "table" and named.get("class") == "wide"}
    assert wide == {"lines-accrued"}


def test_in_french() -> None:
    page = printed([replace(LINE, kind="per-number", amount=2_500_000_000)], "fr")
    assert page.tags[0] == ("html", {"lang": "fr"})
    row = [text for text, _ in page.tables["lines-accrued"].rows[0]]
    assert row[0] == "par numéro appelant"
    assert row[6:] == ["2\u202f500,00\u00a0€", "21/11/2026 enregistrement 7"]
    assert "Relevé d’exposition aux pénalités" in page.text


def test_a_month_without_calls() -> None:
    for lang in ("en", "fr"):
        page = printed([], lang)
        assert page.values == {"accrued": 0, "avoided": 0}
        assert WORDS[lang]["none"] in page.text
        assert page.tables == {}


def test_both_languages_say_all() -> None:
    assert WORDS["en"].keys() == WORDS["fr"].keys()
    for key, text in WORDS["en"].items():
        assert sorted(re.findall(r"\{[a-z]+\}", text)) == sorted(re.findall(r"\{[a-z]+\}", WORDS["fr"][key]))


@pytest.mark.parametrize(
    ("micros", "en", "fr"),
    [
        (0, "€0.00", "0,00 €"),
        (50_000, "€0.05", "0,05 €"),
        (1, "€0.000001", "0,000001 €"),
        (2_500_050_000, "€2,500.05", "2 500,05 €"),
        (-1_500_000_000, "−€1,500.00", "−1 500,00 €"),
        (10**15 + 123_400, "€1,000,000,000.1234", "1 000 000 000,1234 €"),
    ],
)
def test_sums_of_money(micros: int, en: str, fr: str) -> None:
    assert euros(micros, "en") == en
    assert euros(micros, "fr").replace("\u202f", " ").replace("\u00a0", " ") == fr


def test_the_chart_has_a_bar_for_each_sum() -> None:
    svg = bars([("1", 0, 0), ("2", 5_000_000, 1), ("3", -5, 20_000_000)], "en", NASTY)
    heights = [float(attributes["height"] or 0) for tag, attributes in Page(svg).tags if tag == "rect"]
    assert heights == [40.0, 0.8, 160.0]
    assert svg.count("<text") == 5 + 3
    assert safe(NASTY) in svg
    assert bars([], "fr", "x").count("<rect") == 0


@pytest.mark.parametrize(
    ("highest", "top"), [(1, 4), (4, 4), (5, 8), (20, 20), (21, 40), (2_000_040_000, 4_000_000_000)]
)
def test_the_axis_ends_at_a_round_sum(highest: int, top: int) -> None:
    assert scale(highest) == top
