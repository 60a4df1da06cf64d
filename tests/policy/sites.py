"""Rules of a site for tests: one rule from its conditions, and what it says of a call."""

from __future__ import annotations

from guard.model import CallAttempt, Decision
from tests.deciding import engine_of

RULE = """
[[site_rule]]
id = "site.own"
action = "{action}"
source = "the desk, 2026-10-02: fraud in September"
text = {{ en = "{{callee}} is not called from here", fr = "{{callee}} ne s’appelle pas d’ici" }}
{more}
[site_rule.when]
{when}
"""


def toml(when: str, *, action: str = "block", more: str = "") -> str:
    """A guard.toml's part with one rule."""
    return RULE.format(action=action, more=more, when=when)


def judged(when: str, call: CallAttempt, *, action: str = "block", more: str = "") -> Decision:
    """What becomes of a call under one rule."""
    return engine_of(toml(when, action=action, more=more)).judge(call)


def fits(when: str, call: CallAttempt) -> bool:
    """Whether a rule with these conditions speaks of a call."""
    return any(f.rule == "site.own" for f in judged(when, call, action="flag").findings)
