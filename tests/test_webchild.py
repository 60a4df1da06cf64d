"""`guard run --web`: the page beside the calls, and never in their way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from guard.webchild import WebChild
from sim.daemon import Daemon
from sim.ports import free_port
from sim.site import GUARD, Site

PATIENCE = 30


@pytest.fixture
def site(tmp_path: Path) -> Site:
    more = f'\n[web]\nlisten = "{GUARD}:{free_port(GUARD)}"\n'
    found = Site(folder=tmp_path, port=free_port(GUARD), trunk_port=5060, pbx_port=5060, more=more)
    found.write()
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():
            await asyncio.sleep(0.02)


def healthy(site: Site) -> bool:
    url = site.more.partition('listen = "')[2].partition('"')[0]
    try:
        with urllib.request.urlopen(f"http://{url}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_it_serves_beside_the_daemon_comes_back_and_goes_with_it(site: Site) -> None:
    async def scene() -> None:
        daemon = Daemon(site.config, more=("--web",))
        try:
            daemon.wait_ready()
            await until(lambda: healthy(site))
            first = children(daemon.pid)
            assert len(first) == 1
            os.kill(first[0], signal.SIGKILL)
            await until(lambda: children(daemon.pid) not in ([], first))
            await until(lambda: healthy(site))
            second = children(daemon.pid)
            assert daemon.process.poll() is None
            assert daemon.stop() == 0
            assert not any(map(alive, second))
        finally:
            daemon.kill()
        assert any("guard web has ended" in line for line in daemon.lines)

    asyncio.run(scene())


def test_a_guard_that_is_killed_takes_it_along(site: Site) -> None:
    async def scene() -> None:
        daemon = Daemon(site.config, more=("--web",))
        try:
            daemon.wait_ready()
            await until(lambda: healthy(site))
            child = children(daemon.pid)[0]
        finally:
            daemon.kill()
        await until(lambda: not alive(child))

    asyncio.run(scene())


def test_a_page_that_cannot_start_is_tried_again_ever_more_rarely(tmp_path: Path) -> None:
    async def scene() -> None:
        child = WebChild(tmp_path / "nowhere.toml", pause=0.001)
        child.start()
        await until(lambda: child.starts >= 2)
        await child.stop()
        assert child._pause > 0.001

    uvloop.run(scene())


def test_no_page_of_a_log_that_nobody_else_can_read(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace('path = "guard.db"', 'path = ":memory:"'))
    done = subprocess.run(
        [sys.executable, "-m", "guard.cli.main", "run", "--web", "-c", str(site.config)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "without --web" in done.stderr
