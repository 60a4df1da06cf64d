"""What happened before a start, counted anew beside the calls that come meanwhile: months, and what detection knew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final

from guard.beside import aside, reading
from guard.detection import Detection
from guard.engine import Engine
from guard.net.clock import Clock
from guard.net.driver import Driver
from guard.net.say import LOG
from guard.recount import SPAN, recount
from guard.state.contract import State
from guard.store.contract import Query
from guard.store.errors import StoreError
from guard.store.sqlite import SqliteWriter

UNCOUNTED: Final = "the counters of this month begin at nothing: %s"
PAGE: Final = 500  # records of the log read at a time


class Recounting:
    """Reads the log up to where this life begins. A log that cannot be read is told, and costs no call."""

    def __init__(
        self,
        store: SqliteWriter,
        state: State,
        detection: Detection,
        engine: Callable[[], Engine],
        clock: Clock,
        driver: Driver,
    ) -> None:
        self._store, self._state, self._detection = store, state, detection
        self._engine, self._clock, self._driver = engine, clock, driver

    async def upto(self) -> int | None:
        """The last entry of the log before any of this life is in it: what comes later is counted as it happens."""
        try:
            async with reading(self._store) as reader:
                return await aside(reader.last_seq)
        except StoreError as error:
            LOG.warning(UNCOUNTED, error)
            return None

    async def run(self, upto: int) -> None:
        """Rebuild the counters of this month, and what detection learns, from the log up to an entry."""
        begun = self._driver.now()
        try:
            done = await self._read(upto)
            self._state.restored()
            await self._detection.learned()
        except StoreError as error:
            LOG.warning(UNCOUNTED, error)
            self._detection.forget()
        except Exception as error:  # noqa: BLE001 - a fault of ours in what is past is told, and costs no call
            self._driver.fault(error)
            self._detection.forget()
        else:
            if done:
                LOG.info("counted %d calls of the log anew in %d ms", done, (self._driver.now() - begun) // 1000)

    async def _read(self, upto: int) -> int:
        done = 0
        async with reading(self._store) as reader:
            details = reader.details(Query(since=self._clock.wall() - SPAN, upto=upto, all=True))
            # The disk is read by another thread; counters belong to this one.
            while page := await aside(lambda: list(islice(details, PAGE))):
                past = [(d.record.seq, d.body, d.end if d.end_seq <= upto else None) for d in page]
                for counted in recount(self._engine(), self._state, past):
                    done += counted
                    await asyncio.sleep(0)
                await self._detection.learn(page)
        return done
