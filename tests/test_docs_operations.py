"""docs/operations.md names tests that are there, for every fault."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs" / "operations.md").read_text("utf-8")
ROWS: Final = [line for line in PAGE.splitlines() if "`tests/" in line]
NAMED: Final = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@pytest.mark.parametrize("named", NAMED)
def test_what_is_named_is_there(named: str) -> None:
    path, _, test = named.partition("::")
    assert test
    assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_no_fault_is_without_its_test() -> None:
    table = PAGE.partition("| fault | what happens | test |\n|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert len(table) >= 20
    assert table == ROWS


def test_every_fault_that_is_made_has_its_row() -> None:
    made = re.findall(r"^def (test_\w+)", (ROOT / "tests/live/test_faults.py").read_text("utf-8"), re.MULTILINE)
    assert [test for test in made if f"::{test}`" not in PAGE] == []
