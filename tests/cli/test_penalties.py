"""guard penalties: sums of one month in three outputs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.cli.conftest import Guard
from tests.store.making import AT, SECOND, attempt, decision, finding
from tests.store.making_log import DIGITS, write

DAY = 86_400 * SECOND


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "guard.db"
    premium = decision("blocked", finding("cli.premium"))
    watched = decision("allowed", finding("cli.mobile", mode="monitor"))
    odd = replace(DIGITS, per_attempt=25_001, per_number=0, contract="odd", reading="")
    calls = [
        (attempt(0), premium),
        (attempt(1), premium),
        (attempt(2, caller="+33612345678", at=AT + DAY, line="201"), watched),
        (attempt(3, caller="", line="", trunk="backup"), watched),
        (attempt(4, at=AT - 30 * DAY), premium),  # October
        (attempt(5), decision()),
    ]
    write(path, calls, {"operator": DIGITS, "backup": odd})
    return path


KEYS = {
    "rule": ["cli.mobile", "cli.premium"],
    "number": ["", "+33145678900", "+33612345678"],
    "trunk": ["backup", "operator"],
    "line": ["", "200", "201"],
    "day": ["2026-11-21", "2026-11-22"],
}


@pytest.mark.parametrize("by", KEYS)
def test_json(guard: Guard, ledger: Path, by: str) -> None:
    ran = guard("penalties", "--store", ledger, "--month", "2026-11", "--by", by, "--json")
    assert (ran.status, ran.err) == (0, "")
    *groups, total = ran.objects()
    assert [g["key"] for g in groups] == KEYS[by]
    assert total == {
        "key": "total",
        "calls": 4,
        "numbers": 2,
        "accrued_cents": 250_007,
        "avoided_cents": 250_010,
        "accrued_microeuros": 2_500_075_001,
    }
    for column in ("calls", "numbers"):
        assert sum(g[column] for g in groups) == total[column]
    micros = [g.get("accrued_microeuros", g["accrued_cents"] * 10_000) for g in groups]
    assert sum(micros) == total["accrued_microeuros"]


def test_by_rule_unless_said(guard: Guard, ledger: Path) -> None:
    ran = guard("penalties", "--store", ledger, "--month", "2026-11", "--json")
    assert [g["key"] for g in ran.objects()] == [*KEYS["rule"], "total"]
    assert "accrued_microeuros" not in ran.objects()[1]


def test_csv(guard: Guard, ledger: Path) -> None:
    ran = guard("penalties", "--store", ledger, "--month", "2026-11", "--by", "number", "--csv")
    header, *rows = csv.reader(io.StringIO(ran.out))
    assert header[:5] == ["key", "calls", "numbers", "accrued_cents", "avoided_cents"]
    assert rows[1] == ["+33145678900", "2", "1", "0", "250010", "0", "2500100000"]
    assert rows[-1] == ["total", "4", "2", "250007", "250010", "2500075001", "2500100000"]


def test_people(guard: Guard, ledger: Path) -> None:
    ran = guard("penalties", "--store", ledger, "--month", "2026-11", "--by", "number")
    lines = [line.split() for line in ran.out.splitlines()]
    assert ran.out.startswith("Penalties at stake in 2026-11, by number\n")
    assert lines[2] == ["(no", "number)", "1", "0", "0.025001", "EUR", "0.00", "EUR"]
    assert lines[3] == ["+33145678900", "2", "1", "0.00", "EUR", "2,500.10", "EUR"]
    assert lines[5] == ["total", "4", "2", "2,500.075001", "EUR", "2,500.10", "EUR"]
    assert ran.out.endswith("contract odd\ncontract technicophone-sip-trunk, amounts as its digits say\n")


def test_each_month_for_itself(guard: Guard, ledger: Path) -> None:
    ran = guard("penalties", "--store", ledger, "--month", "2026-10", "--json")
    assert [(g["key"], g["numbers"]) for g in ran.objects()] == [("cli.premium", 1), ("total", 1)]
    ran = guard("penalties", "--store", ledger, "--month", "2025-01", "--json")
    assert ran.objects() == [{"key": "total", "calls": 0, "numbers": 0, "accrued_cents": 0, "avoided_cents": 0}]
    assert "none: no recorded call" in guard("penalties", "--store", ledger, "--month", "2025-01").out


def test_this_month_unless_said(guard: Guard, ledger: Path) -> None:
    from datetime import datetime

    from tests.store.making_log import PARIS

    before = datetime.now(PARIS)
    out = guard("penalties", "--store", ledger).out
    after = datetime.now(PARIS)
    assert out.startswith(tuple(f"Penalties at stake in {t:%Y-%m}, by rule\n" for t in (before, after)))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--by", "number s"], '--by "number s" is none of rule, number, trunk, line, day; did you mean "number"?'),
        (["--month", "2026-13"], '--month "2026-13" is no month: write it as 2026-11'),
        (["--month", "2026-1"], "is no month"),
        (["--month", "9999-12"], "is no month"),
        (["--month", "2026-11\n"], "is no month"),
        (["--json", "--csv"], "not allowed with"),
    ],
)
def test_mistakes(guard: Guard, ledger: Path, words: list[str], says: str) -> None:
    ran = guard("penalties", "--store", ledger, *words)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err
