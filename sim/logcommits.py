"""`python -m sim logcommits`: what a call costs the log's writer, with what finds calls for a page and without it."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from guard.model import CallAttempt, CallEnded, Decision, Finding, Text
from guard.numbering.number import Number
from guard.store.migrations import MIGRATIONS
from guard.store.schema import open_writer
from guard.store.sqlite import SqliteWriter

CALLS: Final = 20_000
ROUNDS: Final = 5
BEFORE: Final = 4  # the version of the log before there was anything to find a page by
AT: Final = 1_795_251_600_000_000  # 2026-11-21 09:00:00 UTC, µs
FINDING: Final = Finding(
    rule="cli.premium",
    action="block",
    article=("003_742b69a7556570e9.txt IV-8.1.4.1",),
    text=Text("A premium number was presented.", "Un numéro surtaxé était présenté."),
    facts={"presented": "+33899000001"},
)


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("--calls", type=int, default=CALLS, help=f"calls of a round ({CALLS:,})")


def run(args: argparse.Namespace) -> int:
    """Print microseconds of processor time a call (its decision and its end), all threads, rounds in turns."""
    for refused in (0, 4, 100):
        times: dict[int, list[float]] = {BEFORE: [], len(MIGRATIONS): []}
        for _ in range(ROUNDS):
            for version, found in times.items():
                found.append(_round(args.calls, refused, version))
        before, after = (median(found) for found in times.values())
        print(f"{refused:3} % refused: {before:6.1f} µs a call before, {after:6.1f} after, {after - before:+5.1f}")
    return 0


def _round(count: int, refused: int, version: int) -> float:
    calls = [_call(n, n % 100 < refused) for n in range(count)]
    with tempfile.TemporaryDirectory(prefix="sim-log-") as folder:
        path = Path(folder) / "guard.db"
        db = open_writer(str(path), "process", upto=version)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")  # the writer takes it as it is
        db.close()
        writer = SqliteWriter(path, site="hq", overflow="wait")
        begun = time.process_time()
        for call, decision in calls:
            seq = writer.decided(call, decision, None)
            writer.ended(seq, CallEnded(at=call.at, outcome="answered", talk_us=1_000_000, final_status=200))
        writer.close()
        return (time.process_time() - begun) / count * 1e6


def _call(n: int, blocked: bool) -> tuple[CallAttempt, Decision]:
    call = CallAttempt(
        call_id=f"{n}-log@192.0.2.5",
        from_tag=f"a{n}",
        at=AT + n * 50_000,
        source="pbx",
        source_address="192.0.2.5",
        trunk="operator",
        line=str(200 + n % 500),
        callee=Number(f"+3361{n * 7919 % 10_000_000:07d}", "e164", ""),
        caller=Number(f"+331456789{n % 100:02d}", "e164", ""),
    )
    if not blocked:
        return call, Decision(verdict="allowed", presented=call.caller.value, policy="sha256:0123")
    return call, Decision(verdict="blocked", findings=(FINDING,), rule=FINDING.rule, status=403, policy="sha256:0123")
