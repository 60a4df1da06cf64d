"""cli.premium."""

from __future__ import annotations

from typing import Final

import pytest

from tests.deciding import MAIN, PREMIUM, call
from tests.rules.table import Row, check, hits

RULE: Final = "cli.premium"
SHORT: Final = ("3200", "3299", "3300", "3400", "3500", "3600", "3700", "3800", "3900", "3949", "3999")
ORDINARY: Final = (
    "0888888888", "0800123456", "0899", "0825123456", "3000", "3099", "3100", "3179", "3199", "36000", "39490", "394",
    "117999", "119", "119000", "1180", "11800", "1180000", "+443390000000",
)  # fmt: skip

ROWS: Final = (
    *(
        Row(name=f"{n}: 089", rule=RULE, call=call(n), says=("masked",))
        for n in ("0890000000", "0895123456", "0899999999")
    ),
    *(Row(name=f"{n}: 3BPQ", rule=RULE, call=call(n), says=("short",)) for n in SHORT),
    *(Row(name=f"{n}: 118XYZ", rule=RULE, call=call(n), says=("directory",)) for n in ("118000", "118218", "118999")),
    *(Row(name=f"{n} is not", rule=RULE, call=call(n)) for n in ORDINARY),
    Row(name="asserted", rule=RULE, call=call(MAIN, pai=(PREMIUM,)), says=("masked",)),
    Row(name="preferred", rule=RULE, call=call(MAIN, ppi=(PREMIUM,)), says=("masked",)),
    Row(name="in Remote-Party-ID", rule=RULE, call=call(MAIN, rpid=(PREMIUM,)), says=("masked",)),
    Row(name="in two headers", rule=RULE, call=call(PREMIUM, pai=("0892681234",)), says=("masked",)),
    Row(name="two of them", rule=RULE, call=call(PREMIUM, pai=("0892681235",)), says=("masked", "masked")),
    Row(name="089 and 3BPQ", rule=RULE, call=call(PREMIUM, pai=("3949",)), says=("masked", "short")),
    Row(name="called, not presented", rule=RULE, call=call(MAIN, "0892681234")),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_says_what_to_mask() -> None:
    row = Row(name="", rule=RULE, call=call(PREMIUM, pai=("3949",)))
    assert [h.mask for h in hits(row)] == [(PREMIUM,), ()]
