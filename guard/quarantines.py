"""Who is shut off, as the books say it: taken up before the first call, and looked after while the guard runs.

People shut off and release with `guard incidents`, another process, which writes into the books. The disk is looked at
by another thread; the watch belongs to the loop. Nothing here holds up a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from guard.beside import Beside, aside
from guard.config import Config
from guard.detectors.watch import Watch
from guard.fleetshuts import FleetShuts, Held, write
from guard.net.clock import Clock
from guard.shut import Name, Standing, shut_off, standing
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.schema import MEMORY

TOLD: Final = 33 * 86_400_000_000  # µs that a release is told to other guards, as they keep it (guard.lua)
LOOK: Final = 1.0  # s between looks at the books: who was released calls again within this time


class Quarantines:
    """`load` before calls are taken, `start` then, `stop` at the end. `watch` gives the watch that calls go to now;
    `fleet` has what other guards say, where there are any."""

    def __init__(
        self,
        path: str,
        config: Config,
        clock: Clock,
        watch: Callable[[], Watch | None],
        fault: Callable[[Exception], None],
        look: float = LOOK,
        fleet: FleetShuts | None = None,
    ) -> None:
        self.releases: list[tuple[int, Name]] = []  # when who was let go before the start: for who learns the past
        self._path = path
        self._zone = config.zone
        self._clock = clock
        self._watch = watch
        self._fleet = fleet
        self._stamp = (-1, -1)  # of no file, not even of one that is not there
        self._known: Standing | None = None
        self._beside = Beside(self._once, look, fault, "who is shut off or released is not known: ")

    async def load(self) -> None:
        """Shut off whom the books have shut off. Where they cannot be read that is told, and the guard goes on."""
        await self._beside.once()

    def start(self) -> None:
        """Look after them."""
        self._beside.start()

    async def stop(self) -> None:
        """Give up."""
        await self._beside.stop()

    async def _once(self) -> None:
        if self._path == MEMORY:
            return  # a log that nobody keeps has no books beside it
        told = self._fleet.take() if self._fleet is not None else []
        try:
            found = await aside(self._read, self._stamp, told)
        except StoreError:
            if self._fleet is not None:
                self._fleet.put_back(told)
            raise
        if found is not None:
            self._stamp, now = found
            self._take(now)

    def _read(self, known: tuple[int, int], told: list[Held]) -> tuple[tuple[int, int], Standing] | None:
        """In a thread: the books, where they were written since, or now with what other guards say."""
        with Books(self._path, self._zone) as books:
            if told:
                write(books, told, self._clock.wall())
            stamp = books.stamp()
            if stamp == known:
                return None
            return stamp, standing(books.incidents().values(), self._clock.wall())

    def _take(self, found: Standing) -> None:
        was, self._known = self._known, found
        watch = self._watch()
        if watch is None:
            return
        if was is None:
            self.releases = [(at, name) for name, at in found.closed.values()]
            self._tell_all(found)
            was = Standing({}, {}, {})
        else:
            self._let_go(watch, was, found)
        for name, (quarantine, trunk) in found.shut.items():
            if (name in was.shut and was.shut[name][0] == quarantine) or self._told_else(name):
                continue
            if self._fleet is None or self._fleet.shut(quarantine, trunk):
                shut_off(watch, quarantine, trunk)

    def _let_go(self, watch: Watch, was: Standing, found: Standing) -> None:
        """Whoever is shut off no more, and whoever's incident was closed."""
        now = self._clock.wall()
        over = [n for n, (q, _) in was.shut.items() if n not in found.shut and (q.until < 0 or q.until > now)]
        closed = [name for n, (name, _) in found.closed.items() if n not in was.closed]
        for name in dict.fromkeys([*over, *closed]):
            if name in found.shut or self._told_else(name):
                continue
            watch.release(*name)
            if self._fleet is not None and (name in over or name in found.freed):
                self._fleet.freed(name, found.freed.get(name, (0, "released"))[1], now)

    def _told_else(self, name: Name) -> bool:
        """Whether another guard has said something of a subject that the books do not know yet: that holds."""
        return self._fleet is not None and self._fleet.pends(name)

    def _tell_all(self, found: Standing) -> None:
        """At the start, the other guards hear what changed while this one was not at work."""
        if self._fleet is None:
            return
        for name, (at, state) in found.freed.items():
            if name not in found.shut and at > self._clock.wall() - TOLD:
                self._fleet.freed(name, state, at)
