"""What a race found."""

from __future__ import annotations

from statistics import median
from typing import Final

from msgspec import Struct

from sim.race.machine import Cores
from sim.race.rounds import Round

QUIET: Final = 0.05  # of the machine's time that others may take before the page says that it was not alone


class Row(Struct, frozen=True):
    """One proxy: its rounds; the highest rate without a lost call (0: not looked for, or none); ms added at `LEVELS`
    of that; kB for a call that is up."""

    key: str
    title: str
    rounds: list[Round]
    highest: float
    levels: list[tuple[float, ...]]
    call_kb: float | None

    @property
    def cpu_us(self) -> float:
        """Median of its rounds."""
        return median(r.cpu_us for r in self.rounds)

    @property
    def lost(self) -> int:
        """In all rounds together."""
        return sum(r.lost for r in self.rounds)

    @property
    def added(self) -> tuple[float, ...]:
        """Medians of its rounds, ms: p50, p99, p99.9. Empty where nothing was captured."""
        return tuple(median(column) for column in zip(*(r.added for r in self.rounds), strict=True))


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

    @property
    def rounds(self) -> list[Round]:
        return [r for row in self.rows for r in row.rounds]

    @property
    def against(self) -> float:
        """µs of Kamailio with rules, which the others are compared with; 0 where it did not race."""
        return next((row.cpu_us for row in self.rows if row.key == "kamailio-rules"), 0.0)

    @property
    def alone(self) -> bool:
        """Whether the machine had nothing else to do."""
        return max(r.elsewhere for r in self.rounds) <= QUIET
