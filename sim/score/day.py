"""`python -m sim day`: how fast detection is and how much it holds, on a day of calls of very many lines."""

from __future__ import annotations

import argparse
import resource
import sys
from collections import deque
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import process_time
from typing import Final

from msgspec.structs import replace

from guard.asked import Question, attempt_of
from guard.config import load
from guard.detectors.subject import Subject
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.model import SECOND, CallAttempt, CallEnded
from guard.numbering.number import Number
from guard.policy.load import load_policy
from sim.labelled.scenarios import scenario
from sim.labelled.words import SimError
from sim.labelled.world import World, config
from sim.score.play import START

DAY: Final = 86_400 * SECOND
LINES: Final = 1_000_000
CALLS: Final = 10_000_000
PATTERNS: Final = 300  # lines whose thirty days were really lived; all others are like one of them
A_DAY: Final = 10  # calls of such a line
CALLEES: Final = 100_000
TALK: Final = 90 * SECOND
MAX_LINES: Final = 10_000_000


def add(parser: argparse.ArgumentParser) -> None:
    """See `sim.__main__`."""
    parser.add_argument("--lines", type=int, default=LINES, metavar="N", help=f"lines that are known (default {LINES})")
    parser.add_argument("--calls", type=int, default=CALLS, metavar="N", help=f"calls of the day (default {CALLS})")
    parser.add_argument("--days", type=int, default=30, metavar="N", help="days of counters behind it (default 30)")


def run(args: argparse.Namespace) -> int:
    """See `sim.__main__`."""
    if not 0 < args.lines <= MAX_LINES or args.calls < 1 or not 0 <= args.days <= 60:
        raise SimError(f"--lines is from 1 to {MAX_LINES}, --calls from 1 on, --days from 0 to 60")
    engine, pattern = _site()
    watch = Watch(engine.patterns(), most=args.lines * 2)
    rng = Random(1)
    numbers = [Number(f"+331{4_000_0000 + i:08d}", "e164", "") for i in range(args.lines)]
    before, begun = _megabytes(), process_time()
    _lived(engine, pattern, watch, numbers, args.days, rng)
    built, held = process_time() - begun, _megabytes()
    print(
        f"{args.lines} lines with {args.days} days behind them: {held - before:.0f} MB, {built:.0f} s to build; "
        f"the process {held:.0f} MB, of it {before:.0f} the program and the names of the lines"
    )
    sys.stdout.flush()
    scored, whole = _day(engine, pattern, watch, numbers, args.calls, rng)
    print(
        f"a day of {args.calls} calls, set-ups and ends: {scored:.0f} s in the detectors "
        f"({scored / args.calls * 1e6:.1f} µs a call), {whole:.0f} s with the making of the calls; "
        f"{_megabytes():.0f} MB; alarms: {len(watch.alarms.fresh)}; dropped: {sum(watch.counters.values())}"
    )
    return 0


def _site() -> tuple[Engine, CallAttempt]:
    """An engine with every rule, and a call to be varied."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "guard.toml"
        path.write_text(config(World(1, START, 1, scenario("office:1")), Path(folder)), encoding="utf-8")
        found = load(path)
        policy = load_policy(found)
    question = Question(source=found.sources[0], caller="+33140000001", callee="+33145678900", at=START)
    return Engine(policy), attempt_of(question)


def _lived(engine: Engine, call: CallAttempt, watch: Watch, made: list[Number], days: int, rng: Random) -> None:
    """Lines with some days behind them: a few hundred live them call by call, the others take after one of those."""
    first = START - days * DAY
    models: list[Subject] = []
    for i in range(min(PATTERNS, len(made))):
        own = Watch(engine.patterns())
        for n in range(days * A_DAY):
            at = first + (n // A_DAY) * DAY + (8 + n % A_DAY) * 3600 * SECOND + int(rng.random() * 3600 * SECOND)
            number = Number(f"+331{rng.randrange(10**8):08d}", "e164", "")
            one = replace(call, at=at, caller=made[i], line=made[i].value, callee=number)
            own.attempt(str(n), one, engine.price(one))
            own.ended(str(n), _end(at))
        found = own.subjects.find(f"n:{made[i].value}")
        if found is not None:
            models.append(found)
    for i, number in enumerate(made if models else ()):
        watch.subjects.rest(f"n:{number.value}", models[i % len(models)])


def _day(
    engine: Engine, call: CallAttempt, watch: Watch, lines: list[Number], calls: int, rng: Random
) -> tuple[float, float]:
    """Seconds in the detectors, and in all. Each call is of a line by chance, at an even pace through the day."""
    callees = [Number(f"+33{rng.choice('123459')}{rng.randrange(10**8):08d}", "e164", "") for _ in range(CALLEES)]
    ends: deque[tuple[int, str, CallEnded]] = deque()
    scored, begun = 0.0, process_time()
    for start in range(0, calls, 10_000):
        batch = []
        for n in range(start, min(start + 10_000, calls)):
            number = lines[rng.randrange(len(lines))]
            at = START + n * DAY // calls
            batch.append((str(n), replace(call, at=at, caller=number, line=number.value,
                                          callee=callees[rng.randrange(CALLEES)]), _end(at)))  # fmt: skip
        since = process_time()
        for ident, one, end in batch:
            while ends and ends[0][0] <= one.at:
                _, over, how = ends.popleft()
                watch.ended(over, how)
            watch.attempt(ident, one, engine.price(one), closed=engine.closed(one))
            ends.append((end.at, ident, end))
        scored += process_time() - since
    return scored, process_time() - begun


def _end(at: int) -> CallEnded:
    return CallEnded(
        at=at + TALK, outcome="answered", ring_us=8 * SECOND, talk_us=80 * SECOND, final_status=200, by="caller"
    )


def _megabytes() -> float:
    """Memory of the process that is in use now (Linux)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 1e6
