"""kill -9 at random points under traffic, again and again on one log: what the IPBX heard is in the log once, and so is
every euro.

`GUARD_KILLS` is how many times (5); `make faults` does it a thousand times, and prints how far it is. `GUARD_DICE` is
what the instants are drawn from: another run with another number dies elsewhere.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from guard.config import load
from guard.ledger.penalties import month_bounds, month_of
from guard.ledger.recount import Recount
from guard.policy.load import load_policy
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from guard.store.verify import verify
from sim import site as s
from sim.ipbx import How, Result
from sim.site import Site
from tests.live.forked import Nursery
from tests.live.world import World, live, run

pytestmark = [pytest.mark.live]

KILLS = int(os.environ.get("GUARD_KILLS", "5"))
DICE = int(os.environ.get("GUARD_DICE", "20261121"))
LOOKS = 25  # kills between two looks at the whole log
STARTS = 10  # one guard in so many is killed again while it starts, under the calls that go on
START = 0.4  # s that a start takes on a machine that has nothing else to do, about
CALLS = 60
RATE = 150  # calls a second
LONGEST = 0.5  # s of traffic before the guard is killed
PATIENCE = 0.3  # s: who has no answer by then gets none
CALLERS = (s.FOREIGN, s.FOREIGN, s.PREMIUM, s.ALICE)  # refused, refused, masked, allowed


def plenty(site: Site) -> None:
    site.channels, site.cps = 100_000, 100_000


@pytest.mark.timeout(0 if KILLS > 5 else 180)
def test_what_was_heard_is_in_the_log_once_however_often_the_guard_is_killed(tmp_path: Path) -> None:
    dice = Random(DICE)

    async def scene() -> None:
        with Nursery() as nursery:
            async with live(tmp_path, setup=plenty, begin=nursery.guard) as world:
                refused: set[str] = set()
                for kill in range(1, KILLS + 1):
                    refused |= await until_killed(world, dice, dice.uniform(0.02, LONGEST))
                    if kill % STARTS == 0:
                        refused |= await until_killed(world, dice, dice.uniform(0.02, START))
                    await asyncio.to_thread(world.daemon.wait_ready)
                    if kill % LOOKS == 0 or kill == KILLS:
                        await asyncio.to_thread(look, world, refused)
                        print(f"{kill} kills: {len(refused)} refusals heard, all in the log once", flush=True)
                assert len(refused) > KILLS  # it refused, and it died in the middle
                again = await world.pbx.call(s.FOREIGN, s.CUSTOMER, How(line="200"))
                assert again.status == 403

    if KILLS > 5:
        asyncio.run(scene())
    else:
        run(scene)


async def until_killed(world: World, dice: Random, dies: float) -> set[str]:
    """Calls at a steady rate, SIGKILL after `dies` seconds, and the next guard begun at once: Call-IDs of those that
    heard that they are refused."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    calls: list[asyncio.Task[Result]] = []
    while (past := loop.time() - begun) < dies:
        while len(calls) < min(past * RATE, CALLS):
            how = How(line=f"2{len(calls)}", talk=0.05, patience=PATIENCE)
            calls.append(world.pbx.place(dice.choice(CALLERS), s.CUSTOMER, how))
        await asyncio.sleep(0.001)
    world.daemon.process.kill()
    await asyncio.to_thread(world.daemon.kill)
    await world.begin()
    return {r.call_id for r in await asyncio.gather(*calls) if r.status == 403}


def look(world: World, refused: set[str]) -> None:
    """Compare what was heard with the log, and the log with its ledger."""
    masked = {c.call_id for c in world.trunk.news if s.MAIN in c.from_}
    config = load(world.site.config)
    recount = Recount(load_policy(config).figures)
    with SqliteReader(world.site.folder / world.site.store) as reader:
        details = list(reader.details(Query(all=True)))
        found = verify(reader, lambda _done, _of: None)
        month = month_bounds(month_of(details[0].body.at, config.zone), config.zone)
        owed = [(e.trunk, e.number) for e in reader.exposures(*month) if e.per_number]
    assert found.ok, found.reason
    verdicts = {d.record.call_id: d.record.verdict for d in details}
    assert len(verdicts) == len(details), "a call was recorded twice"
    assert {c for c in refused if verdicts.get(c) != "blocked"} == set()
    assert {c for c in masked if verdicts.get(c) != "masked"} == set()
    assert len(owed) == len(set(owed)), "a penalty of a number counted twice"
    details.sort(key=lambda d: d.record.seq)
    differences = [recount.take(d.record.seq, d.body) for d in details]
    assert [d for d in differences if d is not None] == []
