"""guard log: what was blocked, flagged, masked, and with --all allowed; and whether the log is what was written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.cli.access import numbers_option, view_of
from guard.cli.common import CommandError, csv_lines, json_lines, key_of, log_of, output_options, store_option
from guard.cli.show import COLUMNS, cells, harmless, table
from guard.cli.wanted import FOLLOW_LIMIT, PEOPLE_LIMIT, filter_options, filters_given, limit, query_of

if TYPE_CHECKING:
    from guard.store.contract import Query
    from guard.store.reader import Detail, SqliteReader

COUNTED: Final = 20_000  # calls that are counted for a person who is shown fifty: more take long in a long log
CSV: Final = (
    *("seq", "hash", "time", "call_id", "site", "source", "trunk", "line", "direction", "caller", "presented"),
    *("callee", "usage", "verdict", "response", "rule", "rules", "articles", "text", "accrued_cents"),
    *("avoided_cents", "accrued_microeuros", "avoided_microeuros", "held_ms", "policy", "outcome", "ring_ms"),
    *("talk_ms", "final_status"),
)


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard log`."""
    store_option(parser)
    filter_options(parser)
    parser.add_argument(
        "--follow",
        action="store_true",
        help="go on with new records as they come: a record when it is decided, and once more when its call has ended",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="walk the whole log's hash chain: is it what was written? Status 1 names the first entry that is not",
    )
    numbers_option(parser)
    output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the records that are asked for."""
    from guard.store.errors import StoreError
    from guard.store.reader import SqliteReader

    path, zone = log_of(args)
    _together(args)
    if not Path(path).exists():
        query_of(args, zone, None)  # wrong usage is told before a log that is not there
    try:
        view = None if args.verify else view_of(args, path)
        with SqliteReader(path, timezone=zone.key, view=view) as reader:
            if args.verify:
                return _verify(args, reader)
            query = query_of(args, zone, reader)
            return _follow(args, reader, query) if args.follow else _print(args, reader, query)
    except StoreError as error:
        raise CommandError(str(error)) from error


def _together(args: argparse.Namespace) -> None:
    """CommandError (status 2) for options of which one rules the other out."""
    odd = [*filters_given(args), *(f"--{n}" for n in ("follow", "csv") if getattr(args, n))]
    if args.verify and odd:
        raise CommandError(f"--verify is about the whole log: leave out {', '.join(odd)}", status=2)
    if args.follow and args.until is not None:
        raise CommandError("--follow waits for what is still to come: leave out --until", status=2)


def _print(args: argparse.Namespace, reader: SqliteReader, query: Query) -> int:
    from msgspec.structs import replace

    if args.json:
        json_lines(reader.records(query))
    elif args.csv:
        csv_lines(CSV, (csv_row(d) for d in reader.details(query)))
    else:
        query = replace(query, limit=limit(args.limit, unasked=PEOPLE_LIMIT))
        shown = [cells(d) for d in reader.details(query)]
        if shown:
            table(COLUMNS, shown, right=("#", "money"), styled=2)
        fit, whole = reader.fitting(query, COUNTED)
        if not fit:
            say("no call fits" + ("" if query.all or query.verdict else " (allowed calls are shown with --all)"))
        elif fit > len(shown):
            of = f"{fit:,}" if whole else f"more than {fit:,}"
            say(f"the newest {len(shown):,} of {of} calls that fit (--limit N or --limit all shows more)")
    return 0


def _follow(args: argparse.Namespace, reader: SqliteReader, query: Query) -> int:
    from msgspec.structs import replace

    from guard.cli.follow import follow, lines

    unasked = None if args.since is not None else FOLLOW_LIMIT
    events = follow(reader, replace(query, limit=limit(args.limit, unasked=unasked)))
    try:
        if args.json:
            json_lines(detail.record for detail, _ in events)
        elif args.csv:
            csv_lines(CSV, (csv_row(detail) for detail, _ in events))
        else:
            lines(events)
    except KeyboardInterrupt:
        return 0  # the way in which following ends
    return 0


def _verify(args: argparse.Namespace, reader: SqliteReader) -> int:
    from msgspec.structs import replace

    from guard.evidence.keys import checker
    from guard.store.books import Books
    from guard.store.verify import signed_books, verify

    with progress() as advance:
        found = verify(reader, advance, checker(key_of(args, reader.path)))
    with Books(reader.path, reader.zone) as books:
        wrong = books.verify(signed_books(reader))
        count = 0 if wrong else len(books.links())
        found = replace(found, ok=found.ok and not wrong, books=count, books_reason=wrong)
    if args.json:
        json_lines([found])
    elif found.ok:
        erased = f", {found.erased:,} of them erased" if found.erased else ""
        lost = f"; {found.lost:,} could not be kept, which the log says itself" if found.lost else ""
        print(f"{reader.path}: {found.entries:,} entries as they were written{erased}{lost}")
        print(f"last: #{found.seq} {found.hash}")
        if found.checkpoints:
            print(f"checkpoints: {found.checkpoints:,}, signed")
        if found.books:
            print(f"{books.path}: {found.books:,} entries as they were written")
    elif found.broken is None:
        raise CommandError(found.books_reason)
    else:
        raise CommandError(f"{reader.path}: entry #{found.broken}: {found.reason}")
    return 0 if found.ok else 1


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal's standard error, told (done, of how many); nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying")
        yield lambda done, of: bar.update(task, completed=done, total=of)


def csv_row(detail: Detail) -> list[object]:
    """One call in the order of CSV; lists are joined by spaces, the articles by ` | `."""
    r, b = detail.record, detail.body
    money = detail.money
    decided = next((f for f in r.findings if f.rule == b.rule), r.findings[0] if r.findings else None)
    articles = dict.fromkeys(a for f in r.findings for a in f.article)
    row: list[object] = [r.seq, r.hash, r.time, r.call_id, r.site, r.source, r.trunk, r.line, r.direction, r.caller]
    row += [r.presented, r.callee, " ".join(r.usage), r.verdict, r.response, b.rule]
    row += [" ".join(f.rule for f in r.findings), " | ".join(articles), decided.text.en if decided else ""]
    row += [r.accrued_cents, r.avoided_cents, money.accrued, money.avoided, r.held_ms, r.policy]
    row += [r.outcome, r.ring_ms, r.talk_ms, r.final_status]
    return [harmless(v) if isinstance(v, str) else v for v in row]


def say(text: str) -> None:
    """A remark beside the output, which scripts do not read."""
    print(text, file=sys.stderr)
