"""docs/security.md names tests that are there, and all that attack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED: Final = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@pytest.mark.parametrize("named", NAMED)
def test_what_is_named_is_there(named: str) -> None:
    path, _, test = named.partition("::")
    found = ROOT / path
    assert found.is_file()
    assert re.search(rf"^(def {test or 'test_'}|Test\w+ = )", found.read_text("utf-8"), re.MULTILINE)


def test_every_threat_has_its_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| who could")]
    assert len(rows) > 25
    assert [row for row in rows if "`tests/" not in row.rsplit(" | ", 1)[1]] == []


# What is known to be tried, by the words of its row: injection into headers and logs, spoofing, relaying and so on.
ATTACKS: Final = (
    "put header lines into", "response splitting", "line breaks", "terminal escapes", "formulas in CSV",
    "HTML in pages",
    "by Request-URI, Route, Contact or Via", "use the guard as a relay", "smuggle a second request",
    "larger than the question", "play a digest again", "expressions", "leads out of its folder", "a capture that",
    "SIPVicious", "calls for help", "floods",
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_of_these_has_its_row(attack: str) -> None:
    assert any(attack in row and "`tests/" in row for row in PAGE.splitlines() if row.startswith("| "))


def test_no_attack_is_left_out() -> None:
    there = {f"tests/attacks/{p.name}" for p in Path(__file__).parent.glob("test_*.py")}
    assert there - {name.partition("::")[0] for name in NAMED} == set()
