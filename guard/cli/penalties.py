"""guard penalties: what the contracts' penalties come to, accrued and avoided; the statement, and contests.

Without a word: the sums of one month. `lines`: every line of them; `statement`: the page; `add`: one passed on by
letter; `reconcile`: an operator's file held against the log. `--recount` counts the whole log anew.
"""

from __future__ import annotations

import argparse
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast, get_args

from guard.cli.access import numbers_option
from guard.cli.common import CommandError, csv_lines, json_lines, log_of, output_options, store_option
from guard.cli.show import euros, harmless, nearest, table
from guard.ledger.penalties import By, Line
from guard.ledger.record import MICROS_PER_CENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo


MONTH: Final = re.compile(r"[12][0-9]{3}-(0[1-9]|1[0-2])\Z")
CSV: Final = ("key", "calls", "numbers", "accrued_cents", "avoided_cents", "accrued_microeuros", "avoided_microeuros")
NO_KEY: Final = {"number": "(no number)", "line": "(no line)", "trunk": "(no trunk)"}


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard penalties`."""
    from guard.cli import contest, ledger

    store_option(parser)
    parser.add_argument("--month", metavar="YYYY-MM", help="billing month, in the site's time zone (this month)")
    parser.add_argument("--by", default="rule", metavar="GROUP", help="rule (default), number, trunk, line or day")
    parser.add_argument("--recount", action="store_true", help="count the log anew, and name what differs")
    numbers_option(parser)
    output_options(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, text, more in (
        ("lines", "every line: rule, article, amount, reading and call", ledger.add_lines),
        ("statement", "the statement of a month, as one page that prints", ledger.add_statement),
        ("add", "enter a penalty that the operator passes on, with his letter", ledger.add_entry),
        ("reconcile", "hold an operator's invoice or call records against the log", contest.add_reconcile),
    ):
        sub = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        # Said before or after the word: a default here would undo what stands before it.
        unsaid = argparse.SUPPRESS
        sub.add_argument("-c", "--config", type=Path, default=unsaid, metavar="FILE", help="configuration")
        sub.add_argument("--store", default=unsaid, metavar="DB", help="the log, in place of the configuration's")
        sub.add_argument("--month", default=unsaid, metavar="YYYY-MM", help="billing month (this month)")
        sub.add_argument("--numbers", choices=("full", "masked"), default=unsaid, help="how numbers are shown")
        more(sub)


def run(args: argparse.Namespace) -> int:
    """Print the sums of one month, or do what the action says."""
    from guard.cli import contest, ledger
    from guard.store.errors import StoreError

    actions = {
        "lines": ledger.run_lines,
        "statement": ledger.run_statement,
        "add": ledger.run_entry,
        "reconcile": contest.run_reconcile,
    }
    if args.action is None and args.recount:
        act: Callable[[argparse.Namespace], int] = ledger.run_recount
    else:
        act = actions.get(args.action, _sums)
    try:
        return act(args)
    except StoreError as error:
        raise CommandError(str(error)) from error


def _sums(args: argparse.Namespace) -> int:
    from guard.cli.books import now_us, number_view
    from guard.exposure import month_sums, seen
    from guard.store.reader import SqliteReader

    by = by_of(args.by)
    path, zone = log_of(args)
    month = month_of(args.month, zone)
    with SqliteReader(path, timezone=zone.key) as reader:
        found = month_sums(reader, zone, month, by, now_us())
    lines = found.lines
    if by in {"number", "line"}:
        shown = number_view(args, path)
        lines = seen(lines, {line.key: shown(line.key) for line in lines})
    if args.json:
        json_lines(as_object(line) for line in lines)
    elif args.csv:
        csv_lines(CSV, (_csv_row(line) for line in lines))
    else:
        _people(lines, by, month, found.terms)
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


def _people(lines: list[Line], by: By, month: str, terms: list[tuple[str, str]]) -> None:
    print(f"Penalties at stake in {month}, by {by}")
    if len(lines) > 1:
        rows = [_row(line, NO_KEY.get(by, "(none)")) for line in lines]
        table((by, "calls", "numbers", "accrued", "avoided"), rows, right=("calls", "numbers", "accrued", "avoided"))
    else:
        print("none: no recorded call of this month broke a rule that a contract fines")
    for contract, reading in terms:
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


def by_of(word: str) -> By:
    """The grouping that a word names."""
    known = get_args(By)
    if word in known:
        return cast("By", word)
    raise CommandError(f'--by "{word}" is none of {", ".join(known)}{nearest(word, known)}', status=2)


def month_of(word: str | None, zone: ZoneInfo) -> str:
    """The month that a word names; this one for none."""
    if word is None:
        return datetime.now(zone).strftime("%Y-%m")
    if MONTH.match(word):
        return word
    raise CommandError(f'--month "{word}" is no month: write it as 2026-11', status=2)
