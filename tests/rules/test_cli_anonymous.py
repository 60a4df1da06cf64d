"""cli.anonymous."""

from __future__ import annotations

from typing import Final

import pytest

from tests.deciding import DAY, ENDED, LENT, MAIN, NOW, STRANGERS, call
from tests.rules.table import Row, check, hits

RULE: Final = "cli.anonymous"
SELLS: Final = ("prospecting",)
ROWS: Final = (
    Row(name="a number is shown", rule=RULE, call=call()),
    Row(name="withheld, nobody asserted", rule=RULE, call=call("anonymous"), says=("nobody",)),
    Row(name="no From number, nobody asserted", rule=RULE, call=call(""), says=("nobody",)),
    Row(name="withheld behind a number of ours", rule=RULE, call=call("anonymous", pai=(MAIN,))),
    Row(name="withheld behind a consent", rule=RULE, call=call("anonymous", pai=(LENT,))),
    Row(
        name="withheld behind a consent, a year on",
        rule=RULE,
        call=call("anonymous", pai=(LENT,), at=NOW + 365 * DAY),
        says=("nobody",),
    ),
    Row(name="withheld behind a consent that ended", rule=RULE, call=call("anonymous", pai=(ENDED,)), says=("nobody",)),
    Row(name="withheld behind somebody else's", rule=RULE, call=call("anonymous", pai=(STRANGERS,)), says=("nobody",)),
    Row(name="withheld, forwarded by us", rule=RULE, call=call("anonymous", diversion=(MAIN,))),
    Row(
        name="withheld, forwarded by others",
        rule=RULE,
        call=call("anonymous", diversion=(STRANGERS,)),
        says=("nobody",),
    ),
    Row(name="Privacy with a number", rule=RULE, call=call(MAIN, privacy=True)),
    Row(name="canvassing, withheld", rule=RULE, call=call("anonymous", usage=SELLS), says=("canvassing",)),
    Row(
        name="canvassing, withheld behind ours",
        rule=RULE,
        call=call("anonymous", pai=(MAIN,), usage=SELLS),
        says=("canvassing",),
    ),
    Row(name="canvassing with Privacy", rule=RULE, call=call(MAIN, privacy=True, usage=SELLS), says=("canvassing",)),
    Row(
        name="canvassing, and a robot",
        rule=RULE,
        call=call("anonymous", usage=("automated", *SELLS)),
        says=("canvassing",),
    ),
    Row(name="canvassing, shown", rule=RULE, call=call(MAIN, usage=SELLS)),
    Row(name="a malformed number is another rule's", rule=RULE, call=call("alice")),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_names_the_header_that_hides() -> None:
    by_name = {r.name: hits(r)[0].facts for r in ROWS if r.says}
    assert by_name["canvassing with Privacy"] == {"header": "privacy"}
    assert by_name["canvassing, withheld"] == {"header": "from"}
