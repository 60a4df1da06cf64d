"""A log with a publisher beside it, in this process: calls are written, and what becomes of them is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from traceback import format_exception

from guard.config import Config, load
from guard.model import Verdict
from guard.net.clock import SystemClock
from guard.publishing import Publisher
from guard.store.sqlite import SqliteWriter
from sim.site import Site
from tests.store.making import attempt, decision, finding

LOOK = 0.05


def config_of(folder: Path, mqtt: str, more: str = "") -> Config:
    """A site whose [mqtt] has these lines."""
    site = Site(folder=folder, port=5060, trunk_port=5070, pbx_port=5080, more=f"[mqtt]\n{mqtt}\n{more}")
    return load(site.write())


class Rig:
    """The log and its publisher."""

    def __init__(self, config: Config, store: SqliteWriter | None = None) -> None:
        self.config = config
        self.store = store if store is not None else SqliteWriter(config.store_path, site=config.site)
        self.faults: list[Exception] = []
        assert config.broker is not None
        self.clock = SystemClock()
        self.publisher = Publisher(self.store, config, config.broker, self.clock, self.faults.append, look=LOOK)

    def call(self, n: int, verdict: Verdict = "blocked", rule: str = "cli.not-authorised", at: int = 0) -> int:
        """Write one; its place."""
        made = attempt(n, at=at or self.clock.wall())
        found = () if verdict == "allowed" else (finding(rule),)
        return self.store.decided(made, decision(verdict, *found), None)

    async def calls(self, first: int, count: int, verdict: Verdict = "blocked") -> list[int]:
        """Write several, on disk when this ends."""
        out = [self.call(n, verdict) for n in range(first, first + count)]
        await asyncio.to_thread(self.store.flush)
        return out


@asynccontextmanager
async def publishing(config: Config) -> AsyncIterator[Rig]:
    """A publisher at work; afterwards nothing went wrong in it."""
    rig = Rig(config)
    try:
        rig.publisher.start()
        yield rig
    finally:
        await rig.publisher.stop()
        rig.store.close()
    assert rig.faults == [], "".join(line for f in rig.faults for line in format_exception(f))
