"""An IPBX registers its accounts at the operator through a running guard: digest, refresh, several contacts, removal,
expiry; calls come in by what was registered, also to a guard that was stopped or killed in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sim import site as s
from sim.ports import free_port
from sim.site import Site
from tests.live.registrar import Account, Registrar
from tests.live.world import World, live, run

pytestmark = pytest.mark.live

CALLER = "+33199005678"


@asynccontextmanager
async def registering(folder: Path, *, hop: str = "udp") -> AsyncIterator[tuple[World, Registrar]]:
    """A guard whose source has a `contact` where nobody is: calls find the IPBX by what it registered, or not."""

    def setup(site: Site) -> None:
        site.pbx_port = free_port(s.IPBX)
        site.trunk_transport = hop
        site.more = "[drain]\nseconds = 0\n"  # nobody waits for a call that reaches nobody

    registrar = Registrar()
    async with live(folder, setup=setup, trunk=registrar) as world:
        yield world, registrar


def bare(answer: list[str]) -> list[str]:
    return [value.partition(">")[0].strip("<") for value in answer]


def test_an_account_is_registered_called_and_removed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with registering(tmp_path) as (world, registrar):
            alice = Account(world.pbx, "alice")
            own = world.pbx.contact("alice").strip("<>")
            guard = world.site.guard
            assert (await alice.register(expires="1")).status == 423
            first = await alice.register(expires="600")
            assert (first.status, bare(first.all("contact"))) == (200, [own])
            assert await registrar.ring(guard, "alice", CALLER) == 200
            (invite,) = world.pbx.taken
            assert invite.uri == own
            assert f"@{s.GUARD}:{guard[1]};guard=" in registrar.contacts("alice")[0]

            before = registrar.contacts("alice")  # a refresh is the same binding
            assert bare((await alice.register(expires="700")).all("contact")) == [own]
            assert registrar.contacts("alice") == before

            other = own.replace("alice@", "desk@") + ";x=1"  # several contacts, the best is called
            two = await alice.register(f"<{own}>;q=0.2, <{other}>;q=0.8")
            assert sorted(bare(two.all("contact"))) == sorted([own, other])
            assert await registrar.ring(guard, "alice", CALLER) == 200
            assert world.pbx.taken[-1].uri == other

            one = await alice.register(f"<{other}>;expires=0")  # one is taken away
            assert bare(one.all("contact")) == [own]
            registrar.bindings.clear()  # the registrar's time is up: nobody is called any more
            assert await registrar.ring(guard, "alice", CALLER) == 404
            await alice.register()
            none = await alice.register("*", expires="0")
            assert (none.status, none.all("contact"), registrar.contacts("alice")) == (200, [], [])

            records = await world.log(2)
            assert {(r["direction"], r["outcome"], r["source"], r["trunk"]) for r in records} == {
                ("inbound", "answered", "pbx", "operator")
            }
            assert {r["caller"] for r in records} == {CALLER}

    run(scene)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_calls_find_the_ipbx_after_a_restart(tmp_path: Path, how: str) -> None:
    async def scene() -> None:
        async with registering(tmp_path) as (world, registrar):
            alice = Account(world.pbx, "alice")
            assert (await alice.register()).status == 200
            if how == "stopped":
                assert await asyncio.to_thread(world.daemon.stop) == 0
            else:
                await asyncio.to_thread(world.daemon.kill)
            await world.restart()
            assert await registrar.ring(world.site.guard, "alice", CALLER) == 200
            before = registrar.contacts("alice")
            assert (await alice.register()).status == 200  # and a refresh is a refresh, not a second binding
            assert registrar.contacts("alice") == before

    run(scene)


def test_over_tcp_on_both_sides(tmp_path: Path) -> None:
    async def scene() -> None:
        async with registering(tmp_path, hop="tcp") as (world, registrar):
            alice = Account(world.pbx, "alice", "tcp")
            assert (await alice.register()).status == 200
            (uri,) = registrar.contacts("alice")
            assert ";transport=tcp;guard=" in uri
            assert await registrar.ring(world.site.guard, "alice", CALLER) == 200
            assert ";transport=tcp" in world.pbx.taken[0].uri

    run(scene)


@pytest.mark.parametrize("first", ["udp", "tcp"])
def test_a_registration_finds_the_next_hop(tmp_path: Path, first: str) -> None:
    """Behind the first one nobody is: over UDP it says nothing for a second, over TCP it refuses at once."""
    registrar = Registrar()

    def setup(site: Site) -> None:
        nobody = f"sip:127.0.0.4:{free_port('127.0.0.4')};transport={first}"
        site.next_hops = (nobody, f"sip:{s.OPERATOR}:{registrar.port}")

    async def scene() -> None:
        async with live(tmp_path, setup=setup, trunk=registrar) as world:
            alice = Account(world.pbx, "alice")
            assert (await alice.register()).status == 200
            assert await registrar.ring(world.site.guard, "alice", CALLER) == 200
            await world.log(1)

    run(scene)


def test_a_made_up_contact_reaches_nobody(tmp_path: Path) -> None:
    async def scene() -> None:
        async with registering(tmp_path) as (world, registrar):
            await Account(world.pbx, "alice").register()
            (uri,) = registrar.contacts("alice")
            head, _, token = uri.partition(";guard=")
            forged = f"{head};guard={token[:20]}{'a' if token[20] != 'a' else 'b'}{token[21:]}"
            calling = asyncio.create_task(registrar.call(world.site.guard, CALLER, "alice", target=forged))
            assert await registrar.call(world.site.guard, CALLER, "alice", target=uri) == 200
            assert [invite.uri for invite in world.pbx.taken] == [world.pbx.contact("alice").strip("<>")]
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    run(scene)
