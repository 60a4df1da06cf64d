"""Two guards behind one address (VRRP, keepalived): what becomes of calls that were set up through the other one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from guard.app import App
from guard.app_parts import open_store
from guard.config import load
from guard.nexthops import resolved
from guard.policy.load import load_policy
from guard.sip.message import parse
from sim.site import ALICE, IPBX, Site
from tests.apprig import MASKED, Rig, guard, run
from tests.proxy.world import request
from tests.state.server import Server, serving
from tests.state.test_three_guards import serves, until


@asynccontextmanager
async def takes_over(first: Rig, folder: Path, state: str) -> AsyncIterator[Rig]:
    """Another guard, with a log and a name of its own, has the first one's address now."""
    await first.stop()
    folder.mkdir()
    was = first.site
    site = Site(folder=folder, port=was.port, trunk_port=was.trunk_port, pbx_port=was.pbx_port, more=state)
    config = load(site.write())
    policy = load_policy(config)
    store = open_store(config, policy)
    second = Rig(site, App(config, policy, store, resolved(config)), store, first.pbx, first.operator)
    try:
        await second.app.start()
        await until(lambda: serves(second))
        yield second
    finally:
        await second.stop()


def channels(server: Server) -> int:
    with server.client() as client:
        return sum(int(n) for n in client.hvals("{guard:demo}:g:channels:operator"))


def bye_of(rig: Rig, number: int, caller: str) -> bytes:
    """A caller hangs up, along the route that the first guard gave it."""
    route = f"Route: <sip:{rig.site.guard[0]}:{rig.site.guard[1]};lr>\r\n"
    return request(
        "BYE", rig.pbx.remote, caller=caller, call_id=f"call{number}", branch=f"b{number}BYE", tag=f"t{number}",
        to_tag="z9", cseq=2, host=rig.pbx.host, port=rig.pbx.port, more=route,
    )  # fmt: skip


async def connected(rig: Rig, number: int, caller: str) -> None:
    """A call that is answered."""
    rig.answer(await rig.carried(number, caller=caller), 200)
    await rig.pbx.next("200", number=number)
    rig.pbx.say("ACK", number)
    await rig.operator.next("ACK", number=number)


def test_the_other_guard_carries_the_end_of_calls_that_it_never_saw(tmp_path: Path) -> None:
    callers = {1: f"<sip:{ALICE}@{IPBX}>", 2: MASKED}

    async def scene() -> None:
        state = f'[state]\nurl = "{server.url}"\ndeadline_ms = 500\nlease_s = 2\n'
        (tmp_path / "a").mkdir()
        async with guard(tmp_path / "a", more=state) as a:
            await until(lambda: serves(a))
            for number, caller in callers.items():
                await connected(a, number, caller)
            assert channels(server) == 2
            async with takes_over(a, tmp_path / "b", state) as b:
                for number, caller in callers.items():
                    sent = bye_of(b, number, caller)
                    b.pbx.send(sent)
                    bye = await b.operator.next("BYE", number=number)
                    assert bye.from_().uri == parse(sent).from_().uri, "as the caller sends it, unmasked"
                    b.answer(bye, 200)
                    await b.pbx.next("200", number=number)
                b.pbx.invite(3)
                b.answer(await b.operator.next("INVITE", number=3), 486)
                await b.pbx.final(3)
            assert [d.record.call_id for d in b.log()] == ["call3"], "the first one's log has the others' beginning"

    with serving() as server:
        run(scene)
