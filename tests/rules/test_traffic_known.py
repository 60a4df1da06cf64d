"""traffic.scanner and traffic.known-number: programs by what they call themselves, numbers by who reported them."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from guard.config import ConfigError
from guard.model import CallAttempt
from tests.deciding import MAIN, call, engine_of, policy_of
from tests.rules.table import Row, check, hits

SCANNER: Final = "traffic.scanner"
KNOWN: Final = "traffic.known-number"
LIST: Final = (
    f'\n[rules."{KNOWN}".numbers]\n"+38760331234" = "wangiri, 3 October 2026"\n"{MAIN}" = "lent to nobody"\n'
    '"+33299112233" = "spoofed"\n'
)
BLOCK: Final = f'\n[rules."{SCANNER}"]\naction = "block"\n'


def agent(name: str, source: str = "pbx", callee: str = "0199001234") -> CallAttempt:
    return replace(call(callee=callee, source=source), user_agent=name)


def scanner(name: str, program: str, *says: str, source: str = "pbx", callee: str = "0199001234") -> Row:
    return Row(name=name, rule=SCANNER, call=agent(program, source, callee), says=says)


def known(name: str, *says: str, caller: str = MAIN, callee: str = "0199001234", more: str = "", pai: tuple[str, ...] = ()) -> Row:  # fmt: skip # noqa: E501
    return Row(name=name, rule=KNOWN, call=call(caller=caller, callee=callee, pai=pai), says=says, more=more)


ROWS: Final = (
    scanner("a scanner", "friendly-scanner", "named"),
    scanner("in capitals, and with a version", "SIPVicious/0.3.4", "named"),
    scanner("a worm", "sundayddr", "named"),
    Row(name="nonsense before", rule=SCANNER, call=replace(agent("Yealink"), odd=20), says=("odd",)),
    Row(name="nonsense now and then", rule=SCANNER, call=replace(agent("Yealink"), odd=19), says=()),
    Row(name="both", rule=SCANNER, call=replace(agent("sipcli/v1.8"), odd=40), says=("named", "odd")),
    scanner("of no source", "sipcli/v1.8", "named", source=""),
    scanner("a telephone", "Yealink SIP-T46G 28.83.0.35"),
    scanner("a program that says nothing", ""),
    scanner("a name that holds part of one", "Warwick"),
    scanner("to an emergency number", "friendly-scanner", "named", callee="112"),
    known("the number called", "listed", caller="0145678901", callee="0038760331234", more=LIST),
    known("the number presented", "listed", caller="0145678900", more=LIST),
    known("the number asserted", "listed", caller="0145678901", pai=("0299112233",), more=LIST),
    known("both", "listed", "listed", caller="0145678900", callee="0038760331234", more=LIST),
    known("the one beside it", callee="0038760331235", caller="0145678901", more=LIST),
    known("a telephone of a British film", "fiction", callee="00447700900461"),
    known("presented, it is another rule's", caller="00447700900461"),
    known("its neighbour", callee="00447700901461"),
    known("a short number", callee="3639"),
    known("an emergency number", "listed", callee="112", more=LIST),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_facts() -> None:
    rows = {r.name: [h.facts for h in hits(r)] for r in ROWS if r.says}
    assert rows["in capitals, and with a version"] == [
        {"user_agent": "SIPVicious/0.3.4", "name": "sipvicious", "address": "203.0.113.9"}
    ]
    assert [f["side"] for f in rows["both"]] == ["callee", "caller"]
    assert rows["the number called"][0]["why"] == "wangiri, 3 October 2026"


def test_a_long_name_is_cut() -> None:
    (hit,) = hits(scanner("x", "sipcli" + "x" * 5000, "named"))
    assert len(str(hit.facts["user_agent"])) == 200


def test_they_flag_and_block_only_where_that_is_set() -> None:
    one = agent("sipcli/v1.8", callee="0299112233")
    assert engine_of().judge(one).verdict == "flagged"
    assert engine_of(BLOCK).judge(one).verdict == "blocked"


def test_a_stranger_gets_no_answer_and_its_record_says_what_it_was() -> None:
    decision = engine_of().judge(agent("friendly-scanner", source=""))
    assert (decision.verdict, decision.rule, decision.status) == ("blocked", "source.unknown", 0)
    assert SCANNER in [f.rule for f in decision.findings]


@pytest.mark.parametrize(
    ("rule", "written", "key"),
    [
        (SCANNER, 'names = ["SipCli"]', "names"),
        (SCANNER, 'names = ["ab"]', "names"),
        (KNOWN, 'numbers = { "0145678900" = "x" }', "numbers"),
        (KNOWN, 'numbers = { "+33145678900" = "" }', "numbers"),
        (KNOWN, 'fiction = ["44"]', "fiction"),
    ],
)
def test_a_wrong_setting_is_named(rule: str, written: str, key: str) -> None:
    with pytest.raises(ConfigError) as found:
        policy_of(f'\n[rules."{rule}"]\n{written}\n')
    assert [p.key for p in found.value.problems] == [f'rules."{rule}".{key}']
