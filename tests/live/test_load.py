"""Under load: the operator's clock judges the rate, and the log survives the death of the guard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sim import site as s
from sim.ipbx import How, Ipbx, Result
from sim.site import Site
from sim.trunk import busiest
from tests.live.world import guard, live, read_log, run

pytestmark = pytest.mark.live

LIMIT = 10  # new calls a second: the contract's
OFFERED = 50
SECONDS = 30


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
            assert world.trunk.counts["INVITE again"] == 0
            log = await world.log(OFFERED * SECONDS)
            assert {r["call_id"] for r in log if r["response"] == 480} == refused
            assert {r["call_id"] for r in log if r["outcome"] == "answered"} == carried

    run(scene)


def test_a_refusal_that_was_heard_is_in_the_log_after_kill_9(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            heard: list[Result] = []

            async def place(n: int) -> None:
                how = How(line=f"2{n}", talk=0.2, patience=1.0)
                heard.append(await world.pbx.call(s.FOREIGN if n % 2 else s.PREMIUM, s.CUSTOMER, how))

            calls: list[asyncio.Task[None]] = []
            for n in range(300):
                calls.append(asyncio.create_task(place(n)))
                await asyncio.sleep(0.005)
                if n == 200:
                    await asyncio.to_thread(world.daemon.kill)
            await asyncio.gather(*calls)
            refused = {r.call_id for r in heard if r.status == 403}
            masked = {c.call_id for c in world.trunk.news}
            assert len(refused) > 50
            assert masked
            assert any(r.status == 0 for r in heard)
            await world.restart()
            log = {r["call_id"]: r for r in await asyncio.to_thread(read_log, world.site)}
            assert {c for c in refused if c not in log} == set()
            assert {c for c in masked if c not in log} == set()
            assert {log[c]["response"] for c in refused} == {403}
            assert {log[c]["verdict"] for c in masked} == {"masked"}
            guard("log", "-c", str(world.site.config), "--verify")
            again = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
            assert again.status == 200
            assert (await world.record(again.call_id))["seq"] > max(r["seq"] for r in log.values())

    run(scene)
