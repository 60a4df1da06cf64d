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
MADE: Final = ("test_faults.py", "test_kills.py", "test_stalls.py")
FAULTS: Final = (
    "kill -9", "disk is full", "read-only", "locked the log", "log is damaged", "books or the outbox are damaged",
    "slower than calls", "no descriptor", "no memory", "clock jumps", "next hop is dead", "half-open", "slow readers",
    "Redis is gone", "broker is gone", "policy file is broken at a reload", "SIGTERM under calls",
)  # fmt: skip


@pytest.mark.parametrize("named", NAMED)
def test_what_is_named_is_there(named: str) -> None:
    path, _, test = named.partition("::")
    assert test
    assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_no_fault_is_without_its_test() -> None:
    table = PAGE.partition("| fault | what happens | test |\n|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert len(table) >= 20
    assert table == ROWS


@pytest.mark.parametrize("fault", FAULTS)
def test_each_of_these_has_a_row_that_says_what_happens(fault: str) -> None:
    rows = [line.split(" | ") for line in ROWS]
    assert [what for name, what, *_ in rows if fault in name.replace("`", "")]


def test_every_fault_that_is_made_has_its_row() -> None:
    paths = [*(ROOT / "tests/faults").glob("test_*.py"), *(ROOT / "tests/live" / name for name in MADE)]
    test = re.compile(r"^def (test_\w+)", re.MULTILINE)
    made = [(path.name, name) for path in paths for name in test.findall(path.read_text("utf-8"))]
    assert len(made) > 10
    assert [one for one in made if "/{}::{}`".format(*one) not in PAGE] == []
