"""Ping calls through a real daemon: found late, refused, an incident, shut off over a restart, released; emergency
calls pass throughout."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sim import site as s
from sim.ipbx import How, Result
from sim.site import Site
from sim.trunk import NO_ANSWER, Habit
from tests.live.world import Record, World, guard, live, run

pytestmark = pytest.mark.live

QUARANTINED = '[rules."traffic.ping-call"]\nquarantine_minutes = -1\n'
RINGS = "+3319900"
SOON = 12.0  # seconds for an incident to be in the books, and for a release to be heard of


def setup(site: Site) -> None:
    site.more = QUARANTINED


async def ping(world: World, n: int, caller: str = s.ALICE, line: str = "200") -> Result:
    """A call that its caller cancels at once."""
    return await world.pbx.call(caller, f"{RINGS}{2000 + 37 * n:04}", How(line=line, cancel_after=0.08))


async def incidents(world: World, *more: str) -> list[Record]:
    words = ("incidents", "list", "-c", str(world.site.config), "--json", "--numbers", "full", *more)
    return [json.loads(one) for one in (await asyncio.to_thread(guard, *words)).splitlines()]


async def shut(world: World, many: int) -> list[Record]:
    """The incidents of who is shut off, once there are so many."""
    async with asyncio.timeout(SOON):
        while len(found := [i for i in await incidents(world) if i["quarantine"]]) != many:
            await asyncio.sleep(0.3)
    return found


async def emergency_passes(world: World) -> None:
    before = len(world.trunk.news)
    assert (await world.pbx.call(s.ALICE, "112", How(line="200"))).status == 200
    assert len(world.trunk.news) == before + 1


async def refused(world: World) -> Result:
    result = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
    assert result.status == 403
    return result


async def passes_soon(world: World) -> None:
    async with asyncio.timeout(SOON):
        while (await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))).status != 200:
            await asyncio.sleep(0.3)


def test_ping_calls_shut_a_line_off_until_a_person_releases_it(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path, habits={RINGS: NO_ANSWER, s.CUSTOMER: Habit()}, setup=setup) as world:
            for n in range(7):
                assert (await ping(world, n)).status == 487
            eighth = await refused(world)
            assert "traffic.ping-call" in eighth.warning
            assert any("traffic.ping-call" in r for r in eighth.reason)
            await emergency_passes(world)

            found = await shut(world, 2)  # the line and its number, each one incident
            assert {(i["kind"], i["subject"]) for i in found} == {("line", "pbx/200"), ("number", s.ALICE)}
            assert all(i["rule"] == "traffic.ping-call" and i["reached_operator"] for i in found)
            record = next(r for r in await records(world) if any(f.get("late") for f in r["findings"]))
            assert record["verdict"] == "allowed"
            assert record["accrued_cents"] == 250_005

            assert await asyncio.to_thread(world.daemon.stop) == 0
            await world.restart()
            again = await refused(world)
            assert "traffic.ping-call" in again.warning or "source.quarantined" in again.warning
            await emergency_passes(world)

            for one in found:
                await asyncio.to_thread(guard, "incidents", "release", one["id"], "-c", str(world.site.config))
            await passes_soon(world)
            await emergency_passes(world)
            assert await shut(world, 0) == []

            assert await asyncio.to_thread(world.daemon.kill) < 0
            await world.restart()
            await passes_soon(world)

    run(scene)


def test_a_person_shuts_a_source_off_and_lets_it_call_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            config = ("-c", str(world.site.config))
            assert (await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))).status == 200
            said = await asyncio.to_thread(guard, "incidents", "quarantine", "source", "pbx", "--hours", "2", *config)
            assert "INC-1 is open, and shut off until" in said
            async with asyncio.timeout(SOON):
                while (await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))).status != 403:
                    await asyncio.sleep(0.3)
            await emergency_passes(world)
            await asyncio.to_thread(guard, "incidents", "release", "INC-1", *config)
            await passes_soon(world)

    run(scene)


async def records(world: World) -> list[Record]:
    words = ("log", "-c", str(world.site.config), "--all", "--json")
    return [json.loads(one) for one in (await asyncio.to_thread(guard, *words)).splitlines()]
