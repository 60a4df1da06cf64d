"""`python -m sim replay`: how many packets of a capture the guard takes in a second of processor time.

The capture is a working day of an office, as in the race; the guards of several folders (commits, builds) take turns.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from sim.race.captures import captured, replayed
from sim.race.proxies import ROOT

PEOPLE: Final = 2_000  # a day of 33 000 calls, 221 000 packets: what starting takes is then a fiftieth
ROUNDS: Final = 3


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("guard", nargs="*", type=Path, default=[ROOT], help="folders with a guard (this one)")
    parser.add_argument("--people", type=int, default=PEOPLE, help=f"of the office ({PEOPLE})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each guard, in turns ({ROUNDS})")
    parser.add_argument("--core", type=int, default=0, help="the core that they run on (0)")


def run(args: argparse.Namespace) -> int:
    """Make the capture, replay it, print a line a guard. Raises SimError where one cannot read it."""
    homes = [home.resolve() for home in args.guard]
    with TemporaryDirectory(prefix="sim-replay-") as folder:
        path, packets = captured(Path(folder), args.people)
        print(f"{packets:,} packets; a second of processor time, start-up and summary included", flush=True)
        rates: dict[Path, list[float]] = {home: [] for home in homes}
        for _ in range(args.rounds):
            for home, found in rates.items():
                found.append(replayed(path, packets, home, args.core).a_second)
    first = median(rates[homes[0]])
    for home, found in rates.items():
        middle = median(found)
        print(f"{middle:10,.0f} packets/s  × {middle / first:.2f}  ({min(found):,.0f} to {max(found):,.0f})  {home}")
    return 0
