"""From one call attempt, the readings of some counters and an instant to a decision: a pure function of the policy.

The daemon, the replay of captures, `guard decide` and the simulator all decide here. `prepare` has every rule speak
that needs no counter and says what to count; `decide` judges what was counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from guard.detectors.words import Evidence, Pattern, Price, Signal
from guard.faulty import FAULT, FAULT_STATUS, apart, faulty
from guard.model import SECOND, STRENGTH, Action, CallAttempt, CallEnded, Decision, Finding, Text, Verdict
from guard.numbering.plan import LAW_ZONE
from guard.policy.load import CountRule, JudgeRule, Policy, Rule
from guard.prepared import NO_CAP, Prepared
from guard.rules import detect, rate_cps
from guard.rules.base import Hit, Terms
from guard.rules.case import Case
from guard.rules.prices import is_closed, price_of
from guard.state.contract import Reading, Touch

MS: Final = 1000  # microseconds

_HEADERS: Final = {
    "from": "From",
    "pai": "P-Asserted-Identity",
    "ppi": "P-Preferred-Identity",
    "rpid": "Remote-Party-ID",
    "diversion": "Diversion",
    "history-info": "History-Info",
    "privacy": "Privacy",
}


# Rules whose ids begin so look at the caller's side alone; tests/test_engine_memory.py holds them to it.
BY_CALLER: Final = ("cli.", "source.")
QUARTER: Final = 900 * SECOND  # µs
REMEMBERED: Final = 4096  # callers whose judgement is kept; a dialler that changes its number each call only empties it

Judged = tuple[tuple[Finding, ...], tuple[str, ...], tuple[int, str]]
# Rules as the loops over all of them want them: since, until, function, settings, and themselves.
Judging = tuple[int, int, Callable[..., tuple[Hit, ...]], object, Rule]
Counting = tuple[int, int, Callable[..., Touch | None], object, bool, CountRule]


class Engine:
    """Decides by one policy. `hold_us` and `max_held` bound the waiting for a place (rule rate.cps)."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._by_caller = tuple(_judging(j) for j in policy.judges if j.rule.id.startswith(BY_CALLER))
        self._by_call = tuple(_judging(j) for j in policy.judges if not j.rule.id.startswith(BY_CALLER))
        self._counts = tuple(_counting(c) for c in policy.counts)
        self._remembered: dict[tuple[object, ...], Judged] = {}
        self._lookup = policy.plan.lookup
        self._statuses = {r.rule.id: r.rule.status for r in (policy.emergency, *policy.judges)}
        self._statuses |= {r.rule.id: r.rule.status for r in (*policy.site.all, *policy.site_inbound.all)}
        self._statuses |= {r.rule.id: r.rule.status for r in policy.counts}
        self._statuses |= {r.rule.id: r.rule.status for r in policy.detects}
        self._statuses[f"{FAULT}.state"] = FAULT_STATUS
        self._detects = {r.rule.id: r.rule for r in policy.detects}
        found = (r.rule.settings for r in policy.detects)
        self._prices = next((s for s in found if isinstance(s, detect.Prices)), detect.Prices())
        cps = next((c.rule.settings for c in policy.counts if c.rule.id == rate_cps.ID), None)
        self._cps = cps if isinstance(cps, rate_cps.Settings) else rate_cps.Settings()
        self.hold_us = self._cps.hold_ms * MS
        self.max_held = self._cps.max_held

    # ---- without counters ------------------------------------------------------------------------------------------

    def prepare(self, call: CallAttempt, ident: str = "") -> Prepared:
        """Every rule that needs no counter speaks; what to count comes out, for the call named `ident`."""
        policy = self.policy
        terms = policy.terms.get(call.trunk) or Terms(trunk=call.trunk)
        if call.emergency:
            case = Case(call, terms, policy.held, self._lookup)
            rule = policy.emergency
            said = rule.code.judge(case, rule.rule.settings)
            findings = tuple(self._finding(rule.rule, hit, terms) for hit in said)
            return Prepared(call, terms, findings, (), *self._touches(call, terms, ident, force=True))
        if call.direction == "inbound":
            own = policy.site_inbound.of(call)  # nothing else refuses a call that comes in
            found = self._judged(call, terms, tuple([_judging(j) for j in own]))[0] if own else ()
            if _stops(found):
                return Prepared(call, terms, found, (), (), ())
            return Prepared(call, terms, found, (), *self._touches(call, terms, ident, force=True))
        before, masked, _ = self._of_caller(call, terms)
        judges = self._by_call
        own = policy.site.of(call)
        if own:
            judges += tuple([_judging(j) for j in own])
        found, mask, talk = self._judged(call, terms, judges)
        found, mask = before + found, masked + mask
        if _stops(found):
            return Prepared(call, terms, found, mask, (), ())
        return Prepared(call, terms, found, mask, *self._touches(call, terms, ident, force=False), talk)

    def _of_caller(self, call: CallAttempt, terms: Terms) -> Judged:
        """What the rules say that look at the caller's side only: the same for each of its calls, until the next
        quarter of an hour. Dates of law, consents and files begin at midnights, which in every zone are such quarters.
        """
        if not call.source:
            return self._judged(call, terms, self._by_caller)
        key = (
            call.source, call.trunk, call.caller, call.identities, call.diversions, call.usage, call.country,
            call.forwarded, call.privacy, call.at // QUARTER,
        )  # fmt: skip
        known = self._remembered.get(key)
        if known is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            known = self._remembered[key] = self._judged(call, terms, self._by_caller)
        return known

    def _judged(self, call: CallAttempt, terms: Terms, judges: tuple[Judging, ...]) -> Judged:
        """Findings, numbers to mask, and how long the call may talk."""
        policy = self.policy
        case = Case(call, terms, policy.held, self._lookup, policy.lists, policy.sector, policy.plan.blocks)
        at = call.at
        found: list[Finding] = []
        mask: list[str] = []
        talk = NO_CAP
        for since, until, judge, settings, rule in judges:
            if not since <= at < until:
                continue
            for hit in judge(case, settings):
                numbers = _maskable(hit, case)
                finding = self._finding(rule, hit, terms, maskable=bool(numbers))
                if finding.action == "mask" and _acts(finding):
                    mask += numbers
                if hit.max_talk_us and _acts(finding) and not 0 < talk[0] <= hit.max_talk_us:
                    talk = hit.max_talk_us, rule.id  # the least of all caps
                found.append(finding)
        return tuple(found), tuple(dict.fromkeys(mask)), talk

    def _finding(
        self, rule: Rule, hit: Hit, terms: Terms, action: Action | None = None, *, maskable: bool = False
    ) -> Finding:
        said = rule.says[hit.say]
        asked = action or said.action
        if asked == "mask" and not maskable:
            asked = "block"  # what cannot be masked, since it is no number, may not be shown either
        facts = hit.facts
        shown = facts
        if "header" in facts:
            shown = {**facts, "header": _HEADERS.get(str(facts["header"]), str(facts["header"]))}
        articles = self.policy.cited.get(terms.trunk, {}).get(rule.id, ()) + rule.articles
        text = Text(said.en.format_map(shown), said.fr.format_map(shown))
        return Finding(rule=rule.id, action=asked, article=articles, text=text, facts=facts, mode=rule.mode)

    def _touches(
        self, call: CallAttempt, terms: Terms, ident: str, *, force: bool
    ) -> tuple[tuple[Touch, ...], tuple[CountRule, ...]]:
        """What to count. A rule that only looks on (monitor, flag) counts without a limit; `force` takes a place even
        where there is none."""
        touches: list[Touch] = []
        counts: list[CountRule] = []
        at = call.at
        for since, until, asks, settings, acts, count in self._counts:
            if not since <= at < until:
                continue
            touch = asks(call, terms, ident, settings)
            if touch is None:
                continue
            if not acts and touch.limit is not None:
                touch = replace(touch, limit=None)
            if force and not touch.force:
                touch = replace(touch, force=True)
            touches.append(touch)
            counts.append(count)
        return tuple(touches), tuple(counts)

    # ---- with detection --------------------------------------------------------------------------------------------

    def patterns(self) -> tuple[Pattern, ...]:
        """What the watch is to look for under this policy. A rule on trial shuts nobody off and joins no other."""
        found = [
            (r.rule, r.code.pattern(s, r.rule.since, r.rule.until))
            for r in self.policy.detects
            if isinstance(s := r.rule.settings, detect.Settings) and s.clauses
        ]
        return tuple(p if _acts(rule) else replace(p, quarantine=0, trial=True) for rule, p in found)

    def price(self, call: CallAttempt) -> Price:
        """What the call is taken to cost."""
        terms = self.policy.terms.get(call.trunk) or Terms(trunk=call.trunk)
        return price_of(call.callee.value, call.at, terms.destinations, self._prices)

    def closed(self, call: CallAttempt) -> bool:
        """Whether the call is set up at night or at a weekend."""
        terms = self.policy.terms.get(call.trunk)
        return is_closed(call.at, terms.zone if terms is not None else LAW_ZONE)

    def warned(self, prepared: Prepared, signals: tuple[Signal, ...]) -> Prepared:
        """The same call, with what detection says of it. A call that it stops counts nothing."""
        call, terms = prepared.call, prepared.terms
        if call.emergency or call.direction == "inbound":
            return prepared
        found = []
        for signal in signals:
            rule = self._detects.get(detect.SHUT if signal.says == "shut" else signal.evidence.rule)
            if rule is not None and rule.since <= call.at < rule.until:
                found.append(self._finding(rule, detect.hit(signal), terms))
        if not found:
            return prepared
        findings = (*prepared.findings, *found)
        if _stops(found):
            return Prepared(call, terms, findings, prepared.mask, (), ())
        return replace(prepared, findings=findings)

    def late(self, evidence: Evidence) -> Finding | None:
        """What an alarm says that began with the end of a call: of a call that has reached the operator."""
        rule = self._detects.get(evidence.rule)
        if rule is None:
            return None
        terms = self.policy.terms.get(evidence.trunk) or Terms(trunk=evidence.trunk)
        hit = Hit("seen" if "seen" in rule.says else "stopped", detect.late(evidence))
        return self._finding(rule, hit, terms)

    # ---- with counters ---------------------------------------------------------------------------------------------

    def decide(
        self,
        prepared: Prepared,
        readings: tuple[Reading, ...],
        now: int,
        waited_since: int | None = None,
        ahead: int = 0,
    ) -> Decision:
        """The decision, or (with `held_until`) that the call waits for its place.

        `readings` are those of `prepared.touches`; `waited_since` is when the call began to wait, `ahead` how many wait
        before it.
        """
        call, terms = prepared.call, prepared.terms
        if call.emergency or call.direction == "inbound":
            return self._verdict(prepared, prepared.findings)
        findings = list(prepared.findings)
        waits, retry = False, 0
        waited = now - waited_since if waited_since is not None else 0
        for touch, reading, count in zip(prepared.touches, readings, prepared.counts, strict=True):
            rule = count.rule
            full = touch.limit is not None and not reading.taken and reading.value >= touch.limit
            if rule.id != rate_cps.ID or (touch.limit is None):
                hit = count.code.judge(call, terms, reading, rule.settings)
                if hit is not None and (reading.taken or full or not touch.take):
                    findings.append(self._finding(rule, hit, terms))
                    retry = max(retry, int(getattr(rule.settings, "retry_s", 0)))
            elif full or waited_since is not None:
                late = waited >= self.hold_us or ahead >= self.max_held
                held = full and not late and rule.says["waits"].action == "hold"
                waits = waits or held
                limit = touch.limit or 1
                retry = max(retry, _retry_after(reading, now, ahead, limit)) if full and not held else retry
                say = "waits" if held else "refused" if full else "waited"
                findings.append(self._waiting(rule, say, terms, limit, waited))
        refused = any(f.action == "block" and _acts(f) for f in findings)
        if waits and not refused:
            return self._verdict(prepared, tuple(findings), until=now - waited + self.hold_us, waited=waited)
        return self._verdict(prepared, tuple(findings), retry=retry, waited=waited)

    def _waiting(self, rule: Rule, say: str, terms: Terms, limit: int, waited: int) -> Finding:
        """What rate.cps says of a call that waits, has waited, or has waited in vain."""
        facts: dict[str, str | int | bool] = {"trunk": terms.trunk, "limit": limit, "waited_ms": waited // MS}
        action: Action = "block" if say == "refused" else "hold"
        return self._finding(rule, Hit(say, facts), terms, action)

    def counted(self, call: CallAttempt) -> tuple[Touch, ...]:
        """What a call of the past, that went out, counts in tallies: to rebuild them from the log."""
        terms = self.policy.terms.get(call.trunk) or Terms(trunk=call.trunk)
        touches, _ = self._touches(call, terms, "", force=True)
        return tuple(t for t in touches if t.kind == "tally" and t.take)

    def after(self, call: CallAttempt, ended: CallEnded) -> tuple[Touch, ...]:
        """What a call counts in tallies by the way it ended."""
        terms = self.policy.terms.get(call.trunk) or Terms(trunk=call.trunk)
        found = [
            count.code.ended(call, terms, ended, count.rule.settings)
            for _, _, _, _, _, count in self._counts
            if count.code.ended is not None and count.rule.since <= call.at < count.rule.until
        ]
        return tuple(t for t in found if t is not None)

    def sums(self, call: CallAttempt) -> tuple[str, ...]:
        """The sums that a call's talk is added to when it ends."""
        terms = self.policy.terms.get(call.trunk) or Terms(trunk=call.trunk)
        touches, _ = self._touches(call, terms, "", force=True)
        return tuple(t.key for t in touches if t.kind == "sum")

    def uncounted(self, prepared: Prepared, error: str, *, passes: bool, waited: int = 0) -> Decision:
        """The decision on a call whose counters failed. What its rules said without them still holds, masks above all:
        a number that may not be shown is not shown because a counter is broken."""
        fault = faulty("state", error, passes=passes)
        return self._verdict(prepared, (*prepared.findings, *fault.findings), retry=fault.retry_after, waited=waited)

    def alone(self, prepared: Prepared, error: str) -> Prepared:
        """The same call, and for its record that it is counted by this guard alone, within its part of the limits."""
        return replace(prepared, findings=(*prepared.findings, apart(error)))

    def judge(self, call: CallAttempt) -> Decision:
        """What the rules say that need no counter: for another target of a counted call, and for strangers."""
        prepared = self.prepare(call)
        return self._verdict(prepared, prepared.findings)

    # ---- where actions become a verdict ----------------------------------------------------------------------------

    def _verdict(
        self,
        prepared: Prepared,
        findings: tuple[Finding, ...],
        *,
        until: int = 0,
        retry: int = 0,
        waited: int = 0,
    ) -> Decision:
        """What is done. A finding of a monitored rule is written down, and flags at most."""
        call = prepared.call
        strongest: Finding | None = None
        strength = 0
        for finding in findings:
            own = STRENGTH[finding.action]
            if not _acts(finding):
                own = min(own, STRENGTH["flag"])
            elif finding.action == "hold" and not until:
                own = STRENGTH["allow"]  # it has waited: nothing is done to it any more
            if own > strength:
                strongest, strength = finding, own
        verdict: Verdict = "allowed"
        if strongest is not None:
            verdict = _VERDICTS[strength]
        caller = call.caller.value
        blocked = verdict == "blocked"
        status = self._statuses.get(strongest.rule, 403) if blocked and strongest is not None else 0
        mask = prepared.mask if verdict != "blocked" and prepared.mask else ()
        return Decision(
            verdict=verdict,
            findings=findings,
            rule=strongest.rule if strongest is not None else "",
            status=status,
            retry_after=max(retry, 1) if status == 480 else 0,
            presented="" if blocked else prepared.terms.mask_caller if mask else caller,
            masked=bool(mask),
            masked_numbers=mask,
            held_until=until,
            held_us=waited,
            max_talk_us=0 if blocked else prepared.talk[0],
            talk_rule="" if blocked else prepared.talk[1],
            policy=self.policy.digest,
        )


_VERDICTS: Final[tuple[Verdict, ...]] = ("allowed", "flagged", "masked", "flagged", "blocked")  # by strength


def _acts(one: Finding | Rule) -> bool:
    """Whether what a rule asks for is done: the one place where a mode is applied. A monitored rule only speaks."""
    return one.mode == "enforce"


def _judging(judge: JudgeRule) -> Judging:
    rule = judge.rule
    return rule.since, rule.until, judge.code.judge, rule.settings, rule


def _counting(count: CountRule) -> Counting:
    """With whether it may act: a rule that only looks on counts without a limit."""
    rule = count.rule
    acts = _acts(rule) and STRENGTH[_asked(rule)] > STRENGTH["flag"]
    return rule.since, rule.until, count.code.touch, rule.settings, acts, count


def _stops(found: tuple[Finding, ...] | list[Finding]) -> bool:
    """Whether one of these findings stops the call: it counts nothing then."""
    return any(f.action == "block" and _acts(f) for f in found)


def _maskable(hit: Hit, case: Case) -> tuple[str, ...]:
    """What is to be masked where a hit's action is mask: numbers that some identity of the message really has. Digits
    that are no number (cli.malformed) are found in no identity again, so masking would leave them standing."""
    number = hit.facts.get("number")
    return hit.mask or tuple({i.number.value for i in case.presented if i.number.value and i.number.value == number})


def _asked(rule: Rule) -> Action:
    """The strongest that a rule may ask for."""
    return max((s.action for s in rule.says.values()), key=lambda a: STRENGTH[a])


def _retry_after(reading: Reading, now: int, ahead: int, limit: int) -> int:
    """Seconds until a place may be free, counting those who wait before: rounded up."""
    free = max(reading.free_at - now, 0) + ahead * SECOND // limit
    return -(-free // SECOND)
