"""A disk that turns read-only under a guard at work, and is whole again after a check."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sim import site as s
from sim.ipbx import How
from tests.faults.disk import Disk, disk
from tests.live.test_faults import calls, said
from tests.live.world import World, live, run

pytestmark = pytest.mark.live

REFUSED = 5


async def refusals(world: World) -> list[str]:
    """Calls that are refused, and hear so: their Call-IDs."""
    placed = [world.pbx.place(s.FOREIGN, s.CUSTOMER, How(line=f"21{n}")) for n in range(REFUSED)]
    results = await asyncio.gather(*placed)
    assert {r.status for r in results} == {403}
    return [r.call_id for r in results]


def on_it(site: s.Site) -> None:
    site.store = "disk/guard.db"
    site.more = 'durability = "power"\n'  # what was heard stands on the disk, whatever becomes of it


def logged(world: World, disk: Disk) -> list[str]:
    """Call-IDs in the log, which holds as it was written."""
    config = str(world.site.config)
    disk.run("log", "-c", config, "--verify")
    return [json.loads(line)["call_id"] for line in disk.run("log", "-c", config, "--all", "--json").splitlines()]


def test_on_a_disk_that_turns_read_only_calls_go_on_and_the_log_does_after_its_check(tmp_path: Path) -> None:
    async def scene() -> None:
        with disk(tmp_path) as found:
            async with live(tmp_path, setup=on_it, begin=found.begin) as world:
                await calls(world)
                before = await refusals(world)
                found.fail()
                with pytest.raises(OSError, match="Read-only file system"):
                    Path(f"/proc/{world.daemon.pid}/root{found.folder}/probe").touch()
                unwritten = await refusals(world)
                await calls(world)
                await said(world, "guard.db is not written: disk I/O error")
                assert await asyncio.to_thread(world.daemon.stop) == 1
                assert "entries could not be written" in world.daemon.lines[-1]
                found.check()
                await world.restart()
                await calls(world)
                after = await refusals(world)
                assert await asyncio.to_thread(world.daemon.stop) == 0
                seen = await asyncio.to_thread(logged, world, found)
                assert set(before) | set(after) <= set(seen)
                assert not set(unwritten) & set(seen)
                assert len(seen) == len(set(seen))

    run(scene)


def test_on_a_disk_that_hangs_calls_go_on_and_the_log_catches_up(tmp_path: Path) -> None:
    """A disk slower than any traffic: whoever writes to it waits until it is thawed."""

    async def scene() -> None:
        with disk(tmp_path) as found:
            async with live(tmp_path, setup=on_it, begin=found.begin) as world:
                await calls(world)
                heard = []
                with found.hung(world.daemon.pid):
                    for _ in range(3):
                        await calls(world)
                        heard += await refusals(world)
                    await said(world, "guard.db is not written: the disk has not answered for 5 s")
                    await calls(world)
                await said(world, "guard.db is written again")
                heard += await refusals(world)
                assert await asyncio.to_thread(world.daemon.stop) == 0
                seen = await asyncio.to_thread(logged, world, found)
                assert set(heard) <= set(seen)
                assert len(seen) == len(set(seen)) == len(heard) + 10

    run(scene)
