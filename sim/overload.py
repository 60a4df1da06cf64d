"""`python -m sim overload`: what a guard carries, what it does at twice and three times that, and what floods do to its
callers.

A guard on a core of its own; on another an IPBX and an operator, with five emergency calls a second beside all else.
First the rate is raised until a quarter of the calls is not carried any more; the most that was carried in a step is
taken for the peak. Then come rounds: that rate, twice it, three times it, one after the other, so that whatever else
the machine does meets all three; what counts is the middle of the rounds' ratios. Then calls come at a quarter of the
peak, alone and beside each flood (sim/floods.py).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from sim.daemon import Daemon
from sim.floods import FLOODS, flood
from sim.ports import free_port
from sim.pressure import Placed, Pressure
from sim.race.machine import Cores, busy, cores, load, processor, source, taken
from sim.site import GUARD, Site

FIRST: Final = 100.0  # calls a second
STEP: Final = 1.3
STEPS: Final = 14
SECONDS: Final = 4.0
ROUNDS: Final = 3
TIMES: Final = (1, 2, 3)  # of the peak
CARRIED: Final = 0.75  # of what is offered, or the rate is too much; a few calls are refused by rules
AIM: Final = 0.9  # of the peak that is to be carried at twice the peak
HELPED: Final = 0.050  # s that an emergency call may take to the operator
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Step(Struct, frozen=True):
    """A rate that was offered for so many seconds: what came of it, what the guard took (s of processor time, MB), how
    late the load was itself (s), and what else the machine did (cores)."""

    name: str
    placed: list[Placed]
    seconds: float
    cpu: float
    memory: float
    late: float
    others: float

    @property
    def carried(self) -> float:
        """Calls a second that were answered within these seconds."""
        until = self.placed[0].began + self.seconds
        return sum(c.status == 200 and c.answered <= until and not c.sos for c in self.placed) / self.seconds

    @property
    def worth(self) -> float:
        """Calls that a second of the guard's processor time carried."""
        return sum(c.status == 200 and not c.sos for c in self.placed) / max(self.cpu, 1 / TICKS)

    def __str__(self) -> str:
        """One line; times in ms. `lost` are emergency calls that never arrived."""
        usual = [c for c in self.placed if not c.sos]
        statuses = ",".join(f"{s or 'none'}:{n}" for s, n in Counter(c.status for c in usual).most_common(3))
        up = [c.answered - c.began for c in usual if c.status == 200]
        refused = [c.answered - c.began for c in usual if c.status >= 300]
        helped = helps([self])
        lost = sum(c.sos and not c.heard for c in self.placed)
        return (
            f"{self.name:24} {self.carried:9.0f} {statuses:>24} {ms(up, 0.5):>10} {ms(up, 0.99):>6}"
            f" {ms(refused, 0.99):>11} {ms(helped, 0.5):>7} {ms(helped, 0.99):>6} {ms(helped, 1):>6} {lost:4}"
            f" {self.memory:4.0f} {self.worth:9.0f} {self.late * 1000:5.0f} {self.others:6.1f}"
        )


HEAD: Final = (
    f"{'':24} {'carried/s':>9} {'status':>24} {'answer p50':>10} {'p99':>6} {'refusal p99':>11}"
    f" {'112 p50':>7} {'p99':>6} {'max':>6} {'lost':>4} {'MB':>4} {'per CPU s':>9} {'late':>5} {'others':>6}"
)


class Bench:
    """One guard under load."""

    def __init__(self, pressure: Pressure, daemon: Daemon) -> None:
        self.pressure = pressure
        self.daemon = daemon

    def step(self, name: str, rate: float, seconds: float, beside: int = 0) -> Step:
        """Offer a rate, and print what came of it. `beside`: another process of ours."""
        ours = [self.daemon.pid, os.getpid(), *([beside] if beside else [])]
        worked, before, began = busy()[0], [_cpu(pid) for pid in ours], time.monotonic()
        placed = self.pressure.run(rate, seconds)
        took = time.monotonic() - began
        spent = [_cpu(pid) - b for pid, b in zip(ours, before, strict=True)]
        others = max((busy()[0] - worked) / TICKS - sum(spent), 0.0) / took
        memory = taken([self.daemon.pid]).memory / 1000
        done = Step(name, placed, seconds, spent[0], memory, self.pressure.late, others)
        print(done, flush=True)
        return done


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each step ({SECONDS:g})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of peak, twice and three times it ({ROUNDS})")
    parser.add_argument("--flood", choices=FLOODS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Print a table. 1 where the aims are missed."""
    if args.flood is not None:
        flood(args.flood, (GUARD, args.port))
        return 0
    whose = cores()
    address = (GUARD, free_port(GUARD))
    pressure = Pressure(address)
    with tempfile.TemporaryDirectory(prefix="sim-overload-") as folder:
        pbx, operator = pressure.ports
        site = Site(
            folder=Path(folder), port=address[1], trunk_port=operator, pbx_port=pbx, channels=1_000_000, cps=1_000_000
        )
        site.write()
        daemon = _pinned(site, whose)
        try:
            daemon.wait_ready()
            print(
                f"{processor()}; guard on core {whose.proxy}, load on core {whose.ends}; load of the machine"
                f" {load():.1f}; commit {source()}"
            )
            met = _measure(Bench(pressure, daemon), args.seconds, args.rounds)
        finally:
            daemon.stop()
            pressure.close()
        print(*(line for line in daemon.lines if "overload" in line or "stopped:" in line), sep="\n")
    return 0 if met else 1


def _pinned(site: Site, whose: Cores) -> Daemon:
    """A guard on its core; all else that is started from now on, and we, are on the other."""
    os.sched_setaffinity(0, {whose.proxy})
    try:
        return Daemon(site.config)
    finally:
        os.sched_setaffinity(0, {whose.ends})


def _measure(bench: Bench, seconds: float, rounds: int) -> bool:
    """Whether both aims were met: of calls at twice the peak, and of emergency calls at any time."""
    print(HEAD)
    steps: list[Step] = []
    rate = FIRST
    for _ in range(STEPS):
        steps.append(bench.step(f"{rate:.0f} calls/s", rate, seconds))
        if steps[-1].carried < CARRIED * rate:
            break
        rate *= STEP
    peak = max(step.carried for step in steps)
    ratios: dict[int, list[float]] = {n: [] for n in TIMES}
    worths: dict[int, list[float]] = {n: [] for n in TIMES}
    for _ in range(rounds):
        these = {n: bench.step(f"{n} x {peak:.0f} calls/s", n * peak, seconds) for n in TIMES}
        steps += these.values()
        for n, step in these.items():
            ratios[n].append(step.carried / max(these[1].carried, 1.0))
            worths[n].append(step.worth / max(these[1].worth, 1.0))
    for n in TIMES[1:]:
        print(
            f"at {n} times the peak of {peak:.0f} calls/s: {_spread(ratios[n])} of what is carried at it;"
            f" of a second of processor time {_spread(worths[n])}"
        )
    print(HEAD)
    steps.append(bench.step(f"alone: {peak / 4:.0f}", peak / 4, seconds))
    for kind in FLOODS:
        with _flooding(kind, bench.pressure.guard[1]) as pid:
            steps.append(bench.step(f"beside {kind}", peak / 4, seconds, pid))
    helped = helps(steps)
    late = sum(took > HELPED for took in helped)
    lost = sum(c.sos and not c.heard for step in steps for c in step.placed)
    print(
        f"emergency calls at the operator: {len(helped)}, p50 {ms(helped, 0.5)}, p99 {ms(helped, 0.99)}, max"
        f" {ms(helped, 1)} ms; {late} took more than {HELPED * 1000:.0f} ms, {lost} never arrived"
    )
    return statistics.median(ratios[2]) >= AIM and not late and not lost


@contextmanager
def _flooding(kind: str, port: int) -> Iterator[int]:
    words = [sys.executable, "-m", "sim", "overload", "--flood", kind, "--port", str(port)]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as child:
        try:
            time.sleep(1.0)  # until it has begun
            yield child.pid
        finally:
            child.kill()


def helps(steps: list[Step]) -> list[float]:
    """Seconds that emergency calls took to the operator."""
    return [c.heard - c.began for step in steps for c in step.placed if c.sos and c.heard]


def ms(times: list[float], share: float) -> str:
    """What that share of the times stayed below."""
    return f"{sorted(times)[min(int(len(times) * share), len(times) - 1)] * 1000:.0f}" if times else "-"


def _spread(shares: list[float]) -> str:
    """The middle, and the extremes."""
    return f"{statistics.median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})"


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has had, its children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
