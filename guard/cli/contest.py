"""guard penalties reconcile: an operator's file held against the log, and the dossier of what to contest."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from guard.cli.books import config_of, contracts_of, day_of, now_us, number_view, trunk_of, write_private
from guard.cli.common import CommandError, cell, json_lines, log_of
from guard.cli.show import euros, harmless, table
from guard.ledger.penalties import month_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from guard.config import Config
    from guard.ledger.invoice import Invoice
    from guard.ledger.reconcile import Item
    from guard.report.dossier import Contest, Share

LARGEST: Final = 256 << 20  # octets of a file: beyond this it is no invoice
FIRST: Final = 20  # mistakes that are told of one file
DAY: Final = 86_400_000_000  # µs: calls of the days on both sides of the month explain rows at its edges


def add_reconcile(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard penalties reconcile`."""
    option = parser.add_argument
    option("file", type=Path, metavar="INVOICE.csv", help="date and time, calling number, called number, amount")
    option("--trunk", default="", metavar="T", help="the operator's trunk (the only one there is)")
    option("--columns", default="", metavar="C=HEADING,...", help="headings of at, time, caller, callee, amount")
    option("--received", metavar="DAY", help="when the invoice came: the time to contest counts from it (now)")
    option("--calls", action="store_true", help="the file lists calls, not penalties: each that left agrees")
    option("--tolerance", type=int, default=120, metavar="S", help="seconds between two clocks (120)")
    option("--output", type=Path, metavar="FILE", help="the dossier (HTML); its rows beside it as CSV")
    option("--lang", choices=("en", "fr"), default="en", help="language of the dossier (en)")
    unsaid = argparse.SUPPRESS
    option("--json", action="store_true", default=unsaid, help="JSON Lines: an object a finding, then the total")


def run_reconcile(args: argparse.Namespace) -> int:
    """Hold the file against the log. Status 1 where something is to be contested."""
    from guard.cli.penalties import month_of
    from guard.ledger.reconcile import reconcile
    from guard.report.dossier import dossier
    from guard.store.money import erased_decisions, kept_calls
    from guard.store.reader import SqliteReader

    path, zone = log_of(args)
    month = month_of(args.month, zone)
    if not 0 <= args.tolerance <= 86_400:
        raise CommandError("--tolerance is more than a day, or less than nothing", status=2)
    if number_view(args, path) is not str:
        raise CommandError(f"{path}: an invoice is held against numbers in full, which are not shown to you")
    invoice = _invoice(args.file, zone, args.columns)
    contest = _contest(args, config_of(args), zone, month, invoice)
    since, until = month_bounds(month, zone)
    with SqliteReader(path, timezone=zone.key) as reader:
        around = list(kept_calls(reader, since - DAY, until + DAY, contest.trunk))
        contest = replace(contest, erased=erased_decisions(reader, since, until))
    penalties = not args.calls and "amount" in invoice.columns
    items = reconcile(invoice.rows, around, tolerance=contest.tolerance, penalties=penalties)
    # Of the days around the month only what explains a row is told.
    items = [i for i in items if i.billed is not None or (i.kept is not None and since <= i.kept.at < until)]
    if args.output is not None:
        write_private(args.output, dossier(contest, items, args.lang))
        write_private(args.output.with_suffix(".csv"), _csv(items, zone))
    _tell(args, contest, items)
    return 1 if any(i.contested or i.kind in {"refused", "unknown"} for i in items) else 0


def _invoice(path: Path, zone: ZoneInfo, columns: str) -> Invoice:
    from guard.ledger.invoice import InvoiceError, read_invoice, text_of

    named = dict(part.split("=", 1) for part in columns.split(",") if "=" in part)
    if columns and len(named) != columns.count(",") + 1:
        raise CommandError(f'--columns "{columns}": write it as at=Date,caller=Appelant', status=2)
    try:
        if path.stat().st_size > LARGEST:
            raise CommandError(f"{path}: larger than {LARGEST >> 20} MiB")
        return read_invoice(text_of(path.read_bytes()), zone, named)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except InvoiceError as error:
        more = len(error.problems) - FIRST
        lines = [f"{path}: {harmless(p)}" for p in error.problems[:FIRST]]
        raise CommandError(*lines, *([f"{path}: and {more} more"] if more > 0 else [])) from error


def _contest(args: argparse.Namespace, config: Config | None, zone: ZoneInfo, month: str, invoice: Invoice) -> Contest:
    from guard.ledger.days import Limit, ends
    from guard.report.dossier import Contest

    now = now_us()
    received = day_of(args.received, zone, now)
    trunk = trunk_of(config, args.trunk)
    if trunk is None and not args.trunk:
        raise CommandError("--trunk T: the log has calls of several trunks, or there is no configuration", status=2)
    contract = contracts_of(config).get(trunk.contract) if config is not None and trunk is not None else None
    clause = next((c for c in contract.contesting if c.within is not None), None) if contract is not None else None
    within = clause.within if clause is not None else None
    country = contract.country if contract is not None else "FR"
    return Contest(
        site=config.site if config is not None else "",
        trunk=trunk.name if trunk is not None else args.trunk,
        month=month,
        file=args.file.name,
        contract=contract.id if contract is not None else "",
        received=received,
        made=now,
        zone=zone,
        tolerance=args.tolerance * 1_000_000,
        limit=within.value if within is not None else 0,
        unit=within.unit if within is not None else "",
        article=f"{contract.file} {clause.article}" if contract is not None and clause is not None else "",
        says=clause.says if clause is not None else "",
        quote=clause.quote if clause is not None else "",
        deadline=ends(received, Limit(within.value, within.unit), zone, country) if within is not None else None,
        skipped=invoice.skipped,
    )


def _csv(items: Sequence[Item], zone: ZoneInfo) -> str:
    from guard.report.dossier import CSV_HEAD, csv_row

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for item in items:
        writer.writerow([cell(harmless(v) if isinstance(v, str) else v) for v in csv_row(item, zone)])
    return out.getvalue()


def _tell(args: argparse.Namespace, contest: Contest, items: Sequence[Item]) -> None:
    from guard.ledger.record import iso
    from guard.report.dossier import CSV_HEAD, csv_row, shares, whole

    by = shares(items)
    contested = sum(s.contested for s in by.values())
    deadline = iso(contest.deadline, contest.zone) if contest.deadline is not None else None
    if args.json:
        json_lines(dict(zip(CSV_HEAD, csv_row(i, contest.zone), strict=True)) for i in items)
        counts: dict[str, int] = {name: share.rows for name, share in by.items()}
        json_lines([{"key": "total", "contested_microeuros": contested, "deadline": deadline} | counts])
        return
    print(f"{harmless(contest.file)} against the log of trunk {harmless(contest.trunk)}, {contest.month}")
    rows = [_row(name, share) for name, share in by.items()]
    rows.append(_row("total", whole(by)))
    heads = ("finding", "rows", "billed", "our ledger", "contested")
    table(heads, rows, right=heads[1:])
    if contest.erased:
        print(f"{contest.erased:,} calls of that month were erased from the log: of these nothing can be said")
    if contest.deadline is not None and deadline is not None:
        print(f"to be contested by {deadline[:10]} ({harmless(contest.article)}): {contest.says}")
    else:
        print("no contract here names a time limit for contesting")
    if args.output is not None:
        print(f"dossier: {harmless(str(args.output))}, {harmless(str(args.output.with_suffix('.csv')))}")


def _row(name: str, share: Share) -> tuple[str, ...]:
    return (name, f"{share.rows:,}", euros(share.billed), euros(share.ours), euros(share.contested))
