"""The CSV files of `[prospecting]`, read into tables: each broken row is counted, and the first ones are named.

A file has a header line; its columns may stand in any order, separated by commas or semicolons. Dates are 2026-03-01
(from its midnight, until its end, in the site's zone) or instants in ISO 8601.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from guard.numbering.number import Dial, normalise
from guard.prospecting.table import Table
from guard.tomlread import Problem, nearest

NAMED: Final = 10  # broken rows that are told one by one; of the others, how many
STEP: Final = 2_000  # rows between which whoever loads may let others work
NEVER: Final = 2**62  # after any instant
MINUTE: Final = 60_000_000  # µs: an appointment is kept to the minute
DAY: Final = timedelta(days=1)


class Shape(Struct, frozen=True):
    """The columns that a kind of file must and may have."""

    must: tuple[str, ...]
    may: tuple[str, ...] = ()


SHAPES: Final[dict[str, Shape]] = {
    "consents": Shape(("number", "from", "proof"), ("until",)),  # for canvassing: a year at most (R.223-1)
    "contracts": Shape(("number", "from", "proof"), ("until",)),  # running contracts
    "appointments": Shape(("number", "at", "proof"), ("until",)),  # an exact date and time that was agreed
    "requests": Shape(("number", "at", "proof"), ()),  # the person's own request
    "refusals": Shape(("number", "at"), ("proof",)),
    "opposition": Shape(("number", "from"), ("until",)),  # the opposition list of before 11 August 2026
    "professionals": Shape(("number",), ("proof",)),  # called as professionals, not as consumers
}


class Lists(Struct, frozen=True, kw_only=True):
    """Every list, by the name of its key in `[prospecting]`."""

    tables: dict[str, Table]
    paths: dict[str, str]

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]


NO_LISTS: Final = Lists(tables={name: Table(b"") for name in SHAPES}, paths={})


def load_lists(
    paths: dict[str, Path],
    zone: ZoneInfo,
    key: bytes,
    problems: list[Problem],
    pause: Callable[[], None] = lambda: None,
) -> Lists:
    """Read every file; `pause` is called now and then. A list without a file is empty. Mistakes go to `problems`."""
    tables = {name: Table(key) for name in SHAPES}
    for name, path in paths.items():
        for _ in _File(name, path, zone, problems).into(tables[name]):
            pause()
        for _ in tables[name].freeze():
            pause()
    return Lists(tables=tables, paths={n: str(p) for n, p in paths.items()})


def lists_of(texts: dict[str, str], zone: ZoneInfo, where: Path, problems: list[Problem]) -> Lists:
    """Lists that stand as CSV in another file (`where`): those of a made-up site."""
    tables = {name: Table(b"") for name in SHAPES}
    for name, text in texts.items():
        if name not in SHAPES:
            problems.append(Problem(str(where), 0, f"lists.{name}", f"no such list{nearest(name, SHAPES)}"))
            continue
        for _ in _File(name, where, zone, problems).rows(text, tables[name]):
            pass
        for _ in tables[name].freeze():
            pass
    return Lists(tables=tables, paths={})


class _Bad(ValueError):
    """A row that cannot be used; the text says why."""


class _File:
    """One CSV file being read."""

    def __init__(self, name: str, path: Path, zone: ZoneInfo, problems: list[Problem]) -> None:
        self.name = name
        self.path = path
        self.zone = zone
        self.problems = problems
        self.bad = 0
        self.dial = Dial()
        self._days: dict[str, int] = {}

    def into(self, table: Table) -> Iterator[int]:
        """Put every good row into a table; yields now and then."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield from self._rows(file.readline(), file, table)
        except OSError as error:
            self._note(0, error.strerror or "cannot be read")
        except (UnicodeDecodeError, csv.Error) as error:
            self._note(0, f"is no CSV in UTF-8: {error}")
        if self.bad > NAMED:
            self._say(0, f"{self.bad - NAMED} more rows are broken, {self.bad} in all")

    def rows(self, text: str, table: Table) -> Iterator[int]:
        """The same from a text."""
        lines = iter(text.strip().splitlines(keepends=True))
        yield from self._rows(next(lines, ""), lines, table)

    def _rows(self, first: str, file: Iterator[str], table: Table) -> Iterator[int]:
        delimiter = ";" if first.count(";") > first.count(",") else ","
        header = [h.strip().lower() for h in next(csv.reader([first], delimiter=delimiter), [])]
        shape = SHAPES[self.name]
        missing = [c for c in shape.must if c not in header]
        for column in missing:
            self._say(1, f'no column "{column}"{nearest(column, header)}; it wants {", ".join(shape.must)}')
        if missing:
            return
        places = {c: header.index(c) for c in (*shape.must, *shape.may) if c in header}
        reader = csv.reader(file, delimiter=delimiter)
        for count, row in enumerate(reader, 1):
            if row:
                line = reader.line_num + 1
                try:
                    table.add(*self._row(row, places), line)
                except _Bad as error:
                    self._note(line, str(error))
            if count % STEP == 0:
                yield count

    def _row(self, row: list[str], places: dict[str, int]) -> tuple[str, int, int]:
        """Number, since and until of a row."""

        def cell(column: str) -> str:
            place = places.get(column)
            return row[place].strip() if place is not None and place < len(row) else ""

        number = normalise(cell("number"), self.dial)
        if number.kind != "e164":
            raise _Bad(f'"{cell("number")[:40]}" is no telephone number ({number.reason or number.kind})')
        if "proof" in SHAPES[self.name].must and not cell("proof"):
            raise _Bad("no proof is named")
        if self.name == "professionals":
            return number.value, -NEVER, NEVER
        since = self._instant(cell("from") or cell("at"), "from" if "from" in places else "at", end=False)
        until = self._instant(cell("until"), "until", end=True) if cell("until") else NEVER
        if until <= since:
            raise _Bad(f"it ends ({cell('until')}) before it begins ({cell('from')})")
        if self.name == "consents":
            until = min(until, self._year_after(since))
        return number.value, since, until

    def _year_after(self, since: int) -> int:
        """A consent holds for a year at most (Code de la consommation R.223-1)."""
        begun = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since)).astimezone(self.zone)
        try:
            ends = begun.replace(year=begun.year + 1)
        except ValueError:  # 29 February
            ends = begun.replace(year=begun.year + 1, month=3, day=1)
        return _micros(ends)

    def _instant(self, text: str, column: str, *, end: bool) -> int:
        """A date or an instant, µs of Unix time; with `end` a date means the end of that day."""
        known = self._days.get(text)
        if known is None:
            try:
                if len(text) == len("2026-03-01"):
                    day = date.fromisoformat(text)
                    at = datetime(day.year, day.month, day.day, tzinfo=self.zone)
                    known = _micros(at)
                else:
                    at = datetime.fromisoformat(text)
                    return _micros(at if at.tzinfo is not None else at.replace(tzinfo=self.zone))
            except (ValueError, OverflowError) as error:
                raise _Bad(f'{column}: "{text[:40]}" is no date: write it as 2026-03-01') from error
            self._days[text] = known
        if not end:
            return known
        midnight = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=known)).astimezone(self.zone)
        return _micros((midnight + DAY).replace(hour=0))

    def _note(self, line: int, what: str) -> None:
        self.bad += 1
        if self.bad <= NAMED:
            self._say(line, what)

    def _say(self, line: int, what: str) -> None:
        self.problems.append(Problem(str(self.path), line, f"prospecting.{self.name}", what))


def _micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
