"""Faults of the machine made for real around a whole guard: it goes on, an emergency call passes, and it says what is
wrong. What belongs to which fault stands in a table of docs/operations.md."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim import site as s
from sim.daemon import Daemon
from sim.ipbx import How
from sim.trunk import Trunk
from tests.live.world import World, guard, live, read_log, run

pytestmark = pytest.mark.live

SOS = f"sip:112@{s.GUARD}"
FILES = 64  # descriptors beyond those that a guard at rest has: less than the connections below
CONNECTIONS = 150
MEMORY = 1_000_000  # octets beyond those that a guard at rest has mapped: less than what is sent below
PATIENCE = 10.0
BESIDE = ("guard.db-books", "guard.db-outbox")  # databases beside the log
POLICIES = Path(__file__).parents[2] / "policies"


def limit(world: World, what: int, most: int) -> None:
    """Change a limit of the running daemon."""
    _, hard = resource.prlimit(world.daemon.pid, what)
    resource.prlimit(world.daemon.pid, what, (most, hard))


def opened(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextmanager
def connections(world: World, count: int) -> Iterator[list[socket.socket]]:
    """So many connections of the IPBX that say nothing."""
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.bind((s.IPBX, 0))
            sock.settimeout(PATIENCE)
            held.append(sock)
            sock.connect(world.site.guard)  # the kernel takes it, whether the guard can or not
        yield held
    finally:
        for sock in held:
            sock.close()


async def said(world: World, what: str) -> None:
    """Wait until the guard has said it."""
    async with asyncio.timeout(PATIENCE):
        while not any(what in line for line in world.daemon.lines):
            await asyncio.sleep(0.05)


async def calls(world: World, *, sos: bool = True) -> None:
    """An ordinary call and an emergency call are carried."""
    result = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))
    assert result.status == 200
    if sos:
        help_ = await world.pbx.call(s.ALICE, SOS, How(line="201"))
        assert help_.status == 200


def test_without_descriptors_calls_go_on_over_what_is_open(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            await calls(world)
            limit(world, resource.RLIMIT_NOFILE, opened(world.daemon.pid) + FILES)
            with connections(world, CONNECTIONS):
                async with asyncio.timeout(PATIENCE):
                    while opened(world.daemon.pid) < FILES:
                        await asyncio.sleep(0.05)
                await calls(world)
            limit(world, resource.RLIMIT_NOFILE, 1_024)
            over_tcp = await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="202", transport="tcp"))
            assert over_tcp.status == 200
            world.daemon.lines[:] = [line for line in world.daemon.lines if "Too many open files" not in line]

    run(scene)


def test_on_a_disk_that_is_full_calls_go_on_and_the_log_catches_up(tmp_path: Path) -> None:
    """No file may grow (RLIMIT_FSIZE): the log, what is kept of calls, the books alike."""

    async def scene() -> None:
        async with live(tmp_path) as world:
            await calls(world)
            limit(world, resource.RLIMIT_FSIZE, 1)
            for _ in range(5):
                refused = await world.pbx.call(s.FOREIGN, s.CUSTOMER, How(line="203"))
                assert refused.status == 403
            await calls(world)
            await said(world, "guard.db is not written")
            limit(world, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
            assert len(await world.log(9)) == 9
            await said(world, "guard.db is written again")

    run(scene)


def test_while_another_process_has_locked_the_log_calls_go_on(tmp_path: Path) -> None:
    """As a backup that is no reader of SQLite would, or a hand at the wrong tool."""

    async def scene() -> None:
        async with live(tmp_path) as world:
            await calls(world)
            other = sqlite3.connect(tmp_path / world.site.store, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            refused = await world.pbx.call(s.FOREIGN, s.CUSTOMER, How(line="203"))
            assert refused.status == 403
            await calls(world)
            await said(world, "guard.db is not written: database is locked")
            other.close()
            await said(world, "guard.db is written again")
            assert len(await world.log(5)) == 5

    run(scene)


def test_without_memory_a_message_costs_nobody_else_his_call_and_a_stop_loses_nothing(tmp_path: Path) -> None:
    """RLIMIT_AS: connections of a source that begin long messages, more than there is memory for."""

    async def scene() -> None:
        async with live(tmp_path) as world:
            await calls(world)
            pages = int(Path(f"/proc/{world.daemon.pid}/statm").read_text().split()[0])
            limit(world, resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY)
            with connections(world, CONNECTIONS) as held:
                for sock in held:
                    with contextlib.suppress(OSError):  # the guard gave this connection up
                        sock.send(b"INVITE sip:x SIP/2.0\r\nContent-Length: 60000\r\n\r\n" + b"x" * 50_000)
                await said(world, "MemoryError")
                for _ in range(3):
                    await calls(world)
            await calls(world)
            await asyncio.to_thread(world.daemon.stop)
            assert any(" stopped: " in line for line in world.daemon.lines)
            await world.restart()
            await calls(world)
            assert len(await world.log(12)) == 12

    run(scene)


def test_a_next_hop_that_is_dead_is_told_and_emergency_calls_find_another(tmp_path: Path) -> None:
    async def scene() -> None:
        dead = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        dead.bind((s.OPERATOR, 0))  # it hears, and never answers
        trunk = Trunk()
        with dead:
            port = dead.getsockname()[1]

            def first_dead(site: s.Site) -> None:
                site.next_hops = (f"sip:{s.OPERATOR}:{port}", f"sip:{s.OPERATOR}:{trunk.port}")

            async with live(tmp_path, trunk=trunk, setup=first_dead) as world:
                await calls(world)
                await calls(world)
                assert any("is down: silent" in line for line in world.daemon.lines)

    run(scene)


def test_a_guard_that_stood_still_goes_on(tmp_path: Path) -> None:
    """SIGSTOP for a while is a timeline that jumps: timers that are due by then fire once, and calls go on."""

    async def scene() -> None:
        async with live(tmp_path) as world:
            talking = world.pbx.place(s.ALICE, s.CUSTOMER, How(line="200", talk=1.5))
            await asyncio.sleep(0.5)
            os.kill(world.daemon.pid, signal.SIGSTOP)
            await asyncio.sleep(1.2)
            os.kill(world.daemon.pid, signal.SIGCONT)
            assert (await talking).status == 200
            await calls(world)
            assert {r["outcome"] for r in await world.log(3)} == {"answered"}

    run(scene)


def test_a_log_that_is_damaged_keeps_no_guard_from_starting(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            await calls(world)
            path = world.site.folder / world.site.store
            await asyncio.to_thread(world.daemon.stop)
            with path.open("r+b") as file:
                file.seek(100)
                file.write(b"\xff" * 4_000)
            await world.restart()
            await calls(world)
            assert any("damaged: kept as" in line for line in world.daemon.lines)
            assert len(list(path.parent.glob("guard.db-damaged-*Z"))) == 1
            assert len(await world.log(2)) == 2
            world.daemon.lines[:] = [line for line in world.daemon.lines if "damaged" not in line]

    run(scene)


def test_books_and_an_outbox_that_are_damaged_keep_no_guard_from_starting(tmp_path: Path) -> None:
    def alerts(site: s.Site) -> None:
        site.more = f'[mqtt]\nurl = "mqtt://{s.GUARD}:1"\n'  # nobody listens there: what is to be told waits

    def shut_off(site: s.Site) -> str:
        return guard("incidents", "quarantine", "-c", str(site.config), "number", s.ALICE)

    async def scene() -> None:
        async with live(tmp_path, setup=alerts) as world:
            await asyncio.to_thread(shut_off, world.site)
            async with asyncio.timeout(PATIENCE):
                while (await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200"))).status == 200:
                    await asyncio.sleep(0.1)
            await asyncio.to_thread(world.daemon.stop)
            for name in BESIDE:
                with (tmp_path / name).open("r+b") as file:
                    file.seek(100)
                    file.write(b"\xff" * 4_000)
            await world.restart()
            await calls(world)  # and she is not shut off any more
            for name in BESIDE:
                await said(world, f"{name}: damaged: kept as")
                assert len(list(tmp_path.glob(f"{name}-damaged-*Z"))) == 1
            assert "INC-1" in await asyncio.to_thread(shut_off, world.site)

    run(scene)


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    """Read-only, also for root: a file stands where the folder of the log is to be."""
    site = s.Site(folder=tmp_path, port=5060, trunk_port=5060, pbx_port=5060, store="there/guard.db")
    site.write()
    (tmp_path / "there").write_text("a file\n", encoding="utf-8")
    daemon = Daemon(site.config)
    assert daemon.process.wait(PATIENCE) == 1
    daemon.stop()
    assert any("there" in line for line in daemon.lines)


@pytest.mark.parametrize(
    ("broken", "word", "wrong"),
    [("guard.toml", "enforce", "enfroce"), ("policies/rules/caller-right.toml", "source", "suorce")],
)
def test_a_policy_that_is_broken_at_a_reload_leaves_what_is_in_force_under_calls(
    tmp_path: Path, broken: str, word: str, wrong: str
) -> None:
    def own_policies(site: s.Site) -> None:
        shutil.copytree(POLICIES, tmp_path / "policies")
        site.policies = "policies"

    async def scene() -> None:
        async with live(tmp_path, setup=own_policies) as world:
            path = tmp_path / broken
            good = path.read_text(encoding="utf-8")
            under = [world.pbx.place(s.FOREIGN, s.CUSTOMER, How(line=f"2{n}")) for n in range(10)]
            path.write_text(good.replace(word, wrong), encoding="utf-8")
            os.kill(world.daemon.pid, signal.SIGHUP)
            await said(world, wrong)
            under += [world.pbx.place(s.FOREIGN, s.CUSTOMER, How(line=f"2{n}")) for n in range(10)]
            assert {r.status for r in await asyncio.gather(*under)} <= {403, 480}  # 480: ten calls a second
            await calls(world)
            path.write_text(good, encoding="utf-8")

    run(scene)


def test_a_stop_under_calls_loses_none_that_began(tmp_path: Path) -> None:
    def plenty(site: s.Site) -> None:
        site.cps = site.channels = 1_000

    async def scene() -> None:
        async with live(tmp_path, setup=plenty) as world:
            placed = []
            for n in range(60):
                placed.append(world.pbx.place(s.ALICE, s.CUSTOMER, How(line=f"2{n}", talk=0.05, patience=3)))
                if n == 40:
                    world.daemon.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.005)
            begun = {c.call_id for c in world.trunk.news}
            results = await asyncio.gather(*placed)
            assert {r.status for r in results} <= {200, 480, 0}  # 0: it came when nobody listened any more
            assert begun <= {r.call_id for r in results if r.status == 200}
            assert await asyncio.to_thread(world.daemon.stop) == 0
            logged = await asyncio.to_thread(read_log, world.site)
            assert {c.call_id for c in world.trunk.news} <= {r["call_id"] for r in logged}
            await world.restart()

    run(scene)
