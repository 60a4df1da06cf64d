"""guard penalties: what the contracts' penalties come to, accrued and avoided, in one month."""

from __future__ import annotations

import argparse
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast, get_args

from guard.cli.common import CommandError, csv_lines, json_lines, log_of, output_options, store_option
from guard.cli.show import euros, harmless, nearest, table
from guard.ledger.penalties import By, Exposure, Line, month_bounds, summarise
from guard.ledger.record import MICROS_PER_CENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

MONTH: Final = re.compile(r"[12][0-9]{3}-(0[1-9]|1[0-2])\Z")
CSV: Final = ("key", "calls", "numbers", "accrued_cents", "avoided_cents", "accrued_microeuros", "avoided_microeuros")
NO_KEY: Final = {"number": "(no number)", "line": "(no line)", "trunk": "(no trunk)"}


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard penalties`."""
    store_option(parser)
    parser.add_argument("--month", metavar="YYYY-MM", help="billing month, in the site's time zone (this month)")
    parser.add_argument("--by", default="rule", metavar="GROUP", help="rule (default), number, trunk, line or day")
    output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the sums of one month."""
    from guard.store.errors import StoreError
    from guard.store.reader import SqliteReader

    by = _by(args.by)
    path, zone = log_of(args)
    month = _month(args.month, zone)
    terms: set[tuple[str, str]] = set()
    try:
        with SqliteReader(path, timezone=zone.key) as reader:
            since, until = month_bounds(month, zone)
            lines = summarise(_noting(reader.exposures(since, until), terms), by, zone)
    except StoreError as error:
        raise CommandError(str(error)) from error
    if args.json:
        json_lines(as_object(line) for line in lines)
    elif args.csv:
        csv_lines(CSV, (_csv_row(line) for line in lines))
    else:
        _people(lines, by, month, terms)
    return 0


def as_object(line: Line) -> dict[str, str | int]:
    """One group as `--json` gives it: whole cents, and exact micro-euros beside them where a fraction is left."""
    made: dict[str, str | int] = {"key": line.key, "calls": line.calls, "numbers": line.numbers}
    sums = {"accrued": line.accrued, "avoided": line.avoided}
    made |= {f"{name}_cents": micros // MICROS_PER_CENT for name, micros in sums.items()}
    made |= {f"{name}_microeuros": micros for name, micros in sums.items() if micros % MICROS_PER_CENT}
    return made


def _csv_row(line: Line) -> tuple[object, ...]:
    cents = (line.accrued // MICROS_PER_CENT, line.avoided // MICROS_PER_CENT)
    return (harmless(line.key), line.calls, line.numbers, *cents, line.accrued, line.avoided)


def _people(lines: list[Line], by: By, month: str, terms: set[tuple[str, str]]) -> None:
    print(f"Penalties at stake in {month}, by {by}")
    if lines[-1].calls:
        rows = [_row(line, NO_KEY.get(by, "(none)")) for line in lines]
        table((by, "calls", "numbers", "accrued", "avoided"), rows, right=("calls", "numbers", "accrued", "avoided"))
    else:
        print("none: no recorded call of this month broke a rule that a contract fines")
    for contract, reading in sorted(terms):
        words = f", amounts as its {reading} say" if reading else ""
        print(harmless(f"contract {contract}{words}"))


def _row(line: Line, no_key: str) -> tuple[str, ...]:
    return (
        harmless(line.key) or no_key,
        f"{line.calls:,}",
        f"{line.numbers:,}",
        euros(line.accrued),
        euros(line.avoided),
    )


def _noting(exposures: Iterator[Exposure], terms: set[tuple[str, str]]) -> Iterator[Exposure]:
    """The same, noting under which contracts and readings they stand."""
    for exposure in exposures:
        terms.add((exposure.contract, exposure.reading))
        yield exposure


def _by(word: str) -> By:
    known = get_args(By)
    if word in known:
        return cast("By", word)
    raise CommandError(f'--by "{word}" is none of {", ".join(known)}{nearest(word, known)}', status=2)


def _month(word: str | None, zone: ZoneInfo) -> str:
    if word is None:
        return datetime.now(zone).strftime("%Y-%m")
    if MONTH.match(word):
        return word
    raise CommandError(f'--month "{word}" is no month: write it as 2026-11', status=2)
