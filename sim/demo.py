"""The demonstration: a guard as a child process, a simulated IPBX and operator around it, and the script of calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from guard.store.contract import Query
from guard.store.reader import Detail, SqliteReader
from sim import traffic
from sim.daemon import Daemon
from sim.ipbx import Ipbx
from sim.ports import free_port
from sim.site import GUARD, STRANGER, Site
from sim.traffic import EMERGENCY, HABITS, Players, Scene
from sim.trunk import Trunk, busiest

LINE_CALLS = 2  # at once: the script has a line that wants three
SETTLE = 0.6  # seconds for the last ends to be in the log: entries are on disk within a second at the latest
SETTLE_TRIES = 5


@asynccontextmanager
async def stage(folder: Path, store: str) -> AsyncIterator[tuple[Site, Players]]:
    """Everything but the script: the peers, and the guard that takes calls. Raises NotReady.

    The guard is stopped by its own process number, and `guard.log` in `folder` keeps what it said.
    """
    trunk = Trunk(habits=HABITS)
    await trunk.start()
    guard = (GUARD, free_port(GUARD))
    pbx, stranger = Ipbx(guard), Ipbx(guard, STRANGER)
    await pbx.start()
    await stranger.start()
    site = Site(
        folder=folder, port=guard[1], trunk_port=trunk.port, pbx_port=pbx.port, store=store, line_calls=LINE_CALLS,
        more=f'\n[web]\nlisten = "{GUARD}:{free_port(GUARD)}"\nopen_viewer = true\n',
    )  # fmt: skip
    daemon = None
    try:
        site.write()
        daemon = Daemon(site.config, told=folder / "guard.log", more=("--web",))
        await asyncio.to_thread(daemon.wait_ready)
        yield site, Players(pbx, stranger, trunk)
    finally:
        for peer in (pbx, stranger, trunk):
            await peer.stop()
        if daemon is not None:
            await asyncio.to_thread(daemon.stop)


class Feed:
    """Reads the log as it grows: each call once when it is decided, and once more when its end is known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: SqliteReader | None = None
        self._after = 0
        self._version = -1
        self.open: set[int] = set()

    def poll(self) -> list[Detail]:
        """What is new since the last time, by seq: newly decided calls, and those that ended."""
        reader = self._reader
        if reader is None:
            reader = self._reader = SqliteReader(self._path)
        version = reader.version()
        if version == self._version:
            return []
        self._version = version
        start = min(self.open, default=self._after + 1) - 1
        out: list[Detail] = []
        for detail in reader.details(Query(all=True, after=start)):
            record = detail.record
            if record.seq > self._after:
                self._after = record.seq
                self.open.add(record.seq)
                out.append(detail)
            elif record.seq in self.open and record.outcome is not None:
                out.append(detail)
            if record.outcome is not None:
                self.open.discard(record.seq)
        return out

    def skip(self) -> None:
        """Leave out what is in the log already: an earlier demonstration's."""
        self.poll()
        self.open.clear()

    def close(self) -> None:
        """Let go of the log."""
        if self._reader is not None:
            self._reader.close()


class Show(Struct, kw_only=True):
    """How the demonstration is seen: called with each scene that begins, and with records as the log has them."""

    scene: Callable[[Scene], None]
    records: Callable[[list[Detail]], None]


class Outcome(Struct, kw_only=True):
    """What the peers saw, for the summary. `arrived` are the operator's new calls, and `busiest` the most of them in
    any second, emergency calls left out."""

    placed: int
    arrived: int
    busiest: int


async def perform(
    site: Site,
    players: Players,
    show: Show,
    stop: asyncio.Event,
    *,
    calls: int | None = None,
    seconds: float | None = None,
    pause: float = 0.1,
) -> Outcome:
    """Play the script once; over and over where `calls` or `seconds` say how long; until `stop` at the latest."""
    feed = Feed(site.folder / site.store)
    feed.skip()
    rounds = calls is not None or seconds is not None
    enough = asyncio.Event()
    playing = asyncio.create_task(traffic.play(players, enough, calls=calls, rounds=rounds, told=show.scene))
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds if seconds is not None else None
    try:
        while not playing.done():
            await asyncio.wait({playing}, timeout=pause)
            if stop.is_set() or (end is not None and loop.time() >= end):
                enough.set()
            _tell(show, feed)
        played = playing.result()
        for _ in range(SETTLE_TRIES):
            await asyncio.sleep(SETTLE)
            _tell(show, feed)
            if not feed.open:
                break
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        feed.close()
    news = players.trunk.news
    return Outcome(placed=len(played), arrived=len(news), busiest=busiest(s.at for s in news if s.called != EMERGENCY))


def _tell(show: Show, feed: Feed) -> None:
    if found := feed.poll():
        show.records(found)
