"""source.unknown."""

from __future__ import annotations

from typing import Final

import pytest

from tests.deciding import call
from tests.rules.table import Row, check, hits

RULE: Final = "source.unknown"
ROWS: Final = (
    Row(name="nobody that guard.toml names", rule=RULE, call=call(source=""), says=("unknown",)),
    Row(name="a source, whatever it presents", rule=RULE, call=call("nonsense")),
    Row(name="another source", rule=RULE, call=call(source="branch")),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_names_the_address() -> None:
    assert hits(ROWS[0])[0].facts == {"address": "203.0.113.9"}
