"""cli.platform-range."""

from __future__ import annotations

from typing import Final

import pytest

from guard.model import CallAttempt
from tests.deciding import MAIN, call
from tests.rules.table import Row, check

RULE: Final = "cli.platform-range"
EDGES: Final = (
    "0937000000",
    "0937999999",
    "0938000000",
    "0938999999",
    "0939000000",
    "0939099999",
    "0939400000",
    "0939499999",
)
OUTSIDE: Final = ("0936999999", "0939500000", "0939600000", "0940000000", "0948123456", "3000")


def platform(number: str, **more: object) -> CallAttempt:
    return call(number, usage=("platform",), **more)  # type: ignore[arg-type]


ROWS: Final = (
    *(Row(name=f"{n} is a platform's", rule=RULE, call=platform(n)) for n in EDGES),
    *(Row(name=f"{n} is not", rule=RULE, call=platform(n), says=("other",)) for n in OUTSIDE),
    *(Row(name=f"{n}, and no contract forbids", rule=RULE, call=platform(n, source="branch")) for n in OUTSIDE),
    Row(name="a person may", rule=RULE, call=call(MAIN)),
    Row(name="asserted", rule=RULE, call=platform("0937123456", pai=(MAIN,)), says=("other",)),
    Row(name="nothing presented", rule=RULE, call=platform(""), says=("nothing",)),
    Row(name="withheld", rule=RULE, call=platform("anonymous"), says=("nothing",)),
    Row(name="withheld, a platform's asserted", rule=RULE, call=platform("anonymous", pai=("0937123456",))),
    Row(name="nothing presented, and no contract", rule=RULE, call=platform("", source="branch")),
    Row(
        name="agreed with the operator",
        rule=RULE,
        call=platform(MAIN),
        more='\n[rules."cli.platform-range"]\naccepted = ["+3314567"]\n',
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)
