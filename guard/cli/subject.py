"""guard subject: what the log and the books hold about one number, to be handed to the person, or erased."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

from guard.cli.access import note, owns
from guard.cli.common import CommandError, json_lines, key_of, load_config, log_of, store_option
from guard.cli.log import progress, say
from guard.cli.show import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    from guard.store.books import Books
    from guard.store.reader import SqliteReader
    from guard.store.requests import Answer, Kind
    from guard.store.retention import About

PATIENCE: Final = 600.0  # seconds that the running guard may take: it looks at every body of its log


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard subject`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    one = actions.add_parser("export", help="every call, incident and penalty that names the number, as JSON Lines")
    store_option(one)
    one.add_argument("number", metavar="NUMBER", help="as dialled or as +33...")
    one = actions.add_parser("erase", help="erase what these said; that they were there stays, without a number")
    store_option(one)
    one.add_argument("number", metavar="NUMBER", help="as dialled or as +33...")
    one.add_argument("--yes", action="store_true", help="do not ask")
    one.add_argument("--dry-run", action="store_true", help="only say how many calls that would be")
    one.add_argument("--with-open", action="store_true", help="incidents that are open too: claims under way")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from guard.cli.books import number_of
    from guard.store.books import Books
    from guard.store.errors import StoreError
    from guard.store.reader import SqliteReader

    path, zone = log_of(args)
    number = number_of(args.number)
    if not owns(path):
        raise CommandError(f"{path}: only the owner of the log and root may do this")
    note(path, f"subject {args.action}", argparse.Namespace())
    try:
        with Books(path, zone) as books, SqliteReader(path, timezone=zone.key) as reader:
            if args.action == "export":
                return _export(reader, books, number)
            calls = sum(1 for _ in _about(reader, number))
        return _erase(args, path, zone, number, calls)
    except StoreError as error:
        raise CommandError(str(error)) from error


def _about(reader: SqliteReader, number: str) -> Iterator[About]:
    from guard.store.retention import about

    with progress() as advance:
        yield from about(reader, number, advance)


def _export(reader: SqliteReader, books: Books, number: str) -> int:
    from guard.cli.books import now_us
    from guard.cli.explained import as_object
    from guard.ledger.incidentrecord import incident_record

    count = 0
    for found in _about(reader, number):
        json_lines([as_object(found.detail)])
        count += 1
    incidents, entries = books.about(number)
    json_lines({"incident": incident_record(i, now_us(), reader.zone)} for i in incidents)
    json_lines({"entry": seq, "penalty": entry} for seq, entry in entries)
    for document in [*(e.document for i in incidents for e in i.events), *(one.document for _, one in entries)]:
        if document is not None:
            say(f"letter: {books.folder / document.kept} ({harmless(document.name)})")
    say(f"{count:,} calls, {len(incidents):,} incidents, {len(entries):,} penalties entered by hand")
    return 0


def _erase(args: argparse.Namespace, path: str, zone: ZoneInfo, number: str, calls: int) -> int:
    from guard.store.books import Books
    from guard.subject import erase_books, with_books

    with Books(path, zone) as books:
        found = with_books(books, number, calls, with_open=args.with_open)
        for one in found.waiting:
            say(f"{one.name} stays: it is {one.state}, a claim under way; --with-open erases it too")
        what = _said(calls, len(found.incidents), len(found.entries))
        if not found:
            print(f"{path}: {'nothing else' if found.waiting else 'no call, incident or penalty'} of this number")
            return 0
        if args.dry_run:
            print(f"{path}: would be erased: what {what} said")
            return 0
        _confirm(args, what)
        if found.incidents or found.entries:  # first: where the guard does not answer, at least these are gone
            done, letters = erase_books(books, found, time.time_ns() // 1000)
            print(f"{books.path}: erased: {done:,} entries and {letters:,} letters; the amounts stay, without a name")
    if calls:
        answer = writing(args, path, "erase", number, PATIENCE)
        print(f"{path}: erased: what {answer.calls:,} calls said ({answer.entries:,} entries)")
    return 0


def _said(calls: int, incidents: int, entries: int) -> str:
    parts = {"calls": calls, "incidents": incidents, "penalties entered by hand": entries}
    return ", ".join(f"{n:,} {name}" for name, n in parts.items() if n or name == "calls")


def _confirm(args: argparse.Namespace, what: str) -> None:
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{what} would be erased for good: say --yes", status=2)
    print(f"Erase what {what} said, for good? Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise CommandError("nothing was erased")


def writing(args: argparse.Namespace, path: str, kind: Kind, argument: str, patience: float) -> Answer:
    """Have it done: by the guard that is writing this log, or here where none is. StoreError."""
    from guard.subject import have_done

    site = load_config(args.config).site if args.store is None else ""
    now = time.time_ns() // 1000
    return have_done(path, kind, argument, now, patience, site=site, key=key_of(args, path), say=say)
