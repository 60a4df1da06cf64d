"""`make soak`: calls over real sockets through a running guard leave it as it was: memory, descriptors, threads, and a
log that no call takes more of than it may.

`GUARD_SOAK_MINUTES` is how long (2); a week of an office of 400 calls a day is 2 000 calls.
"""

from __future__ import annotations

import os
from pathlib import Path

from sim.daemon import Daemon
from sim.link import free_port
from sim.overload import resident
from sim.pressure import Pressure
from sim.site import GUARD, Site

MINUTES = float(os.environ.get("GUARD_SOAK_MINUTES", "2"))
RATE = 40.0  # calls a second: a week of that office in less than a minute
ROUNDS = 12
SETTLED = 8  # rounds until every cache is as full as it gets
GROWTH = 4.0  # MB that the rest may add: what detection keeps of numbers that it has not met before
A_CALL = 6_000  # octets of log: a week of calls in minutes sets detection off, and a flagged call says why, twice


def test_calls_over_the_wire_leave_nothing(tmp_path: Path) -> None:
    address = (GUARD, free_port(GUARD))
    pressure = Pressure(address)
    pbx, operator = pressure.ports
    site = Site(folder=tmp_path, port=address[1], trunk_port=operator, pbx_port=pbx, channels=1_000, cps=1_000)
    daemon = Daemon(site.write())
    seconds = MINUTES * 60 / ROUNDS
    memory: list[float] = []
    things: list[tuple[int, int]] = []
    size: list[int] = []
    try:
        daemon.wait_ready()
        for _ in range(ROUNDS):
            placed = pressure.run(RATE, seconds)
            assert all(c.status in {200, 403, 480} for c in placed)
            pressure.calls.clear()
            memory.append(resident(daemon.pid))
            things.append((len(os.listdir(f"/proc/{daemon.pid}/fd")), len(os.listdir(f"/proc/{daemon.pid}/task"))))
            size.append(sum(p.stat().st_size for p in tmp_path.glob("guard.db*")))
        print(f"memory (MB) {[round(m) for m in memory]}, descriptors and threads {things}, log (octets) {size}")
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        pressure.close()
    assert len(set(things[1:])) <= 2
    assert memory[-1] - memory[SETTLED] < GROWTH * (ROUNDS - SETTLED)
    assert size[-1] - size[0] < A_CALL * RATE * seconds * (ROUNDS - 1)
