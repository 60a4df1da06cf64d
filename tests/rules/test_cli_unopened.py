"""cli.unopened-range: numbers of no allotted block, and how old ARCEP's file may be for that to refuse a call."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from guard.engine import Engine
from guard.model import CallAttempt
from guard.numbering.number import EMERGENCY
from guard.rules.base import Hit, Terms
from guard.rules.case import Case
from guard.rules.cli_unopened import Settings, judge
from tests.deciding import DAY, MAIN, NOW, call, policy_of
from tests.rules.table import Row, check

RULE: Final = "cli.unopened-range"
FILE: Final = policy_of().plan.blocks.at  # midnight of the shipped file's date
LAST: Final = FILE + 30 * DAY - 1  # the last instant at which its silence refuses
NOBODYS: Final = ("0239112233", "0840123456", "0937123456", "0151012345", "0180990000", "0590145678", "3009", "3169")
SOMEBODYS: Final = (
    MAIN,
    "0180909090",
    "0612345678",
    "0892681234",
    "0590271234",
    "0508411234",
    "07000000012345",
    "3020",
)
NOT_ITS: Final = ("0199001234", "0639981234", "+442071234567", "+687201234", "anonymous", "", "200", "3300", "116001")


def hit(number: str, says: str, at: int = NOW, **more: str) -> Row:
    return Row(
        name=f"{number} {says} {more}", rule=RULE, call=call(number, at=at), says=(says,), more=more.get("more", "")
    )


def miss(number: str, made: CallAttempt | None = None) -> Row:
    return Row(name=f"not {number}", rule=RULE, call=made or call(number, at=FILE))


ROWS: Final = (
    *(hit(n, "old") for n in NOBODYS),
    *(hit(n, "fresh", FILE) for n in NOBODYS),
    *(hit(n, "fresh", LAST) for n in NOBODYS),
    *(hit(n, "old", LAST + 1) for n in NOBODYS),
    *(hit(n, "old", FILE - 1) for n in NOBODYS),  # a file of a later day is no proof of an earlier one
    *(miss(n) for n in (*SOMEBODYS, *NOT_ITS, *EMERGENCY)),
    miss("before the law", call("0239112233", at=1_564_600_000_000_000)),  # 2019-07-31
    Row(
        name="asserted",
        rule=RULE,
        call=call(MAIN, pai=("0239112233", "+33239112233"), ppi=("0840123456",)),
        says=("old", "old"),
    ),
    hit("0239112233", "old", FILE, more=f'\n[rules."{RULE}"]\nblock_younger_than_days = 0\n'),
    hit("0239112233", "fresh", FILE + 200 * DAY, more=f'\n[rules."{RULE}"]\nblock_younger_than_days = 365\n'),
    Row(name="an emergency call", rule=RULE, call=call("0239112233", "112", at=FILE), says=("fresh",)),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def decided(number: str, at: int) -> tuple[str, str]:
    more = '\n[[number]]\nrange = "+33239*"\n'
    decision = Engine(policy_of(more)).judge(call(number, at=at))
    return decision.verdict, decision.rule


def test_a_young_file_refuses_and_an_old_one_flags() -> None:
    assert decided("0239112233", FILE) == decided("0239112233", LAST) == ("blocked", RULE)
    assert decided("0239112233", LAST + 1) == decided("0239112233", NOW) == ("flagged", RULE)


def test_without_a_file_nothing_is_said() -> None:
    policy = policy_of()
    rule = next(j.rule.settings for j in policy.judges if j.rule.id == RULE)
    assert isinstance(rule, Settings)
    case = Case(call("0239112233", at=FILE), Terms(), policy.held, policy.plan.lookup)
    assert judge(case, rule) == ()


def test_the_file_is_named() -> None:
    policy = policy_of()
    case = Case(call("0239112233"), Terms(), policy.held, policy.plan.lookup, blocks=policy.plan.blocks)
    facts: dict[str, str | int | bool] = {"number": "+33239112233", "header": "from", "file": "2026-04-17"}
    assert judge(case, replace(Settings(), block_younger_than_days=30)) == (Hit("old", facts),)
