"""`python -m sim flat`: workers that know more and more lines and carry more and more calls, measured in turns."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from sim.flat.pages import PAGE, PLOT, Found, Point, page, plot
from sim.flat.world import Grown
from sim.labelled.words import SimError
from sim.race.load import environment
from sim.race.machine import load, source, versions
from sim.race.proxies import COMPILED, ROOT, compiled_modules

WORLD: Final = Path(__file__).with_name("world.py")
LINES: Final = "1000,10000,100000,1000000"
CALLS: Final = "10,100,1000,10000,50000"
UP: Final = 50  # calls that are up while lines are varied
KNOWN: Final = 100_000  # lines that are known while calls and callers are varied, or more where more call
PER_CALL: Final = 20  # callers for each call that is up: each calls once an hour, for three minutes
ACTIVE: Final = 1_000  # lines that call while only the number of known ones varies
ROUNDS: Final = 7
COUNT: Final = 400  # calls a round


class Place(Struct, frozen=True):
    """What one worker has: lines that are known, calls that are up, lines that call (0: all). `axis`: what varies."""

    axis: str
    lines: int
    calls: int
    callers: int

    @property
    def size(self) -> int:
        return self.calls if self.axis.startswith("calls") else self.lines

    @property
    def words(self) -> tuple[str, ...]:
        """What a worker is told."""
        return str(self.lines), str(self.calls), str(self.callers or self.lines)


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("--lines", default=LINES, help=f"known lines, with commas between ({LINES})")
    parser.add_argument("--calls", default=CALLS, help=f"calls at once, with commas between ({CALLS})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each, in turns ({ROUNDS})")
    parser.add_argument("--count", type=int, default=COUNT, help=f"calls a round ({COUNT})")
    parser.add_argument(
        "--only", choices=("interpreted", "compiled"), help="this build of the guard only; both without it"
    )
    parser.add_argument(
        "--compiled", type=Path, default=COMPILED, metavar="FOLDER", help="the guard, compiled (build/compiled)"
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE} and its plot")


def run(args: argparse.Namespace) -> int:
    """Measure, and print the page."""
    places = laid_out(sizes("lines", args.lines), sizes("calls", args.calls))
    if args.rounds < 1 or args.count < 1:
        raise SimError("--rounds and --count: more than 0")
    found = [
        Found(build, [Point(p.axis, p.size, *figures) for p, figures in zip(places, measured, strict=True)])
        for build, measured in _builds(args, places)
    ]
    modules = compiled_modules(args.compiled)
    text = page(found, _command(args), f"{versions()}; guard {source()}", load(), modules, args.rounds, args.count)
    print(text)
    if args.write:
        path = ROOT / PAGE
        path.write_text(text, encoding="utf-8")
        path.with_name(PLOT).write_text(plot(found), encoding="utf-8")
        _tell(f"wrote {path} and {path.with_name(PLOT)}")
    return 0


def sizes(name: str, text: str) -> list[int]:
    """Numbers with commas between. SimError where they are none, or do not rise."""
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or found[0] < 1 or any(b <= a for a, b in pairwise(found)):
        raise SimError(f"--{name} {text}: rising numbers from 1 on, with commas between")
    return found


def laid_out(lines: Sequence[int], calls: Sequence[int]) -> list[Place]:
    """All that is measured. The first of each axis is what the others are compared with."""
    most = PER_CALL * calls[-1]
    return [
        *(Place("lines, all calling", n, UP, 0) for n in lines),
        *(Place("lines, the same calling", n, UP, min(ACTIVE, lines[0])) for n in lines),
        *(Place("calls, the same callers", most, n, most) for n in calls),
        *(Place("calls and callers", max(min(KNOWN, lines[-1]), PER_CALL * n), n, PER_CALL * n) for n in calls),
    ]


def _builds(args: argparse.Namespace, places: Sequence[Place]) -> list[tuple[str, list[tuple[Grown, list[float]]]]]:
    homes = {"interpreted": ROOT, "compiled": args.compiled.resolve()}
    found = []
    for build, home in homes.items():
        if args.only in {None, build}:
            if not (home / "guard" / "cli" / "main.py").is_file():
                raise SimError(f"no guard in {home}: make build/compiled/.ready makes it there")
            found.append((build, turns(build, home, places, args.rounds, args.count)))
    return found


def turns(build: str, home: Path, places: Sequence[Place], rounds: int, count: int) -> list[tuple[Grown, list[float]]]:
    """What the worker of each place has, and its µs a call in each round; SimError where one ends. Places that are told
    the same have one."""
    workers: dict[tuple[str, ...], subprocess.Popen[str]] = {}
    try:
        for words in dict.fromkeys(place.words for place in places):
            workers[words] = subprocess.Popen(
                [sys.executable, "-P", str(WORLD), *words],
                cwd=home,
                env=environment(home),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        grown: dict[tuple[str, ...], Grown] = {}
        for words, worker in workers.items():
            grown[words] = msgspec.json.decode(_said(worker), type=Grown)
            _tell(f"{build}, lines, calls, callers {', '.join(words)}: {grown[words]}")
        order = list(workers)
        times: dict[tuple[str, ...], list[float]] = {words: [] for words in order}
        for n in range(rounds + 1):
            at = n % len(order)
            for words in (*order[at:], *order[:at]):
                took = _ask(workers[words], count)
                if n:  # the first round of each warms up
                    times[words].append(took)
            _tell(f"{build}: round {n} of {rounds}")
        return [(grown[place.words], times[place.words]) for place in places]
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()


def _ask(worker: subprocess.Popen[str], count: int) -> float:
    if worker.stdin is not None:
        worker.stdin.write(f"{count}\n")
        worker.stdin.flush()
    return float(_said(worker))


def _said(worker: subprocess.Popen[str]) -> str:
    line = worker.stdout.readline() if worker.stdout is not None else ""
    if not line:
        raise SimError(f"a worker ended with status {worker.wait()}: {worker.args!r}")
    return line


def _command(args: argparse.Namespace) -> str:
    usual = {"lines": LINES, "calls": CALLS, "rounds": ROUNDS, "count": COUNT, "only": None}
    said = [f"--{name} {getattr(args, name)}" for name, value in usual.items() if getattr(args, name) != value]
    return " ".join(["python -m sim flat", *said, *(["--write"] if args.write else [])])


def _tell(text: str) -> None:
    print(f"flat: {text}", file=sys.stderr, flush=True)
