"""The wall clock of a guard at work is set forward and back. The machine's own stays as it is: the library of clock.c
stands before the guard's."""

from __future__ import annotations

import asyncio
import subprocess
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from sim import site as s
from sim.daemon import Daemon
from sim.ipbx import How
from tests.live.test_faults import calls, said
from tests.live.world import guard, live, need, run

pytestmark = pytest.mark.live

HOUR = 3_600  # s
JUMPS = (2 * HOUR, -3 * HOUR, 26 * HOUR, 0)  # from the true time
NEAR = 120.0  # s


def built(folder: Path) -> str:
    """The library."""
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    compiler = need("gcc", "gcc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return str(library)


def test_calls_and_limits_do_not_notice_that_the_clock_jumps(tmp_path: Path) -> None:
    offset = tmp_path / "offset"

    def jump(seconds: int) -> None:
        with offset.open("r+b") as file:  # one page, that the guard has mapped
            file.write(seconds.to_bytes(8, "little", signed=True))

    def narrow(site: s.Site) -> None:
        site.channels = 2

    async def scene() -> None:
        offset.write_bytes(bytes(8))
        before = ("env", f"LD_PRELOAD={built(tmp_path)}", f"CLOCK_OFFSET={offset}")
        async with live(tmp_path, setup=narrow, begin=partial(Daemon, before=before)) as world:
            first = world.pbx.place(s.ALICE, s.CUSTOMER, How(line="210", talk=60.0))
            await calls(world)
            for seconds in JUMPS:
                talking = world.pbx.place(s.ALICE, s.CUSTOMER, How(line="211", talk=3.0))
                await asyncio.sleep(1)  # it is up
                jump(seconds)
                full = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="212"))
                assert full.status == 480  # two channels are taken, whatever time it is
                sos = await world.pbx.call(s.ALICE, f"sip:112@{s.GUARD}", How(line="213"))
                assert sos.status == 200
                assert (await talking).status == 200
                refused = await world.pbx.call(s.FOREIGN, s.CUSTOMER, How(line="214"))
                assert refused.status == 403
                await said(world, "wall clock")
                record = await world.record(refused.call_id)
                away = datetime.fromisoformat(record["time"]).timestamp() - time.time() - seconds
                assert abs(away) < NEAR
                talked = await world.record((await talking).call_id)
                assert talked["outcome"] == "answered"
                assert talked["talk_ms"] < 1_000 * NEAR  # and not by hours more, or less than nothing
                assert talked["talk_ms"] > 1_000
                world.daemon.lines.clear()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await asyncio.to_thread(guard, "log", "-c", str(world.site.config), "--verify")
            await calls(world)

    run(scene)
