"""Reads the live figures off a running guard, when somebody asks: from what is counted anyway.

Once a second it notes three counts, so that rates of the last minute are known; nothing else happens unasked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from guard import __version__
from guard.config import Config
from guard.desk import Desk
from guard.figures import (
    AlertFigures,
    Figures,
    HopFigures,
    Latency,
    RateFigures,
    StateFigures,
    StoreFigures,
    TransportFigures,
    TrunkFigures,
    VerdictCount,
)
from guard.net.clock import Clock
from guard.net.driver import Driver
from guard.net.verdicts import BOUNDS, Verdicts
from guard.policy.load import Policy
from guard.proxy.core import ProxyCore
from guard.publishing import Publisher
from guard.rules import limit_channels, rate_cps
from guard.state.memory import MemoryState
from guard.state.part import WHOLE
from guard.state.shared import Shared
from guard.store.sqlite import SqliteWriter

SECONDS: Final = 60  # how many of them rates go back


class Running(Protocol):
    """The guard that is looked at (guard/app.py)."""

    config: Config
    core: ProxyCore
    driver: Driver
    desk: Desk

    @property
    def publisher(self) -> Publisher | None:
        """Who tells the broker; None where none is named."""

    @property
    def policy(self) -> Policy:
        """What is in force: as written, or its stricter form."""

    @property
    def enforcing(self) -> bool:
        """Whether it is the stricter form."""

    def counted(self) -> dict[str, int]:
        """All counters, by name."""


class Instruments:
    """Of one running guard. `tick` once a second; `read` when asked. `asked` tells how many calls that others set up
    are awaited."""

    def __init__(
        self,
        running: Running,
        state: MemoryState | Shared,
        verdicts: Verdicts,
        store: SqliteWriter,
        clock: Clock,
        asked: Callable[[], int],
    ) -> None:
        self._running = running
        self._state = state
        self._verdicts = verdicts
        self._store = store
        self._clock = clock
        self._asked = asked
        self._started = clock.wall()
        self._seen = (0, 0, 0)
        self._rates: deque[tuple[int, int, int]] = deque(maxlen=SECONDS)

    def tick(self) -> None:
        """A second is over."""
        counters, core = self._running.driver.counters, self._running.core.counters
        seen = counters["decided"], counters["blocked"], core["requests"] + core["responses"]
        self._rates.append((seen[0] - self._seen[0], seen[1] - self._seen[1], seen[2] - self._seen[2]))
        self._seen = seen

    def read(self) -> Figures:
        """Everything, now."""
        running, now = self._running, self._clock.now()
        config, policy, watch = running.config, running.policy, running.desk.watch
        return Figures(
            at=self._clock.wall(),
            started=self._started,
            site=config.site,
            version=__version__,
            mode=config.file.mode,
            policy=policy.digest,
            enforcing=running.enforcing,
            calls=running.core.calls,
            transactions=running.core.transactions,
            held=len(running.desk),
            asked=self._asked(),
            trunks=self._trunks(policy, now),
            verdicts=tuple(
                VerdictCount(trunk=trunk, verdict=verdict, rule=rule, calls=calls)
                for (trunk, verdict, rule), calls in sorted(self._verdicts.by.items())
            ),
            hops=tuple(
                HopFigures(trunk=c.trunk, transport=c.place[0], host=c.place[1], port=c.place[2], up=c.up, why=c.why)
                for c in running.core.conditions(now)
            ),
            transports=tuple(
                TransportFigures(transport=transport, received=received, sent=running.driver.sent[transport])
                for transport, received in running.driver.received.items()
            ),
            store=self._log(),
            state=self._counters(),
            alerts=self._alerts(running.publisher),
            rates=self._last(),
            latency=Latency(bounds_us=BOUNDS, counts=tuple(self._verdicts.latency), sum_us=self._verdicts.latency_sum),
            subjects=len(watch.subjects) if watch is not None else 0,
            tasks=len(asyncio.all_tasks()),
            counters=running.counted(),
        )

    def _trunks(self, policy: Policy, now: int) -> tuple[TrunkFigures, ...]:
        held = self._running.desk.queued()
        settings = {c.rule.id: c.rule.settings for c in policy.counts}
        rate = settings.get(rate_cps.ID)
        out = []
        for trunk in self._running.config.file.trunk:
            terms = policy.terms[trunk.name]
            cps = rate_cps.limit(terms, rate) if isinstance(rate, rate_cps.Settings) else 0
            channels = terms.channels if limit_channels.ID in settings else None
            out.append(
                TrunkFigures(
                    name=trunk.name,
                    departures=self._state.value(f"{rate_cps.KEY}:{trunk.name}", now),
                    cps=cps or None,
                    channels_used=self._state.value(f"{limit_channels.KEY}:{trunk.name}", now),
                    channels=channels,
                    held=held.get(trunk.name, 0),
                )
            )
        return tuple(out)

    def _log(self) -> StoreFigures:
        store = self._store
        error = str(store.last_error) if store.last_error is not None else ""
        return StoreFigures(path=store.path, pending=store.pending, lost=store.lost, faults=store.faults, error=error)

    def _counters(self) -> StateFigures:
        state = self._state
        if isinstance(state, MemoryState):
            return StateFigures(shared=False, alone=False, why="", part_percent=100, places=state.places)
        part = 100 * state.own.part.of_limit(WHOLE) // WHOLE
        why = state.why if state.alone else ""
        return StateFigures(shared=True, alone=state.alone, why=why, part_percent=part, places=state.mirror.places)

    def _alerts(self, publisher: Publisher | None) -> AlertFigures | None:
        if publisher is None:
            return None
        return AlertFigures(connected=publisher.connected, wait=publisher.waiting, lost=publisher.lost_alerts)

    def _last(self) -> RateFigures:
        rates = tuple(self._rates)
        return RateFigures(
            calls=tuple(r[0] for r in rates), blocked=tuple(r[1] for r in rates), messages=tuple(r[2] for r in rates)
        )
