"""source.automated-banned: robots on trunks whose contracts ban them."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from guard.engine import Engine
from guard.model import CallAttempt, Usage
from tests.deciding import MAIN, ROBOT, call, policy_of
from tests.rules.table import Row, check

RULE: Final = "source.automated-banned"
BANS: Final = """
[[trunk]]
name = "expert"
next_hop = ["sip:198.51.100.12"]
contract = "expert-telecom-sip-trunk"
[[trunk]]
name = "techcrea"
next_hop = ["sip:198.51.100.13"]
contract = "techcrea-centrex"
"""
AGREED: Final = f'\n[rules."{RULE}"]\naccepted_trunks = ["expert"]\n'


def over(trunk: str, *usage: Usage, caller: str = ROBOT) -> CallAttempt:
    return replace(call(caller), trunk=trunk, usage=usage)


ROWS: Final = (
    *(Row(name=t, rule=RULE, call=over(t, "automated"), says=("banned",), more=BANS) for t in ("expert", "techcrea")),
    Row(name="a platform, too", rule=RULE, call=over("expert", "platform", "automated"), says=("banned",), more=BANS),
    Row(name="no number", rule=RULE, call=over("expert", "automated", caller=""), says=("banned",), more=BANS),
    *(Row(name=f"no ban over {t}", rule=RULE, call=over(t, "automated"), more=BANS) for t in ("operator", "bare", "")),
    *(
        Row(name=f"{u} over it", rule=RULE, call=over("expert", u, caller=MAIN), more=BANS)
        for u in ("human", "platform", "prospecting")
    ),
    Row(name="agreed", rule=RULE, call=over("expert", "automated"), more=BANS + AGREED),
    Row(name="agreed elsewhere", rule=RULE, call=over("techcrea", "automated"), says=("banned",), more=BANS + AGREED),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_the_contract_is_cited() -> None:
    policy = policy_of(BANS)
    decision = Engine(policy).judge(over("expert", "automated"))
    assert (decision.verdict, decision.rule, decision.status) == ("blocked", RULE, 403)
    assert decision.findings[0].article == ("002_af408cb6dcd3ef30.txt §9.4",)
    assert policy.cited["techcrea"][RULE] == ("004_110190058bbf3ce6.txt §8", "004_110190058bbf3ce6.txt §16")
