"""cli.not-authorised."""

from __future__ import annotations

from datetime import date
from typing import Final

import pytest

from guard.confignumbers import micros
from guard.numbering.plan import LAW_ZONE
from tests.deciding import COMING, ENDED, LENT, MAIN, MOBILE, SECOND_OWN, STRANGERS, call, policy_of
from tests.rules.table import Row, check, hits

RULE: Final = "cli.not-authorised"


def day(text: str) -> int:
    return micros(date.fromisoformat(text), LAW_ZONE)


ROWS: Final = (
    Row(name="the first number of ours", rule=RULE, call=call(MAIN)),
    Row(name="the last number of ours", rule=RULE, call=call("+33145678999")),
    Row(name="one below", rule=RULE, call=call("+33145678899"), says=("unknown",)),
    Row(name="one above", rule=RULE, call=call("+33145679000"), says=("unknown",)),
    Row(name="of our prefix", rule=RULE, call=call("+33948129999")),
    Row(name="just beside our prefix", rule=RULE, call=call("+33948130000"), says=("unknown",)),
    Row(name="a mobile of ours", rule=RULE, call=call(MOBILE)),
    Row(name="the mobile after it", rule=RULE, call=call("+33612345679"), says=("unknown",)),
    Row(name="a short number of ours", rule=RULE, call=call("3020")),
    Row(name="a short number of others", rule=RULE, call=call("3021"), says=("unknown",)),
    Row(name="an extension is no number of the plan", rule=RULE, call=call("200")),
    Row(name="a foreign number", rule=RULE, call=call("+4930123456"), says=("unknown",)),
    Row(name="malformed is another rule's", rule=RULE, call=call("alice")),
    Row(name="withheld", rule=RULE, call=call("anonymous")),
    Row(name="lent", rule=RULE, call=call(LENT)),
    Row(name="lent, on its last day", rule=RULE, call=call(LENT, at=day("2027-01-01") - 1)),
    Row(name="lent, the day after", rule=RULE, call=call(LENT, at=day("2027-01-01")), says=("expired",)),
    Row(name="lent, on its first day", rule=RULE, call=call(LENT, at=day("2026-01-01"))),
    Row(name="lent, the day before", rule=RULE, call=call(LENT, at=day("2026-01-01") - 1), says=("not-yet",)),
    Row(name="lent no more", rule=RULE, call=call(ENDED), says=("expired",)),
    Row(name="lent later", rule=RULE, call=call(COMING), says=("not-yet",)),
    Row(name="ours in From, others' asserted", rule=RULE, call=call(MAIN, pai=(STRANGERS,)), says=("unknown",)),
    Row(name="ours in From, others' preferred", rule=RULE, call=call(MAIN, ppi=(STRANGERS,)), says=("unknown",)),
    Row(name="ours in From, others' in RPID", rule=RULE, call=call(MAIN, rpid=(STRANGERS,)), says=("unknown",)),
    Row(name="others' in From, ours asserted", rule=RULE, call=call(STRANGERS, pai=(MAIN,)), says=("unknown",)),
    Row(name="the same twice", rule=RULE, call=call(STRANGERS, pai=("0299112233",)), says=("unknown",)),
    Row(name="two of others", rule=RULE, call=call(STRANGERS, pai=("0299112234",)), says=("unknown", "unknown")),
    Row(name="forwarded by us", rule=RULE, call=call(STRANGERS, diversion=(MAIN,))),
    Row(
        name="forwarded by a second number of ours", rule=RULE, call=call(STRANGERS, diversion=(STRANGERS, SECOND_OWN))
    ),
    Row(name="forwarded by others", rule=RULE, call=call(STRANGERS, diversion=("0299112234",)), says=("unknown",)),
    Row(
        name="forwarded by what we lent no more", rule=RULE, call=call(STRANGERS, diversion=(ENDED,)), says=("unknown",)
    ),
    Row(
        name="forwarded, where an inbound leg is wanted: cli.forwarded asks for it",
        rule=RULE,
        call=call(STRANGERS, diversion=(MAIN,), source="branch"),
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_names_number_header_and_holder() -> None:
    row = Row(name="", rule=RULE, call=call(MAIN, pai=(ENDED,)))
    assert [h.facts for h in hits(row)] == [{"number": ENDED, "header": "pai", "holder": "Acme"}]


def test_cites_the_contract_before_the_law() -> None:
    articles = policy_of().cited["operator"][RULE]
    assert articles == ("003_742b69a7556570e9.txt IV-3.4.4",)
    assert "CPCE L.44 IV" in policy_of().written[RULE].articles


def test_the_same_number_twice_is_told_of_the_first_header() -> None:
    row = Row(name="", rule=RULE, call=call(STRANGERS, pai=(STRANGERS,), rpid=(STRANGERS,)))
    assert [h.facts["header"] for h in hits(row)] == ["from"]
