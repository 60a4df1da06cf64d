"""One round of a race, rounds in turns, and the search for the highest rate."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sim.labelled.words import SimError
from sim.race.load import Callee, Caller, Ends, Went, call, ports
from sim.race.machine import TICKS, Cores, busy, load
from sim.race.proxies import Proxy, Running
from sim.race.wire import Tap

WARM: Final = 1.0  # seconds of calls before the clock runs: what is done once
SETTLE: Final = 0.5  # seconds after the last call: its end is written
ELSEWHERE: Final = 100_000  # the warm calls are of other people than the measured ones
STEP: Final = 1.15  # from one rate of the search to the next
FIRST: Final = 0.7  # of the rate that its processor time lets expect: where the search begins
STEPS: Final = 8  # at most
SEARCH: Final = 3.0  # seconds at each rate of the search; what it finds is then held for as long as is asked
LOWER: Final = 0.93  # of the rate, where it is not
ON_TIME: Final = 0.97  # of the calls a second that were asked for
TAPPED: Final = 0.4  # as much longer goes a round on, with each message stamped
SHARES: Final = (0.5, 0.99, 0.999)
LEVELS: Final = (0.1, 0.5, 0.9)  # of the highest rate
HALF: Final = 0.5  # of the highest rate, at which it settles
SETTLED: Final = 34.0  # seconds of calls after which as many are forgotten as come: what is over lingers for 32 s
HELD: Final = 8_000  # milliseconds that calls stay up while their memory is looked at


class Round(Struct, frozen=True):
    """One round of one proxy: µs of processor time a call (its own, and the calling side's), kB, ms until it was ready;
    ms that it added to set-ups (p50, p99, p99.9; empty where nothing was captured); how busy the machine was with other
    things (share of all its cores) and its load before and after."""

    key: str
    rate: float
    asked: int
    completed: int
    retransmitted: int
    cpu_us: float
    ends_us: float
    added: tuple[float, ...]
    memory: int
    ready_ms: float
    elsewhere: float
    load: tuple[float, float]

    @property
    def lost(self) -> int:
        return self.asked - self.completed


class Course(Struct, frozen=True):
    """Where races are run. `tapped`: whether messages can be stamped. `even`: the library of `load.evenly`, for the
    calls whose messages are."""

    folder: Path
    cores: Cores
    tapped: bool
    warm: float = WARM
    even: str = ""

    def running(self, proxy: Proxy) -> tuple[Running, Callee]:
        """A proxy, fresh, and who answers behind it."""
        folder = self.folder / proxy.key
        shutil.rmtree(folder, ignore_errors=True)
        where = ports(direct=proxy.words is None)
        running = Running(proxy, folder, where, self.cores.proxy)
        try:
            return running, Callee(folder, where, self.cores.ends)
        except BaseException:
            running.stop()
            raise

    def round(self, proxy: Proxy, rate: float, seconds: float) -> Round:
        """So many calls a second for so long, after some to warm up."""
        running, callee = self.running(proxy)
        try:
            warm = max(1, round(rate * self.warm))
            calls = self.call(running, Ends(rate, warm), ELSEWHERE).completed
            one = self._measured(running, Ends(rate, max(1, round(rate * seconds))))
            calls += one.completed
            if self.tapped and proxy.words is not None:
                went, added = self.added(running, Ends(rate, max(1, round(rate * seconds * TAPPED))))
                calls, one = calls + went.completed, replace(one, added=added)
            running.stop()
            kept = running.recorded()
            if kept is not None and kept < calls:
                raise SimError(f"{proxy.title}: {calls} calls, {kept} in its records")
            return one
        finally:
            callee.stop()
            running.stop()

    def added(self, running: Running, ends: Ends) -> tuple[Went, tuple[float, ...]]:
        """Calls, and what it adds to their set-ups: p50, p99 and p99.9, ms."""
        tap = Tap(running.folder, self.cores.ends)
        try:
            went = self.call(running, ends, ELSEWHERE * 2, self.even)
        finally:
            tap.stop()
        found = tap.added()
        return went, tuple(share(found, of) for of in SHARES)

    def levels(self, proxy: Proxy, highest: float, seconds: float) -> list[tuple[float, ...]]:
        """The same at each of `LEVELS` of its highest rate."""
        running, callee = self.running(proxy)
        try:
            self.call(running, Ends(min(highest, 100), 50), ELSEWHERE)
            rates = [highest * of for of in LEVELS]
            return [self.added(running, Ends(rate, max(1, round(rate * seconds))))[1] for rate in rates]
        finally:
            callee.stop()
            running.stop()

    def settled(self, proxy: Proxy, highest: float, seconds: float) -> tuple[float, ...]:
        """The same at half of its highest rate, once it has carried that for `SETTLED`."""
        running, callee = self.running(proxy)
        try:
            rate = highest * HALF
            self.call(running, Ends(rate, round(rate * SETTLED)), ELSEWHERE)
            return self.added(running, Ends(rate, max(1, round(rate * seconds))))[1]
        finally:
            callee.stop()
            running.stop()

    def call(self, running: Running, ends: Ends, first: int, even: str = "") -> Went:
        """Calls through a proxy. SimError where it ended, or had too little memory."""
        went = call(running.folder, running.where, self.cores.ends, ends, first, even)
        if not running.alive():
            raise SimError(f"{running.proxy.title}: it ended")
        if complaint := running.starved():
            raise SimError(f"{running.proxy.title}: it has too little memory: {complaint}")
        return went

    def _measured(self, running: Running, ends: Ends) -> Round:
        loads, before = load(), running.taken()
        worked, passed = busy()
        went = self.call(running, ends, 0)
        time.sleep(SETTLE)
        after = running.taken()
        worked, passed = busy()[0] - worked, busy()[1] - passed
        cpu = after.cpu - before.cpu
        others = worked / TICKS - cpu - went.cpu
        return Round(
            key=running.proxy.key,
            rate=ends.rate,
            asked=went.asked,
            completed=went.completed,
            retransmitted=went.retransmitted,
            cpu_us=cpu / max(1, went.completed) * 1e6,
            ends_us=went.cpu / max(1, went.completed) * 1e6,
            added=(),
            memory=after.memory,
            ready_ms=running.ready_ms,
            elsewhere=max(0.0, others * TICKS / max(1, passed)),
            load=(loads, load()),
        )

    def highest(self, proxy: Proxy, expected: float, hold: float) -> float:
        """Calls a second that it carries for `hold` seconds without losing one: the highest of a rising search, in
        which every rate has two tries, since the machine may have stumbled in the first. A long hold is for what a
        search of short ones finds, and for lower rates until one is carried."""
        rate, best, short = expected * FIRST, 0.0, min(hold, SEARCH)
        for _ in range(STEPS):
            if self._carries(proxy, rate, short) or self._carries(proxy, rate, short):
                best = rate
                rate *= STEP
            elif best:
                break
            else:
                rate /= STEP**2
        if hold > short:
            for _ in range(STEPS):
                if not best or self._carries(proxy, best, hold):
                    return best
                best *= LOWER
            return 0.0
        return best

    def _carries(self, proxy: Proxy, rate: float, hold: float) -> bool:
        running, callee = self.running(proxy)
        try:
            self.call(running, Ends(min(rate, 100), 50), ELSEWHERE)
            went = self.call(running, Ends(rate, round(rate * hold)), 0)
        finally:
            callee.stop()
            running.stop()
        return went.completed == went.asked and went.seconds <= hold / ON_TIME + 1.0

    def call_memory(self, proxy: Proxy, rate: float, calls: int) -> float:
        """kB for each of so many calls that are up at once: the growth from when as many calls had been and gone."""
        running, callee = self.running(proxy)
        try:
            self.call(running, Ends(rate, calls), ELSEWHERE)
            time.sleep(SETTLE)
            before = running.taken().memory
            caller = Caller(running.folder, running.where, self.cores.ends, Ends(rate, calls, HELD), 0)
            try:
                time.sleep(calls / rate + SETTLE)
                grown = running.taken().memory - before
            finally:
                caller.stop()
        finally:
            callee.stop()
            running.stop()
        return grown / calls


def in_turns(racers: Sequence[Proxy], rounds: int) -> Iterator[tuple[str, Proxy]]:
    """Which round of how many, and whose: each round begins with another one."""
    for n in range(rounds):
        at = n % len(racers)
        for proxy in (*racers[at:], *racers[:at]):
            yield f"{n + 1}/{rounds}", proxy


def levels(
    course: Course,
    racers: Sequence[Proxy],
    highest: Mapping[str, float],
    seconds: float,
    rounds: int,
    tell: Callable[[str], None],
) -> dict[str, list[tuple[float, ...]]]:
    """What each adds at `LEVELS` of its highest rate, by its key: medians of so many rounds, in turns."""
    found: dict[str, list[list[tuple[float, ...]]]] = {}
    for turn, proxy in in_turns(racers, rounds):
        if highest.get(proxy.key) and proxy.words is not None:
            one = course.levels(proxy, highest[proxy.key], seconds)
            found.setdefault(proxy.key, []).append(one)
            said = " | ".join(" ".join(f"{ms:.2f}" for ms in level) for level in one)
            tell(f"{turn} {proxy.key}: {said} ms added")
    return {
        key: [tuple(median(column) for column in zip(*level, strict=True)) for level in zip(*each, strict=True)]
        for key, each in found.items()
    }


def settled(
    course: Course,
    racers: Sequence[Proxy],
    highest: Mapping[str, float],
    seconds: float,
    rounds: int,
    tell: Callable[[str], None],
) -> dict[str, tuple[float, ...]]:
    """What each adds at half of its highest rate once it has settled, by its key: medians of so many rounds, in
    turns."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for turn, proxy in in_turns(racers, rounds):
        if highest.get(proxy.key) and proxy.words is not None:
            one = course.settled(proxy, highest[proxy.key], seconds)
            found.setdefault(proxy.key, []).append(one)
            tell(f"{turn} {proxy.key}: {' '.join(f'{ms:.2f}' for ms in one)} ms added, settled")
    return {key: tuple(median(column) for column in zip(*each, strict=True)) for key, each in found.items()}


def share(values: Sequence[float], of: float) -> float:
    """What so large a share of the values stays at or below; 0 where there are none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * of))] if values else 0.0


def turns(
    course: Course, racers: Sequence[Proxy], rate: float, seconds: float, rounds: int, tell: Callable[[str], None]
) -> list[Round]:
    """So many rounds of each, in turns."""
    found: list[Round] = []
    for turn, proxy in in_turns(racers, rounds):
        one = course.round(proxy, rate, seconds)
        found.append(one)
        tell(
            f"{turn} {proxy.key}: {one.cpu_us:.0f} µs a call, {one.lost} lost, "
            f"{' '.join(f'{ms:.2f}' for ms in one.added)} ms added, load {one.load[1]:.1f}"
        )
    return found
