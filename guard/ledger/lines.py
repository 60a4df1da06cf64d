"""The ledger, line by line: what each call, each incident and each letter adds. Pure; integer micro-euros.

A line is one sum under one article: a call that is the first of its number this month makes two, one per calling
number and one per call or attempt. Every total of the guard is a sum of such lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from typing import Final, Literal

from msgspec import Struct

from guard.ledger.late import whole_money
from guard.ledger.penalties import By, Line, State
from guard.ledger.record import DecisionBody, EndBody

Kind = Literal[
    "per-number", "per-attempt", "undetermined-origin", "sva-number", "sva-not-put-right", "sva-repeated-in-a-year",
    "passed-on",
]  # fmt: skip
MINUTE: Final = 60  # seconds
SECOND: Final = 1_000_000  # microseconds


class LedgerLine(Struct, frozen=True, kw_only=True):
    """One sum, in micro-euros. `at` is the call's instant, the incident's step or the day of a letter (Unix time, µs).

    `seq` is the record of the call (0: of no call), `incident` or `document` what it rests on instead. `calls` is 1
    for the first line of a call that no other line counts.
    """

    at: int
    kind: Kind
    state: State
    amount: int
    trunk: str = ""
    line: str = ""
    number: str = ""
    rule: str = ""
    contract: str = ""
    article: str = ""
    reading: str = ""
    seq: int = 0
    call_id: str = ""
    incident: str = ""
    document: str = ""
    reason: str = ""
    calls: int = 0


def lines_of(seq: int, body: DecisionBody, end: EndBody | None) -> Iterator[LedgerLine]:
    """The lines of one call: per calling number, per attempt, and the tariff of undetermined origin.

    What was found when it was over costs as a decision does.
    """
    money = whole_money(body, end)
    state: State = "accrued" if money.accrued else "avoided"

    def line(kind: Kind, amount: int, article: str, calls: int, of: State = state) -> LedgerLine:
        return LedgerLine(
            at=body.at,
            kind=kind,
            state=of,
            amount=amount,
            trunk=body.trunk,
            line=body.line,
            number=money.number,
            rule=money.rule,
            contract=money.contract,
            article=article,
            reading=money.reading,
            seq=seq,
            call_id=body.call_id,
            calls=calls,
        )

    fined = bool(money.accrued or money.avoided)
    if fined:
        yield line("per-attempt", money.per_attempt, money.article, 1)
        if money.per_number:
            yield line("per-number", money.per_number, money.article, 0)
    origin = surcharge(body, end)
    if origin:
        yield line("undetermined-origin", origin, money.origin_article, 0 if fined else 1, "accrued")


def surcharge(body: DecisionBody, end: EndBody | None) -> int:
    """What the tariff of undetermined origin adds to a call: by the second begun, rounded up to a micro-euro.

    Nothing while the call goes on, and for one that was not answered.
    """
    rate = body.money.origin_rate
    if not rate or end is None or end.talk_us <= 0:
        return 0
    seconds = -(-end.talk_us // SECOND)
    return -(-seconds * rate // MINUTE)


def put_off(lines: Iterable[LedgerLine]) -> list[LedgerLine]:
    """The lines of one billing month without the penalties per number that were only put off.

    A calling number is fined once: where its penalty accrued, one that the guard had kept away earlier was not avoided.
    """
    kept = list(lines)
    accrued = {(one.trunk, one.number) for one in kept if one.kind == "per-number" and one.state == "accrued"}
    return [
        one
        for one in kept
        if one.kind != "per-number" or one.state == "accrued" or (one.trunk, one.number) not in accrued
    ]


def key_of(line: LedgerLine, by: By, zone: tzinfo) -> str:
    """The group of a line."""
    if by == "day":
        return datetime.fromtimestamp(line.at // SECOND, zone).strftime("%Y-%m-%d")
    if by == "rule":
        return line.rule or line.kind
    return {"number": line.number, "trunk": line.trunk, "line": line.line}[by]


def sums(lines: Iterable[LedgerLine], by: By, zone: tzinfo) -> dict[str, Line]:
    """Sums of lines by `by`."""
    out: dict[str, Line] = {}
    for one in lines:
        key = key_of(one, by, zone)
        line = out.get(key) or out.setdefault(key, Line(key=key))
        accrued = one.state == "accrued"
        line.add(
            one.calls,
            1 if one.kind == "per-number" else 0,
            one.amount if accrued else 0,
            0 if accrued else one.amount,
        )
    return out


def total(lines: Iterable[LedgerLine]) -> Line:
    """The sum of all lines."""
    made = Line(key="total")
    for one in lines:
        accrued = one.state == "accrued"
        made.add(
            one.calls,
            1 if one.kind == "per-number" else 0,
            one.amount if accrued else 0,
            0 if accrued else one.amount,
        )
    return made


def joined(groups: Iterable[Line], more: dict[str, Line]) -> list[Line]:
    """Two sets of sums as one, ordered by key, with their total last. A line `total` that is there is made anew."""
    by: dict[str, Line] = {}
    for line in (*(g for g in groups if g.key != "total"), *more.values()):
        mine = by.get(line.key) or by.setdefault(line.key, Line(key=line.key))
        mine.add(line.calls, line.numbers, line.accrued, line.avoided)
    whole = Line(key="total")
    for line in by.values():
        whole.add(line.calls, line.numbers, line.accrued, line.avoided)
    return [*sorted(by.values(), key=lambda one: one.key), whole]
