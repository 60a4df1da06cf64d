"""The live feed: what comes into the log, and the running guard's figures, to any number of viewers at one cost.

One task looks at the log and another asks for the figures, while anybody watches; what they find is encoded once and
handed to each viewer's queue. Who does not keep up is let go, and comes again by the last event that was seen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, Literal

import msgspec
from msgspec import Struct

from guard.net.say import LOG
from guard.store.contract import Query
from guard.store.errors import StoreError
from guard.store.reader import Detail, SqliteReader
from guard.store.whole import masked
from guard.web.controlclient import ControlClient, ControlError
from guard.web.data.pool import Busy, Pool
from guard.web.problems import Refused

LOOK_S: Final = 0.25  # between looks at the log: a person sees no delay
FIGURES_S: Final = 1.0
MOST: Final = 100  # viewers
MOST_OF_ONE: Final = 20  # of one token: a person's screens, or a script that forgets to hang up
WAITING: Final = 600  # events that wait for one viewer: two seconds of a busy guard
KEPT: Final = 500  # events that a viewer who comes again is given
BURST: Final = 500  # calls of one look; beyond them only the newest, and a `gap` says so
CHECK_S: Final = 10.0  # how long a revoked token goes on watching

Kind = Literal["call", "ended", "figures", "away", "gap"]


class Event(Struct, frozen=True):
    """One event: `seq` is its place in the log, 0 for what has none; its data with numbers masked, and in full."""

    kind: Kind
    seq: int
    masked: bytes
    full: bytes

    def text(self, *, full: bool) -> bytes:
        """As Server-Sent Events have it (WHATWG HTML 9.2)."""
        head = f"id: {self.seq}\n" if self.seq else ""
        return f"{head}event: {self.kind}\ndata: ".encode() + (self.full if full else self.masked) + b"\n\n"


class Viewer:
    """Who watches: a queue that is bounded. `abort` ends the connection of who does not read; `who` names the token, or
    the address of who needs none."""

    def __init__(self, *, full: bool, abort: Callable[[], None], who: str = "") -> None:
        self.full = full
        self.who = who
        self._abort = abort
        self._queue: deque[Event] = deque()
        self._came = asyncio.Event()
        self.gone = False

    def give(self, event: Event) -> None:
        """Hand an event over, or let the viewer go."""
        if self.gone:
            return
        if len(self._queue) >= WAITING:
            self.leave()
            self._abort()
            return
        self._queue.append(event)
        self._came.set()

    def leave(self) -> None:
        """No more is to come."""
        self.gone = True
        self._came.set()

    async def next(self, seconds: float) -> list[Event]:
        """What has come, waiting so long for it."""
        try:
            async with asyncio.timeout(seconds):
                await self._came.wait()
        except TimeoutError:
            return []
        self._came.clear()
        found = list(self._queue)
        self._queue.clear()
        return found


class Live:
    """The feed of one site."""

    def __init__(self, pool: Pool, control: ControlClient) -> None:
        self._pool = pool
        self._control = control
        self._viewers: set[Viewer] = set()
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._tasks: list[asyncio.Task[None]] = []
        self._seen: int | None = None  # up to where the log was looked at
        self.stopping = False

    async def watch(self, viewer: Viewer, last: int | None, still: Callable[[], bool]) -> AsyncIterator[bytes]:
        """The events for a viewer, from after the event `last` on where that one is still known. `still` says now and
        then whether it may go on."""
        if self._crowds(viewer.who):
            return  # others of its token came while it was let in
        self._viewers.add(viewer)
        try:
            self._begin()
            yield b"retry: 2000\n\n"
            for event in self._since(last):
                yield event.text(full=viewer.full)
            while not viewer.gone:
                for event in await viewer.next(CHECK_S):
                    yield event.text(full=viewer.full)
                if not still():
                    return
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._rest()

    def room(self, who: str) -> None:
        """Raises Refused (503) where there is none for another viewer, or none for another of this token."""
        if self.stopping or len(self._viewers) >= MOST:
            raise Refused(503, f"{MOST} watch already", headers={"Retry-After": "10"})
        if self._crowds(who):
            raise Refused(503, f"{MOST_OF_ONE} watch with this token already", headers={"Retry-After": "10"})

    def _crowds(self, who: str) -> bool:
        return sum(viewer.who == who for viewer in self._viewers) >= MOST_OF_ONE

    def forget(self) -> None:
        """Somebody's calls were erased: none is given again to who comes back."""
        self._kept.clear()

    def leave(self) -> None:
        """The server is told to stop: every stream ends."""
        self.stopping = True
        for viewer in self._viewers:
            viewer.leave()

    async def stop(self) -> None:
        """Stop looking."""
        self.leave()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._tasks:
            self._seen = None
            self._kept.clear()
            self._tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._ask())]

    def _rest(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def _since(self, last: int | None) -> list[Event]:
        if last is None:
            return []
        kept = list(self._kept)
        if not kept or kept[0].seq > last + 1:
            return [_GAP]
        return [event for event in kept if event.seq > last]

    def _give(self, event: Event) -> None:
        for viewer in tuple(self._viewers):
            viewer.give(event)

    async def _look(self) -> None:
        told = False
        while True:
            full = any(viewer.full for viewer in self._viewers)
            events: list[Event] = []
            try:
                self._seen, events = await self._pool.run(partial(_news, seen=self._seen, full=full))
                told = False
            except Busy:
                pass  # the next look sees it all
            except StoreError as error:
                if not told:
                    LOG.warning("web: live: %s", error)
                told = True
            for event in events:
                if event.seq:
                    self._kept.append(event)
                self._give(event)
            await asyncio.sleep(LOOK_S)

    async def _ask(self) -> None:
        while True:
            try:
                data = msgspec.json.encode(await self._control.figures())
                event = Event("figures", 0, data, data)
            except ControlError:
                event = _AWAY
            self._give(event)
            await asyncio.sleep(FIGURES_S)


_AWAY: Final = Event("away", 0, b"{}", b"{}")
_GAP: Final = Event("gap", 0, b"{}", b"{}")


def _news(reader: SqliteReader, seen: int | None, *, full: bool) -> tuple[int, list[Event]]:
    """What came into the log after the entry `seen`, in order, and up to where."""
    last = reader.last_seq()
    if seen is None or last <= seen:  # it is only watched from now on; or it was begun anew
        return last, []
    events: list[Event] = []
    calls = Query(after=seen, upto=last, all=True, tail=True, limit=BURST)
    found = list(reader.details(calls))
    if len(found) == BURST:
        events.append(_GAP)
    over = reader.details(Query(ended=(seen, last), all=True, tail=True, limit=BURST))
    made: list[tuple[int, Kind, Detail]] = [(d.record.seq, "call", d) for d in found]
    made += [(d.end_seq, "ended", d) for d in over if d.record.seq <= seen]  # others came out just now, complete
    for seq, kind, detail in sorted(made, key=lambda m: m[0]):
        data = msgspec.json.encode(masked(detail).record)
        events.append(Event(kind, seq, data, msgspec.json.encode(detail.record) if full else data))
    return last, events
