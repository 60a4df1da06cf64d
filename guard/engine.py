"""From one call attempt, the readings of some counters and an instant to a decision: a pure function of the policy.

The daemon, the replay of captures, `guard decide` and the simulator all decide here. `prepare` has every rule speak
that needs no counter and says what to count; `decide` judges what was counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final

from msgspec.structs import replace

from guard.detectors.words import HOUR, Evidence, Pattern, Price, Signal
from guard.faulty import FAULT, FAULT_STATUS, apart, faulty
from guard.model import SECOND, STRENGTH, Action, CallAttempt, CallEnded, Decision, Finding, Text, Verdict
from guard.numbering.plan import LAW_ZONE
from guard.policy.load import JudgeRule, Policy, Rule
from guard.prepared import NO_CAP, Prepared
from guard.rules import detect, rate_cps
from guard.rules.base import Hit, Terms
from guard.rules.case import Case
from guard.rules.prices import is_closed, price_of
from guard.state.contract import Reading, Touch
from guard.ways import Counting, Judging, Way, Ways, acting, judging

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


Judged = tuple[tuple[Finding, ...], tuple[str, ...], tuple[int, str]]


class Engine:
    """Decides by one policy. `hold_us` and `max_held` bound the waiting for a place (rule rate.cps)."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._ways = Ways(policy)
        self._hour: tuple[int, tzinfo, bool] = (-1, LAW_ZONE, True)  # the last that was asked of: whether it is closed
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
        way = self._ways.of(call)
        terms = way.terms
        if call.emergency:
            case = Case(call, terms, policy.held, self._lookup)
            rule = policy.emergency
            said = rule.code.judge(case, rule.rule.settings)
            findings = tuple(self._finding(rule.rule, hit, terms) for hit in said)
            return Prepared(call, way, findings, (), *self._touches(call, way, ident, force=True))
        if call.direction == "inbound":
            own = policy.site_inbound.of(call)  # nothing else refuses a call that comes in
            found = self._judged(self._case(call, terms), _in_force(own, call.at))[0] if own else ()
            if found and _stops(found):
                return Prepared(call, way, found, (), (), ())
            return Prepared(call, way, found, (), *self._touches(call, way, ident, force=True))
        case = self._case(call, terms)
        judges = way.asked(case)
        own = policy.site.of(call)
        if own:
            judges = judges + _in_force(own, call.at)
        found, mask, talk = self._judged(case, judges)
        if found and _stops(found):
            return Prepared(call, way, found, mask, (), ())
        return Prepared(call, way, found, mask, *self._touches(call, way, ident, force=False), talk)

    def _case(self, call: CallAttempt, terms: Terms) -> Case:
        policy = self.policy
        return Case(call, terms, policy.held, self._lookup, policy.lists, policy.sector, policy.plan.blocks)

    def _judged(self, case: Case, judges: list[Judging]) -> Judged:
        """Findings, numbers to mask, and how long the call may talk."""
        found: list[Finding] = []
        mask: list[str] = []
        talk = NO_CAP
        for judge, settings, rule in judges:
            hits = judge(case, settings)
            if not hits:
                continue
            for hit in hits:
                numbers = _maskable(hit, case)
                finding = self._finding(rule, hit, case.terms, maskable=bool(numbers))
                if finding.action == "mask" and acting(finding):
                    mask += numbers
                if hit.max_talk_us and acting(finding) and not 0 < talk[0] <= hit.max_talk_us:
                    talk = hit.max_talk_us, rule.id  # the least of all caps
                found.append(finding)
        if not found:
            return (), (), NO_CAP
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
        self, call: CallAttempt, way: Way, ident: str, *, force: bool
    ) -> tuple[tuple[Touch, ...], tuple[Counting, ...]]:
        """What to count. A rule that only looks on (monitor, flag) counts without a limit; `force` takes a place even
        where there is none."""
        touches: list[Touch] = []
        counts: list[Counting] = []
        terms = way.terms
        for count in way.counts:
            touch = count.touch(call, terms, ident, count.settings)
            if touch is None:
                continue
            if not count.acts and touch.limit is not None:
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
        return tuple(p if acting(rule) else replace(p, quarantine=0, trial=True) for rule, p in found)

    def price(self, call: CallAttempt) -> Price:
        """What the call is taken to cost."""
        terms = self.policy.terms.get(call.trunk) or Terms(trunk=call.trunk)
        return price_of(call.callee.value, call.at, terms.destinations, self._prices)

    def closed(self, call: CallAttempt) -> bool:
        """Whether the call is set up at night or at a weekend."""
        terms = self.policy.terms.get(call.trunk)
        return self._closed(call.at, terms.zone if terms is not None else LAW_ZONE)

    def weighed(self, prepared: Prepared) -> tuple[Price, bool]:
        """Both, of a call that is being judged."""
        call, way = prepared.call, prepared.way
        at = call.at
        return price_of(call.callee.value, at, way.terms.destinations, self._prices), self._closed(at, way.zone)

    def _closed(self, at: int, zone: tzinfo) -> bool:
        hour = at // HOUR
        if hour != self._hour[0] or zone is not self._hour[1]:
            self._hour = hour, zone, is_closed(at, zone)
        return self._hour[2]

    def warned(self, prepared: Prepared, signals: tuple[Signal, ...]) -> Prepared:
        """The same call, with what detection says of it. A call that it stops counts nothing."""
        call, way = prepared.call, prepared.way
        terms = way.terms
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
            return Prepared(call, way, findings, prepared.mask, (), ())
        return prepared.saying(findings)

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
            limit, value, taken = touch.limit, reading.value, reading.taken
            full = limit is not None and not taken and value >= limit
            if not count.paces or limit is None:
                hit = count.judge(call, terms, reading, count.settings)
                if hit is not None and (taken or full or not touch.take):
                    findings.append(self._finding(count.rule, hit, terms))
                    retry = max(retry, count.retry_s)
            elif full or waited_since is not None:
                rule = count.rule
                late = waited >= self.hold_us or ahead >= self.max_held
                held = full and not late and rule.says["waits"].action == "hold"
                waits = waits or held
                retry = max(retry, _retry_after(reading, now, ahead, limit or 1)) if full and not held else retry
                say = "waits" if held else "refused" if full else "waited"
                findings.append(self._waiting(rule, say, terms, limit or 1, waited))
        if waits and not _stops(findings):
            return self._verdict(prepared, tuple(findings), until=now - waited + self.hold_us, waited=waited)
        return self._verdict(prepared, tuple(findings), retry=retry, waited=waited)

    def _waiting(self, rule: Rule, say: str, terms: Terms, limit: int, waited: int) -> Finding:
        """What rate.cps says of a call that waits, has waited, or has waited in vain."""
        facts: dict[str, str | int | bool] = {"trunk": terms.trunk, "limit": limit, "waited_ms": waited // MS}
        action: Action = "block" if say == "refused" else "hold"
        return self._finding(rule, Hit(say, facts), terms, action)

    def counted(self, call: CallAttempt) -> tuple[Touch, ...]:
        """What a call of the past, that went out, counts in tallies: to rebuild them from the log."""
        touches, _ = self._touches(call, self._ways.of(call), "", force=True)
        return tuple(t for t in touches if t.kind == "tally" and t.take)

    def after(self, call: CallAttempt, ended: CallEnded) -> tuple[Touch, ...]:
        """What a call counts in tallies by the way it ended."""
        way = self._ways.of(call)
        found = [ended_in(call, way.terms, ended, settings) for ended_in, settings in way.ends]
        return tuple([t for t in found if t is not None])

    def sums(self, call: CallAttempt) -> tuple[str, ...]:
        """The sums that a call's talk is added to when it ends."""
        touches, _ = self._touches(call, self._ways.of(call), "", force=True)
        return tuple(t.key for t in touches if t.kind == "sum")

    def uncounted(self, prepared: Prepared, error: str, *, passes: bool, waited: int = 0) -> Decision:
        """The decision on a call whose counters failed. What its rules said without them still holds, masks above all:
        a number that may not be shown is not shown because a counter is broken."""
        fault = faulty("state", error, passes=passes)
        return self._verdict(prepared, (*prepared.findings, *fault.findings), retry=fault.retry_after, waited=waited)

    def alone(self, prepared: Prepared, error: str) -> Prepared:
        """The same call, and for its record that it is counted by this guard alone, within its part of the limits."""
        return prepared.saying((*prepared.findings, apart(error)))

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
            if not acting(finding):
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


def _in_force(own: Sequence[JudgeRule], at: int) -> list[Judging]:
    """Rules of the site as they are asked of a call at an instant."""
    return [judging(j) for j in own if j.rule.since <= at < j.rule.until]


def _stops(found: Sequence[Finding]) -> bool:
    """Whether one of these findings stops the call: it counts nothing then."""
    return any(one.action == "block" and acting(one) for one in found)


def _maskable(hit: Hit, case: Case) -> tuple[str, ...]:
    """What is to be masked where a hit's action is mask: numbers that some identity of the message really has. Digits
    that are no number (cli.malformed) are found in no identity again, so masking would leave them standing."""
    number = hit.facts.get("number")
    return hit.mask or tuple({i.number.value for i in case.presented if i.number.value and i.number.value == number})


def _retry_after(reading: Reading, now: int, ahead: int, limit: int) -> int:
    """Seconds until a place may be free, counting those who wait before: rounded up."""
    free = max(reading.free_at - now, 0) + ahead * SECOND // limit
    return -(-free // SECOND)
