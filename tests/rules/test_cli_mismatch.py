"""cli.identity-mismatch."""

from __future__ import annotations

from typing import Final

import pytest

from tests.deciding import MAIN, SECOND_OWN, call
from tests.rules.table import Row, check, hits

RULE: Final = "cli.identity-mismatch"
ROWS: Final = (
    Row(name="one number", rule=RULE, call=call(MAIN)),
    Row(name="the same in another form", rule=RULE, call=call(MAIN, pai=("0145678900",))),
    Row(name="two of ours", rule=RULE, call=call(MAIN, pai=(SECOND_OWN,)), says=("differ",)),
    Row(name="between two asserted ones", rule=RULE, call=call("", pai=(MAIN,), rpid=(SECOND_OWN,)), says=("differ",)),
    Row(name="withheld behind one", rule=RULE, call=call("anonymous", pai=(MAIN,))),
    Row(name="a name beside a number", rule=RULE, call=call("alice", pai=(MAIN,))),
    Row(name="forwarding is no identity", rule=RULE, call=call(MAIN, diversion=(SECOND_OWN,))),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_counts_them() -> None:
    row = Row(name="", rule=RULE, call=call(MAIN, pai=(SECOND_OWN,), ppi=("0145678902",), rpid=(MAIN,)))
    assert hits(row)[0].facts == {"numbers": "+33145678900 +33145678901 +33145678902", "count": 3}
