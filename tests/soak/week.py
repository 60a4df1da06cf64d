"""Days of an office in minutes: the whole guard on a virtual clock, between exchanges and operators of a world.

All is as in the daemon but the clock; the UDP socket, which is a timer; how often work beside the calls looks whether
there is something to do (every five minutes, where the daemon looks every second or few); large pages, which are the
machine's; and the log, which writes each entry at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from guard import app_parts, beside
from guard.app import App
from guard.config import load
from guard.model import SECOND
from guard.net.hugepages import HugePages
from guard.nexthops import resolved
from guard.policy.load import load_policy
from sim.labelled.actor import Actor
from sim.labelled.office import Office
from sim.labelled.pings import Wangiri
from sim.labelled.rhythm import PARIS, instant
from sim.labelled.scans import CliSpoofing, HscPumping, WarDialler
from sim.labelled.tolls import StolenAccount
from sim.labelled.words import DAY, Site
from sim.labelled.world import GUARD, GUARD_PORT, SIP_PORT, World, config
from tests.soak.census import Census, census
from tests.soak.far import Far
from tests.soak.virtual import VirtualClock, VirtualLoop, WatchedLog

START: Final = instant(datetime(2026, 11, 16, 6, 30, tzinfo=PARIS))  # a Monday, before anybody is at work
PEOPLE: Final = 60
PAUSE: Final = 300.0  # s between looks of what works beside the calls
GARBAGE: Final = 3_600_000_000  # µs between full collections
KEPT_DAYS: Final = 1  # of retention: from the third day on as much is erased as is written
# Who attacks each day, how many hours after its beginning, and how hard.
ATTACKS: Final = (
    (Wangiri, 3.0, 0.5), (StolenAccount, 5.0, 0.2), (CliSpoofing, 7.5, 0.2), (HscPumping, 9.0, 0.2),
    (WarDialler, 14.0, 0.3),
)  # fmt: skip


class Morning(Struct, frozen=True):
    """What a guard held when a day was over: `calls` were placed until then, of `subjects` lines and numbers; `open` go
    on. `files` are the octets of the log and of all that stands beside it, by what is added to its name."""

    held: Census
    files: dict[str, int]
    calls: int
    subjects: int
    open: int


class Week(Struct, frozen=True):
    """What came of it. `statuses` are what callers heard, `planned` what they were to hear, by label and status.
    `ended` are decided calls that ended once, `twice` those that did more often, `left` those that did not."""

    mornings: list[Morning]
    statuses: Counter[tuple[str, int]]
    planned: Counter[tuple[str, int]]
    counters: dict[str, int]
    decisions: int
    ended: int
    twice: list[int]
    left: dict[int, str]


def actors(count: int, people: int, hard: float) -> list[Actor]:
    """An office, and who attacks each day of so many, each from the same line of his every day."""
    found: list[Actor] = [Office(people)]
    for kind, hour, strength in ATTACKS:
        for day in range(count):
            attack = kind(day + 1, strength=strength * hard, after=day + hour / 24)
            attack.site = Site(kind=attack.kind, channels=100)
            found.append(attack)
    return found


def days(folder: Path, count: int, people: int = PEOPLE, hard: float = 1.0) -> Week:
    """Live through so many days, with a census each morning. Attacks are so many times as hard as usual."""
    world = World(1, START, count, actors(count, people, hard))
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        _slower(patch)
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(_lived(loop, world, folder, count, patch))


def _slower(patch: pytest.MonkeyPatch) -> None:
    """Who works beside the calls looks less often."""
    made = beside.Beside.__init__

    def slow(self: beside.Beside, work: object, pause: float, *more: object) -> None:
        made(self, work, max(pause, PAUSE), *more)  # type: ignore[arg-type]  # as it was handed in

    patch.setattr(beside.Beside, "__init__", slow)
    patch.setattr("guard.housekeeping.BREATH", 0.0)
    patch.setattr("guard.store.sqlite.LAZY", 0.0)
    patch.setattr("guard.keeping.EVERY", PAUSE)
    patch.setattr("guard.app.TICK", PAUSE)
    patch.setattr("guard.app.WATCH", PAUSE)
    patch.setattr("guard.asking.TICK", PAUSE)
    patch.setattr("guard.net.garbage.PAUSE", GARBAGE)
    patch.setattr("guard.net.stream.SWEEP", PAUSE)
    patch.setattr(HugePages, "gather", lambda _: 0)  # of whoever tests, and by the machine's own time
    patch.setattr(app_parts, "SqliteWriter", WatchedLog)


async def _lived(loop: VirtualLoop, world: World, folder: Path, count: int, patch: pytest.MonkeyPatch) -> Week:
    path = folder / "guard.toml"
    text = config(world, folder).replace("[store]", f"[store]\nretention_days = {KEPT_DAYS}")
    path.write_text(text, encoding="utf-8")
    settings = load(path)
    policy = load_policy(settings)
    store = app_parts.open_store(settings, policy)
    assert isinstance(store, WatchedLog)
    loop.waits(store.busy)
    clock = VirtualClock(loop, START)
    far = Far((GUARD, GUARD_PORT), SIP_PORT)
    app = App(settings, policy, store, resolved(settings), clock=clock)

    async def listen(*_: object) -> list[object]:
        return [far.socket]

    patch.setattr(app.service, "listen", listen)
    await app.start()
    try:
        mornings = await _mornings(world, far, app, clock, count)
    finally:
        await app.stop()
    counters = {name: n for name, n in app.counted().items() if n}
    return Week(
        mornings, far.statuses, far.planned, counters, store.decisions, store.ended_once, store.twice, store.open
    )  # fmt: skip


async def _mornings(world: World, far: Far, app: App, clock: VirtualClock, count: int) -> list[Morning]:
    """Place every call at its time; what the guard holds after each day."""
    out: list[Morning] = []
    placed = iter(world)
    following = next(placed, None)
    for day in range(1, count + 1):
        until = START + day * DAY
        while following is not None and following.call.at < until:
            await asyncio.sleep((following.call.at - clock.wall()) / SECOND)
            far.place(following)
            following = next(placed, None)
        await asyncio.sleep((until - clock.wall()) / SECOND)
        out.append(_morning(app, far))
    return out


def _morning(app: App, far: Far) -> Morning:
    store, watch = app._store, app.desk.watch
    assert isinstance(store, WatchedLog)
    store.flush()
    path = app.config.store_path
    files = {p.name.removeprefix(path.name): p.stat().st_size for p in path.parent.glob(f"{path.name}*") if p.is_file()}
    forwarder = app.core._c.forwarder
    remembered = [
        app.incidents._known, app._engine._ways._known, store._builder._fined._known, forwarder._ours,
        forwarder._only_ours, app.core.sources._cache,
    ]  # fmt: skip
    held = census({"remembered": remembered, "detection": [watch], "guard": [app]})
    return Morning(held, files, sum(far.planned.values()), len(far.subjects), len(store.open))
