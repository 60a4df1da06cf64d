"""The policy while the site's own limit is passed: what a contract fines acts, and nothing else, under its own name."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.engine import Engine
from guard.ledger.penalties import Figures
from guard.model import Decision
from guard.policy.digest import digest, enforcing, parts
from guard.policy.enforcing import enforced
from guard.policy.load import Policy, Rule, load_policy
from tests.deciding import call, engine_of
from tests.store.making_log import DIGITS
from tests.test_config import GOOD, loaded

FOREIGN = "+4930123456"


def policies(folder: Path, more: str = "", text: str = GOOD) -> tuple[Policy, Policy]:
    """A policy as it is written, and its stricter form."""
    folder.mkdir(exist_ok=True)
    policy = load_policy(loaded(folder, more, text=text))
    return policy, enforced(policy)


def rules_of(policy: Policy) -> list[Rule]:
    return [j.rule for j in policy.judges] + [c.rule for c in policy.counts]


def decided(policy: Policy, number: str, callee: str = "+33612345678") -> Decision:
    engine = Engine(policy)
    return engine.judge(call(number, callee))


def fining(policy: Policy, *rules: str) -> Policy:
    """The same where the contract of its trunk fines these rules."""
    figures: Figures = replace(DIGITS, rules=rules)
    return replace(policy, figures={"operator": figures})


def watched(policy: Policy) -> Policy:
    """The same with every rule on trial, as mode = "monitor" makes it."""
    return replace(
        policy,
        judges=tuple(replace(j, rule=replace(j.rule, mode="monitor")) for j in policy.judges),
        counts=tuple(replace(c, rule=replace(c.rule, mode="monitor")) for c in policy.counts),
    )


def test_what_a_contract_fines_is_stopped_and_nothing_else() -> None:
    written = fining(watched(engine_of().policy), "cli.not-authorised")
    strict = enforced(written)
    assert decided(written, "+33239112233").verdict == "flagged"
    stopped = decided(strict, "+33239112233")
    assert (stopped.verdict, stopped.rule) == ("blocked", "cli.not-authorised")
    acting = {r.id for r in rules_of(strict) if r.mode == "enforce"}
    assert acting == {"cli.not-authorised"}


def test_an_emergency_call_passes_beyond_every_limit() -> None:
    strict = enforced(fining(watched(engine_of().policy), "cli.*", "dst.*"))
    emergency = replace(call("+33239112233", "112"), emergency="112")
    decision = Engine(strict).judge(emergency)
    assert decision.verdict in {"allowed", "flagged"}
    assert decision.rule in {"", "dst.emergency"}
    assert strict.emergency == engine_of().policy.emergency


def test_without_a_contract_that_fines_nothing_changes_but_the_name() -> None:
    written = replace(watched(engine_of().policy), figures={}, enforcing="sha256:other")
    strict = enforced(written)
    assert (strict.judges, strict.counts) == (written.judges, written.counts)
    assert strict.digest == "sha256:other"


def test_limits_and_quotas_stay_on_trial_whatever_a_contract_names() -> None:
    strict = enforced(fining(watched(engine_of().policy), "*"))
    still = {r.id for r in rules_of(strict) if r.mode == "monitor"}
    assert {"rate.cps", "quota.callees"} <= still
    assert all(name.startswith(("rate.", "limit.", "quota.")) for name in still)


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
def test_the_name_tells_the_two_apart_and_can_be_checked(tmp_path: Path, mode: str) -> None:
    text = f'mode = "{mode}"\n' + GOOD
    policy, strict = policies(tmp_path, text=text)
    kept = parts(loaded(tmp_path, text=text))
    assert policy.digest == digest(kept)
    assert strict.digest == policy.enforcing == digest(enforcing(kept))
    assert strict.digest != policy.digest
    assert decided(strict, FOREIGN).policy == strict.digest
    assert enforcing(kept).settings.endswith(b',"enforcing"]')


def test_the_limit_itself_is_no_part_of_the_name(tmp_path: Path) -> None:
    policy, strict = policies(tmp_path / "a")
    other, other_strict = policies(tmp_path / "b", "\n[ledger]\nenforce_above_day = 5\n")
    assert (policy.digest, strict.digest) == (other.digest, other_strict.digest)
