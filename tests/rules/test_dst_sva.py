"""dst.premium, dst.sva-cap and dst.sva-repeated: what premium numbers cost, how long they may talk, how often they may
be called."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from guard.config import ConfigError
from guard.desk import Desk
from guard.engine import Engine
from guard.model import CallAttempt, Decision
from guard.numbering.number import NONE
from guard.policy.load import JudgeRule
from guard.rules import dst_premium, dst_sva_cap, dst_sva_repeated
from guard.rules.base import Terms
from guard.rules.case import Case
from guard.rules.destinations import Destinations
from guard.state.contract import Reading
from guard.state.memory import MemoryState
from tests.deciding import NOW, call, engine_of, policy_of
from tests.rules.table import Row, check, hits

PREMIUM: Final = "dst.premium"
CAP: Final = "dst.sva-cap"
REPEATED: Final = "dst.sva-repeated"
MINUTE: Final = 60_000_000

# A trunk whose contract has the caps of XII-7.4.
SVA: Final = '\n[[trunk]]\nname = "sva"\nnext_hop = ["sip:198.51.100.12"]\ncontract = "technicophone-sva"\n'
OWN: Final = '\n[rules."dst.sva-cap"]\nmax_seconds = 1\n'
BY_COST: Final = '\n[rules."dst.sva-cap"]\nmax_cents = 100\n'
VARYING: Final = '\n[rules."dst.sva-cap"]\nvarying = true\n'
PRICED: Final = '\n[rules."dst.premium"]\nabove_cents_per_minute = 20\n'
DEAR: Final = OWN + "above_cents_per_minute = 80\n"
AT_CALL: Final = '\n[rules."dst.premium"]\nabove_cents_per_call = 50\n'
BY_CALL: Final = '\n[rules."dst.premium"]\nabove_cents_per_call = 49\n'


def sva(callee: str) -> CallAttempt:
    return replace(call(callee=callee), trunk="sva")


def row(name: str, rule: str, attempt: CallAttempt, *says: str, more: str = "", value: int = 0) -> Row:
    return Row(name=name, rule=rule, call=attempt, says=says, more=more, value=value)


ROWS: Final = (
    row("an 089 number", PREMIUM, call(callee="0892681234"), "told"),
    row("an 081 number", PREMIUM, call(callee="0810123456"), "told"),
    row("a short number 3BPQ", PREMIUM, call(callee="3949"), "told"),
    row("directory enquiry", PREMIUM, call(callee="118712"), "told"),
    row("operator assistance", PREMIUM, call(callee="1015"), "unpriced"),
    row("a free number", PREMIUM, call(callee="0800123456")),
    row("a number at ordinary price", PREMIUM, call(callee="0809123456")),
    row("a free short number", PREMIUM, call(callee="3020")),
    row("an ordinary number", PREMIUM, call()),
    row("an emergency number", PREMIUM, call(callee="15")),
    row("above the price by the minute", PREMIUM, call(callee="0892681234"), "above", more=PRICED),
    row("at the price by the minute", PREMIUM, call(callee="0820123456"), "told", more=PRICED),
    row("above the price by the call", PREMIUM, call(callee="0820123456"), "above", more=BY_CALL),
    row("at the price by the call", PREMIUM, call(callee="0820123456"), "told", more=AT_CALL),
    row("below the price by the call", PREMIUM, call(callee="0810123456"), "told", more=BY_CALL),
    row("089 under the contract", CAP, sva("0892681234"), "capped", more=SVA),
    row("082 under the contract", CAP, sva("0820123456"), "capped", more=SVA),
    row("directory enquiry under the contract", CAP, sva("118712"), "capped", more=SVA),
    row("089 on a trunk whose contract has no caps", CAP, call(callee="0892681234")),
    row("3BPQ is priced number by number", CAP, sva("3646"), more=SVA),
    row("3BPQ where that is wanted", CAP, sva("3646"), "capped", more=SVA + VARYING),
    row("10YT has no ceiling", CAP, sva("1015"), more=SVA + VARYING),
    row("a free number under the contract", CAP, sva("0800123456"), more=SVA),
    row("an ordinary number under the contract", CAP, sva("0199001234"), more=SVA),
    row("emergency under the contract", CAP, sva("112"), more=SVA + VARYING),
    row("the site's own cap", CAP, call(callee="0892681234"), "capped", more=OWN),
    row("the site's own cap by cost", CAP, call(callee="0892681234"), "capped", more=BY_COST),
    row("the site's own cap, above another price", CAP, call(callee="0892681234"), more=DEAR),
    row("both caps", CAP, sva("0892681234"), "capped", more=SVA + OWN),
    row("the tenth call of an hour", REPEATED, call(callee="0892681234"), value=9),
    row("the eleventh", REPEATED, call(callee="0892681234"), "repeated", value=10),
    row("the eleventh to an ordinary number", REPEATED, call(), value=10),
    row("the eleventh to a free number", REPEATED, call(callee="0800123456"), value=10),
    row("an inbound call from one", REPEATED, replace(call(callee="0892681234"), direction="inbound"), value=10),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.rule}: {r.name}")
def test_row(row: Row) -> None:
    check(row)


def decided(attempt: CallAttempt, more: str) -> Decision:
    return engine_of(more).judge(attempt)


def test_facts() -> None:
    rows = {r.name: hits(r)[0] for r in ROWS if r.says}
    prices = {"cents_per_minute": 80, "cents_per_call": 300}
    assert {k: rows["an 089 number"].facts[k] for k in prices} == prices
    assert rows["the eleventh"].facts == {
        "number": "+33892681234", "calls": 11, "limit": 10, "minutes": 60, "line": "200",
    }  # fmt: skip
    assert (rows["both caps"].facts["minutes"], rows["both caps"].facts["seconds"]) == (0, 1)
    assert (rows["082 under the contract"].facts["minutes"], rows["082 under the contract"].facts["seconds"]) == (
        120,
        0,
    )


@pytest.mark.parametrize(
    ("callee", "more", "talk"),
    [
        ("0892681234", SVA, 30 * MINUTE),
        ("0820123456", SVA, 120 * MINUTE),
        ("0892681234", SVA + OWN, 1_000_000),
        ("0892681234", SVA + BY_COST, 75_000_000),  # a euro at 80 cents a minute
        ("0892681234", SVA + '\n[rules."dst.sva-cap"]\nmax_seconds = 7200\n', 30 * MINUTE),  # the contract is stricter
        ("0892681234", SVA + '\n[rules."dst.sva-cap"]\nmode = "monitor"\n', 0),
        ("0892681234", SVA + '\n[rules."dst.sva-cap"]\nenabled = false\n', 0),
        ("0199001234", SVA + OWN, 0),
        ("112", SVA + OWN + "varying = true\n", 0),
    ],
)
def test_the_decision_says_how_long_it_may_talk(callee: str, more: str, talk: int) -> None:
    decision = decided(sva(callee), more)
    assert (decision.max_talk_us, decision.talk_rule) == (talk, CAP if talk else "")
    assert decision.verdict == "allowed"


def test_a_number_without_one_of_its_ceilings_has_no_price() -> None:
    band = replace(next(b for b in policy_of().terms["operator"].destinations.bands if b.id == "089"), per_call=None)
    terms = Terms(destinations=Destinations(bands=(band,)))
    case = Case(call(callee="0892681234"), terms, policy_of().held, policy_of().plan.lookup)
    assert [h.say for h in dst_premium.judge(case, dst_premium.Settings())] == ["unpriced"]


@pytest.mark.parametrize("order", [(1, 5), (5, 1)])
def test_of_several_caps_the_least_holds(order: tuple[int, int]) -> None:
    policy = policy_of(SVA + OWN)
    (judge,) = (j for j in policy.judges if j.rule.id == CAP)
    others = tuple(j for j in policy.judges if j.rule.id != CAP)
    caps = tuple(
        JudgeRule(replace(judge.rule, id=f"dst.cap-{n}", settings=dst_sva_cap.Settings(max_seconds=n)), judge.code)
        for n in order
    )
    decision = Engine(replace(policy, judges=others + caps)).judge(sva("0892681234"))
    assert (decision.max_talk_us, decision.talk_rule) == (1_000_000, "dst.cap-1")


def test_a_call_that_its_counters_refuse_has_no_cap() -> None:
    engine = engine_of(SVA)
    prepared = engine.prepare(sva("0892681234"))
    full = tuple(Reading(key=t.key, value=99, taken=False) for t in prepared.touches)
    decision = engine.decide(prepared, full, 0)
    assert (decision.verdict, decision.rule, decision.max_talk_us) == ("blocked", "limit.line-calls", 0)
    assert prepared.talk == (30 * MINUTE, CAP)


def test_a_refused_call_has_no_cap() -> None:
    decision = decided(replace(sva("0892681234"), source=""), SVA)
    assert (decision.verdict, decision.max_talk_us, decision.talk_rule) == ("blocked", 0, "")


def test_setting_an_action_does_not_make_the_cap_refuse() -> None:
    assert decided(sva("0892681234"), SVA + '\n[rules."dst.sva-cap"]\naction = "block"\n').verdict == "allowed"


def test_telling_of_the_price_does_not_flag() -> None:
    assert decided(call(callee="0892681234"), "").verdict == "allowed"
    assert decided(call(callee="0892681234"), PRICED).verdict == "flagged"
    assert decided(call(callee="0892681234"), PRICED + 'action = "block"\n').verdict == "blocked"
    assert decided(call(callee="0810123456"), PRICED + 'action = "block"\n').verdict == "allowed"


class Caller:
    """A desk with its counters, and calls to one premium number."""

    def __init__(self, more: str = "") -> None:
        self.desk = Desk(engine_of(more), MemoryState())
        self.n = 0

    def __call__(self, minute: float, callee: str = "0892681234", line: str = "200") -> bool:
        """One call; whether it was said to be repeated."""
        self.n += 1
        us = int(minute * MINUTE)
        attempt = replace(call(callee=callee, line=line), at=NOW + us, call_id=f"c{self.n}")
        ((_, decision),) = self.desk.submit(self.n, attempt, us)
        self.desk.departed(self.n, us)
        self.desk.ended(self.n, us)
        return any(f.rule == REPEATED for f in decision.findings)


def test_the_hour_rolls() -> None:
    calls = Caller()
    assert [calls(5 * n) for n in range(10)] == [False] * 10  # the last at 45 minutes
    assert calls(59)
    assert calls(60)  # the first is just within the hour
    assert calls(64.9)
    assert not calls(500)


def test_each_line_and_each_number_counts_apart() -> None:
    calls = Caller()
    for n in range(10):
        assert not calls(n)
    assert not calls(11, line="201")
    assert not calls(11, callee="0892681235")
    assert calls(11)


def test_what_is_counted_of_a_call() -> None:
    settings = dst_sva_repeated.Settings(calls=3, within_minutes=2)
    terms = policy_of().terms["operator"]
    made = call(callee="0892681234")
    touch = dst_sva_repeated.touch(made, terms, "1", settings)
    assert touch is not None
    assert (touch.kind, touch.limit, touch.at, touch.since) == ("tally", 3, NOW, NOW - 2 * MINUTE)
    assert touch.span_us == 2 * MINUTE, "or lines and numbers would fill the memory"
    by_caller = [replace(made, line=""), replace(made, line="", caller=NONE), replace(made, source="other")]
    keys = {t.key for m in by_caller if (t := dst_sva_repeated.touch(m, terms, "1", settings))}
    assert len(keys | {touch.key}) == 4
    assert dst_sva_repeated.touch(replace(made, direction="inbound"), terms, "1", settings) is None
    assert dst_sva_repeated.touch(replace(made, emergency="112"), terms, "1", settings) is None


def test_blocked_it_lets_the_tenth_pass_and_counts_no_refused_call() -> None:
    calls = Caller('\n[rules."dst.sva-repeated"]\ncalls = 2\nwithin_minutes = 10\naction = "block"\n')
    assert [calls(n) for n in (0, 1, 2, 9.9)] == [False, False, True, True]
    assert not calls(11.5)


def test_nobody_counts_where_no_figure_is_set() -> None:
    engine = engine_of('\n[rules."dst.sva-repeated"]\ncalls = 0\n')
    assert not any(t.key.startswith("sva:") for t in engine.prepare(call(callee="0892681234")).touches)


@pytest.mark.parametrize("wrong", ["calls = -1", "within_minutes = 0", 'calls = "ten"', "limit = 1"])
def test_a_wrong_setting_is_named(wrong: str) -> None:
    with pytest.raises(ConfigError):
        policy_of(f'\n[rules."dst.sva-repeated"]\n{wrong}\n')
