"""A live site: `guard run` as a child between a simulated IPBX and operator, and its log read as people read it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from guard.store.contract import Query
from guard.store.reader import Detail, SqliteReader
from sim.daemon import Daemon
from sim.ipbx import Ipbx
from sim.ports import free_port
from sim.site import GUARD, Site
from sim.trunk import Habit, Trunk

Record = dict[str, Any]  # one object of `guard log --json`
SETTLED = 10.0  # seconds for the ends of all calls to be in the log
BOUND = 150.0  # seconds that a scene may take in all


class World:
    """One running site. After `live` the guard has stopped, and the log can still be read."""

    def __init__(self, site: Site, trunk: Trunk, pbx: Ipbx, begin: Callable[[Path], Daemon] = Daemon) -> None:
        self.site = site
        self.trunk = trunk
        self.pbx = pbx
        self._begin = begin
        self.daemon = begin(site.config)

    async def restart(self) -> None:
        """Start the guard once more, on the same log."""
        await self.begin()
        await asyncio.to_thread(self.daemon.wait_ready)

    async def begin(self) -> None:
        """Start the guard once more, and do not wait until it takes calls."""
        self.daemon = await asyncio.to_thread(self._begin, self.site.config)

    async def log(self, calls: int) -> list[Record]:
        """Every record, once there are so many and each call has its end; no more may come."""
        async with asyncio.timeout(SETTLED):
            while self._over(Query(all=True)) < calls:
                await asyncio.sleep(0.1)
        found = await asyncio.to_thread(read_log, self.site)
        assert len(found) == calls, f"{len(found)} records of {calls} calls"
        return found

    async def record(self, call_id: str) -> Record:
        """The one record of a call, once it is over."""
        async with asyncio.timeout(SETTLED):
            while not self._over(Query(all=True, call_id=call_id)):
                await asyncio.sleep(0.1)
        found = [r for r in await asyncio.to_thread(read_log, self.site) if r["call_id"] == call_id]
        assert len(found) == 1, f"{len(found)} records of one call"
        return found[0]

    def _over(self, query: Query) -> int:
        """How many calls have their end. What got no answer at all never has one."""
        with SqliteReader(self.site.folder / self.site.store) as reader:
            return sum(d.end is not None or "source.unknown" in rule_ids(d) for d in reader.details(query))


def rule_ids(detail: Detail) -> set[str]:
    """The rules that spoke of a call."""
    return {f.rule for f in detail.record.findings}


def guard(*words: str) -> str:
    """Run a command of guard, and return what it printed. Its status must be 0."""
    done = subprocess.run([sys.executable, "-m", "guard.cli.main", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_log(site: Site) -> list[Record]:
    """`guard log --all --json`."""
    return [json.loads(line) for line in guard("log", "-c", str(site.config), "--all", "--json").splitlines()]


def rules(record: Record) -> list[str]:
    """The rules that spoke of a call."""
    return [f["rule"] for f in record["findings"]]


def need(program: str, package: str) -> str:
    """The path of a program, or a failure that says how to get it."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is missing: sudo apt-get install {package}", pytrace=False)
    return found


@asynccontextmanager
async def live(
    folder: Path,
    *,
    habits: dict[str, Habit] | None = None,
    setup: Callable[[Site], None] | None = None,
    trunk: Trunk | None = None,
    begin: Callable[[Path], Daemon] = Daemon,
) -> AsyncIterator[World]:
    """A site whose guard takes calls. `setup` may change what stands in its guard.toml; `trunk` is another operator;
    `begin` starts the guard on a guard.toml.

    At the end the guard must stop at SIGTERM with status 0, and must have told of no fault.
    """
    trunk = Trunk(habits=habits) if trunk is None else trunk
    await trunk.start()
    address = (GUARD, free_port(GUARD))
    pbx = Ipbx(address)
    await pbx.start()
    site = Site(folder=folder, port=address[1], trunk_port=trunk.port, pbx_port=pbx.port)
    if setup is not None:
        setup(site)
    site.write()
    world = World(site, trunk, pbx, begin)
    try:
        await asyncio.to_thread(world.daemon.wait_ready)
        yield world
        assert await asyncio.to_thread(world.daemon.stop) == 0, "\n".join(world.daemon.lines)
        faults = [line for line in world.daemon.lines if "Error" in line or "exception" in line]
        assert not faults, "\n".join(faults)
    finally:
        await pbx.stop()
        await trunk.stop()
        await asyncio.to_thread(world.daemon.kill)


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run one scene to its end."""

    async def bounded() -> None:
        async with asyncio.timeout(BOUND):
            await scene()

    asyncio.run(bounded())
