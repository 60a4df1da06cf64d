"""A capture of a live run, replayed, gives the decisions of the live run."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from sim import site as s
from sim.ipbx import How
from sim.site import Site
from sim.trunk import BUSY, NO_ANSWER, Habit, busiest
from tests.live.capture import Pcap, dumpcap
from tests.live.world import Record, World, guard, live, run

pytestmark = pytest.mark.live

STRICT, MOVED, TALKER, ABSENT, BUSY_ONE = (f"+33199000{n}" for n in (407, 302, 200, 480, 486))
HABITS = {
    STRICT: Habit(challenge=True),
    MOVED: Habit(moved_to=f"sip:{s.CUSTOMER}@operator.invalid"),
    TALKER: Habit(hang_up=0.1),
    ABSENT: NO_ANSWER,
    BUSY_ONE: BUSY,
}
CALLS = 38  # two of them inbound
FIELDS = (
    *("call_id", "source", "trunk", "line", "direction", "caller", "presented", "callee", "usage", "verdict"),
    *("response", "policy", "site"),
)


def decision(record: Record) -> dict[str, object]:
    """What was decided, without what tells one log or clock from another."""
    out: dict[str, object] = {f: record[f] for f in FIELDS}
    out["findings"] = [(f["rule"], f["action"], f["mode"], f["article"]) for f in record["findings"]]
    out["held"] = record["held_ms"] > 0
    out["end"] = (record["outcome"], record["final_status"])
    return out


async def scenes(world: World) -> None:
    """Calls of every kind, one kind after the other."""
    pbx = world.pbx
    how = How(line="200")
    for callee in (s.CUSTOMER, "0199001235", "0033199001236", BUSY_ONE, STRICT, MOVED):
        await pbx.call(s.ALICE, callee, how)
    await pbx.call(s.ALICE, TALKER, How(line="200", talk=None))
    await pbx.call(s.ALICE, ABSENT, How(line="200", cancel_after=0.2))
    await pbx.call(s.PREMIUM, s.CUSTOMER, How(line="200", pai=s.PREMIUM))
    await pbx.call(s.FOREIGN, s.CUSTOMER, how)
    await asyncio.sleep(1.2)
    await pbx.call(s.FOREIGN, s.CUSTOMER, How(line="200", diversion=s.BOB))
    await pbx.call(s.ALICE, s.CUSTOMER, How(line="801"))
    await pbx.call(s.MOBILE, s.CUSTOMER, how)
    await pbx.call("anonymous", s.CUSTOMER, How(line="200", privacy="id"))
    await pbx.call("3949", s.CUSTOMER, how)
    await world.trunk.call(pbx.guard, s.CUSTOMER, s.ALICE)
    await asyncio.sleep(1.2)
    burst = [pbx.place(s.ALICE, s.CUSTOMER, How(line=f"3{n}")) for n in range(18)]
    await asyncio.sleep(0.1)
    burst.append(pbx.place(s.ALICE, s.CUSTOMER, How(line="390", cancel_after=0.3)))
    burst.append(pbx.place(s.ALICE, "112", How(line="391")))
    await asyncio.gather(*burst)
    await asyncio.sleep(1.2)
    by_name = f"sip:{s.BOB}@{s.IPBX}:{pbx.port}"
    await asyncio.gather(
        pbx.call(s.BOB, s.CUSTOMER, How(line="201")),
        world.trunk.call(pbx.guard, s.CUSTOMER, s.BOB, target=by_name),
    )


@pytest.mark.parametrize("by", ["peers", "dumpcap"])
def test_a_replay_decides_as_the_live_guard_did(tmp_path: Path, by: str) -> None:
    capture = tmp_path / "live.pcap"
    found: list[list[Record]] = []
    sites: list[Site] = []

    async def scene() -> None:
        async with live(tmp_path, habits=HABITS) as world:
            written = Pcap()
            with ExitStack() as stack:
                if by == "dumpcap":
                    stack.enter_context(dumpcap(capture, [world.site.port]))
                else:
                    written.listen(world.pbx)
                    written.listen(world.trunk)
                await scenes(world)
                log = await world.log(CALLS)
            if by == "peers":
                written.write(capture)
            assert busiest(c.at for c in world.trunk.news if c.called != "112") == 10
            found.append(log)
            sites.append(world.site)

    run(scene)
    words = ("replay", str(capture), "-c", str(sites[0].config), "--json", "--store", str(tmp_path / "replay.db"))
    replayed = [json.loads(line) for line in guard(*words).splitlines()]
    records = {r["call_id"]: decision(r) for r in replayed if "call_id" in r}
    lived = {r["call_id"]: decision(r) for r in found[0]}
    assert {r["verdict"] for r in found[0]} == {"allowed", "flagged", "masked", "blocked"}
    assert [r["direction"] for r in found[0]].count("inbound") == 2
    assert records == lived
