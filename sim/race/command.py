"""`python -m sim race`: the same calls through the guard, Kamailio and a bare forwarder, in turns, and a page of it."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from sim.labelled.words import SimError
from sim.race.apart import measured
from sim.race.captures import captured, dissected, replayed
from sim.race.kamailio import complete
from sim.race.machine import cores, versions
from sim.race.pages import PLOT, page, plot
from sim.race.proxies import COMPILED, ROOT, Proxy, compiled_modules, proxies
from sim.race.results import Build, Result, Row
from sim.race.rounds import Course, Round, turns
from sim.race.wire import may_capture

PAGE: Final = "docs/performance-race.md"
ROUNDS: Final = 5
SECONDS: Final = 4.0
RATE: Final = 500.0
HOLD: Final = 3.0
CALLS: Final = 1_500
PEOPLE: Final = 400
LINES: Final = 20_000
MOST: Final = 3_000.0  # calls a second that two sipps on one core are good for: searches begin below
NEEDED: Final = {"taskset": "util-linux", "sipp": "sip-tester", "kamailio": "kamailio", "redis-server": "redis-server"}


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each proxy, in turns ({ROUNDS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of calls a round ({SECONDS:g})")
    parser.add_argument("--rate", type=float, default=RATE, help=f"calls a second ({RATE:g})")
    parser.add_argument(
        "--hold",
        type=float,
        default=HOLD,
        help=f"seconds at each rate of the search for the highest; 0: none ({HOLD:g})",
    )
    parser.add_argument("--calls", type=int, default=CALLS, help=f"up at once, for their memory; 0: none ({CALLS})")
    parser.add_argument(
        "--people", type=int, default=PEOPLE, help=f"of the office whose day is replayed; 0: none ({PEOPLE})"
    )
    parser.add_argument("--lines", type=int, default=LINES, help=f"that are known, for their memory; 0: none ({LINES})")
    parser.add_argument("--only", default="", metavar="KEYS", help="these proxies only, with commas between")
    parser.add_argument(
        "--compiled", type=Path, default=COMPILED, metavar="FOLDER", help="the guard, compiled (build/compiled)"
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE} and its plot")


def run(args: argparse.Namespace) -> int:
    """Race, and print the page."""
    racers = _racers(args)
    missing = [f"{program} (package {package})" for program, package in NEEDED.items() if shutil.which(program) is None]
    if not complete():
        missing.append("Kamailio's SQLite (package kamailio-sqlite-modules)")
    if missing:
        raise SimError(f"missing: {', '.join(missing)}")
    with TemporaryDirectory(prefix="sim-race-") as folder:
        result = _race(args, racers, Path(folder))
    text = page(result)
    print(text)
    if args.write:
        path = ROOT / PAGE
        path.write_text(text, encoding="utf-8")
        path.with_name(PLOT).write_text(plot(result), encoding="utf-8")
        _tell(f"wrote {path} and {path.with_name(PLOT)}")
    return 0


def _racers(args: argparse.Namespace) -> Sequence[Proxy]:
    for name in ("rounds", "seconds", "rate"):
        if getattr(args, name) <= 0:
            raise SimError(f"--{name} {getattr(args, name):g}: more than 0")
    if not (args.compiled / "guard" / "cli" / "main.py").is_file():
        raise SimError(f"no guard in {args.compiled}: make build/compiled/.ready makes it there")
    every = proxies(args.compiled.resolve())
    chosen = [k.strip() for k in args.only.split(",") if k.strip()]
    for key in chosen:
        if key not in {p.key for p in every}:
            raise SimError(f'nobody is called "{key}": {", ".join(p.key for p in every)}')
    return [p for p in every if not chosen or p.key in chosen]


def _race(args: argparse.Namespace, racers: Sequence[Proxy], folder: Path) -> Result:
    ours = cores()
    hindered = may_capture(folder, ours.ends)
    course = Course(folder, ours, not hindered)
    rounds = turns(course, racers, args.rate, args.seconds, args.rounds, _tell)
    return Result(
        command=_command(args),
        versions=versions(),
        cores=ours,
        rate=args.rate,
        seconds=args.seconds,
        hold=args.hold,
        calls=args.calls,
        hindered=hindered,
        rows=[_row(args, course, proxy, [r for r in rounds if r.key == proxy.key]) for proxy in racers],
        builds=_builds(args, racers, ours.proxy),
        compiled=compiled_modules(args.compiled),
        replays=_replays(args, racers, folder, ours.proxy),
    )


def _row(args: argparse.Namespace, course: Course, proxy: Proxy, rounds: list[Round]) -> Row:
    """All figures of one proxy: those of its rounds, and what is looked at once."""
    proxied = proxy.words is not None
    highest, levels, memory = 0.0, [], None
    if args.hold > 0:
        used = median((r.cpu_us if proxied else 2 * r.ends_us) for r in rounds)
        highest = course.highest(proxy, min(MOST, 1e6 / max(1.0, used)), args.hold)
        if highest and proxied and course.tapped:
            levels = course.levels(proxy, highest, args.hold)
        _tell(f"{proxy.key}: at most {highest:.0f} calls/s")
    if args.calls > 0 and proxied:
        memory = course.call_memory(proxy, args.rate, args.calls)
        _tell(f"{proxy.key}: {memory:.1f} kB a call")
    return Row(key=proxy.key, title=proxy.title, rounds=rounds, highest=highest, levels=levels, call_kb=memory)


def _builds(args: argparse.Namespace, racers: Sequence[Proxy], core: int) -> list[Build]:
    if args.lines <= 0:
        return []
    homes = {"guard": ("interpreted", ROOT), "guard-compiled": ("compiled", args.compiled.resolve())}
    found = []
    for title, home in (homes[p.key] for p in racers if p.key in homes):
        found.append(Build(title, measured("decisions", 0, home, core), measured("line", args.lines, home, core)))
        _tell(f"{title}: {found[-1].decisions:.0f} decisions/s, {found[-1].line_kb:.2f} kB a line")
    return found


def _replays(
    args: argparse.Namespace, racers: Sequence[Proxy], folder: Path, core: int
) -> dict[str, tuple[int, float]]:
    """(packets, packets for each second of processor time) by who reads them."""
    if args.people <= 0:
        return {}
    capture, packets = captured(folder / "capture", args.people)
    found = {}
    homes = {"guard": ("guard replay, interpreted", ROOT), "guard-compiled": ("guard replay, compiled", args.compiled)}
    for title, home in (homes[p.key] for p in racers if p.key in homes):
        read = replayed(capture, packets, home.resolve(), core)
        found[title] = read.packets, read.a_second
    if shutil.which("tshark") is not None:
        read = dissected(capture, packets, core)
        found["tshark, four fields"] = read.packets, read.a_second
    for title, (count, speed) in found.items():
        _tell(f"{title}: {count} packets, {speed:.0f} a second")
    return found


def _command(args: argparse.Namespace) -> str:
    said = ["python -m sim race"]
    usual = {
        "rounds": ROUNDS,
        "seconds": SECONDS,
        "rate": RATE,
        "hold": HOLD,
        "calls": CALLS,
        "people": PEOPLE,
        "lines": LINES,
    }
    said += [f"--{name} {getattr(args, name):g}" for name, value in usual.items() if getattr(args, name) != value]
    said += [f"--only {args.only}"] if args.only else []
    return " ".join([*said, "--write"] if args.write else said)


def _tell(text: str) -> None:
    print(f"race: {text}", file=sys.stderr, flush=True)
