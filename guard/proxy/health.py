"""What is known of each next hop: whether it answers, how long it wants to be left alone, and in which order a call
tries those of its trunk.

What calls hear counts as much as what an OPTIONS hears. A hop that is down is not given up: it is tried last, so that
a wrong table never costs a call that a hop could carry. Only a hop that asked for rest (503 with Retry-After) is left
out, for a minute at most; an emergency call goes there too, when nobody else took it.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import log
from typing import Final

from guard.proxy.effects import Flow
from guard.proxy.routing import Here, Trunks
from guard.proxy.shapes import Condition, Hop, Place, Target, Trunk
from guard.proxy.timers import Owner

MAX_AWAY: Final = 60_000_000  # µs that a Retry-After is heeded: an operator that says an hour is asked again meanwhile
PROBATION: Final = 30_000_000  # µs after which a hop that OPTIONS tell nothing of is given another call
FOREVER: Final = 1 << 62
MAX_TRIES: Final = 5  # hops that one call tries: each may cost it a second; an emergency call tries all
_SCALE: Final = float(1 << 64)


class HopState(Owner):
    """One hop. Instants are µs on the timeline. It owns the timers of its OPTIONS."""

    __slots__ = (
        "answers", "away", "down_until", "failures", "flow", "heard", "hop", "listens", "ping", "small_until", "trunk",
        "why",
    )  # fmt: skip

    def __init__(self, hop: Hop, trunk: Trunk, flow: Flow) -> None:
        super().__init__()
        self.hop = hop
        self.trunk = trunk  # whose settings hold for it
        self.flow = flow
        self.failures = 0  # in a row, calls and OPTIONS
        self.answers = 0  # to OPTIONS, in a row, since it went down
        self.heard = 0  # when it last said something
        self.down_until = 0  # 0: it is up
        self.away = 0  # until when it asked to be left alone
        self.small_until = 0  # until when nothing long is sent it over TCP, since it refused that
        self.listens = False  # it has answered an OPTIONS once: from then on its silence tells something
        self.why = ""
        self.ping: tuple[bytes, bytes] | None = None  # the OPTIONS that is out, by its transaction

    @property
    def place(self) -> Place:
        """What it is known by."""
        return self.hop.transport, self.hop.host, self.hop.port


class Health:
    """All hops of all trunks. `turned` hears of one that goes down or comes back, with the reason."""

    def __init__(self, here: Here, trunks: Trunks, turned: Callable[[HopState, str], None]) -> None:
        self._here = here
        self._turned = turned
        self._states: dict[Place, HopState] = {}
        self._of: dict[str, tuple[HopState, ...]] = {}
        self._shared: dict[str, bool] = {}  # whether weights have anything to say
        self.adopt(trunks)

    def adopt(self, trunks: Trunks) -> None:
        """Other trunks: what is known of a hop that stays is kept."""
        states: dict[Place, HopState] = {}
        for trunk in trunks.by_name.values():
            found: list[HopState] = []
            for hop in sorted(trunk.hops, key=lambda h: h.tier):
                place = (hop.transport, hop.host, hop.port)
                state = states.get(place)
                if state is None:
                    state = self._states.get(place)
                    if state is None:
                        state = HopState(hop, trunk, self._here.flow_to(hop.transport, hop.host, hop.port))
                    state.hop, state.trunk = hop, trunk
                    states[place] = state
                found.append(state)
            self._of[trunk.name] = tuple(found)
            self._shared[trunk.name] = len({h.tier for h in trunk.hops}) < len(trunk.hops)
        self._states = states

    def knows(self, state: HopState) -> bool:
        """Whether it is still a hop of some trunk."""
        return self._states.get(state.place) is state

    def get(self, place: Place) -> HopState | None:
        """The hop at an address."""
        return self._states.get(place)

    def watched(self) -> tuple[HopState, ...]:
        """Hops that are to be sent OPTIONS: of trunks that have a choice."""
        return tuple(s for s in self._states.values() if s.trunk.every and len(self._of.get(s.trunk.name, ())) > 1)

    def conditions(self, now: int) -> tuple[Condition, ...]:
        """Every hop, as people are shown it."""
        return tuple(
            Condition(s.trunk.name, s.place, not s.down_until and s.away <= now, s.why) for s in self._states.values()
        )

    # ---- which hop is next -----------------------------------------------------------------------------------------

    def order(self, trunk: Trunk, seed: bytes, now: int, *, every: bool = False) -> list[HopState]:
        """The hops that a call tries, best first. The same `seed` (a Call-ID) draws the same order, so that what
        belongs together finds the same hop. With `every` none is left out, whatever is known of it."""
        states = self._of.get(trunk.name, ())
        if len(states) > 1 and self._shared[trunk.name]:
            states = _drawn(states, seed)
        up = [s for s in states if s.down_until <= now and s.away <= now]
        if len(up) == len(states):
            return up if every else up[:MAX_TRIES]
        down = [s for s in states if s.down_until > now and s.away <= now]
        if not every:
            return (up + down)[:MAX_TRIES]
        return up + down + [s for s in states if s.away > now]

    def best(self, trunk: Trunk, seed: bytes, now: int) -> HopState | None:
        """The hop for what tries only one."""
        order = self.order(trunk, seed, now, every=True)
        return order[0] if order else None

    def preferred(self, trunk: Trunk, target: Target, hops: list[HopState], now: int) -> list[HopState]:
        """The same hops, with the one first that a request names at an address of its trunk's, unless it is known to be
        down. Of a port that is no hop's nothing is known."""
        named = self._states.get(target)
        if named is None:
            named = HopState(Hop(*target), trunk, self._here.flow_to(*target))
        elif named.down_until > now or named.away > now:
            return hops
        return [named, *(s for s in hops if s is not named)]

    def rest(self, trunk: Trunk, now: int) -> int:
        """How long (µs) until the first hop of a trunk wants calls again, 0 where none asked to be left alone."""
        left = [s.away - now for s in self._of.get(trunk.name, ()) if s.away > now]
        return min(left, default=0)

    # ---- what is learnt --------------------------------------------------------------------------------------------

    def answered(self, state: HopState, now: int) -> None:
        """It answered a call: it has its place again."""
        state.heard = now
        state.failures = 0
        if state.down_until:
            self._up(state)
        elif state.why and state.away <= now:
            state.why = ""

    def pinged(self, state: HopState, now: int) -> None:
        """It answered an OPTIONS."""
        state.listens = True
        state.heard = now
        state.failures = 0
        if state.down_until:
            state.answers += 1
            if state.answers >= state.trunk.up_after:
                self._up(state)

    def failed(self, state: HopState, why: str, now: int, *, since: int) -> None:
        """It said nothing to what was sent at `since`, or cannot be reached. What it said to others in the meantime
        counts for it."""
        if state.heard > since or not self.knows(state):
            return
        state.failures += 1
        state.answers = 0
        if state.down_until or state.failures >= state.trunk.down_after:
            was_up = not state.down_until
            state.down_until = FOREVER if state.listens and state.trunk.every else now + PROBATION
            state.why = why
            if was_up:
                self._turned(state, why)

    def refused(self, state: HopState, retry_after: int, now: int) -> None:
        """It answered 503; `retry_after` seconds it wants to be left alone, 0 where it did not say."""
        if retry_after and self.knows(state):
            if state.away <= now:
                self._turned(state, f"503, Retry-After {retry_after}")
            state.away = now + min(retry_after * 1_000_000, MAX_AWAY)
            state.why = "503"
            state.failures = 0
        else:
            self.failed(state, "503", now, since=now)

    def _up(self, state: HopState) -> None:
        state.down_until = state.failures = state.answers = 0
        state.why = ""
        self._turned(state, "")


def _drawn(states: tuple[HopState, ...], seed: bytes) -> tuple[HopState, ...]:
    """Within each tier, an order drawn by weight (RFC 2782): of each hop a random number that depends only on it and
    `seed`, stretched by its weight (Efraimidis and Spirakis 2006), so that one hop more or less moves no other call."""

    def draw(state: HopState) -> tuple[int, float]:
        digest = blake2b(b"%s %d\0%s" % (state.hop.host.encode(), state.hop.port, seed), digest_size=8).digest()
        chance = (int.from_bytes(digest, "big") + 1) / _SCALE
        return state.hop.tier, -log(min(chance, 1.0)) / state.hop.weight

    return tuple(sorted(states, key=draw))
