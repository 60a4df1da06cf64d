"""Whether a rule on trial may act: what it would have stopped, what that is worth, and how often it may be wrong. Pure.

How often a rule stops a rightful call is a share of all calls, of which a sample was seen; Wilson's score interval
(E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, 209-212) says how large it may be all the same. With nothing found of n
calls it is z²/(n + z²), and not 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import tzinfo
from math import sqrt
from typing import Final, Literal

from msgspec import Struct

from guard.ledger.incidents import Incident
from guard.ledger.lines import lines_of
from guard.ledger.penalties import Exposure, month_of
from guard.ledger.record import DecisionBody, EndBody
from guard.model import SECOND

Z95: Final = 1.959963984540054  # two-sided 95 %: the 97.5th percentile of the normal distribution
NEEDED_DAYS: Final = 7  # a week: offices call otherwise on each of its days
NEEDED_CALLS: Final = 10_000  # with none wrong, the bound is then 1 in 2,604
WORST: Final = 1000  # at most one call in so many may be stopped wrongly, as far as can be told
SLACK: Final = 60 * SECOND  # an incident bears the instant of the last of the calls that opened it together

# How a rule comes to act: it is on trial (`mode`), it only flags (`action`), or it acts already.
Way = Literal["mode", "action", "acts"]
Judged = Literal["wrong", "right", ""]
ASKS: Final = frozenset({"block", "mask"})
KINDS: Final = {"line": "line", "number": "number", "service": "sva", "source": "source"}


class Spoken(Struct, frozen=True, kw_only=True):
    """A call that the rule would have stopped. `anyway`: another rule, or this one, did. `attempt` and `number` are
    what it cost by itself and for its calling number (micro-euros), `group` whom that penalty is due for; `names` what
    incidents may call it by."""

    seq: int
    end_seq: int
    at: int
    trunk: str
    anyway: bool
    attempt: int
    number: int
    group: tuple[str, str]
    names: frozenset[tuple[str, str]]


def wilson(found: int, of: int, z: float = Z95) -> tuple[float, float]:
    """The interval in which a share lies of which `found` were seen in `of`, two-sided:
    (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n). (0, 1) where nothing was seen at all."""
    if of <= 0:
        return 0.0, 1.0
    p, zz = found / of, z * z
    middle = p + zz / (2 * of)
    off = z * sqrt(p * (1 - p) / of + zz / (4 * of * of))
    whole = 1 + zz / of
    low = 0.0 if found == 0 else (middle - off) / whole
    return max(low, 0.0), 1.0 if found >= of else min((middle + off) / whole, 1.0)


def spoken(rule: str, way: Way, seq: int, end_seq: int, body: DecisionBody, end: EndBody | None) -> Spoken | None:
    """What the rule would have stopped of one recorded call; None where it would have let it go."""
    said = [
        f for f in body.findings if f.rule == rule and (f.action in ASKS or (way == "action" and f.action == "flag"))
    ]
    if not said or body.emergency:
        return None
    anyway = body.verdict == "blocked"
    stops = way == "action" or any(f.action == "block" for f in said)
    costs = [one for one in lines_of(seq, body, end) if one.state == "accrued"] if stops else []
    number = body.money.number or (end.money.number if end else "")
    names = {
        ("number", number or body.caller), ("number", body.caller), ("line", body.line),
        ("line", f"{body.source}/{body.line}"), ("trunk", body.trunk), ("source", body.source), ("sva", body.callee),
    }  # fmt: skip
    names |= {(KINDS.get(str(f.facts.get("kind")), ""), str(f.facts.get("subject", ""))) for f in said}
    return Spoken(
        seq=seq,
        end_seq=end_seq,
        at=body.at,
        trunk=body.trunk,
        anyway=anyway,
        attempt=sum(one.amount for one in costs if one.kind != "per-number"),
        number=sum(one.amount for one in costs if one.kind == "per-number"),
        group=(body.trunk, number),
        names=frozenset((kind, name) for kind, name in names if kind and name),
    )


def avoided(stopped: Collection[Spoken], exposures: Iterable[Exposure], zone: tzinfo, *, ever: bool = False) -> int:
    """What would not have accrued (micro-euros, exact). A penalty per calling number is due all the same where another
    call of that number broke a contract in the same month (`ever`: at any time) and would have gone out."""
    places = {place for one in stopped for place in (one.seq, one.end_seq)}
    stays = {
        (e.trunk, e.number, "" if ever else month_of(e.at, zone))
        for e in exposures
        if e.accrued and e.number and e.seq not in places
    }
    return sum(
        one.attempt + (0 if (*one.group, "" if ever else month_of(one.at, zone)) in stays else one.number)
        for one in stopped
    )


def judged(one: Spoken, rule: str, incidents: Iterable[Incident], rightful: Collection[int]) -> Judged:
    """What people said of a call. It was rightful: named so, or of an incident that was released as none; the rule was
    right: of one that was put right, which this rule opened or fed."""
    if one.seq in rightful:
        return "wrong"
    found: Judged = ""
    for incident in incidents:
        if incident.closed is None or not incident.opened - SLACK <= one.at <= incident.closed:
            continue
        if (incident.subject_kind, incident.subject) not in one.names or incident.trunk not in {"", one.trunk}:
            continue
        if incident.state == "released":
            return "wrong"
        if rule in {incident.rule, *(e.rule for e in incident.events)}:
            found = "right"
    return found


class Promotion(Struct, frozen=True, kw_only=True):
    """What speaks for letting a rule act, and what against. `stops` are the calls that it would have stopped and that
    went out; `anyway` those that were stopped as it is. Of both `wrong`, `right` and `unjudged` by people. `bound` is
    how large the share of wrongly stopped calls may be, `bound_unjudged` if all were wrong that nobody judged."""

    rule: str
    way: Way
    since: int
    until: int
    days: int
    calls: int
    stops: int
    anyway: int
    avoided: int
    wrong: int
    right: int
    unjudged: int
    bound: float
    bound_unjudged: float
    why: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.why


def weigh(
    rule: str, way: Way, span: tuple[int, int], days: int, calls: int, found: Collection[tuple[Spoken, Judged]],
    saved: int, *, looked: bool = False,
) -> Promotion:  # fmt: skip
    """The verdict. `looked`: a person has looked at every call of `found`, and those that he did not name rightful were
    rightly stopped."""
    wrong = sum(1 for _, said in found if said == "wrong")
    right = sum(1 for _, said in found if said == "right" or (looked and not said))
    unjudged = len(found) - wrong - right
    bound, worst = wilson(wrong, calls)[1], wilson(min(wrong + unjudged, calls), calls)[1]
    why: list[str] = []
    if days < NEEDED_DAYS:
        why.append(f"{days} days with calls: {NEEDED_DAYS} are needed")
    if calls < NEEDED_CALLS:
        why.append(f"{calls:,} calls: {NEEDED_CALLS:,} are needed")
    if bound > 1 / WORST:
        why.append(f"{wrong} rightful calls of {calls:,}: up to {shown(bound)}, and no more than 1 in {WORST:,} may be")
    elif worst > 1 / WORST:
        why.append(f"{unjudged} calls that nobody has judged: if all were rightful, up to {shown(worst)}")
    return Promotion(
        rule=rule,
        way=way,
        since=span[0],
        until=span[1],
        days=days,
        calls=calls,
        stops=sum(1 for one, _ in found if not one.anyway),
        anyway=sum(1 for one, _ in found if one.anyway),
        avoided=saved,
        wrong=wrong,
        right=right,
        unjudged=unjudged,
        bound=bound,
        bound_unjudged=worst,
        why=tuple(why),
    )


def shown(share: float) -> str:
    """A share as people read it, rounded up: `1 in 2,604`."""
    return f"1 in {int(1 / share):,}" if share > 0 else "none"
