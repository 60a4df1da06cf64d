"""The guard ends a call to a premium number: both ends get a BYE that is of their dialog, and the record says who ended
it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guard.store.contract import Query
from guard.store.reader import SqliteReader
from sim import site as s
from sim.agent import Dialog
from sim.ipbx import How
from sim.site import Site
from sim.wire import Sip
from tests.live.world import live, rules, run

pytestmark = pytest.mark.live

CAP = '\n[rules."dst.sva-cap"]\nmax_seconds = 1\n'
SERVICE = "+33899000001"


def of_dialog(bye: Sip, dialog: Dialog) -> None:
    """What RFC 3261 12.2.2 asks of a request for it to be of a dialog, and to be served."""
    assert bye.call_id == dialog.call_id
    assert (bye.get("from"), bye.get("to")) == (dialog.remote, dialog.local)
    assert bye.cseq > dialog.cseq


@pytest.mark.parametrize(
    ("near", "far", "caller"),
    [("udp", "udp", s.ALICE), ("tcp", "udp", s.ALICE), ("udp", "tcp", s.ALICE), ("udp", "udp", s.PREMIUM)],
    ids=["udp", "tcp-near", "tcp-far", "masked"],
)
def test_the_guard_ends_a_call_that_has_talked_enough(tmp_path: Path, near: str, far: str, caller: str) -> None:
    def setup(site: Site) -> None:
        site.trunk_transport = far
        site.more = CAP

    async def scene() -> None:
        async with live(tmp_path, setup=setup) as world:
            placed = world.pbx.place(caller, SERVICE, How(line="200", pai=caller, talk=None, transport=near))
            while not world.trunk.dialogs:
                await asyncio.sleep(0.01)
            ((call_id, callee),) = world.trunk.dialogs.items()
            result = await placed
            assert result.call_id == call_id
            (up,) = world.pbx.byes
            while not world.trunk.byes:
                await asyncio.sleep(0.01)
            (down,) = world.trunk.byes
            (seen,) = world.trunk.seen
            callee.cseq = seen.message.cseq
            of_dialog(down, callee)
            assert down.uri == world.trunk.contact(seen.called, far).strip("<>")
            assert up.uri == world.pbx.contact(caller, near).strip(
                "<>"
            )  # its own, also where the operator sees another
            assert up.call_id == call_id
            assert up.get("to") == result.from_sent
            assert up.from_tag == down.to_tag
            for bye in (up, down):
                assert bye.all("reason")[0].startswith('SIP;cause=480;text="dst.sva-cap #')
                assert bye.get("via").count("branch=") == 1
            record = await world.record(call_id)
            assert (record["outcome"], record["final_status"]) == ("answered", 200)
            assert record["talk_ms"] >= 1000
            assert {"dst.premium", "dst.sva-cap"} <= set(rules(record))
            with SqliteReader(world.site.folder / world.site.store) as reader:
                (detail,) = reader.details(Query(all=True))
                assert detail.end is not None
                assert detail.end.by == "guard"

    run(scene)


def test_an_ordinary_call_goes_on(tmp_path: Path) -> None:
    def setup(site: Site) -> None:
        site.more = CAP

    async def scene() -> None:
        async with live(tmp_path, setup=setup) as world:
            result = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200", pai=s.ALICE, talk=1.3))
            assert result.bye_status == 200
            assert world.pbx.byes == []

    run(scene)
