"""The sums of one billing month: calls, the tariff of undetermined origin, incidents, and what was entered by hand."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from msgspec import Struct

from guard.ledger.lines import LedgerLine, joined, sums
from guard.ledger.penalties import By, Line, month_bounds
from guard.store.books import Books
from guard.store.money import surcharges
from guard.store.reader import SqliteReader
from guard.store.summing import month_groups, month_terms


class MonthSums(Struct, frozen=True):
    """One month by one grouping, the line `total` last; `terms` are the contracts and readings they rest on."""

    lines: list[Line]
    terms: list[tuple[str, str]]


def month_sums(reader: SqliteReader, zone: ZoneInfo, month: str, by: By, now: int) -> MonthSums:
    """The sums of `month` (`2026-11`) as they stand at `now` (Unix time, µs). StoreError; ValueError for no month."""
    since, until = month_bounds(month, zone)
    groups = month_groups(reader, since, until, by, zone)
    more = [*surcharges(reader, since, until), *beside(reader.path, zone, since, until, now)]
    terms = month_terms(reader, since, until)
    terms |= {(line.contract, line.reading) for line in more if line.contract and line.kind != "passed-on"}
    return MonthSums(joined(groups, sums(more, by, zone)), sorted(terms))


def beside(path: str, zone: ZoneInfo, since: int, until: int, now: int) -> Iterator[LedgerLine]:
    """The lines of that time (Unix time, µs) that rest on no call: penalties entered by hand, and incidents."""
    with Books(path, zone) as books:
        yield from books.lines(since, until, now)


def seen(lines: list[Line], shown: dict[str, str]) -> list[Line]:
    """The same with keys as they are shown, the total last: keys that look alike are one."""
    groups: dict[str, Line] = {}
    for line in lines[:-1]:
        key = shown[line.key]
        group = groups.get(key) or groups.setdefault(key, Line(key=key))
        group.add(line.calls, line.numbers, line.accrued, line.avoided)
    return [*groups.values(), lines[-1]]
