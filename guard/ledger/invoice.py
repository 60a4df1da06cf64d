"""An operator's invoice or call records as CSV, read as people write such files. Pure: text in, rows or mistakes out.

Columns are found by their names, French or English, or named by whoever asks; comma, semicolon or tab; dates as ISO or
day first; a comma or a point before the cents.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, Protocol

from msgspec import Struct

from guard.numbering.number import Dial, normalise

Column = Literal["at", "time", "caller", "callee", "amount"]
MAX_ROWS: Final = 2_000_000  # of one invoice: beyond this it is another file
DAY_US: Final = 86_400_000_000 - 1
# By the names' plain form: small letters without accents, words apart by one space. The first that is there counts.
NAMES: Final[dict[Column, tuple[str, ...]]] = {
    "at": ("date time", "datetime", "date heure", "date et heure", "horodatage", "timestamp", "start time", "start",
           "date appel", "date de l appel", "date d appel", "call date", "date"),
    "time": ("heure", "heure appel", "heure de l appel", "time", "call time"),
    "caller": ("calling number", "numero appelant", "caller", "appelant", "calling", "a number", "anumber",
               "numero presente", "source", "from", "origine"),
    "callee": ("called number", "numero appele", "callee", "appele", "called", "b number", "bnumber", "destination",
               "destinataire", "to"),
    "amount": ("amount", "montant", "montant ht", "amount eur", "montant eur", "montant euros", "penalty", "penalite",
               "prix", "price", "total", "total ht"),
}  # fmt: skip
WHEN: Final = (
    "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d/%m/%y", "%Y/%m/%d", "%Y%m%d", "%Y-%m-%d",
)  # fmt: skip
CLOCK: Final = ("%H:%M:%S", "%H:%M", "%Hh%M", "%Hh%Mm%Ss", "%H%M%S")
_CURRENCY: Final = re.compile(r"(?:EUR(?:OS?)?|€|HT|TTC)", re.IGNORECASE)
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}(?:[.,]\d{3})+\Z")
_WRITTEN: Final = re.compile(r"[\s.()\-\u2010-\u2015/]")


class InvoiceError(ValueError):
    """A file that cannot be held against anything; `problems` names each row and column."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Billed(Struct, frozen=True, kw_only=True):
    """One row: `row` as an editor counts lines, `since` to `until` (µs) where it gives a day only; `amount` None when
    the file names none. `caller` and `callee` are E.164 or short numbers, or as written; "" where there is none."""

    row: int
    since: int
    until: int
    caller: str
    callee: str
    amount: int | None


class Invoice(Struct, frozen=True, kw_only=True):
    """A file that was read: `columns` is which heading was taken for what, `skipped` rows of totals left out."""

    rows: tuple[Billed, ...]
    columns: dict[str, str]
    skipped: tuple[int, ...] = ()


def plain(heading: str) -> str:
    """A heading in the form in which NAMES has it."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", heading) if not unicodedata.combining(c))
    return " ".join(re.findall(r"[a-z0-9]+", letters.replace("°", " ").casefold()))


def text_of(data: bytes) -> str:
    """The text of a file as spreadsheets of these countries write it."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def read_invoice(text: str, zone: tzinfo, columns: Mapping[str, str] | None = None) -> Invoice:
    """Every row. Raises InvoiceError naming each mistake."""
    head, _, _ = text.partition("\n")
    delimiter = max(";\t,", key=head.count)
    table = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        headings = next(table, [])
        wanted = _columns(headings, dict(columns or {}))
        return _Reading(zone, "," if delimiter != "," else ".", headings, wanted).rows(table)
    except csv.Error as error:
        raise InvoiceError(f"line {table.line_num}: no CSV: {error}") from error


def _columns(headings: list[str], named: dict[str, str]) -> dict[Column, int]:
    by_name = {plain(h): n for n, h in reversed(list(enumerate(headings)))}
    found: dict[Column, int] = {}
    problems: list[str] = []
    for column, names in NAMES.items():
        if column in named:
            at = by_name.get(plain(named[column]))
            if at is None:
                problems.append(f'no column "{named[column]}"; the file has {", ".join(headings) or "none"}')
            else:
                found[column] = at
        else:
            at = next((by_name[n] for n in names if n in by_name), None)
            if at is not None and at not in found.values():
                found[column] = at
    problems += [f'"{word}" is none of {", ".join(NAMES)}' for word in sorted(named.keys() - NAMES.keys())]
    missing = [c for c in ("at", "caller") if c not in found and c not in named]
    problems += [
        f'no column for "{c}"; the file has {", ".join(headings) or "none"}: name it with --columns {c}=HEADING'
        for c in missing
    ]
    if problems:
        raise InvoiceError(*problems)
    return found


class Table(Protocol):
    """What csv.reader gives: rows of cells, and the line that the last one ended on."""

    @property
    def line_num(self) -> int: ...

    def __iter__(self) -> Iterator[list[str]]: ...


class _Reading:
    def __init__(self, zone: tzinfo, decimal: str, headings: list[str], columns: dict[Column, int]) -> None:
        self.zone = zone
        self.decimal = decimal
        self.columns = columns
        self.headings = headings
        self.problems: list[str] = []

    def rows(self, table: Table) -> Invoice:
        out: list[Billed] = []
        skipped: list[int] = []
        for cells in table:
            line = table.line_num
            if not any(c.strip() for c in cells):
                continue
            if len(out) >= MAX_ROWS:
                raise InvoiceError(f"line {line}: more than {MAX_ROWS} rows")
            if not self._cell(cells, "caller") and not self._cell(cells, "callee") and not self._is_date(cells):
                skipped.append(line)
                continue
            billed = self._row(cells, line)
            if billed is not None:
                out.append(billed)
        if self.problems:
            raise InvoiceError(*self.problems)
        if not out:
            raise InvoiceError("no rows")
        named: dict[str, str] = {c: self.headings[n] for c, n in self.columns.items()}
        return Invoice(rows=tuple(out), columns=named, skipped=tuple(skipped))

    def _cell(self, cells: list[str], column: Column) -> str:
        at = self.columns.get(column)
        return cells[at].strip() if at is not None and at < len(cells) else ""

    def _is_date(self, cells: list[str]) -> bool:
        return instant_of(self._cell(cells, "at"), "", self.zone) is not None

    def _row(self, cells: list[str], line: int) -> Billed | None:
        when = instant_of(self._cell(cells, "at"), self._cell(cells, "time"), self.zone)
        amount: int | None = None
        if when is None:
            shown = f"{self._cell(cells, 'at')} {self._cell(cells, 'time')}".strip()
            self.problems.append(f'line {line}: "{shown[:40]}" is no date: write it as 2026-11-21 10:00:00')
        if "amount" in self.columns:
            amount = micros_of(self._cell(cells, "amount"), self.decimal)
            if amount is None:
                self.problems.append(f'line {line}: "{self._cell(cells, "amount")[:40]}" is no amount')
        if when is None or (amount is None and "amount" in self.columns):
            return None
        return Billed(
            row=line,
            since=when[0],
            until=when[1],
            caller=number_of(self._cell(cells, "caller")),
            callee=number_of(self._cell(cells, "callee")),
            amount=amount,
        )


def number_of(written: str) -> str:
    """A number as invoices write it (`01 45 67 89 00`, `33145678900`, `+33…`), as records show it."""
    bare = _WRITTEN.sub("", written)
    if re.fullmatch(r"33[1-9]\d{8}", bare):
        bare = "+" + bare
    return normalise(bare, Dial()).value or bare


def micros_of(written: str, decimal: str) -> int | None:
    """A sum in micro-euros; None where it is none. `decimal` is what stands before the cents where both could."""
    text = re.sub(r"\s", "", _CURRENCY.sub("", written)).replace("\u2212", "-")
    other = "." if decimal == "," else ","
    if decimal in text and other in text:
        last = max(text.rfind("."), text.rfind(","))
        text = re.sub(r"[.,]", "", text[:last]) + "." + text[last + 1 :]
    elif other in text and _GROUPED.match(text):
        text = text.replace(other, "")
    else:
        text = text.replace(",", ".")
    if not text.isascii() or not re.fullmatch(r"[+-]?(?:\d{1,12}(?:\.\d*)?|\.\d+)", text):
        return None
    try:
        micros = Decimal(text) * 1_000_000
    except InvalidOperation:
        return None
    return int(micros) if micros == int(micros) else None


def instant_of(day: str, clock: str, zone: tzinfo) -> tuple[int, int] | None:
    """First and last microsecond of what is written: a second, a minute's first second, or a whole day."""
    text = f"{day} {clock}".strip()
    try:
        at = datetime.fromisoformat(text)
        whole = not re.search(r"\d[T ]\d", text) and not clock
    except ValueError:
        parsed = _parsed(text, zone)
        if parsed is None:
            return None
        at, whole = parsed
    if not 1970 < at.year < 9999:
        return None
    aware = at if at.tzinfo is not None else at.replace(tzinfo=zone)
    since = (aware.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return since, since + DAY_US if whole else since


def _parsed(text: str, zone: tzinfo) -> tuple[datetime, bool] | None:
    day, _, clock = text.partition(" ")
    written = f"{day} {clock.strip()}".strip()
    for shape in WHEN:
        for hours in CLOCK if clock else ("",):
            try:
                at = datetime.strptime(written, f"{shape} {hours}".strip()).replace(tzinfo=zone)
            except ValueError:
                continue
            return at, not clock
    return None
