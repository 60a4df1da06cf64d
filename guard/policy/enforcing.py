"""The policy while the site's own limit of exposure is passed: what a contract fines is stopped, trial or not.

`[ledger] enforce_above_day` and `enforce_above_month` are a choice of the site. Beyond them every rule in mode monitor
whose breach the contract of some trunk fines acts as if it were enforced, also where the whole file is in that mode.
All other rules stay as they are: they cost nothing. So does the rule of emergency calls, which never refuses.
"""

from __future__ import annotations

from msgspec.structs import replace

from guard.policy.load import CountRule, DetectRule, JudgeRule, Policy, Rule


def enforced(policy: Policy) -> Policy:
    """The same policy, under its own digest, with the rules that a contract fines enforced."""

    def acting(rule: Rule) -> Rule:
        fined = any(figures.fines(rule.id) for figures in policy.figures.values())
        return replace(rule, mode="enforce") if fined and rule.mode == "monitor" else rule

    return replace(
        policy,
        digest=policy.enforcing,
        judges=tuple(JudgeRule(acting(j.rule), j.code) for j in policy.judges),
        counts=tuple(CountRule(acting(c.rule), c.code) for c in policy.counts),
        detects=tuple(DetectRule(acting(d.rule), d.code) for d in policy.detects),
    )
