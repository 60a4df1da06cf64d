"""`make soak`: an office's calls over real sockets through a running guard leave it as it was: memory, descriptors,
threads, tasks, and a log that no call takes more of than it may.

`GUARD_SOAK_MINUTES` is how long (3). An office of sixty people makes as many calls in a week (tests/soak/week.py). No
line calls so many, or hangs up so soon, that anything is found in it; four times the usual rate is allowed.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from guard.figures import Figures
from guard.model import SECOND
from guard.proxy.calls import NAP
from guard.web.controlclient import ControlClient
from sim.daemon import Daemon
from sim.ports import free_port
from sim.pressure import SOS_EVERY, Pressure
from sim.site import GUARD, Site

MINUTES = float(os.environ.get("GUARD_SOAK_MINUTES", "3"))
RATE: Final = 40.0  # calls a second
SOS: Final = 1 / SOS_EVERY  # emergency calls a second beside them
A_ROUND: Final = 10.0  # s of calls; then all are let end
PATIENCE: Final = 60.0  # s at most until all of a round is over
LINES: Final = 100  # each calls one number: who calls a hundred others a minute is a machine
TALK: Final = 2.2  # s: shorter calls look like a machine's
SETTLED: Final = 8  # rounds until every memory of results has been full once
GROWTH: Final = 2.0  # MB from then on: pages that tables leave half empty
STAYS: Final = 600  # octets of a call that is over: its timer comes up, and lets it go, within NAP
POOL: Final = (os.cpu_count() or 1) + 4  # threads that asyncio makes for files, each when all others are at work
A_CALL: Final = 2_500  # octets of log: decision, end, their rows and indexes; nothing was found in it
WAL: Final = 5 << 20  # octets of the journal beside it, and its policy
MORE: Final = """
[web]
listen = "127.0.0.1:9"
control = "control"
"""


class Look(Struct, frozen=True):
    """What a daemon has after a round. `memory` in MB, `size` of the log in octets."""

    memory: float
    descriptors: int
    threads: int
    tasks: int
    size: int
    figures: Figures


def test_calls_over_the_wire_leave_nothing(tmp_path: Path) -> None:
    address = (GUARD, free_port(GUARD))
    rounds = max(round(MINUTES * 60 / A_ROUND), SETTLED + 2)
    pressure = Pressure(address, lines=LINES, numbers=LINES, callees=LINES, talk=TALK, first_line=20_000)
    pbx, operator = pressure.ports
    site = Site(
        folder=tmp_path, port=address[1], trunk_port=operator, pbx_port=pbx, channels=1_000, cps=100, more=MORE
    )  # fmt: skip
    daemon = Daemon(site.write())
    looks: list[Look] = []
    try:
        daemon.wait_ready()
        for _ in range(rounds):
            placed = pressure.run(RATE, A_ROUND, patience=PATIENCE)
            assert {c.status for c in placed} <= {200, 480}  # 480: the machine was too busy (docs/operations.md)
            assert {c.status for c in placed if c.sos} == {200}
            pressure.calls.clear()
            looks.append(look(daemon.pid, tmp_path))
            print(*(f"{n} {getattr(looks[-1], n)}" for n in ("memory", "descriptors", "threads", "tasks", "size")))
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        pressure.close()
    settled, last = looks[SETTLED], looks[-1]
    assert max(at.descriptors for at in looks[2:]) <= max(at.descriptors for at in looks[:2]) + 1  # a file being read
    assert max(at.threads for at in looks) <= looks[0].threads + POOL
    assert {at.tasks for at in looks} == {looks[0].tasks}
    assert last.figures.calls <= (RATE + SOS) * A_ROUND  # of the last round only: it has just ended
    over = last.figures.counters["decided"] - settled.figures.counters["decided"]
    assert last.memory - settled.memory < GROWTH + STAYS * min(over, (RATE + SOS) * NAP / SECOND) / 1e6
    assert last.figures.subjects == 2 * LINES
    assert last.size < A_CALL * last.figures.counters["decided"] + WAL
    assert last.figures.verdict("blocked") == 0


def look(pid: int, folder: Path) -> Look:
    """Now."""
    figures = asyncio.run(ControlClient(folder / "control").figures())
    size = sum(p.stat().st_size for p in folder.glob("guard.db*"))
    descriptors, threads = (len(os.listdir(f"/proc/{pid}/{kind}")) for kind in ("fd", "task"))
    return Look(resident(pid), descriptors, threads, figures.tasks, size, figures)


def resident(pid: int) -> float:
    """MB of memory that a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
