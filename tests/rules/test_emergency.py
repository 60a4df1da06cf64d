"""dst.emergency."""

from __future__ import annotations

from typing import Final

import pytest

from guard.numbering.number import EMERGENCY
from tests.deciding import call
from tests.rules.table import Row, check, hits

RULE: Final = "dst.emergency"
FORMS: Final = ("{}", "0{}", "00{}", "+33{}", "0033{}", "3651{}", "#31#{}", "{};phone-context=+33")
ROWS: Final = (
    *(Row(name=f"call to {n}", rule=RULE, call=call(callee=n), says=("emergency",)) for n in EMERGENCY),
    *(Row(name=f"112 as {f}", rule=RULE, call=call(callee=f.format(112)), says=("emergency",)) for f in FORMS),
    Row(name="urn", rule=RULE, call=call(callee="urn:service:sos"), says=("emergency",)),
    Row(name="from nobody we know", rule=RULE, call=call(source="", callee="112"), says=("emergency",)),
    Row(name="1120, which is no emergency number", rule=RULE, call=call(callee="1120")),
    Row(name="116001, of social value but no emergency", rule=RULE, call=call(callee="116001")),
    Row(name="an ordinary number that ends in 112", rule=RULE, call=call(callee="0199000112")),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_the_number_is_named_in_its_plain_form() -> None:
    row = next(r for r in ROWS if r.name == "112 as 0033{}")
    assert [h.facts for h in hits(row)] == [{"number": "112"}]
