"""`python -m sim traffic`: labelled traffic as JSON, as a capture, straight into the engine, or live on loopback."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from datetime import date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sim.labelled.rhythm import PARIS, instant
from sim.labelled.scenarios import ATTACKS, LEGITIMATE, scenario
from sim.labelled.words import Placed
from sim.labelled.world import World, config

START: Final = date(2026, 11, 16)  # a Monday without holidays around it
LIVE_CALLS: Final = 40
LIVE_SPEED: Final = 600.0

EPILOG: Final = f"""\
legitimate: {", ".join(f"{name}[:{kind.of}]" for name, kind in LEGITIMATE.items())}
attacks:    {", ".join(f"{name}[:strength]" for name in ATTACKS)}

The same scenario, seed, start and days make the same calls, to the octet. Which are attacks stands in "label".
"""

Tally = Counter[tuple[str, str, str]]
"""Calls by label (or actor, where there is none), direction and what became of them."""


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m sim traffic`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "--scenario", required=True, metavar="NAMES", help="who is there, such as office:50,dialler,wangiri:0.5"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all chance (1)")
    parser.add_argument("--start", type=date.fromisoformat, default=START, metavar="DATE", help=f"first day ({START})")
    parser.add_argument("--days", type=float, default=1.0, help="how many (1)")
    parser.add_argument("--after", type=float, metavar="DAYS", help="when attacks begin (in the second half)")
    parser.add_argument(
        "--config", type=Path, metavar="FOLDER", help="write the guard.toml that fits, and its lists, here"
    )
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--json", action="store_true", help="one object a call on standard output")
    ways.add_argument("--pcap", type=Path, metavar="FILE", help="a capture for guard replay")
    ways.add_argument("--engine", action="store_true", help="straight into the engine: verdicts by label")
    ways.add_argument("--live", action="store_true", help="over loopback through a guard: what became of the calls")
    parser.add_argument("--calls", type=int, default=LIVE_CALLS, help=f"with --live: how many ({LIVE_CALLS})")
    parser.add_argument(
        "--speed", type=float, default=LIVE_SPEED, help=f"with --live: so many times as fast ({LIVE_SPEED:g})"
    )


def run(args: argparse.Namespace) -> int:
    """Make the traffic. Raises SimError, OSError."""
    start = instant(datetime.combine(args.start, time(), PARIS))
    world = World(args.seed, start, args.days, scenario(args.scenario, args.after))
    if args.config is not None:
        args.config.mkdir(parents=True, exist_ok=True)
        (args.config / "guard.toml").write_text(config(world, args.config), encoding="utf-8")
    if args.json:
        _json(world)
    elif args.pcap is not None:
        _capture(world, args.pcap)
    else:
        with TemporaryDirectory(prefix="sim-traffic-") as folder:
            _show(_straight(world, Path(folder)) if args.engine else _live(world, Path(folder), args))
    return 0


def _json(world: World) -> None:
    from msgspec import json

    encode, out = json.Encoder().encode, sys.stdout.buffer
    for placed in world:
        out.write(encode(placed) + b"\n")
    out.flush()


def _capture(world: World, path: Path) -> None:
    from sim.labelled.capture import write

    count = write(world, path)
    print(f"{path}: {count} messages")


def _straight(world: World, folder: Path) -> Tally:
    from guard.config import load
    from guard.desk import Desk
    from guard.detectors.watch import Watch
    from guard.engine import Engine
    from guard.policy.load import load_policy
    from guard.state.memory import MemoryState
    from sim.labelled.straight import Straight

    path = folder / "guard.toml"
    path.write_text(config(world, folder), encoding="utf-8")
    desk = Desk(Engine(load_policy(load(path))), MemoryState(), watch=Watch())
    tally: Tally = Counter()
    for placed, decision in Straight(desk).run(world):
        tally[*_of(placed), decision.verdict + (f" by {decision.rule}" if decision.rule else "")] += 1
    return tally


def _live(world: World, folder: Path, args: argparse.Namespace) -> Tally:
    from sim.labelled.live import Live

    live = Live(world, folder, calls=args.calls, speed=args.speed)
    tally: Tally = Counter()
    for heard in asyncio.run(live.run()):
        tally[*_of(heard.placed), f"{heard.status or 'silence'}{'' if heard.arrived else ', not let through'}"] += 1
    return tally


def _of(placed: Placed) -> tuple[str, str]:
    return placed.label or placed.actor, placed.call.direction


def _show(tally: Tally) -> None:
    for (who, direction, what), calls in sorted(tally.items()):
        print(f"{calls:8}  {who:<16} {direction:<9} {what}")
    print(f"{tally.total():8}  in all")
