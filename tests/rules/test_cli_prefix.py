"""The rules that speak of a number only for what it is: emergency, social, fiction, premium band, old data services,
platforms, machines, and 2026's ranges."""

from __future__ import annotations

from typing import Final

import pytest

from guard.model import CallAttempt
from guard.numbering.number import EMERGENCY
from guard.rules import cli_prefix
from guard.rules.base import Terms
from guard.rules.case import Case
from tests.deciding import MAIN, call, policy_of
from tests.rules.table import Row, check, hits


def hit(rule: str, number: str, made: CallAttempt | None = None) -> Row:
    return Row(name=f"{rule}: {number}", rule=rule, call=made or call(number), says=("presented",))


def miss(rule: str, number: str, made: CallAttempt | None = None) -> Row:
    return Row(name=f"{rule}: not {number}", rule=rule, call=made or call(number))


def robot(number: str) -> CallAttempt:
    return call(number, usage=("automated",))


PLATFORM_EDGES: Final = ("0937000000", "0938999999", "0939000000", "0939499999", "0939500000", "0939999999")

ROWS: Final = (
    *(hit("cli.emergency-number", n) for n in EMERGENCY),
    *(miss("cli.emergency-number", n) for n in ("16", "113", "116001", "1120", "3112", "0145678112", "+331120000")),
    hit("cli.emergency-number", "112 asserted", call(MAIN, pai=("112",))),
    *(hit("cli.social-number", n) for n in ("116001", "116006", "116111", "116999")),
    *(miss("cli.social-number", n) for n in ("115999", "117000", "+33116000111")),
    *(
        hit("cli.fiction", n)
        for n in ("0199001234", "0261911234", "0353011234", "0465711234", "0536491234", "0639981234")
    ),
    *(miss("cli.fiction", n) for n in ("0199011234", "0198991234", "0261921234", "0639971234", "0639991234")),
    *(hit("cli.premium-band", n) for n in ("0810123456", "0819999999", "0820000000", "0825123456", "0829999999")),
    *(hit("cli.legacy-data", n) for n in ("0830000000", "0836123456", "0839999999", "0850000000", "0869999999")),
    *(miss("cli.legacy-data", n) for n in ("0829999999", "0840000000", "0849999999", "0870000000", "0890000000")),
    *(hit("cli.platform-misuse", n) for n in PLATFORM_EDGES),
    *(hit("cli.platform-misuse", f"{n} by a robot", robot(n)) for n in PLATFORM_EDGES),
    *(miss("cli.platform-misuse", f"{n} by one", call(n, usage=("platform",))) for n in PLATFORM_EDGES),
    miss("cli.platform-misuse", "a robot's platform", call("0937000000", usage=("automated", "platform"))),
    *(miss("cli.platform-misuse", n) for n in ("0936999999", "0940000000", "0948123456", "0989000000")),
    *(miss("cli.premium-band", n) for n in ("0809999999", "0830000000", "0892123456", "0800123456")),
    *(
        hit("cli.general-interest", n)
        for n in ("0151012345", "0281012345", "0341012345", "0441012345", "0541012345", "0941012345")
    ),
    *(miss("cli.general-interest", n) for n in ("0151112345", "0150912345", "0281112345", "0940912345")),
    *(
        hit("cli.unverified", n, robot(n))
        for n in ("0598712345", "0598812345", "0598912345", "0268812345", "0268912345")
    ),
    *(miss("cli.unverified", f"{n} by a person", call(n)) for n in ("0598712345", "0268912345")),
    *(miss("cli.unverified", n, robot(n)) for n in ("0598612345", "0268712345", "0948123456")),
    *(hit("cli.machine-number", n) for n in ("07000123456789", "07004123456789", "0700512345678", "0700912345678")),
    *(hit("cli.machine-number", n) for n in ("09010123456789", "0901512345678")),
    *(miss("cli.machine-number", n) for n in ("0701234567", "0709012345", "0900123456", "0902123456")),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_the_same_number_in_two_headers_is_told_once() -> None:
    check(Row(name="twice", rule="cli.fiction", call=call("0199001234", pai=("+33199001234",)), says=("presented",)))


def test_two_numbers_are_told_both() -> None:
    row = Row(
        name="", rule="cli.fiction", call=call("0199001234", pai=("0199005678",)), says=("presented", "presented")
    )
    check(row)


def test_the_same_number_twice_is_told_of_the_first_header() -> None:
    row = Row(name="", rule="cli.fiction", call=call("0199001234", pai=("0199001234",)))
    assert [h.facts["header"] for h in hits(row)] == ["from"]


def test_some_of_a_prefix_can_be_left_out() -> None:
    policy = policy_of()
    settings = cli_prefix.Settings(prefixes=("+331",), except_prefixes=("+33145",))
    for number, said in (("0145678900", 0), ("0144678900", 1), ("0245678900", 0)):
        case = Case(call(number), Terms(), policy.held, policy.plan.lookup)
        assert len(cli_prefix.judge(case, settings)) == said
