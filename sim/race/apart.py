"""What needs no wire: decisions a second, memory of a known line.

`python -P sim/race/apart.py WHAT COUNT`, as a process of its own, measures the guard that it finds on its path, and
prints one number; `measured` starts it on its core.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec.structs import replace

from guard.asked import Question, attempt_of
from guard.config import load
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.model import CallAttempt, CallEnded
from guard.numbering.number import Dial, normalise
from guard.policy.load import Policy, load_policy
from guard.state.memory import MemoryState
from sim.bench import decisions
from sim.race.load import environment, interpreter
from sim.site import ALICE, Site

KNOWN: Final = 500  # lines before memory is looked at: what is made once
BETWEEN: Final = 150_000  # µs from one call to the next
AT: Final = 1_795_251_600_000_000  # 2026-11-21, 10:00 in Paris
PATIENCE: Final = 120.0


def measured(what: str, count: int, home: Path, core: int) -> float:
    """The number that this module prints, of the guard in `home`. Raises OSError where it cannot be run."""
    words = ["taskset", "-c", str(core), interpreter(home), "-P", __file__, what, str(count)]
    done = subprocess.run(
        words,
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise OSError(f"{what} in {home}: {done.stderr[-1000:]}")
    return float(done.stdout)


def a_second(policy: Policy, attempt: CallAttempt, _: int) -> float:
    """Decisions with every rule and detector, each with its counters, departure and end."""
    return 1e6 / decisions(policy, attempt, detection=True)


def line_kb(policy: Policy, attempt: CallAttempt, lines: int) -> float:
    """kB of memory for each of so many lines that has called once, with a number of its own."""
    desk = Desk(Engine(policy), MemoryState(), watch=Watch())
    end = CallEnded(at=0, outcome="answered", ring_us=2_500_000, talk_us=5_000_000, final_status=200, by="caller")
    calls = _calls(desk, attempt, end, 0, KNOWN)
    before = _resident()
    _calls(desk, attempt, end, calls, lines)
    return (_resident() - before) / lines


def _calls(desk: Desk, attempt: CallAttempt, end: CallEnded, first: int, count: int) -> int:
    """So many calls, each of another line, and each over before the next."""
    dial = Dial()
    for n in range(first, first + count):
        now = n * BETWEEN
        callee = normalise(f"+33199{n * 7919 % 1_000_000:06d}", dial)
        caller = normalise(f"+331457{n % 100_000:05d}", dial)
        desk.submit(n, replace(attempt, at=attempt.at + now, line=f"2{n}", caller=caller, callee=callee), now)
        desk.departed(n, now)
        desk.ended(n, now + BETWEEN // 2, replace(end, at=attempt.at + now + BETWEEN // 2))
    return count


def _resident() -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) if found else 0


MEASURES: Final = {"decisions": a_second, "line": line_kb}


def main() -> None:
    """See the module."""
    with TemporaryDirectory() as folder:
        site = Site(folder=Path(folder), port=5060, trunk_port=5060, pbx_port=5060, cps=10_000, channels=10_000)
        site.more = '\n[[number]]\nrange = "+331457*"\n'
        config = load(site.write())
        policy = load_policy(config)
        attempt = attempt_of(Question(source=config.sources[0], caller=ALICE, callee="0199001234", at=AT))
        print(MEASURES[sys.argv[1]](policy, attempt, int(sys.argv[2])))


if __name__ == "__main__":
    main()
