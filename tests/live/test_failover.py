"""Next hops that stop, refuse, vanish and come back, under calls: real processes, real sockets, a real name server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from sim import site as s
from sim.ipbx import How, Ipbx, Result
from sim.site import Site
from sim.trunk import Habit
from tests.live.hop import Hop
from tests.live.world import World, live, run
from tests.net.zone import NameServer

pytestmark = pytest.mark.live

Transport = Literal["udp", "tcp"]
FIRST, SECOND_HOST = "127.0.0.3", "127.0.0.4"
RATE = 20  # calls a second
BEFORE, STOPPED, AFTER = 20, 80, 20  # calls: 1 s, 4 s, 1 s
HEALTH = "health = { every_s = 1, down_after = 2 }\n"


@contextmanager
def hops(*habits: Habit | None, transport: Transport = "udp") -> Iterator[tuple[Hop, ...]]:
    """Next hops on 127.0.0.3, .4, …"""
    started: list[Hop] = []
    try:
        for n, habit in enumerate(habits):
            started.append(Hop(f"127.0.0.{n + 3}", habit, transport))
        yield tuple(started)
    finally:
        for hop in started:
            hop.kill()


async def offer(pbx: Ipbx, calls: int, talk: float = 0.2) -> list[asyncio.Task[Result]]:
    """Calls at a steady rate; none waits for another."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    placed = []
    for n in range(calls):
        await asyncio.sleep(max(0.0, start + n / RATE - loop.time()))
        placed.append(pbx.place(s.ALICE, s.CUSTOMER, How(line=f"2{n}", talk=talk)))
    return placed


async def said(world: World, text: str, times: int = 1) -> None:
    """The guard told this so often."""
    async with asyncio.timeout(15):
        while sum(text in line for line in world.daemon.lines) < times:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_hop_that_stops_under_twenty_calls_a_second_costs_no_call(tmp_path: Path, transport: Transport) -> None:
    """Over TCP its kernel takes connections and data all the same, and nobody reads them."""
    with hops(None, None, transport=transport) as (first, second):

        def setup(site: Site) -> None:
            site.cps = site.channels = 1000
            site.next_hops = (first.uri, second.uri)
            site.trunk_more = HEALTH

        async def scene() -> None:
            async with live(tmp_path, setup=setup) as world:
                before = await asyncio.gather(*await offer(world.pbx, BEFORE))
                first.freeze()
                stopped = await offer(world.pbx, STOPPED)
                await said(world, f"{transport} {FIRST}:{first.port} of trunk operator is down: ")
                # Whoever got an answer meanwhile was carried by the other hop.
                carried = await asyncio.gather(*stopped)
                first.thaw()
                await said(world, f"{transport} {FIRST}:{first.port} of trunk operator is up again")
                after = await asyncio.gather(*await offer(world.pbx, AFTER))
                results = [*before, *carried, *after]
                assert [r.status for r in results] == [200] * (BEFORE + STOPPED + AFTER)
                assert [r.bye_status for r in results] == [200] * (BEFORE + STOPPED + AFTER)
                # A second at most, for those that found it silent; none once it was known.
                assert sum(r.waited > 1 for r in carried) < 1.5 * RATE
                log = await world.log(BEFORE + STOPPED + AFTER)  # each decided, recorded and ended once
                assert {r["outcome"] for r in log} == {"answered"}
                assert world.pbx.counts["503"] == 0
                one, other = first.stop(), second.stop()
                assert {r.call_id for r in before} <= set(one.answered)
                assert {r.call_id for r in carried} == set(other.answered)
                assert {r.call_id for r in after} <= set(one.answered)
                # What it read when it woke was cancelled, or answered and hung up: it keeps no call that nobody has.
                woken = set(one.invited) & {r.call_id for r in carried}
                assert woken
                assert woken <= set(one.cancelled) | set(one.ended)

        run(scene)


def test_a_hop_that_answers_503_and_one_that_is_not_there(tmp_path: Path) -> None:
    with hops(Habit(refuse=503, answer=0.0), None) as (busy, good):

        def setup(site: Site) -> None:
            site.cps = site.channels = 1000
            site.next_hops = ("sip:127.0.0.5:9;transport=tcp", busy.uri, good.uri)
            site.trunk_more = "health = { every_s = 0 }\n"

        async def scene() -> None:
            async with live(tmp_path, setup=setup) as world:
                results = await asyncio.gather(*await offer(world.pbx, 20))
                assert [r.status for r in results] == [200] * 20
                assert max(r.waited for r in results) < 1  # nobody waited for silence
                assert set(good.stop().answered) == {r.call_id for r in results}
                assert len(await world.log(20)) == 20

        run(scene)


def test_when_no_hop_is_left_the_caller_hears_480_with_a_reason(tmp_path: Path) -> None:
    with hops(None, None) as (first, second):

        def setup(site: Site) -> None:
            site.next_hops = (first.uri, second.uri)
            site.trunk_more = HEALTH

        async def scene() -> None:
            async with live(tmp_path, setup=setup) as world:
                first.freeze()
                second.freeze()
                result = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
                assert result.status == 480
                assert result.reason == ('SIP;cause=480;text="no answer from the trunk"',)
                assert (await world.record(result.call_id))["outcome"] == "failed"
                second.thaw()
                again = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
                assert again.status == 200

        run(scene)


def test_next_hops_are_found_in_dns_and_followed_when_they_move(tmp_path: Path) -> None:
    with hops(None, None) as (first, second), NameServer() as names:
        common = f"""\
trunk.test 300 NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.trunk.test.
sbc1.test 5 A {FIRST}
sbc2.test 5 A {SECOND_HOST}
"""
        names.serve(
            f"""{common}\
_sip._udp.trunk.test 5 SRV 10 0 {first.port} sbc1.test.
_sip._udp.trunk.test 5 SRV 20 0 {second.port} sbc2.test."""
        )

        def setup(site: Site) -> None:
            site.next_hops = ("sip:trunk.test",)
            site.trunk_more = HEALTH
            site.more = f'[dns]\nservers = ["127.0.0.1:{names.address[1]}"]\n'

        async def scene() -> None:
            async with live(tmp_path, setup=setup) as world:
                one = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
                first.freeze()
                two = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))  # the next SRV record
                first.thaw()
                names.serve(f"{common}_sip._udp.trunk.test 300 SRV 10 0 {second.port} sbc2.test.")
                await said(world, f"trunk operator: next hops are now udp {SECOND_HOST} {second.port}")
                three = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
                names.silent = True
                four = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
                assert [r.status for r in (one, two, three, four)] == [200] * 4
                assert set(second.stop().answered) == {r.call_id for r in (two, three, four)}
                assert one.call_id in first.stop().answered

        run(scene)
