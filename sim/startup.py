"""`python -m sim startup`: how long a guard takes from its start to its first call, and what its commands take.

Each round starts everything once, in turns, beside a bare interpreter; medians are told, and how many bare interpreters
they are: machines are shared, ratios are not. Byte code is kept as an installation has it (`pip install` writes it); a
round that does not count sees to that.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from msgspec import Struct

from sim.labelled.words import SimError
from sim.logfill import fill
from sim.race.load import environment, ports, said, start, stop
from sim.race.proxies import COMPILED, ROOT, first_call, proxies
from sim.upcalls import fill_up

ROUNDS: Final = 11
CALLS: Final = 100_000  # of the log that a guard starts with
GUARD: Final = "guard"  # of those that race: every rule and detector, UDP and TCP, nothing else
STORE: Final = "guard.db"
BARE: Final = "a bare interpreter"
FLOOR: Final = "the same with asyncio, uvloop, msgspec and SQLite"
NS: Final = 1e6  # of a millisecond

LAST: Final = ("guard log", ("-P", "-m", "guard.cli.main", "log", "-c"))
COMMANDS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (BARE, ("-c", "pass")),
    (FLOOR, ("-c", "import asyncio, uvloop, msgspec, sqlite3, argparse, logging")),
    ("guard --help", ("-P", "-m", "guard.cli.main", "--help")),
    ("guard check", ("-P", "-m", "guard.cli.main", "check", "-c")),
)


class Took(Struct, frozen=True):
    """One start, in milliseconds: by the clock, and of processor time (all threads)."""

    wall: float
    cpu: float


Start = Callable[[], Took]


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, metavar="N", help=f"of which the median is told ({ROUNDS})"
    )
    parser.add_argument("--calls", type=int, default=CALLS, metavar="N", help=f"calls of the log, 0: none ({CALLS:,})")
    parser.add_argument("--up", type=int, default=0, metavar="N", help="calls that were up when it stopped (none)")
    parser.add_argument(
        "--home", type=Path, action="append", metavar="FOLDER",
        help="start the guard that is there; several are started in turns (this one; "
        f"{COMPILED.relative_to(ROOT)} for the compiled one)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print medians and ratios."""
    if args.rounds < 1:
        raise SimError(f"--rounds {args.rounds}: at least one")
    homes = [home.resolve() for home in args.home or [ROOT]]
    with tempfile.TemporaryDirectory(prefix="sim-startup-") as name:
        folder = Path(name)
        starts = dict(_starts(folder, homes, args.calls, args.up))
        found: dict[str, list[Took]] = {what: [] for what in starts}
        for n in range(args.rounds + 1):
            for what, begin in starts.items():
                took = begin()
                if n:  # the first round has written the byte code
                    found[what].append(took)
    bare = _middle(found[BARE])
    print(f"{'':54} {'ms':>7} {'× bare':>7}   {'of processor time':>17}")
    for what, several in found.items():
        one = _middle(several)
        print(
            f"{what:54} {one.wall:7.0f} {one.wall / bare.wall:7.1f} {one.cpu:11.0f} ms {one.cpu / bare.cpu:7.1f} × bare"
        )
    return 0


def _middle(several: list[Took]) -> Took:
    return Took(median(t.wall for t in several), median(t.cpu for t in several))


def _starts(folder: Path, homes: list[Path], calls: int, up: int) -> Iterator[tuple[str, Start]]:
    """What is started, by its name."""
    log, talking = folder / "filled.db", folder / "talking.db"
    if calls:
        fill(log, calls, 1, lambda _: None)
    if up:
        fill_up(talking, up)
    for i, home in enumerate(homes):
        there = f", {home.name}" if len(homes) > 1 else ""
        bench = _Bench(folder / f"{i}", home)
        for what, words in COMMANDS:
            if "-m" in words or not i:
                yield what + (there if "-m" in words else ""), bench.ending(words)
        yield f"guard run, to its first call{there}", bench.serving(None)
        if calls:
            yield f"the same with a log of {calls:,} calls{there}", bench.serving(log)
        if up:
            yield f"the same with {up:,} calls up{there}", bench.serving(talking)
        what, words = LAST
        yield what + there, bench.ending(words)


class _Bench:
    """Starts the guard of one folder."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder, self._home = folder, home
        self._where = ports()
        folder.mkdir()
        (guard,) = (p for p in proxies(COMPILED) if p.key == GUARD)
        assert guard.words is not None
        self._words = guard.words(folder, self._where)

    def ending(self, words: tuple[str, ...]) -> Start:
        """A program that ends by itself. It gets the configuration where its words end in `-c`."""
        words = (*words, self._words[-1]) if words[-1] == "-c" else words

        def begin() -> Took:
            begun = time.perf_counter_ns()
            with (self._folder / "said.log").open("wb") as log:
                pid = os.posix_spawn(
                    sys.executable, [sys.executable, *words], environment(self._home),
                    file_actions=[(os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)],
                )  # fmt: skip
                _, status, usage = os.wait4(pid, 0)
            wall = time.perf_counter_ns() - begun
            if status:
                raise SimError(f"{' '.join(words)}: {said(self._folder, 'said')}")
            return Took(wall / NS, (usage.ru_utime + usage.ru_stime) * 1000)

        return begin

    def serving(self, log: Path | None) -> Start:
        """A guard, until it has sent its first INVITE on; with a copy of this log, or with none."""

        def begin() -> Took:
            for old in self._folder.glob(f"{STORE}*"):
                old.unlink()
            if log is not None:
                for file in log.parent.glob(f"{log.name}*"):
                    shutil.copy(file, self._folder / file.name.replace(log.name, STORE))
            process = None
            begun = time.monotonic()
            try:
                process = start(self._words, self._folder, "proxy", self._home)
                out = first_call(self._where, process, self._folder)
                return Took((out - begun) * 1000, worked(process.pid) / NS)
            finally:
                if process is not None:
                    stop(process)

        return begin


def worked(pid: int) -> int:
    """Processor time of a process so far, all its threads, in nanoseconds (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2)
