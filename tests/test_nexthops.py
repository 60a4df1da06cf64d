"""Names of next hops while the guard runs: asked again in time, kept when nobody answers, told when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from guard.config import Config, ConfigError, load
from guard.net.say import LOG
from guard.nexthops import RETRY, TIERS, NextHops, families, look_up, names, resolved
from guard.proxy.routing import Trunks
from sim.site import Site
from tests.net.zone import NameServer, Table

A = "a.example"
B = "b.example"


def site(folder: Path, *hops: str, more: str = "") -> Config:
    written = Site(folder=folder, port=5060, trunk_port=5060, pbx_port=5060, more=more)
    path = written.write()
    text = path.read_text().replace('"sip:127.0.0.3:5060;transport=udp"', ", ".join(f'"{h}"' for h in hops))
    path.write_text(text)
    return load(path)


def shown(trunks: Trunks) -> list[tuple[int, str]]:
    return [(h.tier, h.host) for h in trunks.first.hops]


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scene()

    asyncio.run(bounded())


async def until(met: Callable[[], bool]) -> None:
    """Wait for a condition; `run` bounds it."""
    while not met():
        await asyncio.sleep(0.01)


# ---- at the start --------------------------------------------------------------------------------------------------


def test_each_next_hop_comes_behind_the_one_before(tmp_path: Path) -> None:
    config = site(tmp_path, f"sip:{A}:5060", "sip:192.0.2.9", f"sip:{B}:5060", f"sip:{A}:5060")
    table = Table().put(A, "A", "192.0.2.2", "192.0.2.1").put(B, "A", "192.0.2.9")
    assert shown(resolved(config, table)) == [(0, "192.0.2.1"), (0, "192.0.2.2"), (TIERS, "192.0.2.9")]
    assert table.asked == [f"A {A}", f"A {B}"]


def test_settings_of_a_trunk_reach_the_wire(tmp_path: Path) -> None:
    config = site(tmp_path, "sip:192.0.2.9")
    text = config.path.read_text().replace(
        "mask_caller", "silence_ms = 700\nhealth = { every_s = 3, down_after = 4, up_after = 5 }\nmask_caller"
    )
    config.path.write_text(text)
    trunk = resolved(load(config.path), Table()).first
    assert (trunk.silence, trunk.every, trunk.down_after, trunk.up_after) == (700_000, 3_000_000, 4, 5)


def test_the_guard_starts_while_a_trunk_has_some_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = site(tmp_path, f"sip:{A}:5060", f"sip:{B}:5060")
    table = Table().put(B, "A", "192.0.2.9")
    with caplog.at_level(logging.WARNING, LOG.name):
        assert shown(resolved(config, table)) == [(TIERS, "192.0.2.9")]
    assert "a.example leads to no address; its other next hops serve" in caplog.text
    table.broken.add(B)
    with pytest.raises(ConfigError) as info:
        resolved(config, table)
    assert [p.key for p in info.value.problems] == ["trunk[1].next_hop"] * 2
    assert "A of b.example: nobody answers" in str(info.value)


def test_only_families_that_the_guard_listens_on_are_asked_for(tmp_path: Path) -> None:
    config = site(tmp_path, "sip:192.0.2.9")
    assert families(config) == ("A",)
    both = config.path.read_text().replace('udp = ["127.0.0.1:5060"]', 'udp = ["127.0.0.1:5060", "[::1]:5060"]')
    config.path.write_text(both)
    assert families(load(config.path)) == ("A", "AAAA")


# ---- while it runs -------------------------------------------------------------------------------------------------


class Kept:
    """A keeper whose trunks the test sees; the test says what was heard, and when."""

    def __init__(self, config: Config, table: Table) -> None:
        self.config, self.table = config, table
        self.adopted: list[Trunks] = []
        self.keeper = NextHops(config, resolved(config, table), self.adopted.append, table)
        self.keeper._expect(config)

    def hear(self, now: float) -> None:
        due = [n for n, at in self.keeper._due.items() if at <= now]
        self.keeper.heard(look_up(self.config, due, self.table), now)


def test_an_answer_is_asked_for_again_when_its_time_is_over(tmp_path: Path) -> None:
    async def scene() -> None:
        k = Kept(site(tmp_path, f"sip:{A}:5060"), Table().put(A, "A", "192.0.2.1", ttl=30))
        now = asyncio.get_running_loop().time()
        k.hear(now)
        assert k.adopted == []
        (due,) = k.keeper._due.values()
        assert due == now + 30
        k.table.put(A, "A", "192.0.2.2", ttl=30)
        k.hear(due - 0.001)
        assert k.adopted == []
        k.hear(due)
        assert [shown(t) for t in k.adopted] == [[(0, "192.0.2.2")]]
        assert k.keeper.counters == {"dns_lookups": 2, "dns_failures": 0, "dns_changes": 1}

    run(scene)


@pytest.mark.parametrize("how", ["broken", "gone"])
def test_the_last_good_answer_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
    async def scene() -> None:
        k = Kept(site(tmp_path, f"sip:{A}:5060"), Table().put(A, "A", "192.0.2.1", ttl=30))
        now = asyncio.get_running_loop().time()
        k.hear(now)
        if how == "broken":
            k.table.broken.add(A)
        else:
            k.table.put(A, "A")
        with caplog.at_level(logging.INFO, LOG.name):
            k.hear(now + 30)
            k.hear(now + 30 + RETRY)
            assert caplog.text.count("what was known of it stays") == 1
            assert k.adopted == []
            assert k.keeper.counters["dns_failures"] == 2
            k.table.broken.clear()
            k.table.put(A, "A", "192.0.2.3")
            k.hear(now + 30 + 2 * RETRY)
            assert "a.example is found again" in caplog.text
        assert [shown(t) for t in k.adopted] == [[(0, "192.0.2.3")]]

    run(scene)


def test_a_name_that_never_answered_leaves_its_trunk_as_it_was(tmp_path: Path) -> None:
    async def scene() -> None:
        table = Table().put(A, "A", "192.0.2.1").put(B, "A", "192.0.2.2")
        k = Kept(site(tmp_path, f"sip:{A}:5060", f"sip:{B}:5060"), table)
        table.broken.add(A)
        table.put(B, "A", "192.0.2.3")
        now = asyncio.get_running_loop().time()
        k.hear(now)
        assert k.adopted == []
        table.broken.clear()
        k.hear(now + RETRY)
        assert [shown(t) for t in k.adopted] == [[(0, "192.0.2.1"), (TIERS, "192.0.2.3")]]

    run(scene)


def test_names_are_kept_fresh_beside_the_loop(tmp_path: Path) -> None:
    """With a name server, and no test in between."""

    async def scene() -> None:
        with NameServer(f"{A} 5 A 192.0.2.1") as server:
            more = f'[dns]\nservers = ["{server.address[0]}:{server.address[1]}"]\n'
            config = site(tmp_path, f"sip:{A}:5060", more=more)
            trunks = await asyncio.to_thread(resolved, config)
            assert shown(trunks) == [(0, "192.0.2.1")]
            server.serve(f"{A} 300 A 192.0.2.2")
            adopted: list[Trunks] = []
            keeper = NextHops(config, trunks, adopted.append)
            keeper.start()
            await until(lambda: bool(adopted))
            assert [shown(t) for t in adopted] == [[(0, "192.0.2.2")]]
            other = site(tmp_path, f"sip:{A}:5060", f"sip:{B}:5060", more=more)
            server.serve(f"{A} 300 A 192.0.2.2\n{B} 300 A 192.0.2.4")
            keeper.adopt(other, await asyncio.to_thread(resolved, other))
            await until(lambda: keeper.counters["dns_lookups"] == 2)
            await keeper.stop()
            assert len(adopted) == 1
            assert names(other)[1].host == B

    run(scene)
