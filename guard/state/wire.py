"""What a guard says to the server that keeps shared counters: which function of guard.lua, on which keys, with what."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from guard.state.contract import Touch

MAX_KEY: Final = 200  # characters; a caller may choose a part of a key

_KINDS: Final = {"window": 1, "gauge": 2, "tally": 3, "sum": 4}

Told = tuple[str, str, tuple[object, ...]]  # which of guard.lua's `tell`, the key, and its arguments


class Ask(Struct, frozen=True):
    """One call's touches on their way. `until` is when its guard gives it up. `wait` is for how long, µs, the call
    waits for a place in a window if there is none (0: it does not)."""

    ident: str
    touches: tuple[Touch, ...]
    until: int
    wait: int = 0


class Op(Struct, frozen=True):
    """One call of a function of guard.lua, without who asks. `ask` is what its answer is for."""

    function: str
    keys: tuple[str, ...]
    body: list[object]
    ask: Ask | None = None


class Keys:
    """Names of the counters of a site: all in one slot of a cluster, whatever the trunk, since a line's calls and a
    consumer's are counted over all of them."""

    def __init__(self, site: str) -> None:
        self._tag = f"{{guard:{quote(site, safe='')}}}"
        self.heads = tuple(f"{self._tag}:{name}" for name in ("meta", "heard", "guards"))
        self.beats = (*self.heads, *(f"{self._tag}:{name}" for name in ("shut", "shuts")))

    def name(self, kind: str, key: str) -> str:
        """A counter's: `kind` is the first letter of what it is."""
        if len(key) > MAX_KEY:
            key = f"{key[:MAX_KEY]}~{blake2b(key.encode(errors='replace'), digest_size=16).hexdigest()}"
        return f"{self._tag}:{kind}:{key}"

    def touch(self, ask: Ask, member: str, held: tuple[str, ...]) -> Op:
        """Ask for what a call needs; of the gauges in `held` it has a place already."""
        keys = list(self.heads)
        places: dict[str, int] = {}

        def place(kind: str, key: str) -> int:
            return _place(keys, places, self.name(kind, key))

        rows: list[list[object]] = [
            [
                _KINDS[t.kind], place(t.kind[0], t.key), -1 if t.limit is None else t.limit, t.span_us, t.force,
                t.take, t.key in held, t.member, t.since, t.at, place("t", t.against) if t.against else 0, t.percent,
                place("q", t.key) if ask.wait and t.kind == "window" and t.limit is not None else 0, ask.wait,
            ]
            for t in ask.touches
        ]  # fmt: skip
        return Op("touch", tuple(keys), [member, rows], ask)

    def beat(self, shuts: list[object]) -> Op:
        """Say that this guard is there, and who is shut off (guard/state/shuts.py)."""
        return Op("beat", self.beats, shuts)

    def note(self, told: Iterable[Told]) -> Op:
        """Tell what happened to calls."""
        keys = list(self.heads)
        places: dict[str, int] = {}
        body: list[object] = [[what, _place(keys, places, key), *more] for what, key, more in told]
        return Op("note", tuple(keys), body)


def _place(keys: list[str], places: dict[str, int], name: str) -> int:
    """Which of the keys (from 1) a name is; it is added where it is new."""
    if name not in places:
        keys.append(name)
        places[name] = len(keys)
    return places[name]
