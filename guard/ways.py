"""Which rules may speak of a call: found once for all calls of a kind, and not asked of each of them.

Of some forty rules most say nothing of most calls, whatever they present: those of canvassing when people call, those
of robots, limits that nobody set, versions that are not in force yet. What a rule says of itself (`idle`, `heads`:
guard/rules/base.py) sorts these out here; what is left is asked. It changes no decision (tests/test_ways.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from guard.model import STRENGTH, Action, CallAttempt, Finding
from guard.numbering.heads import Beginnings
from guard.numbering.plan import LAW_ZONE
from guard.policy.load import CountRule, JudgeRule, Policy, Rule
from guard.rules import rate_cps
from guard.rules.base import Hit, Kind, Terms
from guard.rules.case import Case
from guard.rules.numbers import ALWAYS, NEVER
from guard.state.contract import Touch

KINDS: Final = 1024  # that are remembered: a configuration has a few, and whoever only asks can invent more

# A rule as the loops over all of them want it: its function, its settings, itself.
Judging = tuple[Callable[..., tuple[Hit, ...]], object, Rule]
Ending = tuple[Callable[..., Touch | None], object]


class Counting:
    """A rule that counts, the same way. `acts` tells whether it may: one that only looks on counts without a limit;
    `paces`, whether it is the one that calls wait for; `retry_s` is what it tells those whom it refuses to wait."""

    __slots__ = ("acts", "judge", "paces", "retry_s", "rule", "settings", "touch")

    def __init__(self, count: CountRule) -> None:
        rule = count.rule
        self.rule = rule
        self.settings: object = rule.settings
        self.touch: Callable[..., Touch | None] = count.code.touch
        self.judge: Callable[..., Hit | None] = count.code.judge
        self.acts = acting(rule) and STRENGTH[_asked(rule)] > STRENGTH["flag"]
        self.paces = rule.id == rate_cps.ID
        self.retry_s = int(getattr(rule.settings, "retry_s", 0))


class Way:
    """The rules for calls of one kind between two instants (µs of Unix time, `until` left out), in their order.

    `judges` are those that need no counter, of calls that go out; `unnamed` what is left of them for a call that
    presents no number with one of their beginnings. `ends` count calls by the way they ended. `zone` is where offices
    close.
    """

    __slots__ = ("counts", "ends", "heads", "judges", "since", "terms", "unnamed", "until", "zone")

    def __init__(self, policy: Policy, kind: Kind, at: int) -> None:
        self.terms = kind.terms
        self.zone = kind.terms.zone if kind.terms.trunk in policy.terms else LAW_ZONE
        self.since = ALWAYS
        self.until = NEVER
        self.judges: list[Judging] = []
        self.unnamed: list[Judging] = []
        heads: list[str] = []
        for judge in policy.judges:
            rule, code = judge.rule, judge.code
            if not self._in_force(rule, at) or (code.idle is not None and code.idle(kind, rule.settings)):
                continue
            one = judging(judge)
            self.judges.append(one)
            if code.heads is None:
                self.unnamed.append(one)
            else:
                heads += code.heads(rule.settings)
        self.heads = Beginnings(heads)
        self.counts: list[Counting] = []
        self.ends: list[Ending] = []
        for count in policy.counts:
            rule = count.rule
            if not self._in_force(rule, at):
                continue
            if count.code.ended is not None:
                self.ends.append((count.code.ended, rule.settings))
            if count.code.idle is None or not count.code.idle(kind, rule.settings):
                self.counts.append(Counting(count))

    def _in_force(self, rule: Rule, at: int) -> bool:
        """Whether a rule is, at an instant; the way ends where that changes."""
        since, until = rule.since, rule.until
        for border in (since, until):
            if border <= at:
                self.since = max(self.since, border)
            else:
                self.until = min(self.until, border)
        return since <= at < until

    def asked(self, case: Case) -> list[Judging]:
        """The rules to ask of a call."""
        for identity in case.presented:
            value = identity.number.value
            if value and (value[0] != "+" or self.heads.has(value)):
                return self.judges
        return self.unnamed


class Ways:
    """Those of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known: dict[tuple[str, str, tuple[str, ...], str, str], Way] = {}

    def of(self, call: CallAttempt) -> Way:
        """That of a call."""
        key = (call.trunk, call.source, call.usage, call.forwarded, call.direction)
        known = self._known.get(key)
        at = call.at
        if known is not None and known.since <= at < known.until:
            return known
        if known is None and len(self._known) >= KINDS:
            self._known.clear()
        terms = self._policy.terms.get(call.trunk) or Terms(trunk=call.trunk)
        kind = Kind(
            terms=terms, source=call.source, usage=call.usage, forwarded=call.forwarded, direction=call.direction
        )
        found = self._known[key] = Way(self._policy, kind, at)
        return found


def judging(judge: JudgeRule) -> Judging:
    """A rule as it is asked."""
    return judge.code.judge, judge.rule.settings, judge.rule


def acting(one: Finding | Rule) -> bool:
    """Whether what a rule asks for is done: the one place where a mode is applied. A monitored rule only speaks."""
    return one.mode == "enforce"


def _asked(rule: Rule) -> Action:
    """The strongest that a rule may ask for."""
    return max((s.action for s in rule.says.values()), key=lambda a: STRENGTH[a])
