"""What a race found."""

from __future__ import annotations

from statistics import median
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sim.race.large import Large
from sim.race.machine import Cores
from sim.race.rounds import Round

AGAINST: Final = "kamailio-rules"  # whom the others are compared with
QUIET: Final = 0.05  # of the machine's time that others may take before the page says that it was not alone


class Stamp(Struct, frozen=True):
    """When a part was measured, of whom, on which commit, by which command, and under what load before and after."""

    part: str
    who: str
    commit: str
    at: str
    load: tuple[float, float]
    command: str


class Row(Struct, frozen=True):
    """One proxy: its rounds; the highest rate without a lost call (0: not looked for, or none); ms added at `LEVELS`
    of that, medians; kB for a call that is up; rounds with cores that do not sleep; ms added at half of its highest
    rate once it has settled, and the same with cores that do not sleep; what a call costs where much is known and up.
    What was not measured is empty."""

    key: str
    title: str
    rounds: list[Round]
    highest: float
    levels: list[tuple[float, ...]]
    call_kb: float | None
    awake: list[Round] = []
    settled: tuple[float, ...] = ()
    settled_awake: tuple[float, ...] = ()
    large: list[Large] = []

    @property
    def cpu_us(self) -> float:
        """Median of its rounds; 0 where there are none."""
        return median(r.cpu_us for r in self.rounds) if self.rounds else 0.0

    @property
    def awake_us(self) -> float:
        """The same with cores that do not sleep."""
        return median(r.cpu_us for r in self.awake) if self.awake else 0.0

    @property
    def lost(self) -> int:
        """In all rounds together."""
        return sum(r.lost for r in self.rounds)

    @property
    def added(self) -> tuple[float, ...]:
        """Medians of its rounds, ms: p50, p99, p99.9. Empty where nothing was captured."""
        return _medians(self.rounds)

    @property
    def added_awake(self) -> tuple[float, ...]:
        """The same with cores that do not sleep."""
        return _medians(self.awake)


def _medians(rounds: list[Round]) -> tuple[float, ...]:
    return tuple(median(column) for column in zip(*(r.added for r in rounds), strict=True))


class Build(Struct, frozen=True):
    """One build of the guard, without the wire."""

    title: str
    decisions: float
    line_kb: float


class Result(Struct, frozen=True):
    """The whole of it, and how it was made. `hindered`: why nothing was captured."""

    command: str
    versions: str
    cores: Cores
    rate: float
    seconds: float
    hold: float
    calls: int
    hindered: str
    rows: list[Row]
    builds: list[Build]
    compiled: int
    replays: dict[str, tuple[int, float]]
    log: str = ""  # what logbench printed
    stamps: list[Stamp] = []
    even: bool = False  # whether calls went out one by one while they were stamped

    @property
    def rounds(self) -> list[Round]:
        return [r for row in self.rows for r in row.rounds]

    @property
    def against(self) -> float:
        """µs of Kamailio with rules, which the others are compared with; 0 where it did not race."""
        return next((row.cpu_us for row in self.rows if row.key == AGAINST), 0.0)

    @property
    def against_awake(self) -> float:
        """The same with cores that do not sleep."""
        return next((row.awake_us for row in self.rows if row.key == AGAINST), 0.0)

    def together(self, part: str, key: str) -> bool:
        """Whether that part of a proxy was measured in turns with the one that it is compared with: a ratio of two
        hours would tell of the machine."""
        last = {who: stamp for stamp in self.stamps if stamp.part == part for who in stamp.who.split(",")}
        return last.get(key) == last.get(AGAINST)

    @property
    def alone(self) -> bool:
        """Whether the machine had nothing else to do."""
        return max((r.elsewhere for r in self.rounds), default=0.0) <= QUIET


def joined(old: Result, new: Result) -> Result:
    """What was measured before, with what was measured now in the place of what it measures again."""
    rows = {row.key: row for row in old.rows}
    for row in new.rows:
        before = rows.get(row.key, Row(row.key, row.title, [], 0, [], None))
        rows[row.key] = Row(
            row.key,
            row.title,
            row.rounds or before.rounds,
            row.highest or before.highest,
            row.levels or before.levels,
            before.call_kb if row.call_kb is None else row.call_kb,
            row.awake or before.awake,
            row.settled or before.settled,
            row.settled_awake or before.settled_awake,
            row.large or before.large,
        )
    builds = {build.title: build for build in (*old.builds, *new.builds)}
    again = {(stamp.part, who) for stamp in new.stamps for who in stamp.who.split(",")}
    stamps = [s for s in old.stamps if not {(s.part, who) for who in s.who.split(",")} <= again]
    parts = {stamp.part for stamp in new.stamps}
    return replace(
        new,
        rate=new.rate if "calls" in parts else old.rate,
        seconds=new.seconds if "calls" in parts else old.seconds,
        hold=new.hold if "most" in parts else old.hold,
        calls=new.calls if "memory" in parts else old.calls,
        hindered=new.hindered if parts & {"calls", "levels", "settled"} else old.hindered,
        even=new.even if parts & {"calls", "levels", "settled"} else old.even,
        rows=list(rows.values()),
        builds=list(builds.values()),
        compiled=new.compiled or old.compiled,
        replays={**old.replays, **new.replays},
        log=new.log or old.log,
        stamps=[*stamps, *new.stamps],
    )
