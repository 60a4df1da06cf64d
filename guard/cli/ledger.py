"""The actions of guard penalties on the ledger itself: its lines, the statement, entries by hand, the recount."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.cli.books import (
    config_of,
    contracts_of,
    day_of,
    letter_of,
    micros_of,
    now_us,
    number_of,
    number_view,
    seen_line,
    trunk_of,
    who,
    write_private,
)
from guard.cli.common import CommandError, csv_lines, json_lines, log_of
from guard.cli.show import euros, harmless, table
from guard.ledger.penalties import month_bounds
from guard.ledger.record import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from zoneinfo import ZoneInfo

    from guard.ledger.lines import LedgerLine
    from guard.ledger.recount import Difference, Recount
    from guard.store.reader import Detail, SqliteReader

FIELDS: Final = (
    "time", "state", "kind", "amount_microeuros", "trunk", "line", "number", "rule", "contract", "article", "reading",
    "seq", "call_id", "incident", "document", "reason",
)  # fmt: skip
FOR_EVER: Final = 1 << 62  # after any instant
SHOWN: Final = 20  # differences of a recount that people are shown


def add_lines(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard penalties lines`."""
    group = parser.add_mutually_exclusive_group()
    for name in ("json", "csv"):
        group.add_argument(f"--{name}", action="store_true", default=argparse.SUPPRESS, help=f"as {name.upper()}")


def add_statement(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard penalties statement`."""
    parser.add_argument("--output", type=Path, metavar="FILE", required=True, help="the page (HTML); - prints it")
    parser.add_argument("--lang", choices=("en", "fr"), default="en", help="language of the page (en)")


def add_entry(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard penalties add`."""
    parser.add_argument("--amount", required=True, metavar="EUROS", help="what is billed; a credit note is negative")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="whose penalty, and what for")
    parser.add_argument("--document", type=Path, metavar="FILE", help="the operator's letter: copied beside the log")
    parser.add_argument("--trunk", default="", metavar="T", help="the trunk that it is billed on")
    parser.add_argument("--number", default="", metavar="N", help="the calling number that it is for")
    parser.add_argument("--at", metavar="DAY", help="the day that it counts for (now)")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="JSON Lines")


def _all(reader: SqliteReader, path: str, zone: ZoneInfo, month: str) -> Iterator[LedgerLine]:
    from guard.exposure import beside
    from guard.store.money import ledger_lines

    since, until = month_bounds(month, zone)
    yield from ledger_lines(reader, since, until)
    yield from beside(path, zone, since, until, now_us())


def run_lines(args: argparse.Namespace) -> int:
    """Print every line of one month."""
    from guard.cli.penalties import month_of
    from guard.store.reader import SqliteReader

    path, zone = log_of(args)
    month = month_of(args.month, zone)
    with SqliteReader(path, timezone=zone.key) as reader:
        shown = number_view(args, path)
        lines = (seen_line(line, shown) for line in _all(reader, path, zone, month))
        if args.json:
            json_lines(line_object(line, zone) for line in lines)
        elif args.csv:
            csv_lines(FIELDS, ([harmless(str(v)) for v in line_object(line, zone).values()] for line in lines))
        else:
            _print_lines(lines, zone)
    return 0


def line_object(line: LedgerLine, zone: ZoneInfo) -> dict[str, str | int]:
    """One line as `--json` gives it."""
    values: dict[str, str | int] = {"time": iso(line.at, zone), "amount_microeuros": line.amount}
    return {name: values[name] if name in values else getattr(line, name) for name in FIELDS}


def _print_lines(lines: Iterable[LedgerLine], zone: ZoneInfo) -> None:
    heads = ("time", "state", "penalty", "amount", "number", "rule", "article", "ground")
    rows = [
        (
            iso(one.at, zone)[:19].replace("T", " "),
            one.state,
            one.kind,
            euros(one.amount),
            harmless(one.number),
            harmless(one.rule),
            harmless(one.article),
            f"#{one.seq} {harmless(one.call_id)}" if one.seq else harmless(f"{one.incident} {one.reason}"),
        )
        for one in lines
    ]
    table(heads, rows, right=("amount",))


def run_statement(args: argparse.Namespace) -> int:
    """Write the statement of one month."""
    from guard.cli.penalties import month_of
    from guard.ledger.tally import Tally
    from guard.report.statement import Head, statement
    from guard.store.reader import SqliteReader

    path, zone = log_of(args)
    config = config_of(args)
    month = month_of(args.month, zone)
    tally = Tally(zone)
    shown = number_view(args, path)
    with SqliteReader(path, timezone=zone.key) as reader:
        for line in _all(reader, path, zone, month):
            tally.add(seen_line(line, shown))
    head = Head(site=config.site if config else Path(path).name, month=month, made=now_us(), zone=zone)
    text = statement(head, tally, args.lang)
    if str(args.output) == "-":
        sys.stdout.write(text)
        return 0
    write_private(args.output, text)
    print(
        f"{harmless(str(args.output))}: {month}, accrued {euros(tally.total.accrued)},"
        f" avoided {euros(tally.total.avoided)}"
    )
    return 0


def run_entry(args: argparse.Namespace) -> int:
    """Enter a penalty by hand."""
    from guard.policy.schema import Consequence
    from guard.store.bookentries import PassedOn
    from guard.store.books import Books

    path, zone = log_of(args)
    config = config_of(args)
    trunk = trunk_of(config, args.trunk)
    amount, now = micros_of(args.amount), now_us()
    at = day_of(args.at, zone, now)
    if not args.reason.strip():
        raise CommandError("--reason is empty", status=2)
    contract = contracts_of(config).get(trunk.contract) if config is not None and trunk is not None else None
    ground: Consequence | None = None
    if contract is not None:
        ground = next((c for c in contract.consequence if c.kind == "penalties-passed-on"), None)
    with Books(path, zone) as books:
        entry = PassedOn(
            at=at,
            written=now,
            amount=amount,
            reason=args.reason.strip(),
            trunk=args.trunk or (trunk.name if trunk is not None else ""),
            number=number_of(args.number) if args.number else "",
            contract=contract.id if contract is not None else "",
            article=f"{contract.file} {ground.article}" if contract is not None and ground is not None else "",
            who=who(),
            document=letter_of(books, args.document),
        )
        seq = books.enter(entry)
    if args.json:
        json_lines([{"entry": seq, "amount_microeuros": amount, "time": iso(at, zone)}])
    else:
        print(f"entry {seq}: {euros(amount)} on {iso(at, zone)[:10]}")
    return 0


def run_recount(args: argparse.Namespace) -> int:
    """Count the log anew by the contracts in force; status 1 where something differs from what was written."""
    from guard.ledger.recount import Recount
    from guard.policy.money import figures_of
    from guard.store.contract import Query
    from guard.store.money import erased_sums, fined_and_erased
    from guard.store.reader import SqliteReader

    config = config_of(args)
    if config is None:
        raise CommandError("--recount needs a configuration (-c FILE): it holds the contracts of the trunks", status=2)
    path, zone = log_of(args)
    count = Recount(figures_of(config, contracts_of(config)))
    differences: list[Difference] = []
    differing = 0
    with SqliteReader(path, timezone=zone.key) as reader:
        for trunk, at in fined_and_erased(reader):
            count.erased(trunk, at)
        # From the first entry: whether a number was fined before is only known from what came before.
        gone, gone_accrued, gone_avoided = erased_sums(reader, 0, FOR_EVER)
        for found in _differences(count, reader.details(Query(all=True))):
            differing += 1
            if args.json:
                json_lines([_difference(found)])
            elif len(differences) < SHOWN:
                differences.append(found)
    if args.json:
        sums = {"accrued_microeuros": count.accrued, "avoided_microeuros": count.avoided}
        erased = {"calls": gone, "accrued_microeuros": gone_accrued, "avoided_microeuros": gone_avoided}
        told = {"calls": count.calls, "differences": differing, "unsure": count.unsure, **sums, "erased": erased}
        json_lines([{"key": "total", **told}])
        return 1 if differing else 0
    for one in differences:
        was, new = one.written, one.counted
        print(
            f"#{one.seq} {harmless(one.call_id)}: written {euros(was.accrued)} accrued, {euros(was.avoided)} avoided;"
            f" counted {euros(new.accrued)}, {euros(new.avoided)} ({', '.join(one.fields)})"
        )
    if differing > len(differences):
        print(f"and {differing - len(differences):,} more")
    print(
        f"{count.calls:,} calls counted anew: {euros(count.accrued)} accrued, {euros(count.avoided)} avoided before"
        f" what was put off; {differing:,} differ from what was written"
    )
    if gone:
        print(
            f"{gone:,} calls that cost were erased: {euros(gone_accrued)} accrued, {euros(gone_avoided)} avoided"
            " stay in the sums, as they were written"
        )
    if count.unsure:
        print(f"{count.unsure:,} rest on calls that were erased: there what was written is believed")
    return 1 if differing else 0


def _differences(count: Recount, details: Iterable[Detail]) -> Iterator[Difference]:
    for detail in details:
        seq = detail.record.seq
        yield from count.late(seq)
        found = count.take(seq, detail.body)
        if found is not None:
            yield found
        count.ended(detail.end_seq, seq, detail.body, detail.end)
    yield from count.late()


def _difference(one: Difference) -> dict[str, object]:
    return {
        "seq": one.seq,
        "call_id": one.call_id,
        "trunk": one.trunk,
        "fields": one.fields,
        "written": one.written,
        "counted": one.counted,
    }
