"""The web page of a small site, served on a real socket by a thread of this process; its clock is the test's."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from guard.config import load
from guard.web.app import make_app
from guard.web.roles import Role
from guard.web.room import Room, wall
from guard.web.server import server_of
from sim.ports import free_port
from tests.store.making import AT, SECOND, attempt, decision, ended, finding
from tests.store.making_log import write
from tests.test_config import GOOD

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0  # s for anything to happen: a bound, not what it takes
PLAIN: Final = ssl.create_default_context()  # one for all clients: httpx reads every authority for each
HOUR: Final = 3_600 * SECOND


class Served:
    """A running web page, and the tokens that were made for it."""

    def __init__(self, folder: Path, more: str = "", *, calls: int = 6, text: str = "") -> None:
        self.now = AT + HOUR
        self.path = folder / "guard.toml"
        port = free_port(HOST)
        text = text or f'{GOOD}[store]\npath = "guard.db"\n'
        text += f'[web]\nlisten = "{HOST}:{port}"\n{more}'
        self.path.write_text(text, encoding="utf-8")
        self.log = folder / "guard.db"
        if calls:
            some_calls(self.log, calls)
        config = load(self.path)
        self.room = Room(config, clock=lambda: self.now or wall())
        self.url = self.room.place.url.rstrip("/")
        self._server, self._listener = server_of(make_app(self.room), self.room.place)
        self._thread = threading.Thread(target=self._run, name="web")

    def token(self, *roles: Role, name: str = "", days: int = 1) -> str:
        """A new token."""
        name = name or f"t{len(self.room.tokens.all())}"
        return self.room.tokens.create(name, roles, now=self.room.clock(), days=days, by="test")

    def client(self, *roles: Role, **more: str) -> httpx.Client:
        """A client with a token of these roles; without any, a browser that has none."""
        headers = {"Authorization": f"Bearer {self.token(*roles)}"} if roles else {}
        return httpx.Client(base_url=self.url, headers=headers | more, timeout=PATIENCE, verify=PLAIN)

    def start(self) -> None:
        """Serve."""
        self._thread.start()
        httpx.get(f"{self.url}/healthz", timeout=PATIENCE, verify=PLAIN).raise_for_status()

    def stop(self) -> None:
        """Stop, and wait for it."""
        self.room.live.stopping = True
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))


@contextmanager
def serving(folder: Path, more: str = "", *, calls: int = 6, text: str = "") -> Iterator[Served]:
    """A web page while it is looked at."""
    served = Served(folder, more, calls=calls, text=text)
    served.start()
    try:
        yield served
    finally:
        served.stop()


def some_calls(path: Path, count: int) -> None:
    """A log of calls: the first allowed, every other one blocked."""
    made = []
    for n in range(count):
        blocked = decision("blocked", finding("cli.premium"))
        call = attempt(n, at=AT + n * SECOND)
        made.append((call, blocked) if n % 2 else (call, decision(), ended(at=AT + (n + 30) * SECOND)))
    write(path, made)
