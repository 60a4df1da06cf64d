"""Money in guard.toml: exact sums, and what of them reaches the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.configschema import micro_euros
from guard.policy.load import load_policy
from tests.test_config import GOOD, loaded, problems_of


def trunk(*keys: str) -> str:
    """The good file with more keys in its trunk."""
    return GOOD.replace('name = "operator"\n', "\n".join(('name = "operator"', *keys, "")), 1)


@pytest.mark.parametrize(
    ("written", "micros"), [("0", 0), ("100", 100_000_000), ("0.05", 50_000), ("0.123456", 123_456), ("1e3", 10**9)]
)
def test_sums_of_money_are_exact(tmp_path: Path, written: str, micros: int) -> None:
    config = loaded(tmp_path, f"\n[ledger]\nalert_day = {written}\n")
    assert config.file.ledger.alert_day is not None
    assert micro_euros(config.file.ledger.alert_day) == micros


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("0.1234567", "more than six decimals"),
        ("inf", "no sum of money"),
        ("-1", "expected `int` >= 0"),
        ("-0.5", "expected `float` >= 0"),
        ("nan", "expected `float` >= 0"),
        ('"5 EUR"', "expected `int | float | null`"),
    ],
)
def test_what_is_no_sum_of_money_is_told(tmp_path: Path, written: str, what: str) -> None:
    (problem,) = problems_of(tmp_path, GOOD + f"\n[ledger]\nalert_month = {written}\n")
    assert problem.key == "ledger.alert_month"
    assert what in problem.what


def test_the_tariff_of_a_trunk_must_be_exact(tmp_path: Path) -> None:
    text = trunk("undetermined_origin = 0.00000001")
    (problem,) = problems_of(tmp_path, text)
    assert problem.key == "trunk[1].undetermined_origin"


def test_settings_reach_the_figures(tmp_path: Path) -> None:
    text = trunk('contract = "technicophone-centrex"', "undetermined_origin = 0.12")
    plain = load_policy(loaded(tmp_path, text=text))
    figures = plain.figures["operator"]
    assert (figures.period, figures.origin_rate) == ("month", 120_000)
    assert figures.article == "003_742b69a7556570e9.txt V-10.3"
    assert figures.origin_article == "003_742b69a7556570e9.txt V-10.3"
    for_good = load_policy(loaded(tmp_path, '\n[ledger]\nper_number = "ever"\nalert_day = 5\n', text=text))
    assert for_good.figures["operator"].period == "ever"
    assert for_good.digest != plain.digest


def test_a_contract_without_that_tariff_has_none(tmp_path: Path) -> None:
    text = trunk('contract = "technicophone-sip-trunk"', "undetermined_origin = 0.12")
    figures = load_policy(loaded(tmp_path, text=text)).figures["operator"]
    assert (figures.origin_rate, figures.origin_article) == (0, "")
