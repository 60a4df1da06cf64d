"""cli.malformed."""

from __future__ import annotations

from typing import Final

import pytest

from tests.deciding import MAIN, call
from tests.rules.table import Row, check, hits

RULE: Final = "cli.malformed"
ROWS: Final = (
    *(
        Row(name=f"{n} is a number", rule=RULE, call=call(n))
        for n in ("0145678900", MAIN, "33145678900", "0033145678900")
    ),
    Row(name="a digit too few", rule=RULE, call=call("014567890"), says=("malformed",)),
    Row(name="a digit too many", rule=RULE, call=call("01456789000"), says=("malformed",)),
    Row(name="zero after +33", rule=RULE, call=call("+330145678900"), says=("malformed",)),
    Row(name="a name", rule=RULE, call=call("alice"), says=("malformed",)),
    Row(name="a name beside a number of ours", rule=RULE, call=call("alice", pai=(MAIN,)), says=("extension",)),
    Row(
        name="a name beside somebody else's", rule=RULE, call=call("alice", pai=("+33299112233",)), says=("malformed",)
    ),
    Row(name="a false number beside ours", rule=RULE, call=call("014567890", pai=(MAIN,)), says=("malformed",)),
    Row(name="a name in the asserted one", rule=RULE, call=call(MAIN, pai=("alice",)), says=("malformed",)),
    Row(name="a name among the asserted ones", rule=RULE, call=call(MAIN, pai=("alice", MAIN)), says=("malformed",)),
    Row(name="an extension alone", rule=RULE, call=call("200"), says=("short",)),
    Row(name="an extension beside a number of ours", rule=RULE, call=call("200", pai=(MAIN,)), says=("extension",)),
    Row(name="five digits beside ours", rule=RULE, call=call("20001", pai=(MAIN,)), says=("extension",)),
    Row(name="six digits beside ours", rule=RULE, call=call("200017", pai=(MAIN,)), says=("short",)),
    Row(name="an extension in the asserted one", rule=RULE, call=call(MAIN, pai=("200",)), says=("short",)),
    Row(name="1013, the operator's own service", rule=RULE, call=call("1013"), says=("short",)),
    Row(name="1013 beside ours is no extension", rule=RULE, call=call("1013", pai=(MAIN,)), says=("short",)),
    Row(name="a short number that is held", rule=RULE, call=call("3020")),
    Row(name="a premium short number is another rule's", rule=RULE, call=call("3949")),
    Row(name="an emergency number is another rule's", rule=RULE, call=call("112")),
    Row(name="an overseas number under +33", rule=RULE, call=call("+33590123456"), says=("overseas",)),
    Row(name="an overseas number as it should be", rule=RULE, call=call("+590590123456")),
    Row(name="the same, dialled at home", rule=RULE, call=call("0590123456")),
    Row(name="withheld", rule=RULE, call=call("anonymous")),
    Row(name="nothing at all", rule=RULE, call=call("")),
    Row(name="two of them", rule=RULE, call=call("alice", pai=("bob",)), says=("malformed", "malformed")),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_tells_why_and_where() -> None:
    row = Row(name="", rule=RULE, call=call(MAIN, rpid=("+330145678900",)), says=("malformed",))
    facts = {"number": "+330145678900", "header": "rpid", "reason": "zero-after-33"}
    assert [h.facts for h in hits(row)] == [facts]


def test_overseas_is_told_how_it_is_right() -> None:
    row = Row(name="", rule=RULE, call=call("+33590123456"))
    facts = {"number": "+590590123456", "header": "from", "presented": "+33590123456"}
    assert [h.facts for h in hits(row)] == [facts]
