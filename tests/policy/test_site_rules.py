"""A site's own rules: every condition, how they join, what they do, and every mistake in them told."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from guard.model import CallAttempt
from guard.numbering.number import Dial, normalise
from guard.policy.siteschema import When, Window
from guard.rules.patterns import Index, patterns
from tests.deciding import ENDED, MAIN, MASKING, SECOND_OWN, SITE, call, engine_of, policy_of
from tests.policy.sites import fits, judged, toml

PARIS: Final = ZoneInfo("Europe/Paris")


def at(text: str, zone: ZoneInfo = PARIS) -> int:
    """µs of Unix time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1_000_000


def headed(*pairs: tuple[str, str]) -> CallAttempt:
    """A call with headers that a rule names."""
    return replace(call(), headers=pairs)


PLAIN: Final = call()
MOBILE: Final = call(callee="0612345678")
HIDDEN: Final = call(caller="anonymous", pai=(MAIN,), privacy=True)
NOBODY: Final = call(caller="")
GERMAN: Final = call(callee="004930123456")
SHORT: Final = call(callee="3949")
FORWARDED: Final = call(diversion=(SECOND_OWN,))
SCANNER: Final = replace(call(), user_agent="Friendly-SCANNER 1.8")
ROBOT: Final = call(source="robot", usage=("automated", "prospecting"), line="777")

# Conditions, a call that fits, a call that nearly does.
TABLE: Final[tuple[tuple[str, CallAttempt, CallAttempt], ...]] = (
    ('callee = "+33199001234"', PLAIN, call(callee="0199001235")),
    ('callee = ["+33199001235", "+33199001234"]', PLAIN, MOBILE),
    ('callee = "+336*"', MOBILE, PLAIN),
    ('callee = "+33*1234"', PLAIN, call(callee="0199001235")),
    ('callee = "+33*900*34"', PLAIN, call(callee="0199011234")),
    ('callee = "+33199001200-+33199001299"', PLAIN, call(callee="0199001300")),
    ('callee = "+33199001234-+33199001234"', PLAIN, call(callee="0199001233")),
    ('callee = "39*"', SHORT, call(callee="3849")),
    ('callee = "3949"', SHORT, call(callee="3948")),
    ('callee = "*"', PLAIN, call(callee="nobody")),
    (f'caller = "{MAIN}"', PLAIN, HIDDEN),
    (f'presented = "{MAIN}"', HIDDEN, call(caller=ENDED)),
    (f'presented = "{MAIN}"', PLAIN, NOBODY),
    (f'forwarded_by = "{SECOND_OWN}"', FORWARDED, PLAIN),
    ('caller_kind = "anonymous"', HIDDEN, PLAIN),
    ('caller_kind = ["none", "malformed"]', NOBODY, HIDDEN),
    ('callee_kind = "short"', SHORT, PLAIN),
    ('callee_category = "mobile"', MOBILE, PLAIN),
    ('callee_category = "premium-089"', call(callee="0899123456"), call(callee="0800123456")),
    ('callee_category = "foreign"', GERMAN, PLAIN),
    ('callee_category = "unknown"', call(callee="2222"), call(callee="nobody")),
    ('caller_category = ["geographic", "polyvalent"]', PLAIN, HIDDEN),
    ('callee_territory = "DE"', GERMAN, PLAIN),
    ('callee_territory = ["RE", "GP"]', call(callee="0262123456"), PLAIN),
    ('callee_territory = "MF"', call(callee="0590123456"), call(callee="0596123456")),
    ('caller_territory = "FR"', PLAIN, NOBODY),
    ('line = "200"', PLAIN, call(line="2000")),
    ('line = "2*"', PLAIN, call(line="12")),
    ('line = "*"', PLAIN, replace(PLAIN, line="")),
    ('source = "robot"', ROBOT, PLAIN),
    ('trunk = "bare"', call(source="branch"), PLAIN),
    ('country = "DE"', replace(PLAIN, country="DE"), PLAIN),
    ('address = "203.0.113.0/24"', PLAIN, replace(PLAIN, source_address="203.0.114.1")),
    ('address = ["192.0.2.1", "2001:db8::/32"]', replace(PLAIN, source_address="2001:db8::9%eth0"), PLAIN),
    ('usage = "automated"', ROBOT, PLAIN),
    ('usage = ["platform", "prospecting"]', ROBOT, PLAIN),
    ('user_agent = "friendly-scanner*"', SCANNER, replace(PLAIN, user_agent="a friendly-scanner")),
    ('user_agent = "*scan*1.8"', SCANNER, PLAIN),
    ('header = { X-Tenant = "acme*" }', headed(("x-tenant", "acme-12")), headed(("x-tenant", "Acme"))),
    ('header = { X-A = "*", X-B = "2" }', headed(("x-a", "1"), ("x-b", "2")), headed(("x-a", "2"))),
    ("forwarded = true", FORWARDED, PLAIN),
    ("forwarded = false", PLAIN, FORWARDED),
    ("privacy = true", HIDDEN, PLAIN),
    ("privacy = false", PLAIN, HIDDEN),
    ('source = "pbx"\ncallee = "+336*"', MOBILE, PLAIN),
    ('any = [{ callee = "+336*" }, { privacy = true }]', HIDDEN, PLAIN),
    ('all = [{ line = "2*" }, { not = { line = "200" } }]', call(line="201"), PLAIN),
    ('not = { callee = "+33*" }', GERMAN, PLAIN),
    ('not = { user_agent = "*" }', PLAIN, SCANNER),
    ('any = [{ all = [{ line = "200" }, { callee = "+49*" }] }, { callee = "+4930*" }]', GERMAN, PLAIN),
)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_conditions(row: tuple[str, CallAttempt, CallAttempt]) -> None:
    when, hit, miss = row
    assert fits(when, hit)
    assert not fits(when, miss)


def test_every_condition_has_a_row() -> None:
    written = "\n".join(row[0] for row in TABLE)
    assert [f.encode_name for f in fields(When) if f"{f.encode_name} = " not in written] == ["time"]
    written = "\n".join(row[0] for row in TIMES)
    assert [f.encode_name for f in fields(Window) if f"{f.encode_name} = " not in written] == []


# Conditions on time, instants in Paris that fit, and that nearly do. 2026-11-21 is a Saturday, 2026-11-11 a holiday.
TIMES: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]] = (
    ('weekdays = "sat"', ("2026-11-21T00:00", "2026-11-21T23:59:59"), ("2026-11-20T23:59:59", "2026-11-22T00:00")),
    ('weekdays = "mon-fri"', ("2026-11-20T12:00", "2026-11-16T12:00"), ("2026-11-21T12:00", "2026-11-22T12:00")),
    ('weekdays = ["Sat-Mon"]', ("2026-11-23T12:00", "2026-11-22T12:00"), ("2026-11-24T12:00", "2026-11-20T12:00")),
    ('hours = "08:00-20:00"', ("2026-11-21T08:00", "2026-11-21T19:59:59"), ("2026-11-21T07:59:59", "2026-11-21T20:00")),
    ('hours = "20:00-08:00"', ("2026-11-21T20:00", "2026-11-21T07:59:59"), ("2026-11-21T08:00", "2026-11-21T19:59")),
    ('hours = ["00:00-06:00", "22:00-24:00"]', ("2026-11-21T23:59:59", "2026-11-21T00:00"), ("2026-11-21T06:00",)),
    ("dates = [2026-12-24, 2026-12-31]", ("2026-12-24T00:00", "2026-12-31T23:59"), ("2026-12-25T00:00",)),
    ("from = 2026-11-21", ("2026-11-21T00:00", "2027-01-01T00:00"), ("2026-11-20T23:59:59",)),
    ("until = 2026-11-21", ("2026-11-21T23:59:59", "2020-01-01T00:00"), ("2026-11-22T00:00",)),
    ("holidays = true", ("2026-11-11T12:00",), ("2026-11-12T12:00",)),
    ("holidays = false", ("2026-11-12T12:00",), ("2026-11-11T12:00", "2026-12-25T12:00")),
    ('zone = "America/New_York"\nhours = "09:00-10:00"', ("2026-11-21T15:00",), ("2026-11-21T09:30",)),
    ('weekdays = "sat"\nhours = "22:00-02:00"', ("2026-11-21T23:00", "2026-11-21T01:00"), ("2026-11-22T01:00",)),
    # The hour that comes twice, and the one that never comes: clocks, as people read them.
    ('hours = "02:00-03:00"', ("2026-10-25T02:30",), ("2026-10-25T03:00",)),
)


@pytest.mark.parametrize("row", TIMES, ids=lambda row: row[0])
def test_time(row: tuple[str, tuple[str, ...], tuple[str, ...]]) -> None:
    when, hits, misses = row
    when = "[site_rule.when.time]\n" + when
    for instant in hits:
        assert fits(when, call(at=at(instant))), instant
    for instant in misses:
        assert not fits(when, call(at=at(instant))), instant


def test_the_clock_that_goes_back_is_heeded_at_each_of_its_instants() -> None:
    twice = [at("2026-10-25T00:30", ZoneInfo("UTC")), at("2026-10-25T01:30", ZoneInfo("UTC"))]
    for instant in twice:
        assert fits('time = { hours = "02:00-03:00" }', call(at=instant))


# ---- what they do ----------------------------------------------------------------------------------------------------


def test_blocks_and_says_why() -> None:
    decision = judged('callee = "+336*"\nsource = "pbx"', MOBILE)
    assert (decision.verdict, decision.rule, decision.status) == ("blocked", "site.own", 403)
    (finding,) = (f for f in decision.findings if f.rule == "site.own")
    assert finding.text.en == "+33612345678 is not called from here"
    assert finding.text.fr == "+33612345678 ne s’appelle pas d’ici"
    assert finding.article == ("decision of the site: the desk, 2026-10-02: fraud in September",)
    assert finding.facts == {"caller": MAIN, "callee": "+33612345678", "source": "pbx"}


def test_what_it_reads_and_what_it_tells_are_facts() -> None:
    more = 'articles = ["rules of the house 4"]'
    rule = toml('line = "2*"\ntime = { hours = "00:00-24:00" }', more=more)
    rule = rule.replace("{callee} is not called from here", "{user_agent} of {trunk}")
    decision = engine_of(rule).judge(replace(SCANNER, at=at("2026-11-21T10:00")))
    (finding,) = (f for f in decision.findings if f.rule == "site.own")
    assert finding.facts["line"] == "200"
    assert finding.facts["there"] == "2026-11-21 10:00"
    assert finding.text.en == "Friendly-SCANNER 1.8 of operator"
    assert finding.article[0] == "rules of the house 4"


def test_a_text_that_a_caller_chose_is_cut_and_fills_in_nothing() -> None:
    rule = toml('user_agent = "*"').replace("{callee} is not called from here", "{user_agent}")
    decision = engine_of(rule).judge(replace(PLAIN, user_agent="{callee}" + "x" * 500))
    said = decision.findings[-1].text.en
    assert said.startswith("{callee}x")
    assert len(said) == 200


def test_flags_and_goes_on() -> None:
    decision = judged('callee = "+336*"', MOBILE, action="flag")
    assert (decision.verdict, decision.rule, decision.presented) == ("flagged", "site.own", MAIN)


def test_masks_every_number_presented() -> None:
    decision = judged('callee = "+336*"', call(callee="0612345678", pai=(SECOND_OWN,)), action="mask")
    assert (decision.verdict, decision.presented) == ("masked", MASKING)
    assert decision.masked_numbers == (MAIN, SECOND_OWN)


def test_where_nothing_is_presented_nothing_is_left_to_mask() -> None:
    nobody = call(callee="0612345678", caller="")
    assert judged('callee = "+336*"', nobody, action="mask").rule != "site.own"


def test_what_cannot_be_masked_is_refused() -> None:
    name = call(callee="0612345678", caller="alice")
    decision = judged('callee = "+336*"', name, action="mask")
    assert [f.action for f in decision.findings if f.rule == "site.own"] == ["block"]


def test_a_status_for_later() -> None:
    decision = judged('callee = "+336*"', MOBILE, more="status = 480")
    assert (decision.status, decision.retry_after) == (480, 1)


def test_is_stricter_never_milder() -> None:
    stranger = call(caller="0299112233", callee="0612345678")
    before = engine_of().judge(stranger)
    assert before.verdict == "blocked"
    for action in ("flag", "mask", "block"):
        after = judged('callee = "+336*"', stranger, action=action)
        assert (after.verdict, after.rule) == (before.verdict, before.rule)


@pytest.mark.parametrize("dialled", ["112", "15", "0112", "+33112", "urn:service:sos"])
def test_no_emergency_call_is_seen(dialled: str) -> None:
    for direction in ("outbound", "inbound", "both"):
        engine = engine_of(toml('not = { callee = "+1*" }', action="flag", more=f'direction = "{direction}"'))
        decision = engine.judge(call(callee=dialled))
        assert decision.verdict == "allowed"
        assert [f.rule for f in decision.findings] == ["dst.emergency"]


def test_monitored_and_disabled() -> None:
    watched = judged('callee = "+336*"', MOBILE, more='mode = "monitor"')
    assert (watched.verdict, watched.findings[-1].action, watched.findings[-1].mode) == ("flagged", "block", "monitor")
    assert judged('callee = "+336*"', MOBILE, more="enabled = false").findings == ()
    monitor = SITE.replace('mode = "enforce"', 'mode = "monitor"')
    policy = policy_of(toml('callee = "+336*"'), monitor)
    assert [j.rule.mode for j in policy.site.all] == ["monitor"]


def test_the_days_on_which_it_holds() -> None:
    more = "from = 2026-11-21\nuntil = 2026-11-22"
    for instant, verdict in (
        ("2026-11-20T23:59:59", "allowed"),
        ("2026-11-21T00:00", "blocked"),
        ("2026-11-22T23:59:59", "blocked"),
        ("2026-11-23T00:00", "allowed"),
    ):
        one = call(callee="0612345678", at=at(instant))
        assert judged('callee = "+336*"', one, more=more).verdict == verdict, instant


def test_a_call_that_comes_in_is_seen_where_the_rule_says_so() -> None:
    coming = replace(call(caller="0299112233", callee="0145678900"), direction="inbound")
    when = 'caller = "+33299*"'
    assert judged(when, coming).findings == ()
    for direction in ("inbound", "both"):
        decision = judged(when, coming, action="flag", more=f'direction = "{direction}"')
        assert (decision.verdict, decision.rule, decision.status) == ("flagged", "site.own", 0)
    going = replace(coming, direction="outbound")
    said = judged(when, going, action="flag", more='direction = "inbound"')
    assert "site.own" not in [f.rule for f in said.findings]


@pytest.mark.parametrize(
    ("status", "mode", "verdict"),
    [(403, "enforce", "blocked"), (480, "enforce", "blocked"), (403, "monitor", "flagged")],
)
def test_a_call_that_comes_in_is_refused_and_counts_nothing(status: int, mode: str, verdict: str) -> None:
    coming = replace(call(caller="0299112233", callee="0145678900"), direction="inbound")
    engine = engine_of(
        toml('caller = "+33299*"', action="block", more=f'direction = "both"\nstatus = {status}\nmode = "{mode}"')
    )
    prepared = engine.prepare(coming, "1")
    decision = engine.judge(coming)
    assert (decision.verdict, decision.status) == (verdict, status if verdict == "blocked" else 0)
    assert bool(prepared.touches) == (verdict != "blocked")


def test_they_speak_in_the_order_in_which_they_are_written() -> None:
    rules = toml('line = "200"', action="flag").replace("site.own", "site.z")
    rules += toml('callee = "*"', action="flag").replace("site.own", "site.m")
    rules += toml("not = { privacy = true }", action="flag").replace("site.own", "site.a")
    rules += toml('callee = "+331*"', action="flag").replace("site.own", "site.b")
    found = [f.rule for f in engine_of(rules).judge(PLAIN).findings]
    assert found == ["site.z", "site.m", "site.a", "site.b"]


def test_they_are_part_of_the_policy() -> None:
    policy = policy_of(toml('callee = "+336*"'))
    assert policy.digest != policy_of().digest
    written = policy.written["site.own"]
    assert written.source == ("the desk, 2026-10-02: fraud in September",)
    assert written.parameters == {"direction": "outbound", "when": {"callee": "+336*"}}


# ---- finding the rules that a call may fit ---------------------------------------------------------------------------

_DIGITS: Final = st.text("0123", min_size=1, max_size=3)
_PATTERN: Final = st.one_of(
    _DIGITS.map(lambda d: f"+{d}"),
    _DIGITS.map(lambda d: f"+{d}*"),
    st.tuples(_DIGITS, _DIGITS).map(lambda d: f"+{d[0]}*{d[1]}"),
    st.just("*"),
)
_RULES: Final = st.lists(
    st.dictionaries(
        st.sampled_from(["callee", "caller", "line"]), st.lists(_PATTERN, min_size=1, max_size=3), max_size=2
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(_RULES, _DIGITS, _DIGITS, _DIGITS)
def test_no_rule_that_fits_is_passed_over(rules: list[dict[str, list[str]]], to: str, by: str, line: str) -> None:
    needs = [{name: patterns(words) for name, words in rule.items()} for rule in rules]
    index = Index(enumerate(needs))
    one = replace(
        PLAIN,
        callee=replace(PLAIN.callee, value=f"+{to}"),
        caller=replace(PLAIN.caller, value=f"+{by}"),
        line=f"+{line}",
    )
    values = {"callee": f"+{to}", "caller": f"+{by}", "line": f"+{line}"}
    fit = [i for i, rule in enumerate(needs) if all(p.test()(values[name]) for name, p in rule.items())]
    found = index.of(one)
    assert list(found) == sorted(found)
    assert set(fit) <= set(found)


def test_rules_are_found_without_asking_each() -> None:
    rules = [(f"rule {i}", {"callee": patterns([f"+{i}*"])}) for i in range(100, 150)]
    index = Index([*rules, ("always", {}), ("span", {"callee": patterns(["+49*99"])})])
    assert index.of(call(callee="0012055512345")) == ("rule 120", "always")
    assert index.of(GERMAN) == ("always", "span")
    assert index.of(NOBODY) == ("always",)


@settings(max_examples=100, deadline=None)
@example("ab*b", "ab")
@example("*a*a*", "ba")
@example("a*b*b", "ab")
@given(st.text("ab*", min_size=1, max_size=6), st.text("ab", min_size=1, max_size=6))
def test_a_star_stands_for_anything(pattern: str, value: str) -> None:
    """Against the textbook's recursion."""

    def matches(p: str, v: str) -> bool:
        if not p:
            return not v
        if p[0] == "*":
            return matches(p[1:], v) or (bool(v) and matches(p, v[1:]))
        return bool(v) and v[0] == p[0] and matches(p[1:], v[1:])

    assert patterns([pattern]).test()(value) is matches(pattern, value)


def test_numbers_in_another_form_are_the_same_number() -> None:
    for dialled in ("0612345678", "+33612345678", "0033612345678", "33612345678"):
        number = normalise(dialled, Dial(), callee=True)
        assert fits('callee = "+33612345678"', replace(PLAIN, callee=number)), dialled
