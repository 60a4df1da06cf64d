"""guard evidence: the key, signed extracts of the log and their check, and the purge of what is too old."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.cli.common import CommandError, json_lines, key_of, load_config, log_of, store_option
from guard.cli.log import progress, say
from guard.cli.penalties import MONTH

if TYPE_CHECKING:
    from guard.configschema import Store
    from guard.policy.digest import Parts

PATIENCE: Final = 600.0  # seconds that a purge by the running guard may take


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard evidence`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    one = actions.add_parser("key", help="print the public key that checks what this guard signs")
    store_option(one)
    one.add_argument("--pem", action="store_true", help="as PEM, for openssl")
    one = actions.add_parser("export", help="write one month's records, policies and checkpoints to a signed file")
    store_option(one)
    one.add_argument("--month", required=True, metavar="YYYY-MM", help="the month, in the site's time zone")
    one.add_argument("--output", required=True, type=Path, metavar="OUT", help="the file to write; it must be new")
    one = actions.add_parser("verify", help="check such a file, on any machine: status 1 says what was changed")
    one.add_argument("file", type=Path, metavar="OUT", help="the file")
    one.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="PUBLIC",
        help="the guard's public key, as `guard evidence key` prints it, or a file that holds it; may be repeated",
    )
    one.add_argument("--json", action="store_true", help="the result as one line of JSON")
    one = actions.add_parser("purge", help="erase now what is older than [store] retention_days")
    store_option(one)
    one.add_argument("--dry-run", action="store_true", help="only say how much that would be")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from guard.evidence.keys import BadKey
    from guard.store.errors import StoreError

    try:
        return {"key": _key, "export": _export, "verify": _verify, "purge": _purge}[args.action](args)
    except (BadKey, StoreError) as error:
        raise CommandError(str(error)) from error


def _key(args: argparse.Namespace) -> int:
    from guard.evidence.keys import load, pem, word

    path, _ = log_of(args)
    public = load(key_of(args, path)).public
    print(pem(public).decode().strip() if args.pem else word(public))
    return 0


def _export(args: argparse.Namespace) -> int:
    from guard.cli.access import note
    from guard.evidence.export import CannotExport, export
    from guard.evidence.keys import load, word
    from guard.store.reader import SqliteReader

    if not MONTH.match(args.month):
        raise CommandError(f'--month "{args.month}" is no month: write it as 2026-11', status=2)
    path, zone = log_of(args)
    key = load(key_of(args, path))
    note(path, "evidence export", args)
    try:
        with SqliteReader(path, timezone=zone.key) as reader, progress() as advance:
            done = export(reader, key, _present(args), month=args.month, output=args.output, advance=advance)
    except CannotExport as error:
        raise CommandError(f"{path}: {error}") from error
    except FileExistsError as error:
        raise CommandError(f"{args.output}: is there already: name another file") from error
    except OSError as error:
        raise CommandError(f"{args.output}: cannot be written: {error.strerror or error}") from error
    for warning in done.warnings:
        say(warning)
    for name in done.missing:
        say(f"policy {name} is not in it: the log has not kept it, and it is not the one in force now")
    erased = f", {done.erased:,} of them erased" if done.erased else ""
    print(
        f"{args.output}: {done.calls:,} calls of {args.month}, {done.entries:,} entries{erased},"
        f" {done.checkpoints:,} checkpoints"
    )
    print(f"signed by {word(key.public)}")
    return 0


def _present(args: argparse.Namespace) -> Parts | None:
    """The policy in force, for what records name and the log has not kept."""
    from guard.policy.digest import parts

    if args.store is not None:
        return None
    try:
        return parts(load_config(args.config))
    except OSError:
        return None


def _verify(args: argparse.Namespace) -> int:
    from guard.cli.show import harmless
    from guard.evidence.check import NotAnExtract, check
    from guard.evidence.keys import public_of

    try:
        found = check(args.file, frozenset(map(public_of, args.key)))
    except NotAnExtract as error:
        raise CommandError(str(error)) from error
    if args.json:
        json_lines([found])
        return 0 if found.ok else 1
    for text in found.remarks:
        say(harmless(text))
    if not found.ok:
        raise CommandError(*(harmless(f"{found.file}: {text}") for text in found.faults))
    erased = f", {found.erased:,} of them erased" if found.erased else ""
    print(f"{found.file}: as it was signed")
    print(
        f"{harmless(found.site)}, {harmless(found.month)}: {found.calls:,} calls, entries {found.first} to {found.last}"
        f"{erased}, {found.checkpoints:,} checkpoints"
    )
    print(f"signed by {', '.join(found.keys)}" + ("" if found.trusted else ", the key in the file itself"))
    if not found.trusted:
        say("whose key that is, only --key PUBLIC tells")
    return 0


def _purge(args: argparse.Namespace) -> int:
    from guard.store import retention
    from guard.store.books import Books
    from guard.store.reader import SqliteReader
    from guard.store.retention import DAY

    path, zone = log_of(args)
    days = load_config(args.config).file.store.retention_days if args.store is None else _default().retention_days
    now = time.time_ns() // 1000
    with SqliteReader(path, timezone=zone.key) as reader:
        calls, entries = retention.count(reader, retention.due(reader, now, days))
    kept = load_config(args.config).file.store.incident_days if args.store is None else _default().incident_days
    with Books(path, zone) as books:
        incidents, penalties = books.old(now - kept * DAY)
        written = len(incidents) + len(penalties)
        if written and not args.dry_run:
            books.erase(incidents, penalties, "retention", now)
    if not args.dry_run and entries:
        from guard.cli.subject import writing

        answer = writing(args, path, "purge", str(days), PATIENCE)
        calls, entries = answer.calls, answer.entries
    verb = "would be erased" if args.dry_run else "erased"
    print(f"{path}: {verb}: what {calls:,} calls said ({entries:,} entries) that are older than {days} days")
    if written:
        print(
            f"{books.path}: {verb}: {len(incidents):,} incidents and {len(penalties):,} penalties entered by hand that"
            f" are older than {kept} days"
        )
    return 0


def _default() -> Store:
    from guard.configschema import Store

    return Store()
