"""What a call costs where many lines are known and many calls are up: on the wire, as any other call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sim.labelled.words import SimError
from sim.race.load import Caller, Ends
from sim.race.proxies import Proxy
from sim.race.rounds import SETTLED, Course

# Lines that are known, and calls at once. Fewer lines cannot call so often without alarms: at 500 calls a second each
# of 20 000 calls every 40 s. In every place whoever calls does so once, of 20 000 some twice.
PLACES: Final = ((20_000, 10), (1_000_000, 10), (1_000_000, 1_000), (1_000_000, 50_000))
ON_TIME: Final = 0.97  # of the calls that were to be placed by then
DRAIN: Final = 2.0  # seconds that it goes on longer than it is measured, so that what it says last is of all that


class Large(Struct, frozen=True):
    """One place: lines that are known, calls at once; µs of processor time a call in each round; calls that failed in
    all of them; MB, median."""

    lines: int
    at_once: int
    us: list[float]
    failed: int
    memory: float

    def ratio(self, first: Large) -> float:
        """To another place: the median of the ratios of each round."""
        return median(a / b for a, b in zip(self.us, first.us, strict=True))


def large(
    course: Course, proxy: Proxy, rate: float, seconds: float, rounds: int, tell: Callable[[str], None]
) -> list[Large]:
    """All places, in turns."""
    found: list[list[Large]] = [[] for _ in PLACES]
    for n in range(rounds):
        for each, (lines, at_once) in zip(found, PLACES, strict=True):
            one = place(course, proxy, rate, seconds, lines, at_once)
            each.append(one)
            tell(
                f"{n + 1}/{rounds} {proxy.key}, {lines} lines, {at_once} calls at once: {one.us[0]:.0f} µs a call, "
                f"{one.failed} failed, {one.memory:.0f} MB"
            )
    return [together(each) for each in found]


def together(rounds: Sequence[Large]) -> Large:
    """Rounds of one place."""
    return replace(
        rounds[0],
        us=[us for one in rounds for us in one.us],
        failed=sum(one.failed for one in rounds),
        memory=median(one.memory for one in rounds),
    )


def place(course: Course, proxy: Proxy, rate: float, seconds: float, lines: int, at_once: int) -> Large:
    """One round of one place. SimError where the calls were not placed as they should."""
    if proxy.knowing is None:
        raise SimError(f"{proxy.title} knows no lines")
    running, callee = course.running(replace(proxy, words=proxy.knowing(lines)))
    talk = at_once / rate
    warm = talk + SETTLED
    ends = Ends(rate, round(rate * (warm + seconds + DRAIN)), round(talk * 1000), lines)
    try:
        caller = Caller(running.folder, running.where, course.cores.ends, ends, 0)
        try:
            time.sleep(warm)
            before, begun = running.spent(), time.monotonic()
            time.sleep(seconds)
            cpu, took = running.spent() - before, time.monotonic() - begun
            time.sleep(DRAIN)
            memory = running.taken().memory / 1024
            said = caller.last()
        finally:
            caller.stop()
        if not running.alive():
            raise SimError(f"{proxy.title}: it ended")
    finally:
        callee.stop()
        running.stop()
    placed = int(said["TotalCallCreated"])
    if placed < ends.calls * ON_TIME - rate:
        raise SimError(f"sipp placed {placed} of {ends.calls} calls in time")
    return Large(lines, at_once, [cpu / (rate * took) * 1e6], int(said["FailedCall(C)"]), memory)
