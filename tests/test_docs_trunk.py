"""docs/trunk.md names tests that are there, and all that real peers are tested by."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs" / "trunk.md").read_text("utf-8")
NAMED: Final = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@pytest.mark.parametrize("named", NAMED)
def test_what_is_named_is_there(named: str) -> None:
    path, _, test = named.partition("::")
    found = ROOT / path
    assert found.exists()
    if test:
        assert re.search(rf"^(async )?def {test}\(", found.read_text("utf-8"), re.MULTILINE)


def test_no_file_of_peers_is_left_out() -> None:
    files = {f"tests/peers/{p.name}" for p in (ROOT / "tests" / "peers").glob("test_*.py")}
    assert files - {name.partition("::")[0] for name in NAMED} == {"tests/peers/test_process.py"}  # of the tests' own
