"""Rows of what a rule says of a call, and how a row is asked. Each test_<rule>.py has its own; test_every_rule.py sees
that together they reach everything that any rule may say."""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from guard.confignumbers import after, micros
from guard.detectors.words import Signal
from guard.model import CallAttempt, Finding
from guard.policy.load import Policy
from guard.policy.schema import Rule
from guard.rules import detect
from guard.rules.base import Count, Hit, Judge, Terms
from guard.rules.case import Case
from guard.rules.numbers import ALWAYS, NEVER
from guard.state.contract import Reading
from tests.deciding import engine_of, policy_of

PARIS: Final = ZoneInfo("Europe/Paris")


class Row(Struct, frozen=True, kw_only=True):
    """One call and what one rule says of it: nothing (`says` empty), or these. `more` is added to the guard.toml."""

    name: str
    rule: str
    call: CallAttempt
    says: tuple[str, ...] = ()
    more: str = ""
    value: int = 0  # what the rule's counter reads
    before: int = 0  # what it read the time before, where it is a sum
    known: bool = False  # whether a tally has its member already
    signal: Signal | None = None  # what detection says of the call


class Odd(AssertionError):
    """A row that cannot be asked."""


def hits(row: Row) -> tuple[Hit, ...]:
    """What the rule's code says, with the settings of the policies."""
    policy = policy_of(row.more)
    terms = policy.terms.get(row.call.trunk) or Terms(trunk=row.call.trunk)
    for judge in (policy.emergency, *policy.judges):
        if judge.rule.id == row.rule and judge.rule.since <= row.call.at < judge.rule.until:
            code: Judge = judge.code  # type: ignore[type-arg]  # whatever its settings
            plan = policy.plan
            case = Case(row.call, terms, policy.held, plan.lookup, policy.lists, policy.sector, plan.blocks)
            return code.judge(case, judge.rule.settings)
    for count in policy.counts:
        if count.rule.id == row.rule and count.rule.since <= row.call.at < count.rule.until:
            counter: Count = count.code  # type: ignore[type-arg]
            if counter.touch(row.call, terms, "1", count.rule.settings) is None:
                return ()
            reading = Reading(key="", value=row.value, taken=True, known=row.known, before=row.before)
            hit = counter.judge(row.call, terms, reading, count.rule.settings)
            return () if hit is None else (hit,)
    if any(d.rule.id == row.rule for d in policy.detects):
        return () if row.signal is None or judged_by(row.signal) != row.rule else (detect.hit(row.signal),)
    if row.rule in policy.versions:
        return ()  # its law is of another time
    raise Odd(f"{row.rule} is not in force")


def judged_by(signal: Signal) -> str:
    """The rule that a signal is for."""
    return detect.SHUT if signal.says == "shut" else signal.evidence.rule


def findings(row: Row) -> list[Finding]:
    """What the engine makes of it: the findings of this rule, texts filled in."""
    engine = engine_of(row.more)
    prepared = engine.prepare(row.call)
    if row.signal is not None:
        prepared = engine.warned(prepared, (row.signal,))
    readings = tuple(
        Reading(key=t.key, value=row.value, taken=True, known=row.known, before=row.before)
        if c.rule.id == row.rule
        else Reading(key=t.key, value=0, taken=True)
        for t, c in zip(prepared.touches, prepared.counts, strict=True)
    )
    decision = engine.decide(prepared, readings, 0)
    return [f for f in decision.findings if f.rule == row.rule]


def version(policy: Policy, row: Row) -> Rule:
    """The rule as the law of the call's day has it; the newest where that day has none."""
    for found in policy.versions[row.rule]:
        since = ALWAYS if found.from_ is None else micros(found.from_, PARIS)
        if since <= row.call.at < (NEVER if found.until is None else after(found.until, PARIS)):
            return found
    return policy.written[row.rule]


def check(row: Row) -> None:
    """The rule says what the row tells, in sentences that are whole in both languages, with the facts they promise."""
    said = hits(row)
    assert tuple(h.say for h in said) == row.says, row.name
    policy = policy_of(row.more)
    written = version(policy, row)
    found = findings(row)
    if row.call.emergency and row.rule != "dst.emergency":
        assert found == [], "an emergency call was judged by another rule"
        return
    assert len(found) == len(said)
    cited = policy.cited.get(row.call.trunk, {}).get(row.rule, ())
    for hit, finding in zip(said, found, strict=True):
        for text in (finding.text.en, finding.text.fr):
            assert text
            assert "{" not in text and "}" not in text  # noqa: PT018 - one thing: everything was filled in
        assert finding.text.en != finding.text.fr
        assert finding.article == cited + written.articles
        for name in hit.facts:
            assert isinstance(hit.facts[name], str | int | bool)
        if "number" in finding.facts:
            assert str(finding.facts["number"]) in finding.text.en
            assert str(finding.facts["number"]) in finding.text.fr
