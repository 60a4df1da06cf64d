"""The counters of one guard of several: what it asks of the server that they share, what it remembers itself, and how
it goes on alone. Pure: `guard/net/redislink.py` carries what `collect` gives, and tells what came of it.

Beside the server's counters stands a mirror: what this guard itself took, as it would count in memory. While the server
is away the mirror decides, within this guard's part of every limit; when it is back, the mirror is brought to it. The
functions that run in the server, and the layout of the keys, are in guard/state/redis/guard.lua.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from msgspec.structs import replace

from guard.model import SECOND
from guard.state.contract import Reading, StateError, Touch
from guard.state.memory import MemoryState
from guard.state.part import WHOLE, Own
from guard.state.shuts import Shuts
from guard.state.wire import Ask, Keys, Op, Told

HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
RETAIN: Final = 33 * DAY  # as in guard.lua
BATCH: Final = 200  # asks, and things told, in one round trip: some four milliseconds of the server's time
MAX_TOLD: Final = 20_000  # things told that wait: more means that the server cannot follow, and all is brought anew
MAX_OTHERS: Final = 50_000  # counters of which is known what other guards have in them
OVERLAP: Final = 300 * SECOND  # before the loss, of what is brought back: calls that were held have earlier instants
FIELDS: Final = 5  # numbers of a reading in the server's answer


def _nobody() -> None:
    """Nobody sends yet."""


class AloneError(StateError):
    """The shared counters cannot be had. Its text is a word or two for the record."""


class Shared:
    """The state of a guard that shares its counters. `guard` is its name among them, the same after a restart; `life`
    is of this start alone. `share` is its part of the limits when alone (0: equal parts). `deadline`, µs, is how long
    an answer is waited for. `decides` says whether the mirror decides when alone, or AloneError is raised.
    """

    def __init__(
        self, site: str, guard: str, life: str, *, share: float = 0.0, deadline: int = 50_000, decides: bool = True
    ) -> None:
        self.mirror = MemoryState()
        self.alone = True
        self.why = "not reached yet"
        self.guard = guard
        self.deadline = deadline
        self.decides = decides
        self.hurry: Callable[[], None] = _nobody  # called when there is something to send
        self.shuts = Shuts(self._hasten)  # who is shut off at all guards
        self.own = Own(round(share * WHOLE), deadline, -DAY)  # nothing was granted before the start
        self._keys = Keys(site)
        self.heads = self._keys.heads
        self.life = life
        self._last = 0  # the latest instant (Unix time) of a call
        self._last_lost = 0  # what that was when the server was lost; 0: everything is to be brought
        self._asks: deque[Ask] = deque()
        self._flying: dict[str, Ask] = {}  # sent, and not answered
        self._first: deque[Told] = deque()  # to be told before anything else
        self._told: deque[Told] = deque()
        self._back: Iterator[Told] = iter(())
        self._more = False  # whether there is more to bring back
        self._windows: dict[str, tuple[Touch, ...]] = {}  # idents whose set-up has not left: what they took
        self._waits: dict[str, tuple[str, ...]] = {}  # idents that wait in the order of all guards: for which windows
        self._before: dict[str, dict[str, int]] = {}  # by ident and tally: when its member was counted before, -1 never
        self._others: dict[str, int] = {}  # what other guards had in a tally or sum when it was last read
        self._hours: dict[str, dict[int, int]] = {}  # what this guard used of a sum, by the hour of Unix time
        self.overrun = False  # too much waits to be told: all is to be brought anew

    # ---- asking the server -----------------------------------------------------------------------------------------

    def ask(self, ident: str, touches: tuple[Touch, ...], now: int, wait: int = 0) -> Ask:
        """Ask for what a call needs; `answered` or `failed` comes of it, or nothing until its deadline. `wait` is for
        how long it waits for a window without a place, in the order of all guards, until `waits_no_more`."""
        self._last = max(self._last, max((t.at for t in touches), default=0))
        ask = Ask(ident, tuple(map(self._named, touches)), now + self.deadline, wait)
        self._asks.append(ask)
        self.hurry()
        return ask

    def collect(self) -> list[Op]:
        """What is to be sent now, in this order: what was told first, so that places that were given back are free."""
        told = [self._first.popleft() for _ in range(min(len(self._first), BATCH))]
        told += [self._told.popleft() for _ in range(min(len(self._told), BATCH - len(told)))]
        if len(told) < BATCH:
            told += islice(self._back, BATCH - len(told))
            self._more = len(told) == BATCH
        ops = [self._keys.note(told)] if told else []
        for _ in range(min(len(self._asks), BATCH)):
            ask = self._asks.popleft()
            self._flying[ask.ident] = ask
            ops.append(self._keys.touch(ask, self._member(ask.ident), self.mirror.gauges_of(ask.ident)))
        return ops

    @property
    def waiting(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._asks or self._first or self._told or self._more or self.hasty)

    @property
    def hasty(self) -> bool:
        """Whether the next beat is to go at once."""
        return self.shuts.waiting or self.own.unsaid

    def hello(self, lease: int) -> Op:
        """Ask to be known; `greeted` takes the answer. `lease`, µs: for how long the calls of a silent guard count."""
        return Op("hello", self.heads, [lease, self.own.part.share, self.life, *self.own.say()])

    def beat(self) -> Op:
        """Say that this guard is there; `own.beaten` and `shuts.merge` take the answer."""
        return self._keys.beat([*self.shuts.page(), *self.own.say()])

    def again(self, asks: Iterable[Ask]) -> None:
        """Ask these first: they went to a server that did not know this guard yet."""
        for ask in reversed(list(asks)):
            self._flying.pop(ask.ident, None)
            self._asks.appendleft(ask)

    def answered(self, ask: Ask, reply: list[int], now: int, *, wanted: bool = True) -> tuple[Reading, ...]:
        """What the server said; what it took is also taken in the mirror. Not `wanted` any more (the caller gave up):
        it is given back. Raises StateError where the mirror is full."""
        self._flying.pop(ask.ident, None)
        taken = bool(reply[1])
        self._queued(ask, taken=taken, wanted=wanted)
        readings = []
        took: list[Touch] = []
        before: dict[str, int] = {}
        for i, t in enumerate(ask.touches):
            value, free, known, other, was = reply[2 + i * FIELDS : 2 + (i + 1) * FIELDS]
            mine = taken and t.take
            readings.append(
                Reading(
                    key=t.key,
                    value=value,
                    taken=mine,
                    free_at=now + free if free else 0,
                    known=bool(known),
                    before=other,
                )
            )
            if t.kind in {"tally", "sum"}:
                self._remember_others(t, value)
            if mine:
                took.append(replace(t, limit=None, against=""))
                if t.kind == "tally":
                    before[t.key] = was
        if not took:
            return tuple(readings)
        held = self.mirror.gauges_of(ask.ident)
        try:
            if wanted:
                self.mirror.touch(tuple(took), now)
        except StateError:
            wanted = False
            raise
        finally:
            if not wanted:
                self._undo(ask.ident, took, before)
                for t in took:
                    if t.kind == "gauge" and t.key not in held:
                        self._tell("calls", "g", t.key, -1)
        if not wanted:
            return tuple(readings)
        self._windows[ask.ident] = tuple(took)
        self._before[ask.ident] = before
        return tuple(readings)

    def _queued(self, ask: Ask, *, taken: bool, wanted: bool) -> None:
        """A call that has no place waits in the order of all guards from when it first asked."""
        if taken:
            self._waits.pop(ask.ident, None)
        elif ask.wait:
            self._waits[ask.ident] = tuple(t.key for t in ask.touches if t.kind == "window" and t.limit is not None)
            if not wanted:
                self.waits_no_more(ask.ident)

    def waits_no_more(self, ident: str) -> None:
        """A call that waited in the order of all guards was decided, or gave up."""
        for key in self._waits.pop(ident, ()):
            if not self.alone:
                self._tell("gone", "q", key, self._member(ident))

    def dismissed(self, ask: Ask) -> None:
        """The server could not say anything of it, and took nothing."""
        self._flying.pop(ask.ident, None)

    def force(self, ident: str, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        """Take without asking: a call that nothing can stop. The server is told."""
        named = tuple(replace(self._named(t), limit=None, against="") for t in touches)
        held = self.mirror.gauges_of(ident)
        readings = self.mirror.touch(named, now)
        self._windows[ident] = tuple(t for t in named if t.take)
        if not self.alone:
            for t in named:
                if not t.take:
                    continue
                if t.kind == "window":
                    self._tell("taken", "w", t.key, self._member(ident), t.span_us)
                elif t.kind == "gauge" and t.key not in held:
                    self._tell("calls", "g", t.key, 1)
                elif t.kind == "tally":
                    self._tell("counted", "t", t.key, t.member, t.at, t.span_us)
        return readings

    # ---- alone: the contract of a state ----------------------------------------------------------------------------

    def touch(self, touches: tuple[Touch, ...], now: int) -> tuple[Reading, ...]:
        """Decide alone, within this guard's part of every limit. What other guards had in a month's counter when it was
        last read is taken to be there still. Raises AloneError where a guard alone is not to decide."""
        if touches and all(t.force for t in touches):
            return self.force(touches[0].ident, touches, now)
        named = tuple(map(self._named, touches))
        self._last = max(self._last, max((t.at for t in touches), default=0))
        if not self.decides:
            self._force_alone(named, now)
            raise AloneError(self.why)
        limits = [self._limit(t, now) for t in named]
        own = tuple(t if limit == t.limit else replace(t, limit=limit) for t, limit in zip(named, limits, strict=True))
        readings = self.mirror.touch(own, now)
        if any(r.taken for r in readings):
            self._windows[touches[0].ident] = own
        return tuple(self._shown(r, t, limit, now) for r, t, limit in zip(readings, named, limits, strict=True))

    def _force_alone(self, named: tuple[Touch, ...], now: int) -> None:
        """A call that may pass uncounted is in the mirror all the same, for when the server is back."""
        if named and all(t.take for t in named):
            self.mirror.touch(tuple(replace(t, limit=None, against="") for t in named), now)
            self._windows[named[0].ident] = named

    def _limit(self, t: Touch, now: int) -> int | None:
        if t.limit is None:
            return None
        if t.kind == "window":
            return 0 if now < self.own.opens(t.span_us) else self.own.part.of_limit(t.limit)
        if t.kind == "gauge":
            return self.own.part.of_limit(t.limit)
        return max(t.limit - self._others.get(t.key, 0), 0)

    def _shown(self, reading: Reading, t: Touch, limit: int | None, now: int) -> Reading:
        """A reading of the whole limit: what is not this guard's part of it is taken."""
        if t.limit is None or limit is None or limit == t.limit:
            return reading
        free_at = reading.free_at
        if t.kind == "window" and not reading.taken:
            free_at = max(free_at, self.own.opens(t.span_us), 0 if limit else now + t.span_us)
        return replace(reading, value=reading.value + t.limit - limit, free_at=free_at)

    def departed(self, ident: str, now: int) -> None:
        """The set-up left: here and, as soon as it hears of it, for the server."""
        self.mirror.departed(ident, now)
        self._before.pop(ident, None)
        for t in self._windows.pop(ident, ()):
            if t.kind == "window" and not self.alone:
                self._tell("left", "w", t.key, self._member(ident), 0, t.span_us)

    def forget(self, ident: str, now: int) -> None:
        """The set-up never left: give back its window places, and what it counted."""
        self.mirror.forget(ident, now)
        before = self._before.pop(ident, {})
        took = self._windows.pop(ident, ())
        if not self.alone:
            self._undo(ident, took, before)

    def release(self, ident: str, now: int) -> None:
        """Give back every gauge place of this call. Unknown idents are ignored."""
        held = self.mirror.gauges_of(ident)
        self.mirror.release(ident, now)
        if not self.alone:
            for key in held:
                self._tell("calls", "g", key, -1)

    def used(self, key: str, at: int, amount: int) -> None:
        """A call that ended at `at` (µs of Unix time) has used so much of a sum."""
        self.mirror.used(key, at, amount)
        hours = self._hours.setdefault(key, {})
        hour = at // HOUR
        if hour not in hours:
            for old in [h for h in hours if h * HOUR < at - RETAIN]:
                del hours[old]
        hours[hour] = hours.get(hour, 0) + amount
        if not self.alone:
            self._tell("used", "s", key, hour, hours[hour])

    def restore(self, touch: Touch) -> None:
        """Count a member of a tally as it was counted in an earlier life of the guard: no limit holds."""
        t = self._named(touch)
        self.mirror.restore(t)
        if not self.alone:
            self._tell("counted", "t", t.key, t.member, t.at, t.span_us)

    def restored(self) -> None:
        """All that was to be restored is."""
        self.mirror.restored()

    # ---- the server comes and goes ---------------------------------------------------------------------------------

    def lost(self, now: int, why: str) -> None:
        """The server does not answer. From now on this guard is alone."""
        self.why = why
        self._asks.clear()
        self._waits.clear()
        self._first.clear()
        self._told.clear()
        self._back = iter(())
        self._more = False
        self.overrun = False
        if not self.alone:
            self.alone = True
            self.own.lost_at = now
            self._last_lost = self._last

    def greeted(self, now: int, *, lost: bool, of: int, rank: int, sole: bool = False) -> None:
        """The server knows this guard. It is told at once which calls are up, and which left lately, and that this is
        all; then, piece by piece, what was counted since it was lost: everything, where it lost it. `sole`: it is the
        only one, and was all the time."""
        self.own.greeted(of, rank, sole=sole)
        since = 0 if lost or not self._last_lost else self._last_lost - OVERLAP
        self.alone = False
        self.overrun = False
        self._told.clear()
        self._first.clear()
        for ask in self._flying.values():  # if it was granted a place, nobody heard of it
            for t in ask.touches:
                if t.kind == "window" and t.take and ask.ident not in self._windows:
                    self._say_first("dropped", "w", t.key, self._member(ask.ident))
        self._flying.clear()
        self._waits.clear()  # the server forgot them: this is another epoch
        self.shuts.greeted()
        for key, span, ident, left in self.mirror.departures(now):
            if left is None:
                self._say_first("taken", "w", key, self._member(ident), span)
            else:
                self._say_first("left", "w", key, self._member(ident), now - left, span)
        self._first.append(("back", self.heads[0], ()))
        for key, count in self.mirror.counts():
            self._say_first("calls", "g", key, count)
        self._back = self._bring(since)
        self._more = True
        self._last_lost = self._last

    def value(self, key: str, now: int) -> int:
        """The places of a window or a gauge that this guard itself uses."""
        return self.mirror.value(key, now)

    def _bring(self, since: int) -> Iterator[Told]:
        for key, span, member, at in self.mirror.tallies.each(since):
            yield "counted", self._keys.name("t", key), (member, at, span)
        for key, hours in list(self._hours.items()):
            for hour, amount in list(hours.items()):
                if (hour + 1) * HOUR > since:
                    yield "used", self._keys.name("s", key), (hour, amount)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _hasten(self) -> None:
        self.hurry()

    def _named(self, t: Touch) -> Touch:
        """A tally that counts each call gets a member for it: the same one in this life and when it is restored."""
        if t.kind == "tally" and not t.member:
            return replace(t, member=f"@{self.guard}.{t.at}")
        return t

    def _member(self, ident: str) -> str:
        return f"{self.guard}.{self.life}.{ident}"

    def _tell(self, what: str, kind: str, key: str, *more: object) -> None:
        if len(self._told) >= MAX_TOLD:
            self.overrun = True
            return
        self._told.append((what, self._keys.name(kind, key), more))
        self.hurry()

    def _say_first(self, what: str, kind: str, key: str, *more: object) -> None:
        self._first.append((what, self._keys.name(kind, key), more))

    def _undo(self, ident: str, took: Iterable[Touch], before: dict[str, int]) -> None:
        for t in took:
            if not t.take:
                continue
            if t.kind == "window":
                self._tell("dropped", "w", t.key, self._member(ident))
            elif t.kind == "tally":
                self._tell("undone", "t", t.key, t.member, t.at, before.get(t.key, -1))

    def _remember_others(self, t: Touch, value: int) -> None:
        own = self.mirror.tallies.look(t)[0] if t.kind == "tally" else self.mirror.tallies.total(t.key, t.since)[0]
        if value > own:
            if len(self._others) >= MAX_OTHERS:
                self._others.clear()
            self._others[t.key] = value - own
        else:
            self._others.pop(t.key, None)
