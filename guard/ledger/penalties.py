"""Money at stake under a trunk's contract: what one call adds, and sums over many. Pure; integer micro-euros.

The contracts fix a penalty per calling number and one per call or attempt (003 IV-10.3, V-10.3, IX-11.3, XII-11.3),
cumulative, for attempts as well as for proven cases. "Per calling number" is not dated in the contracts: it is counted
once per number and billing month (or once for good, by `period`). What reached the operator has accrued; what the
guard stopped is avoided.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from msgspec import Struct

from guard.ledger.record import Money, shown
from guard.model import CallAttempt, Decision, Finding

By = Literal["rule", "number", "trunk", "line", "day"]
State = Literal["accrued", "avoided"]

# Limits and quotas are the operator's to enforce, and emergency calls are a duty: no contract fines either, so no
# pattern of a contract may make them cost money.
NEVER = ("rate.", "limit.", "quota.", "dst.emergency")
COSTLY = frozenset({"block", "mask"})  # a finding that only flags rests on an unverified fact or asks for a look
ORIGIN = ("cli.territory", "cli.foreign")  # what says that a number is of another country than the installation


class Figures(Struct, frozen=True, kw_only=True):
    """One trunk's penalties, in micro-euros, as its contract and configuration give them.

    `rules` are the rules whose breach is fined, by name or by prefix with `*` (`cli.*`). `reading` names which of two
    contradictory amounts was taken. `zone` is where billing months begin. `mask_accrues` tells whether a call that
    went out with its caller masked is a breach all the same (the attempt was made), or was put right (avoided).
    `article` (with its file) fixes the penalties. `origin_rate`, micro-euros a minute, is what the tariff of
    undetermined origin adds (V-10.3, IX-11.3, XII-11.3): no document prints it, so the site writes it down.
    """

    contract: str
    per_number: int
    per_attempt: int
    rules: tuple[str, ...]
    zone: tzinfo
    reading: str = ""
    period: Literal["month", "ever"] = "month"
    mask_accrues: bool = True
    article: str = ""
    origin_rate: int = 0
    origin_article: str = ""

    def fines(self, rule: str) -> bool:
        """Whether a breach of `rule` is fined."""
        if rule.startswith(NEVER):
            return False
        return any(rule.startswith(p[:-1]) if p.endswith("*") else rule == p for p in self.rules)


class Stake(Struct, frozen=True, kw_only=True):
    """A call that costs, before it is known whether its number was counted in `period` already.

    `fined` is whether it owes the penalties; `origin` whether the tariff of undetermined origin holds for it. A call
    that is not fined has no `number` here.
    """

    state: State
    rule: str
    number: str
    period: str
    figures: Figures
    fined: bool = True
    origin: bool = False

    def money(self, *, first: bool) -> Money:
        """The amounts; `first` tells that this call is the first of its number in its period."""
        figures = self.figures
        per_number = figures.per_number if first and self.fined else 0
        per_attempt = figures.per_attempt if self.fined else 0
        total = per_attempt + per_number
        return Money(
            accrued=total if self.state == "accrued" else 0,
            avoided=total if self.state == "avoided" else 0,
            rule=self.rule,
            number=self.number,
            per_attempt=per_attempt,
            per_number=per_number,
            contract=figures.contract,
            reading=figures.reading,
            article=figures.article if self.fined else "",
            origin_rate=figures.origin_rate if self.origin else 0,
            origin_article=figures.origin_article if self.origin else "",
        )


def assess(call: CallAttempt, decision: Decision, figures: Figures) -> Stake | None:
    """What `call` puts at stake, None when nothing: an emergency call, no fined breach, or a call that never left.

    One call is one attempt and one calling number, however many rules it breaks; the money stands under the rule that
    decided, or else the first that is fined.
    """
    if not decision.findings or call.emergency:
        return None
    fined = [f for f in decision.findings if f.action in COSTLY and figures.fines(f.rule)]
    foreign = _foreign(decision, figures)
    if not fined and foreign is None:
        return None
    state = _state(decision, fined, figures)
    if state is None:
        return None
    origin = foreign is not None and _left_as_it_was(decision, foreign)
    if fined:
        rule = next((f.rule for f in fined if f.rule == decision.rule), fined[0].rule)
        number = calling_number(call)
    elif origin and foreign is not None:
        rule, number = foreign.rule, ""
    else:
        return None
    return Stake(
        state=state,
        rule=rule,
        number=number,
        period=period_of(call.at, figures),
        figures=figures,
        fined=bool(fined),
        origin=origin,
    )


def _foreign(decision: Decision, figures: Figures) -> Finding | None:
    """What says that the call is of undetermined origin, flagged or worse, where the contract has a tariff for it."""
    if not figures.origin_rate:
        return None
    return next((f for f in decision.findings if f.rule in ORIGIN and f.action != "allow"), None)


def _left_as_it_was(decision: Decision, foreign: Finding) -> bool:
    """Whether the operator saw the number that `foreign` speaks of: not where it was refused, withdrawn or masked."""
    if decision.verdict == "blocked" or decision.held_until:
        return False
    return not (decision.masked and foreign.action == "mask" and foreign.mode == "enforce")


def _state(decision: Decision, fined: list[Finding], figures: Figures) -> State | None:
    """Whether the call accrues or was avoided; None when neither."""
    if decision.verdict == "blocked":
        return "avoided"
    if decision.held_until:
        return None  # withdrawn while it was held: it never reached the operator, and the guard did not stop it
    cured = bool(fined) and decision.masked and all(f.action == "mask" and f.mode == "enforce" for f in fined)
    return "avoided" if cured and not figures.mask_accrues else "accrued"


def calling_number(call: CallAttempt) -> str:
    """The number that a penalty "per calling number" is due for: From's, else the first asserted one; "" for none."""
    for number in (call.caller, *(i.number for i in call.identities)):
        if number.kind not in {"none", "anonymous"}:
            return shown(number)
    return ""


def period_of(at: int, figures: Figures) -> str:
    """The billing period of an instant: `2026-11`, or "" when a number is counted once for good."""
    return month_of(at, figures.zone) if figures.period == "month" else ""


def month_of(at: int, zone: tzinfo) -> str:
    """The month (`2026-11`) that an instant (Unix time, microseconds) falls in, in `zone`."""
    return datetime.fromtimestamp(at // 1_000_000, zone).strftime("%Y-%m")


def month_bounds(month: str, zone: tzinfo) -> tuple[int, int]:
    """First microsecond of `2026-11` in `zone`, and first of the month after. ValueError when it is no month."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=zone)
    begins, ends = (
        int(d.astimezone(UTC).timestamp()) * 1_000_000 for d in (first, (first + timedelta(days=32)).replace(day=1))
    )
    return begins, ends


class Exposure(Struct, frozen=True, kw_only=True):
    """The money of one recorded call, as sums need it: `per_number` is what is in it for its calling number, `seq` the
    entry that bears it."""

    at: int
    trunk: str
    line: str
    number: str
    rule: str
    accrued: int
    avoided: int
    per_number: int
    contract: str
    reading: str
    seq: int = 0


class Line(Struct, kw_only=True):
    """One line of `guard penalties`: micro-euros; `numbers` counts the per-number penalties that are in the sums."""

    key: str
    calls: int = 0
    numbers: int = 0
    accrued: int = 0
    avoided: int = 0

    def add(self, calls: int, numbers: int, accrued: int, avoided: int) -> None:
        """Add to the sums."""
        self.calls += calls
        self.numbers += numbers
        self.accrued += accrued
        self.avoided += avoided


def summarise(exposures: Iterable[Exposure], by: By, zone: tzinfo) -> list[Line]:
    """Sums of one billing month by `by`, ordered by key, then the line `total`, the sum of the others in every column.

    A calling number is fined once: where its penalty accrued, one that the guard had kept away earlier in the month was
    put off and not avoided, and is taken out again.
    """
    lines: dict[str, Line] = {}
    accrued: set[tuple[str, str]] = set()
    avoided: dict[tuple[str, str], tuple[str, int]] = {}
    for e in exposures:
        key = _key(e, by, zone)
        line = lines.get(key) or lines.setdefault(key, Line(key=key))
        line.add(1, 1 if e.per_number else 0, e.accrued, e.avoided)
        if e.per_number and e.accrued:
            accrued.add((e.trunk, e.number))
        elif e.per_number:
            avoided[e.trunk, e.number] = key, e.per_number
    for number in accrued & avoided.keys():
        key, amount = avoided[number]
        lines[key].add(0, -1, 0, -amount)
    total = Line(key="total")
    for line in lines.values():
        total.add(line.calls, line.numbers, line.accrued, line.avoided)
    return [*sorted(lines.values(), key=lambda one: one.key), total]


def _key(e: Exposure, by: By, zone: tzinfo) -> str:
    if by == "day":
        return datetime.fromtimestamp(e.at // 1_000_000, zone).strftime("%Y-%m-%d")
    return {"rule": e.rule, "number": e.number, "trunk": e.trunk, "line": e.line}[by]
