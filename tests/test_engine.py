"""From what rules say to a decision: strength, dates, refusals, masks and faults. Modes have test_engine_modes.py."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from guard.engine import Engine
from guard.faulty import faulty
from guard.model import CallAttempt, Decision
from guard.policy.load import JudgeRule
from guard.rules import COUNTS
from guard.state.contract import Reading
from tests.deciding import ENDED, MAIN, MASKING, MOBILE, NOW, PREMIUM, SECOND_OWN, STRANGERS, call, engine_of

OTHER_PREMIUM: Final = "+33892681235"
FREE: Final = {c.id: 0 for c in COUNTS}


def rule_of(name: str, **settings: object) -> str:
    """More TOML: what is set for one rule."""
    shown = {True: "true", False: "false"}
    values = "".join(f"{k} = {shown.get(v, repr(v)) if isinstance(v, bool) else v!r}\n" for k, v in settings.items())
    return f'\n[rules."{name}"]\n' + values.replace("'", '"')


def decide(engine: Engine, made: CallAttempt, used: dict[str, int] | None = None, now: int = 0) -> Decision:
    """The decision where the counters of these rules have so many places in use."""
    prepared = engine.prepare(made)
    values = [FREE | (used or {})][0]
    fits = all(
        t.limit is None or t.force or values[c.rule.id] < t.limit
        for t, c in zip(prepared.touches, prepared.counts, strict=True)
    )
    readings = tuple(
        Reading(key=t.key, value=values[c.rule.id], taken=fits, free_at=now + 300_000)
        for t, c in zip(prepared.touches, prepared.counts, strict=True)
    )
    return engine.decide(prepared, readings, now)


def rules(decision: Decision) -> list[str]:
    return [f.rule for f in decision.findings]


# ---- strength --------------------------------------------------------------------------------------------------------


def test_a_call_of_which_nothing_is_said() -> None:
    decision = decide(engine_of(), call())
    assert decision == Decision(verdict="allowed", presented=MAIN, policy=engine_of().policy.digest)


def test_the_policy_that_decided_is_named() -> None:
    assert decide(engine_of(), call()).policy.startswith("sha256:")
    assert decide(engine_of(), call()).policy != decide(engine_of(rule_of("cli.premium", action="flag")), call()).policy


@pytest.mark.parametrize(
    ("made", "verdict", "rule", "spoke"),
    [
        (
            call(MAIN, pai=("+33810123456",)),
            "flagged",
            "cli.premium-band",
            ["cli.premium-band", "cli.identity-mismatch"],
        ),
        (
            call(PREMIUM, pai=("+33810123456",)),
            "masked",
            "cli.premium",
            ["cli.premium", "cli.premium-band", "cli.identity-mismatch"],
        ),
        (
            call(PREMIUM, pai=(STRANGERS,)),
            "blocked",
            "cli.not-authorised",
            ["cli.not-authorised", "cli.premium", "cli.identity-mismatch"],
        ),
        (call(MAIN, pai=(SECOND_OWN,)), "allowed", "", ["cli.identity-mismatch"]),
    ],
)
def test_the_strongest_action_wins(made: CallAttempt, verdict: str, rule: str, spoke: list[str]) -> None:
    decision = decide(engine_of(), made)
    assert (decision.verdict, decision.rule, rules(decision)) == (verdict, rule, spoke)


def test_of_two_as_strong_the_first_decides_and_both_are_told() -> None:
    decision = decide(engine_of(), call("0612345679"))
    assert decision.rule == "cli.not-authorised"
    assert rules(decision) == ["cli.not-authorised", "cli.mobile-on-trunk"]


def test_a_rule_may_say_several_things() -> None:
    decision = decide(engine_of(), call(ENDED, pai=(STRANGERS,)))
    assert [(f.rule, f.facts["number"]) for f in decision.findings[:2]] == [
        ("cli.not-authorised", ENDED),
        ("cli.not-authorised", STRANGERS),
    ]


def test_what_is_refused_counts_nothing() -> None:
    prepared = engine_of().prepare(call(STRANGERS))
    assert prepared.touches == ()
    assert prepared.counts == ()


def test_what_may_pass_counts_all_at_once() -> None:
    prepared = engine_of().prepare(call(PREMIUM))
    # the quotas of the contract only flag: they count without a limit
    assert [t.kind for t in prepared.touches] == ["window", "gauge", "gauge", "tally", "sum"]
    assert [t.limit for t in prepared.touches] == [10, 30, 2, None, None]


# ---- dates -----------------------------------------------------------------------------------------------------------


def dated(since: int, until: int) -> Engine:
    """The mobile rule in force between two instants."""
    engine = engine_of()
    judges = tuple(
        JudgeRule(replace(j.rule, since=since, until=until), j.code) if j.rule.id == "cli.mobile-on-trunk" else j
        for j in engine.policy.judges
    )
    return Engine(replace(engine.policy, judges=judges))


@pytest.mark.parametrize(("since", "until", "speaks"), [(0, 1, True), (1, 2, False), (-1, 0, False), (-1, 1, True)])
def test_a_rule_speaks_from_its_first_instant_to_before_its_last(since: int, until: int, speaks: bool) -> None:
    decision = decide(dated(NOW + since, NOW + until), call(MOBILE))
    assert (decision.verdict == "blocked") is speaks


def test_the_law_of_the_calls_own_day() -> None:
    """Mobile numbers on a trunk: in force on 2023-01-01, which begins in Paris at 23:00 UTC of the day before."""
    begins = 1_672_527_600_000_000
    assert "cli.mobile-on-trunk" not in rules(decide(engine_of(), call(MOBILE, at=begins - 1)))
    assert "cli.mobile-on-trunk" in rules(decide(engine_of(), call(MOBILE, at=begins)))


def test_a_limit_has_dates_too() -> None:
    engine = engine_of()
    counts = tuple(replace(c, rule=replace(c.rule, until=NOW)) for c in engine.policy.counts)
    prepared = Engine(replace(engine.policy, counts=counts)).prepare(call())
    assert prepared.touches == ()


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "used", "rule", "status", "retry"),
    [
        (call(STRANGERS), {}, "cli.not-authorised", 403, 0),
        (call(source=""), {}, "source.unknown", 0, 0),
        (call(), {"limit.channels": 30}, "limit.channels", 480, 5),
        (call(), {"limit.line-calls": 2}, "limit.line-calls", 480, 5),
        (call(), {"limit.line-calls": 2, "rate.cps": 10}, "limit.line-calls", 480, 5),
    ],
)
def test_a_refusal_has_its_status(made: CallAttempt, used: dict[str, int], rule: str, status: int, retry: int) -> None:
    decision = decide(engine_of(), made, used)
    assert (decision.verdict, decision.rule, decision.status, decision.retry_after) == ("blocked", rule, status, retry)
    assert (decision.presented, decision.masked, decision.held_until) == ("", False, 0)


def test_the_longest_wait_is_told() -> None:
    engine = engine_of(rule_of("limit.channels", retry_s=9))
    assert decide(engine, call(), {"limit.channels": 30, "limit.line-calls": 2}).retry_after == 9


def test_never_503() -> None:
    statuses = {r.status for r in engine_of().policy.written.values()}
    assert statuses == {0, 403, 480}


@pytest.mark.parametrize(("free_in", "seconds"), [(0, 1), (1, 1), (1_000_000, 1), (1_000_001, 2), (2_500_000, 3)])
def test_retry_after_is_computed_from_the_window_and_rounded_up(free_in: int, seconds: int) -> None:
    engine = engine_of(rule_of("rate.cps", hold_ms=0))
    prepared = engine.prepare(call())
    readings = tuple(
        Reading(key=t.key, value=10 if t.kind == "window" else 0, taken=False, free_at=5_000_000 + free_in)
        for t in prepared.touches
    )
    decision = engine.decide(prepared, readings, 5_000_000)
    assert (decision.rule, decision.retry_after) == ("rate.cps", seconds)


def test_a_call_that_began_to_wait_at_instant_0_waits_no_longer_than_others() -> None:
    engine = engine_of()
    prepared = engine.prepare(call())
    readings = tuple(
        Reading(key=t.key, value=10 if t.kind == "window" else 0, taken=False, free_at=1_020_000)
        for t in prepared.touches
    )
    held = engine.decide(prepared, readings, 400_000, 0)
    assert (held.verdict, held.held_until, held.held_us) == ("flagged", engine.hold_us, 400_000)


# ---- masks -----------------------------------------------------------------------------------------------------------


def test_a_premium_number_is_masked_by_the_trunks_number() -> None:
    decision = decide(engine_of(), call(PREMIUM))
    assert (decision.verdict, decision.masked, decision.presented) == ("masked", True, MASKING)
    assert decision.masked_numbers == (PREMIUM,)
    assert decision.status == 0


def test_without_such_a_number_it_is_anonymous() -> None:
    decision = decide(engine_of(), call(PREMIUM, source="branch"))
    assert (decision.verdict, decision.masked, decision.presented) == ("masked", True, "")


def test_several_numbers_are_masked_each_once() -> None:
    held = f'\n[[number]]\nrange = "{OTHER_PREMIUM}"\n'
    decision = decide(engine_of(held), call(PREMIUM, pai=(OTHER_PREMIUM,), rpid=(PREMIUM,)))
    assert (decision.verdict, decision.masked_numbers) == ("masked", (PREMIUM, OTHER_PREMIUM))


def test_an_asserted_number_is_masked_behind_an_ordinary_one() -> None:
    decision = decide(engine_of(), call(MAIN, pai=(PREMIUM,)))
    assert (decision.verdict, decision.masked_numbers) == ("masked", (PREMIUM,))


def test_what_is_refused_is_not_masked() -> None:
    decision = decide(engine_of(), call(PREMIUM), {"limit.channels": 30})
    assert (decision.verdict, decision.rule) == ("blocked", "limit.channels")
    assert (decision.masked, decision.masked_numbers, decision.presented) == (False, (), "")


@pytest.mark.parametrize(("action", "verdict"), [("block", "blocked"), ("flag", "flagged"), ("mask", "masked")])
def test_guard_toml_decides_what_becomes_of_a_premium_number(action: str, verdict: str) -> None:
    decision = decide(engine_of(rule_of("cli.premium", action=action)), call(PREMIUM))
    assert (decision.verdict, decision.masked) == (verdict, action == "mask")


def test_any_number_can_be_masked() -> None:
    engine = engine_of(rule_of("cli.not-authorised", action="mask"))
    decision = decide(engine, call(STRANGERS, pai=(ENDED,)))
    assert (decision.verdict, decision.masked_numbers) == ("masked", (STRANGERS, ENDED))


@pytest.mark.parametrize("shown", ["alice", "01234", "12345678", "+330145678900"])
def test_what_is_no_number_cannot_be_masked_and_is_refused(shown: str) -> None:
    """Masking replaces numbers; digits that are none would stay where they are."""
    decision = decide(engine_of(rule_of("cli.malformed", action="mask")), call(shown))
    assert (decision.verdict, decision.rule, decision.masked) == ("blocked", "cli.malformed", False)


def test_masked_and_refused_for_two_numbers_is_refused() -> None:
    engine = engine_of(rule_of("cli.malformed", action="mask"))
    assert decide(engine, call(PREMIUM, pai=("alice",))).verdict == "blocked"


def test_a_milder_text_stays_milder_whatever_is_set() -> None:
    """An overseas number under +33 is a matter of form: `action = "block"` is for what is no number."""
    engine = engine_of(rule_of("cli.malformed", action="block") + '\n[[number]]\nrange = "+590590123456"\n')
    assert decide(engine, call("+33590123456")).verdict == "flagged"


# ---- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["engine", "state", "store"])
def test_a_fault_lets_through_or_stops(part: str) -> None:
    passed = faulty(part, "KeyError", passes=True, policy="sha256:00")
    assert (passed.verdict, passed.rule, passed.status, passed.retry_after) == ("flagged", f"fault.{part}", 0, 0)
    stopped = faulty(part, "KeyError", passes=False)
    assert (stopped.verdict, stopped.rule, stopped.status, stopped.retry_after) == ("blocked", f"fault.{part}", 480, 5)
    for decision in (passed, stopped):
        (finding,) = decision.findings
        assert finding.facts == {"error": "KeyError"}
        assert part in finding.text.en
        assert finding.text.en != finding.text.fr


def test_a_fault_without_a_name() -> None:
    assert faulty("store", "", passes=False).findings[0].facts == {}
