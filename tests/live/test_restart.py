"""A guard that is stopped, or killed, under calls: what is up goes on, channels count on, records get their end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sim import site as s
from sim.ipbx import How
from sim.site import Site
from sim.trunk import Habit
from tests.live.world import World, live, run

pytestmark = pytest.mark.live

CHANNELS = 3
LONG = How(line="200", talk=None)


def small(site: Site) -> None:
    site.channels = CHANNELS


async def up(world: World, calls: int) -> None:
    """So many calls are answered, and the guard has had its second to write them down."""
    async with asyncio.timeout(10):
        while len(world.trunk.dialogs) < calls:
            await asyncio.sleep(0.05)
        path = world.site.folder / f"{world.site.store}-calls"
        while path.read_bytes().count(b'"call":') < calls:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_calls_go_on_over_a_restart_and_their_channels_count_on(tmp_path: Path, how: str) -> None:
    async def scene() -> None:
        async with live(tmp_path, setup=small) as world:
            talking = [world.pbx.place(s.ALICE, s.CUSTOMER, LONG) for _ in range(CHANNELS)]
            await up(world, CHANNELS)
            if how == "stopped":
                assert await asyncio.to_thread(world.daemon.stop) == 0
            else:
                await asyncio.to_thread(world.daemon.kill)
            await world.restart()
            full = await world.pbx.call(s.BOB, s.CUSTOMER, How(line="201"))
            assert full.status == 480  # every channel is taken, as before
            (first, *others) = list(world.trunk.dialogs)
            await world.trunk.hang_up(first).done()
            free = await world.pbx.call(s.BOB, s.CUSTOMER, How(line="201"))
            assert free.status == 200
            for call_id in others:
                await world.trunk.hang_up(call_id).done()
            results = await asyncio.gather(*talking)
            assert [r.status for r in results] == [200] * CHANNELS
            log = {r["call_id"]: r for r in await world.log(CHANNELS + 2)}
            for result in results:
                record = log[result.call_id]
                assert record["outcome"] == "answered"
                assert record["talk_ms"] > 0

    run(scene)


def test_a_reinvite_after_a_restart_is_of_a_call_that_is_known(tmp_path: Path) -> None:
    """A session timer's refresh (RFC 4028) would else hear 481, and the call would end."""

    async def scene() -> None:
        async with live(tmp_path, setup=small) as world:
            talking = world.pbx.place(s.PREMIUM, s.CUSTOMER, LONG)  # masked: both sides keep seeing their own From
            await up(world, 1)
            assert await asyncio.to_thread(world.daemon.stop) == 0
            await world.restart()
            (call_id,) = world.trunk.dialogs
            refresh = world.trunk.dialogs[call_id].send("INVITE")
            answer = await refresh.done()
            assert answer.status == 200
            await world.trunk.hang_up(call_id).done()
            result = await talking
            assert result.status == 200
            assert s.PREMIUM in result.bye_to
            assert (await world.record(call_id))["verdict"] == "masked"

    run(scene)


def test_set_ups_finish_before_a_guard_that_is_stopped_goes(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path, habits={"": Habit(ring=0.02, answer=1.5)}) as world:
            ringing = world.pbx.place(s.ALICE, s.CUSTOMER, How(line="200", talk=0.0))
            async with asyncio.timeout(10):
                while not world.trunk.news:
                    await asyncio.sleep(0.02)
            stopping = asyncio.create_task(asyncio.to_thread(world.daemon.stop))
            async with asyncio.timeout(10):
                while not any("set-ups may finish" in line for line in world.daemon.lines):
                    await asyncio.sleep(0.02)
            late = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="201"))
            assert late.status == 480
            assert late.reason == ('SIP;cause=480;text="the guard is being stopped"',)
            assert late.retry_after == 5
            result = await ringing
            assert result.status == 200
            assert await stopping == 0
            await world.restart()
            assert (await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))).status == 200
            log = await world.log(2)
            assert {r["outcome"] for r in log} == {"answered"}

    run(scene)


def test_a_second_signal_ends_the_parting(tmp_path: Path) -> None:
    def patient(site: Site) -> None:
        site.more = "[drain]\nseconds = 300\nanswer = 503\n"

    async def scene() -> None:
        async with live(tmp_path, habits={"": Habit(ring=0.02, answer=None)}, setup=patient) as world:
            ringing = world.pbx.place(s.ALICE, s.CUSTOMER, How(line="200", patience=2.0))
            async with asyncio.timeout(10):
                while not world.trunk.news:
                    await asyncio.sleep(0.02)
                world.daemon.process.terminate()
                while not any("set-ups may finish, for 300 s" in line for line in world.daemon.lines):
                    await asyncio.sleep(0.02)
            late = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="201"))
            assert (late.status, late.retry_after) == (503, None)
            sos = await world.pbx.call(s.ALICE, "112", How(line="201", cancel_after=0.2))
            assert sos.rang
            assert await asyncio.to_thread(world.daemon.stop) == 0  # the second signal
            assert (await ringing).status == 0

    run(scene)
