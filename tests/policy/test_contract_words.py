"""The contracts against the documents: every article, quote and figure is where we say that it is."""

from __future__ import annotations

import re
from typing import Final

import pytest

from guard.policy.schema import Clause, Contract, Figure, Penalty, Premium, SvaCaps, Tariff
from tests.policy.articles import articles
from tests.policy.reading import CENT, EURO, EVERY, Cited, cited, contracts, words_of

ARTICLE: Final = re.compile(r"\A(CG \d+(\.\d+)*|(I|II|IV|V|IX|X|XII)-\d+(\.\d+)*|§\d+(\.\d+)*)\Z")


@pytest.mark.parametrize(("contract", "datum"), EVERY)
def test_every_datum_names_an_article_that_is_in_its_document(contract: Contract, datum: Cited) -> None:
    assert ARTICLE.match(datum.article)
    chapter = datum.article.partition("-")[0]
    assert datum.article.startswith("CG ") or chapter == contract.chapter or datum.article.startswith("§")
    assert (contract.file, datum.article) in articles()


@pytest.mark.parametrize(("contract", "datum"), [p for p in EVERY if words_of(p.values[1])])  # type: ignore[arg-type]
def test_every_quote_stands_in_the_article_that_it_cites(contract: Contract, datum: Cited) -> None:
    for quote in words_of(datum):
        assert articles()[contract.file, datum.article].has(quote)


def test_an_excerpt_begins_with_its_heading_and_goes_on_in_order() -> None:
    for (document, article), found in articles().items():
        numbers = [n for n, _ in found.lines]
        assert numbers == sorted(set(numbers)), (document, article)
        if not article.startswith("version"):
            number = re.split(r"[ §-]", article)[-1]
            assert re.match(rf"[#\s*-]*{re.escape(number)}(?![\d])", found.lines[0][1]), (document, article)


def test_a_quote_does_not_reach_over_what_was_left_out() -> None:
    found = articles()["003_742b69a7556570e9.txt", "IV-8"]
    assert found.has("par canal ; • L’utilisateur appelle au cours du mois plus de 40h")
    assert not found.has("indiquées dans le Bon de téléboutiques")


def test_no_excerpt_is_left_over() -> None:
    used = {(c.file, p.article) for c in contracts().values() for p in cited(c)}
    apart = {("003_742b69a7556570e9.txt", "CG 28.1"), ("001_af3c8ace0638ff50.txt", "§20")}  # the law of a contract
    assert {k for k in articles() if not k[1].startswith("version")} == used | apart


def test_versions_and_laws_are_those_of_the_documents() -> None:
    for c in contracts().values():
        if c.version:
            assert articles()[c.file, f"version {c.chapter}".rstrip()].has(c.version), c.id
    assert articles()["003_742b69a7556570e9.txt", "CG 28.1"].has("soumis à la loi Française")
    assert articles()["001_af3c8ace0638ff50.txt", "§20"].has("est régi par et soumis au droit belge")


# ---- every figure in its own words --------------------------------------------------------------------------------

NUMBERS: Final = {
    1: ("un", "une", "mensuellement"), 2: ("deux",), 3: ("trois",), 6: ("six",), 7: ("sept",), 10: ("dix",),
    30: ("trente",),
}  # fmt: skip


def says(number: int, text: str) -> bool:
    """Whether a text has a number, in digits (with spaces between thousands) or in words."""
    digits = re.sub(r"(?<=\d) (?=\d{3}\b)", "", text)
    if re.search(rf"(?<![\d.,]){number}(?![\d]|[.,]\d)", digits):
        return True
    return any(re.search(rf"\b{w}\b", text) for w in NUMBERS.get(number, ()))


def amount(micro: int) -> tuple[str, ...]:
    """How documents write an amount in digits: `2 500`, `0,05`, `0.02`, `24`, `20 centimes`."""
    whole, rest = divmod(micro, EURO)
    if not rest:
        return (f"{whole:,}".replace(",", " "),)
    cents = rest // CENT
    assert rest == cents * CENT
    return f"{whole},{cents:02}", f"{whole}.{cents:02}", f"{cents} centimes" if not whole else ""


def written(micro: int, text: str) -> bool:
    return any(a and re.search(rf"(?<![\d.,]){re.escape(a)}(?![\d])", text) for a in amount(micro))


FIGURES: Final = [p for p in EVERY if isinstance(p.values[1], Figure)]
SPANS: Final = [p for p in EVERY if isinstance(p.values[1], (Clause, Penalty)) and p.values[1].within]
PENALTIES: Final = [p for p in EVERY if isinstance(p.values[1], Penalty)]


@pytest.mark.parametrize(("contract", "figure"), FIGURES)
def test_every_limit_is_in_its_quote_and_says_whose_and_how_long(contract: Contract, figure: Figure) -> None:
    assert says(figure.value, figure.quote)
    assert figure.per
    assert figure.period
    assert contract.country


@pytest.mark.parametrize(("contract", "datum"), SPANS)
def test_every_time_limit_is_in_its_quote(contract: Contract, datum: Clause | Penalty) -> None:
    assert datum.within is not None
    assert says(datum.within.value, datum.quote)
    unit = {
        "hours": "heures",
        "days": "jours",
        "business-days": "jours ouvrés",
        "months": "mois|mensuel",
        "years": "an",
    }
    assert re.search(unit[datum.within.unit], datum.quote, re.IGNORECASE)
    assert contract.country


@pytest.mark.parametrize(("contract", "penalty"), PENALTIES)
def test_every_penalty_is_in_its_quote_in_digits_and_in_words(contract: Contract, penalty: Penalty) -> None:
    assert written(penalty.digits_microeuros, penalty.quote)
    in_words = {"deux mille": 2000 * EURO, "deux centimes": 2 * CENT}
    found = [v for w, v in in_words.items() if w in penalty.quote]
    assert [penalty.words_microeuros] == (found or [penalty.digits_microeuros])
    assert penalty.amount("digits") >= penalty.amount("words")
    assert contract.penal_rules


def test_caps_bands_and_prices_are_in_their_quotes() -> None:
    seen = 0
    for contract in contracts().values():
        for datum in cited(contract):
            if isinstance(datum, SvaCaps):
                assert written(datum.max_microeuros_per_call, datum.quotes[0])
                assert says(datum.max_minutes, datum.quotes[1])
                assert written(datum.above_microeuros_per_minute, datum.quotes[1])
                assert ["TTC" in q for q in datum.quotes] == [datum.including_vat] * 2
                seen += 1
            elif isinstance(datum, Premium):
                for limit in (datum.above_microeuros_per_minute, datum.above_microeuros_per_call):
                    assert limit is None or (written(limit, datum.quote) and "TTC" in datum.quote)
                assert all(b in datum.quote for b in datum.but)
                seen += 1
            elif isinstance(datum, Tariff):
                assert written(datum.microeuros, datum.quote)
                assert ("HT" in datum.quote) == datum.excluding_vat
                seen += 1
    assert seen == 1 + 11 + 3


def roots_of(quote: str) -> tuple[str, ...]:
    """The roots that a document names, `0948 à 0949` being two and `09390 à 09394` five, as E.164 prefixes."""
    out: list[str] = []
    for first, last in re.findall(r"\b(0\d{3,4})(?: à (0\d{3,4}))?", quote):
        width = len(first)
        out += [f"{n:0{width}}" for n in range(int(first), int(last or first) + 1)]
    return tuple("+33" + r[1:] for r in out)


def test_roots_are_those_that_the_documents_name() -> None:
    seen = 0
    for contract in contracts().values():
        for roots in (contract.automated, contract.platform):
            if roots is not None:
                assert roots.roots == roots_of(roots.quote), contract.id
                seen += 1
    assert seen == 8  # IV, V, IX and XII, each of both kinds
