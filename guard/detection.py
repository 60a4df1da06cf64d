"""Detection in a running guard: its alarms become incidents, who is shut off stays so over a restart, and what it knew
is learned again from the log. Nothing here holds up a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from guard.config import Config
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.fleetshuts import FleetShuts
from guard.incidents import Incidents
from guard.net.clock import Clock
from guard.quarantines import LOOK, Quarantines
from guard.relearn import Journaled, Relearning
from guard.shut import sightings
from guard.state.shuts import Shuts
from guard.store.reader import Detail
from guard.store.sqlite import SqliteWriter

FAULTS: Final = "detectors_faults"
DROPPED: Final = "incidents_dropped"  # of detectors and of the log alike


class Detection:
    """Made before the desk takes calls: its watch is `desk.watch`. `load`, then `start`; `tick` now and then; `stop`
    before the incidents are. `engine` gives the policy in force. `revived` are the tickets of calls that go on from an
    earlier life, by their entries of the log; `shuts` is what guards that share counters tell each other."""

    def __init__(
        self,
        desk: Desk,
        store: SqliteWriter,
        config: Config,
        engine: Callable[[], Engine],
        incidents: Incidents,
        clock: Clock,
        fault: Callable[[Exception], None],
        look: float = LOOK,
        shuts: Shuts | None = None,
    ) -> None:
        self.revived: dict[int, int] = {}
        self._desk = desk
        self._engine = engine
        self._incidents = incidents
        self._clock = clock
        self._fault = fault
        self._fleet = FleetShuts(shuts, lambda: desk.watch, fault) if shuts is not None else None
        self._quarantines = Quarantines(store.path, config, clock, lambda: desk.watch, fault, look, self._fleet)
        self._relearning: Relearning | None = None

    async def load(self, upto: int | None) -> None:
        """Before the first call: who is shut off, and up to which entry of the log is to be learned; None where the log
        cannot be read."""
        await self._quarantines.load()
        if upto is None:
            self.forget()
        elif isinstance(self._desk.watch, Journaled):
            releases = self._quarantines.releases
            self._relearning = Relearning(self._engine(), self._clock.wall(), upto, releases, self.revived)

    def start(self) -> None:
        """Look after those who are shut off."""
        self._quarantines.start()

    def tick(self) -> None:
        """Alarms that began since become incidents."""
        watch = self._desk.watch
        if watch is None or not watch.alarms.fresh:
            return
        try:
            for sighting in sightings(watch, self._engine().late):
                shut = sighting.quarantine
                if shut is not None and self._fleet is not None and not self._fleet.shut(shut, sighting.trunk):
                    sighting = replace(sighting, quarantine=None)  # released since at another guard
                self._incidents.sighted(sighting)
        except Exception as error:  # noqa: BLE001 - a fault of ours beside the calls is told, and costs no call
            self._fault(error)

    async def learn(self, page: Sequence[Detail]) -> None:
        """Calls of the log, by rising place."""
        if self._relearning is None:
            return
        try:
            for _ in self._relearning.feed([((d.record.seq, d.body, d.end), d.end_seq) for d in page]):
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - a fault of ours in what is past is told, and costs no call
            self._fault(error)
            self.forget()

    async def learned(self) -> None:
        """The log is at its end: the watch that knows the past takes over."""
        relearning, live = self._relearning, self._desk.watch
        if relearning is None or not isinstance(live, Journaled):
            return
        try:
            while len(live.journal) > 1:  # each pause lets calls in
                relearning.catch_up(live.journal, whole=False)
                await asyncio.sleep(0)
            relearning.catch_up(live.journal, whole=True)
            watch = relearning.finish(live)
        except Exception as error:  # noqa: BLE001 - the same
            self._fault(error)
            self.forget()
            return
        watch.adopt(self._engine().patterns())
        self._desk.watch = watch
        self._relearning = None

    def forget(self) -> None:
        """What is past is not to be had: go on with what is seen from now on."""
        live = self._desk.watch
        if isinstance(live, Journaled):
            live.give_up()
        self._relearning = None

    async def stop(self) -> None:
        """Tell the last alarms, and give up."""
        await self._quarantines.stop()
        self.tick()

    @property
    def counters(self) -> dict[str, int]:
        """What was dropped, and what failed."""
        watch = self._desk.watch
        counted = watch.counters if watch is not None else {}
        return {FAULTS: self._desk.watch_faults, DROPPED: self._incidents.dropped, **counted}


def watching() -> Watch:
    """The watch of a guard that starts: it journals until the past is learned."""
    return Journaled()
