"""The money of a month: accrued against avoided, by every grouping, held against the site's own limits."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, get_args

from msgspec import Struct

from guard.alerts import enforced_above, limits_of
from guard.config import Config
from guard.exposure import month_sums, seen
from guard.ledger.limits import SHAPES, Span
from guard.ledger.masking import masked_text
from guard.ledger.penalties import By, Line
from guard.store.reader import SqliteReader
from guard.wanted import Mistake, nearest

MONTH: Final = re.compile(r"(?:19[7-9][0-9]|2[01][0-9]{2})-(?:0[1-9]|1[0-2])\Z", re.ASCII)
GROUPS: Final = 500  # of one grouping that are shown: a flood of invented numbers is no table


class Group(Struct, frozen=True, kw_only=True):
    """One group's sums in micro-euros; `numbers` counts the per-number penalties that are in them."""

    key: str
    calls: int
    numbers: int
    accrued_microeuros: int
    avoided_microeuros: int


class Limit(Struct, frozen=True, kw_only=True):
    """A limit of one's own on what accrues, in micro-euros: of the running `day` or `month`, whether `enforce` (beyond
    it rules on trial act), and what has accrued."""

    span: Span
    enforce: bool
    limit_microeuros: int
    accrued_microeuros: int


class Terms(Struct, frozen=True, kw_only=True):
    """A contract that the sums rest on, and which of its contradictory amounts were taken ("" where there are none)."""

    contract: str
    reading: str


class MonthView(Struct, frozen=True, kw_only=True):
    """One month by one grouping. `groups` are the largest by money, by day all of them in order; `others` are the sums
    of those that are not shown, `total` of all."""

    month: str
    by: By
    groups: tuple[Group, ...]
    others: Group
    total: Group
    terms: tuple[Terms, ...]
    limits: tuple[Limit, ...]


def month_of(text: str | None, now: int, reader: SqliteReader) -> str:
    """The month that a word names, the one of `now` (Unix time, µs) for none. Raises Mistake."""
    if text is None:
        return datetime.fromtimestamp(now // 1_000_000, reader.zone).strftime("%Y-%m")
    if not MONTH.match(text):
        raise Mistake("month", f'"{text}" is no month: write it as 2026-11')
    return text


def by_of(text: str | None) -> By:
    """The grouping that a word names, by rule for none. Raises Mistake."""
    known = get_args(By)
    for name in known:
        if name == (text or "rule"):
            found: By = name
            return found
    raise Mistake("by", f'"{text}" is none of {", ".join(known)}{nearest(text or "", known)}')


def month(
    reader: SqliteReader, config: Config | None, now: int, *, month: str, by: By = "rule", full: bool = False
) -> MonthView:
    """The exposure of `month` (`2026-11`) as it stands at `now` (Unix time, µs)."""
    found = month_sums(reader, reader.zone, month, by, now)
    lines = found.lines
    if by in {"number", "line"} and not full:
        lines = seen(lines, {line.key: masked_text(line.key) for line in lines})
    *groups, total = lines
    if by != "day":
        groups.sort(key=lambda g: (-(g.accrued + g.avoided), g.key))
    others = Line(key="others")
    for line in groups[GROUPS:]:
        others.add(line.calls, line.numbers, line.accrued, line.avoided)
    return MonthView(
        month=month,
        by=by,
        groups=tuple(map(_group, groups[:GROUPS])),
        others=_group(others),
        total=_group(total),
        terms=tuple(Terms(contract=contract, reading=reading) for contract, reading in found.terms),
        limits=_limits(reader, config, now),
    )


def _group(line: Line) -> Group:
    return Group(
        key=line.key,
        calls=line.calls,
        numbers=line.numbers,
        accrued_microeuros=line.accrued,
        avoided_microeuros=line.avoided,
    )


def _limits(reader: SqliteReader, config: Config | None, now: int) -> tuple[Limit, ...]:
    """The limits that are set, with what has accrued in the day and the month of `now`."""
    if config is None:
        return ()
    ledger = config.file.ledger
    every = [(False, limits_of(ledger)), (True, enforced_above(ledger))]
    if not any(limits for _, limits in every):
        return ()
    there = datetime.fromtimestamp(now // 1_000_000, reader.zone)
    days = month_sums(reader, reader.zone, there.strftime(SHAPES["month"]), "day", now).lines
    today = there.strftime(SHAPES["day"])
    accrued: dict[Span, int] = {
        "month": days[-1].accrued,
        "day": sum(line.accrued for line in days[:-1] if line.key == today),
    }
    return tuple(
        Limit(span=span, enforce=enforce, limit_microeuros=limit, accrued_microeuros=accrued[span])
        for enforce, limits in every
        for span, limit in limits.items()
    )
