"""`python -m sim race`: the same calls through the guard, Kamailio and a bare forwarder, in turns, and a page of it."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec.structs import replace

from sim.labelled.words import SimError
from sim.race.apart import measured
from sim.race.captures import Read, captured, dissected, replayed
from sim.race.kamailio import complete
from sim.race.large import Large, large
from sim.race.load import evenly
from sim.race.machine import awake, cores, load, source, versions
from sim.race.pages import PLOT, page, plot
from sim.race.proxies import COMPILED, ROOT, Proxy, compiled_modules, proxies
from sim.race.results import Build, Result, Row, Stamp, joined
from sim.race.rounds import Course, Round, levels, settled, turns
from sim.race.wire import may_capture

PAGE: Final = "docs/performance-race.md"
KEPT: Final = "docs/performance-race.json"
# What can be measured apart, in this order, and what each is told to be.
PARTS: Final = {
    "calls": "processor time, added time, memory and start at one rate",
    "awake": "the same with cores that do not sleep",
    "most": "the highest rate",
    "levels": "added time at shares of the highest rate",
    "settled": "added time at half of it, after half a minute",
    "large": "processor time where many lines are known and many calls are up",
    "memory": "memory of a call that is up",
    "alone": "decisions a second, memory of a line",
    "replay": "a capture read",
    "log": "pages of a log",
}
LOG_ROUNDS: Final = 30
ROUNDS: Final = 5
SECONDS: Final = 4.0
RATE: Final = 500.0
LONG: Final = 10.0  # seconds of calls, at least, where a guard is measured that took minutes to fill
HOLD: Final = 60.0
CALLS: Final = 1_500
PEOPLE: Final = 2_000  # some 220 000 packets a day
LINES: Final = 20_000
FEW: Final = 200.0  # calls a second of the round that says where a search begins, where no other was measured
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
        help=f"seconds that the highest rate is held for; 0: no search for it ({HOLD:g})",
    )
    parser.add_argument("--calls", type=int, default=CALLS, help=f"up at once, for their memory; 0: none ({CALLS})")
    parser.add_argument(
        "--people", type=int, default=PEOPLE, help=f"of the office whose day is replayed; 0: none ({PEOPLE})"
    )
    parser.add_argument("--lines", type=int, default=LINES, help=f"that are known, for their memory; 0: none ({LINES})")
    parser.add_argument("--only", default="", metavar="KEYS", help="these proxies only, with commas between")
    parser.add_argument(
        "--parts", default="", metavar="PARTS", help=f"these only, of {', '.join(PARTS)}; the others as they were kept"
    )
    parser.add_argument("--log", type=Path, metavar="DB", help="a log of ten million calls, filled if it is not there")
    parser.add_argument(
        "--compiled", type=Path, default=COMPILED, metavar="FOLDER", help="the guard, compiled (build/compiled)"
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE} and its plot")


def run(args: argparse.Namespace) -> int:
    """Race, and print the page; with `--write` what was measured is kept after each part."""
    racers, parts = _racers(args), _parts(args)
    missing = [f"{program} (package {package})" for program, package in NEEDED.items() if shutil.which(program) is None]
    if not complete():
        missing.append("Kamailio's SQLite (package kamailio-sqlite-modules)")
    if missing:
        raise SimError(f"missing: {', '.join(missing)}")
    result = kept(ROOT / KEPT) if args.write or args.parts else None
    with TemporaryDirectory(prefix="sim-race-") as folder:
        race = _Race(args, racers, Path(folder))
        for part in parts:
            before = load()
            found = race.part(part, result)
            stamp = Stamp(
                part=part,
                who=",".join(p.key for p in racers),
                commit=source(),
                at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
                load=(before, load()),
                command=_command(args),
            )
            found = replace(found, stamps=[stamp])
            result = found if result is None else joined(result, found)
            if args.write:
                _write(result)
    if result is not None:
        print(page(result))
    return 0


def kept(path: Path) -> Result | None:
    """What was measured before. SimError where it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise SimError(f"{path}: {error}; take it away to begin anew") from error


def _write(result: Result) -> None:
    order = [p.key for p in proxies(COMPILED)]
    result = replace(result, rows=sorted(result.rows, key=lambda row: order.index(row.key)))
    path = ROOT / PAGE
    (ROOT / KEPT).write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    path.write_text(page(result), encoding="utf-8")
    path.with_name(PLOT).write_text(plot(result), encoding="utf-8")
    _tell(f"wrote {path}, {path.with_name(PLOT)} and {ROOT / KEPT}")


def _parts(args: argparse.Namespace) -> list[str]:
    """Those asked for; without `--parts` all that have something to measure."""
    chosen = [p.strip() for p in args.parts.split(",") if p.strip()]
    for part in chosen:
        if part not in PARTS:
            raise SimError(f'no part is called "{part}": {", ".join(PARTS)}')
    none = {
        "most": args.hold <= 0,
        "levels": args.hold <= 0,
        "settled": args.hold <= 0,
        "memory": args.calls <= 0,
        "alone": args.lines <= 0,
        "replay": args.people <= 0,
        "log": args.log is None,
    }
    for part in chosen:
        if none.get(part):
            raise SimError(f"--parts {part}: its size is 0, or there is no --log")
    return [part for part in PARTS if part in chosen or (not chosen and not none.get(part))]


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


class _Race:
    """One race: measures one part after the other."""

    def __init__(self, args: argparse.Namespace, racers: Sequence[Proxy], folder: Path) -> None:
        self._args, self._racers = args, racers
        self._cores = cores()
        self._hindered = may_capture(folder, self._cores.ends)
        self._course = Course(folder, self._cores, not self._hindered, even=evenly(folder))
        self._folder = folder

    def part(self, part: str, before: Result | None) -> Result:
        """What one part finds; `before` is what is known from earlier ones."""
        known = {row.key: row for row in before.rows} if before is not None else {}
        rows = [Row(p.key, p.title, [], 0, [], None) for p in self._racers]
        result = Result(
            command=_command(self._args), versions=versions(), cores=self._cores, rate=self._args.rate,
            seconds=self._args.seconds, hold=self._args.hold, calls=self._args.calls, hindered=self._hindered,
            rows=rows, builds=[], compiled=compiled_modules(self._args.compiled), replays={},
            even=bool(self._course.even),
        )  # fmt: skip
        if part == "alone":
            return replace(result, builds=self._alone())
        if part == "replay":
            return replace(result, replays=self._replays())
        if part == "log":
            return replace(result, log=logged(self._args.log))
        return replace(result, rows=self._measured(part, rows, known))

    def _measured(self, part: str, rows: list[Row], known: Mapping[str, Row]) -> list[Row]:
        args, course, racers = self._args, self._course, self._racers
        if part == "calls":
            rounds = turns(course, racers, args.rate, args.seconds, args.rounds, _tell)
            return [replace(row, rounds=[r for r in rounds if r.key == row.key]) for row in rows]
        if part == "awake":
            rounds = self._awake()
            return [replace(row, awake=[r for r in rounds if r.key == row.key]) for row in rows]
        if part == "most":
            found = {p.key: self._highest(p, known.get(p.key)) for p in racers}
            return [replace(row, highest=found[row.key]) for row in rows]
        if part == "large":
            return [replace(row, large=self._large(proxy)) for row, proxy in zip(rows, racers, strict=True)]
        if part in {"levels", "settled"}:
            highest = {key: row.highest for key, row in known.items()}
            if not any(highest.get(p.key) for p in racers):
                raise SimError(f'--parts {part}: measure "most" first')
            if part == "settled":
                return self._settled(rows, highest) if course.tapped else rows
            added = levels(course, racers, highest, args.seconds, args.rounds, _tell) if course.tapped else {}
            return [replace(row, levels=added.get(row.key, [])) for row in rows]
        return [replace(row, call_kb=self._memory(proxy)) for row, proxy in zip(rows, racers, strict=True)]

    def _settled(self, rows: list[Row], highest: Mapping[str, float]) -> list[Row]:
        """As cores sleep, then with cores that do not."""
        args = self._args
        racers = settling(self._racers, args.only)
        asleep = settled(self._course, racers, highest, args.seconds, args.rounds, _tell)
        try:
            with awake():
                found = settled(self._course, racers, highest, args.seconds, args.rounds, _tell)
        except OSError as error:
            _tell(f"cores go to sleep as they like: {error}")
            found = {}
        return [replace(row, settled=asleep.get(row.key, ()), settled_awake=found.get(row.key, ())) for row in rows]

    def _large(self, proxy: Proxy) -> list[Large]:
        args = self._args
        if proxy.knowing is None:
            return []
        return large(self._course, proxy, args.rate, max(args.seconds, LONG), args.rounds, _tell)

    def _awake(self) -> list[Round]:
        """Rounds with cores that do not sleep; none where that may not be asked for."""
        args = self._args
        try:
            with awake():
                return turns(self._course, self._racers, args.rate, args.seconds, args.rounds, _tell)
        except OSError as error:
            _tell(f"cores go to sleep as they like: {error}")
            return []

    def _highest(self, proxy: Proxy, known: Row | None) -> float:
        args, course = self._args, self._course
        one = known.rounds if known is not None else []
        one = one or [course.round(proxy, min(args.rate, FEW), 1.0)]
        used = median((r.cpu_us if proxy.words is not None else 2 * r.ends_us) for r in one)
        highest = course.highest(proxy, min(MOST, 1e6 / max(1.0, used)), args.hold)
        _tell(f"{proxy.key}: at most {highest:.0f} calls/s")
        return highest

    def _memory(self, proxy: Proxy) -> float | None:
        """kB a call, median of the rounds."""
        if proxy.words is None:
            return None
        found = median(
            self._course.call_memory(proxy, self._args.rate, self._args.calls) for _ in range(self._args.rounds)
        )
        _tell(f"{proxy.key}: {found:.1f} kB a call")
        return found

    def _homes(self) -> list[tuple[str, Path]]:
        """The builds of the guard that race."""
        homes = {"guard": ("interpreted", ROOT), "guard-compiled": ("compiled", self._args.compiled.resolve())}
        return [homes[p.key] for p in self._racers if p.key in homes]

    def _alone(self) -> list[Build]:
        homes, core = self._homes(), self._cores.proxy
        decisions: dict[str, list[float]] = {title: [] for title, _ in homes}
        for _ in range(self._args.rounds):
            for title, home in homes:
                decisions[title].append(measured("decisions", 0, home, core))
        found = [
            Build(title, median(decisions[title]), measured("line", self._args.lines, home, core))
            for title, home in homes
        ]
        for build in found:
            _tell(f"{build.title}: {build.decisions:.0f} decisions/s, {build.line_kb:.2f} kB a line")
        return found

    def _replays(self) -> dict[str, tuple[int, float]]:
        """(packets, packets for each second of processor time) by who reads them: medians of rounds in turns."""
        capture, packets = captured(self._folder / "capture", self._args.people)
        _tell(f"a capture of {packets} packets")
        reads: dict[str, list[Read]] = {}
        for n in range(self._args.rounds):
            for title, home in self._homes():
                reads.setdefault(f"guard replay, {title}", []).append(
                    replayed(capture, packets, home, self._cores.proxy)
                )
            if shutil.which("tshark") is not None:
                reads.setdefault("tshark, four fields", []).append(dissected(capture, packets, self._cores.proxy))
            for title, each in reads.items():
                _tell(f"{n + 1}/{self._args.rounds} {title}: {each[-1].packets}, {each[-1].a_second:.0f} a second")
        return {
            title: (min(r.packets for r in each), median(r.a_second for r in each)) for title, each in reads.items()
        }


def settling(racers: Sequence[Proxy], only: str) -> list[Proxy]:
    """Those that are measured once they have settled, a minute and a half each: all that were asked for by their key,
    else those that are compared."""
    return [p for p in racers if p.settles or only]


def logged(path: Path) -> str:
    """What `python -m sim logbench` says of a log, which is filled first if it is not there."""
    if not path.exists():
        _tell(f"{path}: filling it takes ten minutes and 10 GB")
        subprocess.run([sys.executable, "-m", "sim", "logfill", "--path", str(path)], cwd=ROOT, check=False)
    words = [sys.executable, "-m", "sim", "logbench", "--path", str(path), "--rounds", str(LOG_ROUNDS)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if not done.stdout:  # its status is 1 where a filter misses its aim
        raise SimError(f"logbench: {done.stderr[-1000:]}")
    return done.stdout


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
    said += [f"--parts {args.parts}"] if args.parts else []
    said += [f"--log {args.log.name}"] if args.log else []
    return " ".join([*said, "--write"] if args.write else said)


def _tell(text: str) -> None:
    print(f"race: {text}", file=sys.stderr, flush=True)
