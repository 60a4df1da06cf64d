"""What tests of labelled traffic share: worlds, and the same calls measured in different ways."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from guard.config import load
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.policy.load import load_policy
from guard.state.memory import MemoryState
from sim.labelled.rhythm import PARIS, instant
from sim.labelled.scenarios import scenario
from sim.labelled.words import Placed
from sim.labelled.world import World, config

MONDAY = instant(datetime(2026, 11, 16, tzinfo=PARIS))
LEGITIMATE = "office,call-centre,dialler,clinic,hotel,branch"
ATTACKS = (
    "wangiri,wangiri-in,irsf-night,stolen-account,war-dialler,hsc-pumping,sva-pumping,cli-spoofing,gateway,slow-low,"
    "slower-low"
)


def world(names: str, *, seed: int = 7, days: float = 1.0, start: int = MONDAY, after: float | None = None) -> World:
    """A world by names."""
    return World(seed, start, days, scenario(names, after))


def attack(names: str, label: str, *, seed: int = 7, days: float = 2.0, after: float | None = None) -> list[Placed]:
    """The calls of one label."""
    return [p for p in world(names, seed=seed, days=days, after=after) if p.label == label]


def written(made: World, folder: Path) -> Path:
    """The guard.toml of a world."""
    path = folder / "guard.toml"
    path.write_text(config(made, folder), encoding="utf-8")
    return path


def desk(made: World, folder: Path, *, watched: bool = True) -> Desk:
    """A desk with the real policies for a world, with or without detection."""
    policy = load_policy(load(written(made, folder)))
    return Desk(Engine(policy), MemoryState(), watch=Watch() if watched else None)


def out(calls: Iterable[Placed]) -> list[Placed]:
    """Those that go out."""
    return [p for p in calls if p.call.direction == "outbound"]


def most(calls: Iterable[Placed], span: int) -> int:
    """The most calls that begin within any span (its end is outside)."""
    times = [p.call.at for p in calls]
    best = start = 0
    for end, at in enumerate(times):
        while at - times[start] >= span:
            start += 1
        best = max(best, end - start + 1)
    return best
