"""docs/contracts.md is what the files say, and says it whole."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from guard.policy.doc_contracts import euros, main, page, read, span
from guard.policy.schema import Span
from guard.tomlread import Problem

ROOT: Final = Path(__file__).parent.parent.parent
FOLDER: Final = ROOT / "policies" / "contracts"


def test_the_page_is_up_to_date() -> None:
    problems: list[Problem] = []
    text = page(read(FOLDER, problems))
    assert problems == []
    assert text == (ROOT / "docs" / "contracts.md").read_text("utf-8"), (
        "python -m guard.policy.doc_contracts policies/contracts > docs/contracts.md"
    )


def test_the_page_has_every_contract_figure_penalty_and_time_limit() -> None:
    text = page(read(FOLDER, []))
    for contract in read(FOLDER, []):
        assert f"`{contract.id}`" in text
        for penalty in contract.penalty:
            row = next(line for line in text.splitlines() if f"« {penalty.quote} »" in line and penalty.article in line)
            assert f"| {euros(penalty.digits_microeuros)} | {euros(penalty.words_microeuros)} |" in row
        clauses = (*contract.grounds(), *contract.contesting, *contract.evidence, *contract.doubt)
        assert all(f"`{k.article}` {k.says}" in text for k in clauses)
        assert all(span(k.within) in text for k in clauses if k.within)


@pytest.mark.parametrize(
    ("micro", "shown"),
    [
        (0, "0 EUR"), (2_500_000_000, "2 500 EUR"), (10_000_000_000, "10 000 EUR"), (50_000, "0.05 EUR"),
        (24_500_000, "24.50 EUR"), (5_000, "0.005 EUR"), (1, "0.000001 EUR"),
    ],
)  # fmt: skip
def test_amounts_are_exact(micro: int, shown: str) -> None:
    assert euros(micro) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(1, "years", "1 year from x"), (5, "business-days", "5 business days from x"), (72, "hours", "72 hours from x")],
)
def test_time_limits_read_as_people_say_them(value: int, unit: str, shown: str) -> None:
    assert span(Span(value=value, unit=unit, since="x")) == shown  # type: ignore[arg-type]


def test_it_tells_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text('id = "bad"\n', encoding="utf-8")
    assert main(str(tmp_path)) == 1
    assert "bad.toml" in capsys.readouterr().err
