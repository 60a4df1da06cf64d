"""`python -m sim logbench`: how long each filter of the log takes for a page, the longest waits included.

A page is what the web asks for: fifty calls with all that is kept of them, and the cursors beside it. Each filter is
asked for the newest page, for the one behind it and for one from the middle of the log, again and again; each answer
comes from the same reader, so that the file is as
warm as that of a running guard; the first look at each page, which is the disk's time, does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from guard.exposure import month_sums
from guard.ledger.penalties import month_of
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from guard.web.data import calls
from guard.web.data.pool import CACHE_KIB
from sim.labelled.words import SimError

ROUNDS: Final = 40
AIM: Final = 200.0  # ms, at the 95th percentile
ZONE: Final = ZoneInfo("Europe/Paris")
HOUR: Final = 3_600_000_000


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("--path", type=Path, required=True, metavar="DB", help="a log, such as logfill makes")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"pages of each filter ({ROUNDS})")


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 where a filter misses the aim."""
    if not args.path.exists():
        raise SimError(f"{args.path}: there is none; make one with `python -m sim logfill`")
    missed = 0
    with SqliteReader(args.path, timezone=ZONE.key) as reader:
        reader.fetch(f"PRAGMA cache_size = -{CACHE_KIB}")
        last = reader.last_seq()
        print(f"{last:,} entries, {args.path.stat().st_size / 1e9:.2f} GB; milliseconds of a page of {calls.PAGE}\n")
        print("| filter | found | more looks | p50 | p95 | most |\n|---|---:|---:|---:|---:|---:|")
        for name, query in filters(reader):
            missed += _row(reader, name, query, last, max(args.rounds, 2))
        print()
        at = _newest(reader)
        month = month_of(at, ZONE)
        for by in ("rule", "day", "number"):
            took = _timed(lambda by=by: month_sums(reader, ZONE, month, by, at), 3)  # type: ignore[misc]
            print(f"exposure of {month} by {by}: {took[1]:.0f} ms")
    return 1 if missed else 0


def filters(reader: SqliteReader) -> Iterator[tuple[str, Query]]:
    """Every filter alone, with and without the allowed calls; those that go together; those that nothing fits."""
    at = _newest(reader)
    one = next(reader.records(Query(rule="cli.premium", newest_first=True, limit=1)))
    seldom = next(reader.records(Query(all=True, after=reader.last_seq() // 3, limit=1)))
    day = 24 * HOUR
    yield "none", Query()
    yield "all", Query(all=True)
    for verdict in ("blocked", "masked", "flagged"):
        yield f"verdict {verdict}", Query(verdict=verdict)
    yield "verdict allowed", Query(verdict="allowed")
    yield "rule, often", Query(rule="cli.premium")
    yield "rule, five times", Query(rule="dst.risk")
    yield "rule at the end, all", Query(rule="traffic.callback", all=True)
    yield "rule cli.*", Query(rule="cli.*")
    yield "rule never", Query(rule="dst.refused")
    for name, number in (("busiest", "+33145678900"), ("one", one.caller), ("nobody", "+33999999999")):
        yield f"caller {name}", Query(caller=number)
        yield f"caller {name}, all", Query(caller=number, all=True)
    yield "caller +331456*, all", Query(caller="+331456*", all=True)
    yield "caller +33100*", Query(caller="+33100*")
    for name, number in (("busiest", "+33600000000"), ("one", one.callee), ("nobody", "+33999999999")):
        yield f"callee {name}", Query(callee=number)
        yield f"callee {name}, all", Query(callee=number, all=True)
    for beginning in ("+336*", "+3360001*", "+33600012*", "+44*"):
        yield f"callee {beginning}", Query(callee=beginning)
        yield f"callee {beginning}, all", Query(callee=beginning, all=True)
    yield "trunk backup", Query(trunk="backup")
    yield "trunk backup, all", Query(trunk="backup", all=True)
    yield "trunk operator", Query(trunk="operator")
    for name, line in (("busiest", "200"), ("one", seldom.line), ("nobody", "none"), ("2*", "2*")):
        yield f"line {name}", Query(line=line)
        yield f"line {name}, all", Query(line=line, all=True)
    yield "call-id", Query(call_id=seldom.call_id, all=True)
    yield "call-id of none", Query(call_id="none", all=True)
    yield "last hour", Query(since=at - HOUR)
    yield "last hour, all", Query(since=at - HOUR, all=True)
    yield "a day long ago", Query(since=at - 150 * day, until=at - 149 * day)
    yield "a day long ago, all", Query(since=at - 150 * day, until=at - 149 * day, all=True)
    yield "before the log", Query(until=at - 400 * day, all=True)
    yield "after the log", Query(since=at + day, all=True)
    yield "blocked, trunk, last week", Query(verdict="blocked", trunk="operator", since=at - 7 * day)
    yield "blocked, line, rule", Query(verdict="blocked", line="200", rule="cli.premium")
    yield "busiest caller and line, all", Query(caller="+33145678900", line="200", all=True)
    yield "busiest caller, rule five times", Query(caller="+33145678900", rule="dst.risk")
    yield "busiest caller, callee nobody, all", Query(caller="+33145678900", callee="+33999999999", all=True)
    yield "trunk backup, line one, all", Query(trunk="backup", line=seldom.line, all=True)
    yield "busiest line, trunk backup, flagged", Query(line="200", trunk="backup", verdict="flagged")
    yield "inbound, busiest callee, masked", Query(direction="inbound", callee="+33600000000", verdict="masked")
    yield "busiest caller, line 9*, all", Query(caller="+33145678900", line="9*", all=True)
    yield "rule, often, of allowed calls", Query(rule="cli.premium", verdict="allowed")
    yield "rule *, masked, last day", Query(rule="*", verdict="masked", since=at - day)
    yield "trunk operator, callee +44*, all", Query(trunk="operator", callee="+44*", all=True)


def _row(reader: SqliteReader, name: str, query: Query, last: int, rounds: int) -> int:
    """One line of the table; whether the filter misses the aim."""
    first = calls.page(reader, query)
    found, looks = len(first.calls), 0
    page = first
    while not page.calls and page.older is not None and looks < 1_000:  # what is rare is looked for on and on
        page = calls.page(reader, query, before=page.older)
        found, looks = len(page.calls), looks + 1
    cursors = [None, first.older, last // 2]
    for cursor in cursors:  # the first look at a page of the file is the disk's time
        calls.page(reader, query, before=cursor)
    times = [
        took
        for n in range(rounds)
        for took in _timed(lambda at=cursors[n % 3]: calls.page(reader, query, before=at), 1)  # type: ignore[misc]
    ]
    times.sort()
    p95 = times[min(len(times) - 1, len(times) * 95 // 100)]
    mark = "" if p95 < AIM else " missed"
    more = f"{looks}" if looks else ""
    print(
        f"| {name} | {found} | {more} | {times[len(times) // 2]:.1f} | {p95:.1f}{mark} | {times[-1]:.1f} |", flush=True
    )
    return 1 if mark else 0


def _timed(what: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each of so many times."""
    out = []
    for _ in range(rounds):
        begun = time.perf_counter()
        what()
        out.append((time.perf_counter() - begun) * 1e3)
    return out


def _newest(reader: SqliteReader) -> int:
    """When the last call was (Unix time, µs)."""
    found = next(reader.details(Query(all=True, newest_first=True, limit=1)), None)
    if found is None:
        raise SimError(f"{reader.path}: no call in it")
    return found.body.at
