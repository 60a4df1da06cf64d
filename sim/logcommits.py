"""`python -m sim logcommits`: what a call costs the log's thread, straight into the tables and through the view."""

from __future__ import annotations

import argparse
import shutil
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
from sim.labelled.words import SimError

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
    parser.add_argument("--before", type=int, default=0, help="calls that are in the log already (none)")


def run(args: argparse.Namespace) -> int:
    """Print microseconds of processor time a call (its decision and its end), rounds in turns. SimError for sizes that
    are none."""
    if args.calls < 1 or args.before < 0:
        raise SimError("--calls: more than 0; --before: 0 or more")
    with tempfile.TemporaryDirectory(prefix="sim-log-") as folder:
        before, path = Path(folder) / "before.db", Path(folder) / "guard.db"
        tip, _ = _written(before, _entries(0, args.before, 0), "behind")
        for refused in (0, 4, 100):
            times: dict[Pace, list[float]] = {"behind": [], "alone": []}
            for _ in range(ROUNDS):
                for pace, found in times.items():
                    shutil.copy(before, path)
                    _, took = _written(path, _entries(args.before, args.calls, refused), pace, tip)
                    found.append(took / args.calls * 1e6)
            viewed, straight = (median(found) for found in times.values())
            print(f"{refused:3} % refused: {straight:6.1f} µs a call, {viewed:6.1f} where all goes through the view")
    return 0


def _entries(first: int, count: int, refused: int) -> list[Entry]:
    entries: list[Entry] = []
    for n in range(first, first + count):
        call, decision = _call(n, n % 100 < refused)
        end = CallEnded(at=call.at, outcome="answered", talk_us=1_000_000, final_status=200)
        entries.append(Decided(seq=2 * n + 1, call=call, decision=decision, done=None))
        entries.append(Ended(seq=2 * n + 2, call=2 * n + 1, ended=end))
    return entries


def _written(path: Path, entries: list[Entry], pace: Pace, tip: bytes = GENESIS) -> tuple[bytes, float]:
    """Write them to a log, in transactions of GROUP: the hash of the last one, and seconds of processor time."""
    with closing(open_writer(str(path), "process")) as db:
        builder = Builder(db, "hq", {})
        begun = time.process_time()
        for start in range(0, len(entries), GROUP):
            tip = commit(db, builder, entries[start : start + GROUP], tip, pace)
        return tip, time.process_time() - begun


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
