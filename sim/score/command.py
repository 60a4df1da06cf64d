"""`python -m sim score`: plays every class of attack over many seeds, and what is legitimate too, and scores it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from sim.labelled.words import SimError
from sim.score.pages import PLOT, plot, put, table
from sim.score.play import MEANT, Played, play
from sim.score.sums import ClassScore, of_class, quiet

SEEDS: Final = "1001-1030"
HOST: Final = "office:20"  # whose lines are taken over, and who calls beside the attacker
ATTACKED_DAYS: Final = 4.0
QUIET: Final = "office:50,call-centre,dialler,clinic,hotel,branch"
QUIET_DAYS: Final = 28.0
QUIET_WORLDS: Final = 6  # as many of the seeds, from the first on: a month of six sites takes half a minute
PAGE: Final = "docs/detection.md"

Job = tuple[str, int, float]


def add(parser: argparse.ArgumentParser) -> None:
    """See `sim.__main__`."""
    parser.add_argument("--seeds", default=SEEDS, metavar="A-B", help=f"seeds of the worlds (default {SEEDS})")
    parser.add_argument(
        "--attacks", default=",".join(MEANT), help="classes of attack, with commas between (default: all)"
    )
    parser.add_argument("--strengths", default="1", help="how hard they try, with commas between (default 1)")
    parser.add_argument("--quiet", type=int, default=QUIET_WORLDS, metavar="N", help="worlds without an attack")
    parser.add_argument("--quiet-days", type=float, default=QUIET_DAYS, metavar="D", help="days of each of them")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes side by side (default 1)")
    parser.add_argument("--json", action="store_true", help="one object a class, and one of the quiet worlds")
    parser.add_argument("--write", action="store_true", help=f"put table and plot into {PAGE}")


def run(args: argparse.Namespace) -> int:
    """See `sim.__main__`."""
    seeds = _seeds(args.seeds)
    attacks, strengths = _attacks(args.attacks), _strengths(args.strengths)
    jobs: list[Job] = [(QUIET, s, args.quiet_days) for s in seeds[: args.quiet]]
    jobs += [(f"{HOST},{a}:{x:g}", s, ATTACKED_DAYS) for a in attacks for x in strengths for s in seeds]
    together = f"{HOST},{','.join(attacks)}"
    jobs += [(together, s, ATTACKED_DAYS) for s in seeds if len(attacks) > 1]
    worlds = {(w.scenario, w.seed): w for w in _played(jobs, args.jobs)}
    calm = [worlds[QUIET, s] for s in seeds[: args.quiet]]
    scores: list[ClassScore] = []
    attacked: list[Played] = []
    for attack in attacks:
        for strength in strengths:
            own = [worlds[f"{HOST},{attack}:{strength:g}", s] for s in seeds]
            attacked += own
            scores.append(of_class(attack, strength, own, calm))
    if args.json:
        for score in scores:
            _json({**msgspec.to_builtins(score), "precision": score.precision, "recall": score.recall, "f1": score.f1})
        _json({"quiet": msgspec.to_builtins(quiet(calm))})
        return 0
    at_once = [of_class(a, 1.0, [worlds[together, s] for s in seeds], []) for a in attacks if len(attacks) > 1]
    section = table(scores, at_once, quiet(calm), attacked, args.seeds, _command(args))
    print(section)
    if args.write:
        page = Path(PAGE)
        put(page, section)
        page.with_name(PLOT).write_text(plot(scores), encoding="utf-8")
        print(f"sim: wrote {page} and {page.with_name(PLOT)}", file=sys.stderr)
    return 0


def _played(jobs: Sequence[Job], many: int) -> Iterator[Played]:
    """Every job's world, with progress on a terminal."""
    if many > 1:
        with ProcessPoolExecutor(many) as pool:
            yield from _told(pool.map(_play, jobs), len(jobs))
    else:
        yield from _told(map(_play, jobs), len(jobs))


def _told(worlds: Iterator[Played], of: int) -> Iterator[Played]:
    tells = sys.stderr.isatty()
    for i, world in enumerate(worlds, 1):
        if tells:
            print(f"\r{i} of {of} worlds", end="" if i < of else "\n", file=sys.stderr, flush=True)
        yield world


def _play(job: Job) -> Played:
    return play(*job)


def _json(found: object) -> None:
    print(msgspec.json.encode(found).decode())


def _seeds(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise SimError(f'--seeds "{text}": write one number, or the first and the last with a hyphen')
    found = list(range(int(first), int(last or first) + 1))
    if not 0 < len(found) <= 10_000:
        raise SimError(f'--seeds "{text}": {len(found)} seeds are not between 1 and 10 000')
    return found


def _attacks(text: str) -> list[str]:
    found = [a.strip() for a in text.split(",") if a.strip()]
    for name in found:
        if name not in MEANT:
            raise SimError(f'no class of attack is called "{name}": {", ".join(MEANT)}')
    return found


def _strengths(text: str) -> list[float]:
    try:
        return [float(x) for x in text.split(",")]
    except ValueError:
        raise SimError(f'--strengths "{text}": write numbers with commas between') from None


def _command(args: argparse.Namespace) -> str:
    said = ["python -m sim score", f"--seeds {args.seeds}"]
    if args.attacks != ",".join(MEANT):
        said.append(f"--attacks {args.attacks}")
    if args.strengths != "1":
        said.append(f"--strengths {args.strengths}")
    if (args.quiet, args.quiet_days) != (QUIET_WORLDS, QUIET_DAYS):
        said.append(f"--quiet {args.quiet} --quiet-days {args.quiet_days:g}")
    return " ".join([*said, "--write"] if args.write else said)
