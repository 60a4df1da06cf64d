"""`python -m sim logcommits`: what a call costs the log's thread, straight into the tables and through the view."""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Final

from guard.ledger.chain import GENESIS
from guard.model import CallAttempt, CallEnded, Decision, Finding, Text
from guard.numbering.number import Number
from guard.store.entries import Decided, Ended, Entry
from guard.store.rows import Builder, commit
from guard.store.schema import open_writer
from guard.store.tables import Pace

CALLS: Final = 20_000
ROUNDS: Final = 5
GROUP: Final = 250  # entries in a transaction: half a second's at 250 calls/s
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
    """Print microseconds of processor time a call (its decision and its end), rounds in turns."""
    for refused in (0, 4, 100):
        times: dict[Pace, list[float]] = {"behind": [], "alone": []}
        for _ in range(ROUNDS):
            for pace, found in times.items():
                found.append(_round(args.calls, refused, pace))
        viewed, straight = (median(found) for found in times.values())
        print(f"{refused:3} % refused: {straight:6.1f} µs a call, {viewed:6.1f} where all goes through the view")
    return 0


def _round(count: int, refused: int, pace: Pace) -> float:
    entries: list[Entry] = []
    for n in range(count):
        call, decision = _call(n, n % 100 < refused)
        end = CallEnded(at=call.at, outcome="answered", talk_us=1_000_000, final_status=200)
        entries.append(Decided(seq=2 * n + 1, call=call, decision=decision, done=None))
        entries.append(Ended(seq=2 * n + 2, call=2 * n + 1, ended=end))
    with (
        tempfile.TemporaryDirectory(prefix="sim-log-") as folder,
        closing(open_writer(str(Path(folder) / "guard.db"), "process")) as db,
    ):
        builder, tip = Builder(db, "hq", {}), GENESIS
        begun = time.process_time()
        for start in range(0, len(entries), GROUP):
            tip = commit(db, builder, entries[start : start + GROUP], tip, pace)
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
