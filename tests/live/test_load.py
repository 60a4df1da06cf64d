"""Under load: the operator's clock judges the rate, and the log survives the death of the guard."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from sim import site as s
from sim.ipbx import How, Ipbx, Result
from sim.site import Site
from sim.trunk import busiest
from tests.live.world import World, guard, live, read_log, run

pytestmark = pytest.mark.live

LIMIT = 10  # new calls a second: the contract's
OFFERED = 50
SECONDS = 30
KILLS = 3
FLOOD = 400  # calls at once
HEARD = 60  # refusals after which the guard is killed
LAST = 10  # calls that it dies before it hears of
PATIENCE = 2.0  # seconds: who has no answer by then gets none


async def offer(pbx: Ipbx, rate: int, calls: int, caller: str = s.ALICE) -> list[asyncio.Task[Result]]:
    """Place calls at a steady rate; none waits for another."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    placed: list[asyncio.Task[Result]] = []
    for n in range(calls):
        await asyncio.sleep(max(0.0, start + n / rate - loop.time()))
        placed.append(pbx.place(caller, s.CUSTOMER, How(line=f"2{n}", talk=0.2)))
    return placed


def test_the_operator_never_sees_more_than_the_limit_in_any_second(tmp_path: Path) -> None:
    def setup(site: Site) -> None:
        site.channels = 1000

    async def scene() -> None:
        async with live(tmp_path, setup=setup) as world:
            results = await asyncio.gather(*await offer(world.pbx, OFFERED, OFFERED * SECONDS))
            assert busiest(c.at for c in world.trunk.news) <= LIMIT
            carried = {r.call_id for r in results if r.status == 200}
            refused = {r.call_id for r in results if r.status == 480}
            assert len(carried) + len(refused) == OFFERED * SECONDS
            assert {c.call_id for c in world.trunk.news} == carried
            # A place that is free is used: all but a twentieth of what the limit lets through was carried.
            assert len(carried) >= 0.95 * LIMIT * SECONDS
            assert all(r.retry_after for r in results if r.status == 480)
            log = await world.log(OFFERED * SECONDS)
            assert {r["call_id"] for r in log if r["response"] == 480} == refused
            assert {r["call_id"] for r in log if r["outcome"] == "answered"} == carried

    run(scene)


def test_a_refusal_that_was_heard_is_in_the_log_after_kill_9(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            refused: set[str] = set()
            for _ in range(KILLS):
                heard = await until_killed(world)
                refused |= {r.call_id for r in heard if r.status == 403}
                assert sum(r.status == 0 for r in heard) >= LAST
                await world.restart()
            masked = {c.call_id for c in world.trunk.news}
            assert len(refused) >= KILLS * HEARD
            assert masked
            log = {r["call_id"]: r for r in await asyncio.to_thread(read_log, world.site)}
            assert {c for c in refused | masked if c not in log} == set()
            assert {log[c]["response"] for c in refused} == {403}
            assert {log[c]["verdict"] for c in masked} == {"masked"}
            guard("log", "-c", str(world.site.config), "--verify")
            again = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
            assert again.status == 200
            assert (await world.record(again.call_id))["seq"] > max(r["seq"] for r in log.values())

    run(scene)


async def until_killed(world: World) -> list[Result]:
    """A flood of calls to be refused, a few to be masked among them; SIGKILL once enough refusals are heard."""
    before = world.pbx.counts["403"]
    calls = [
        world.pbx.place(
            s.PREMIUM if n % 40 == 0 else s.FOREIGN, s.CUSTOMER, How(line=f"2{n}", talk=0.1, patience=PATIENCE)
        )
        for n in range(FLOOD)
    ]
    while world.pbx.counts["403"] - before < HEARD:
        await asyncio.sleep(0)  # every turn of the loop: what lies between an answer and its record is short
    world.daemon.process.send_signal(signal.SIGSTOP)  # so that some calls wait for it when it dies, however fast it was
    last = [world.pbx.place(s.FOREIGN, s.CUSTOMER, How(patience=PATIENCE)) for _ in range(LAST)]
    await asyncio.sleep(0)
    await asyncio.to_thread(world.daemon.kill)
    return await asyncio.gather(*calls, *last)
