"""A guard under traffic with its dashboard, each a process of its own on loopback: what the browser tests look at."""

from __future__ import annotations

import asyncio
import io
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Final

from guard.cli.main import main
from guard.config import Config, load
from guard.web.roles import Role
from guard.web.tokens import Tokens
from sim import site as names
from sim.daemon import Daemon
from sim.ipbx import How, Ipbx
from sim.ports import free_port
from sim.site import GUARD, STRANGER, Site
from sim.traffic import HABITS, SCRIPT, Call, Players, Scene
from sim.trunk import Trunk

PATIENCE: Final = 30.0
HOSTILE: Final = '"><script>alert(1)</script>\u202e{{7*7}}'  # as a device
EVERY: Final = 0.15  # seconds between calls, once the first ones are over
TALK: Final = 2.6  # seconds: shorter calls in a row are an alarm
MORE: Final = """
[rules."quota.talk-time"]
hours = 1
per = "line"
[rules."quota.callees"]
limit = 12
per = "line"
"""
SHUT: Final = "280"  # a line in quarantine
STEPS: Final = (
    ("quarantine", "line", f"pbx/{SHUT}", "--hours", "12", "--text", "odd calls at night"),
    ("open", "+33899123456", "--kind", "sva", "--rule", "dst.sva", "--text", "a customer complains of the tariff"),
    ("notify", "INC-2", "--letter", "formal-notice", "--text", "by registered letter"),
)


class LiveSite:
    """Where the dashboard is, and tokens for it by role."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port(GUARD)
        self.url = f"http://{GUARD}:{self.port}"
        self.tokens: dict[str, str] = {}
        self.settled = threading.Event()
        self.fault: BaseException | None = None
        self._over = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._players: Players | None = None

    def config(self) -> Config:
        """The configuration."""
        return load(self.folder / "guard.toml")

    def call_from(self, line: str) -> None:
        """Place a call of a line again and again until one is let through."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._until_allowed(line), self._loop).result(PATIENCE)

    async def _until_allowed(self, line: str) -> None:
        assert self._players is not None
        scene = Scene(at=0, name="again", en="", fr="", calls=())
        while True:
            played = await self._players.act(scene, Call(how=How(line=line, talk=0.1)))
            if played.result is not None and played.result.status == 200:
                return
            await asyncio.sleep(0.2)

    # ---- the telephony ---------------------------------------------------------------------------------------------

    def traffic(self) -> None:
        """In a thread of its own: everything that calls, until `end`."""
        try:
            asyncio.run(self._stage())
        except BaseException as error:  # noqa: BLE001 - told to who waits for it
            self.fault = error
            self.settled.set()

    def end(self) -> None:
        """No more calls."""
        self._over.set()

    async def _stage(self) -> None:
        trunk = Trunk(habits=HABITS)
        await trunk.start()
        address = (GUARD, free_port(GUARD))
        pbx, stranger = Ipbx(address), Ipbx(address, STRANGER)
        await pbx.start()
        await stranger.start()
        web = f'\n[web]\nlisten = "{GUARD}:{self.port}"\nopen_viewer = false\n'
        site = Site(
            folder=self.folder,
            port=address[1],
            trunk_port=trunk.port,
            pbx_port=pbx.port,
            line_calls=2,
            more=web + MORE,
        )
        site.write()
        self._books()
        daemon = Daemon(site.config, told=self.folder / "guard.log")
        try:
            await asyncio.to_thread(daemon.wait_ready)
            await self._play(Players(pbx, stranger, trunk))
        finally:
            for peer in (pbx, stranger, trunk):
                await peer.stop()
            await asyncio.to_thread(daemon.stop)

    async def _play(self, players: Players) -> None:
        self._loop, self._players = asyncio.get_running_loop(), players
        wanted = [s for s in SCRIPT if s.name not in {"cancelled", "flood"}]
        await asyncio.gather(*(players.act(s, c) for s in wanted if s.name != "held" for c in s.calls))
        odd = Call(caller=names.FOREIGN, how=How(line="209", agent=HOSTILE))
        shut = Call(how=How(line=SHUT))
        scene = Scene(at=0, name="odd", en="", fr="", calls=())
        for call in (odd, shut):
            await players.act(scene, call)
        for s in wanted:
            if s.name == "held":
                await asyncio.gather(*(players.act(s, c) for c in s.calls))
        self.settled.set()
        number = 0
        running: set[asyncio.Task[object]] = set()
        while not self._over.is_set():
            number += 1
            callee = f"+33199{number * 7919 % 1_000_000:06d}"  # not one after the other: that would be a scan
            caller = names.FOREIGN if number % 9 == 0 else names.PREMIUM if number % 11 == 0 else names.ALICE
            line = f"{210 + number * 13 % 60}"
            call = Call(caller=caller, callee=callee, how=How(line=line, talk=TALK))
            task: asyncio.Task[object] = asyncio.create_task(players.act(scene, call))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(EVERY)
        await asyncio.gather(*running, return_exceptions=True)

    def _books(self) -> None:
        """Incidents as people write them: a line shut off, and a premium number with a letter whose clock runs."""
        told = ["-c", str(self.folder / "guard.toml")]
        with redirect_stdout(io.StringIO()):
            for steps in STEPS:
                assert main(["incidents", steps[0], *told, *steps[1:]]) == 0


@contextmanager
def live_site(folder: Path) -> Iterator[LiveSite]:
    """The site with its calls and its dashboard; everything is ended by its own process number."""
    site = LiveSite(folder)
    calling = threading.Thread(target=site.traffic, daemon=True)
    calling.start()
    try:
        if not site.settled.wait(PATIENCE):
            raise AssertionError("the first calls did not come to their end")
        if site.fault is not None:
            raise AssertionError("no guard under traffic") from site.fault
        roles: dict[str, tuple[Role, ...]] = {
            "viewer": ("viewer",),
            "operator": ("operator",),
            "privacy": ("privacy", "operator"),
        }
        place = site.config().web
        assert place is not None
        with Tokens(place.tokens) as tokens:
            for name, given in roles.items():
                site.tokens[name] = tokens.create(name, given, now=time.time_ns() // 1000, days=1, by="test")
        with _web(folder / "guard.toml"):
            yield site
    finally:
        site.end()
        calling.join(PATIENCE)


@contextmanager
def _web(config: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "guard.cli.main", "web", "-c", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert process.stderr is not None
    told = b""
    until = time.monotonic() + PATIENCE
    try:
        while b"ready" not in told:
            readable, _, _ = select.select([process.stderr], [], [], max(0.0, until - time.monotonic()))
            more = os.read(process.stderr.fileno(), 65_536) if readable else b""
            told += more
            if not more:
                raise AssertionError(f"guard web is not ready: {told.decode(errors='replace')}")
        draining = threading.Thread(target=process.stderr.read, daemon=True)
        draining.start()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()
