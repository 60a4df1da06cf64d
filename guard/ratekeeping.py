"""Departures of the last second on disk, so that a restart keeps the promise of the second (`rate.cps`): in no window
of its span, also one that lies in two lives of the guard, do more set-ups leave than the limit.

A small file beside the log (`-rates` added to its name): the instants (wall clock, µs) at which set-ups left. It is
written once a second while any leave, and when the guard stops. A guard that was killed may have let others leave in
the second after it was last written; they are taken for as many as the limit lets, at the end of that second. Guards
that share their counters need none of this: theirs outlast a life.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from guard.config import Config
from guard.state.contract import State
from guard.state.memory import MemoryState, Places

UNKNOWN_TIME: Final = 1_500_000  # µs after it was written of which a killed guard's file says nothing: EVERY, and late
MAX_FILE: Final = 1 << 20  # octets that are read: a thousand set-ups a second are some 20 000
MAX_LIMIT: Final = 10_000  # departures that are taken to have been: the limit of no trunk is higher
VERSION: Final = 1


class Kept(Struct, frozen=True):
    """The file. `at` is when it was written, `clean` that nothing left after that."""

    at: int
    clean: bool
    windows: tuple[Places, ...]
    version: int = VERSION


_DECODE: Final = msgspec.json.Decoder(Kept)


class Departures(Struct, frozen=True):
    """What the file is to hold, by the timeline; `offset` is wall clock minus timeline."""

    now: int
    offset: int
    clean: bool
    windows: tuple[Places, ...]

    def line(self) -> bytes:
        """The file. For the thread that writes it: of 1 000 departures this takes half a millisecond."""
        windows = tuple(
            msgspec.structs.replace(w, left=tuple([at + self.offset for at in w.left])) for w in self.windows
        )
        return msgspec.json.encode(Kept(self.now + self.offset, self.clean, windows)) + b"\n"


def path_of(store: Path) -> Path:
    """The file of a log's departures."""
    return store.with_name(store.name + "-rates")


class Rates:
    """The departures of one state. `now` is µs of the timeline, `offset` wall clock minus timeline."""

    def __init__(self, path: Path, state: MemoryState) -> None:
        self.path = path
        self._state = state
        self._last = 0  # the latest departure that was written

    def load(self, now: int, offset: int) -> Departures | None:
        """Count what left in the life before; what the file is to hold from now on, None for nothing. Raises OSError,
        and ValueError for a file that is none."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE)
        except FileNotFoundError:
            return None
        try:
            kept = _DECODE.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"not a file of departures: {error}") from error
        if kept.version != VERSION:
            raise ValueError(f"of version {kept.version}")
        for window in kept.windows:
            left = [at - offset for at in window.left]
            if not kept.clean:
                missing = min(window.limit, MAX_LIMIT) - len(left)
                left += [kept.at + UNKNOWN_TIME - offset] * missing
            self._state.recall(msgspec.structs.replace(window, left=tuple(sorted(min(at, now) for at in left))), now)
        return self._departures(now, offset, clean=False)

    def changed(self, now: int, offset: int) -> Departures | None:
        """What the file is to hold, None where nothing has left since it was written."""
        latest = self._state.latest
        if latest == self._last:
            return None
        self._last = latest
        return self._departures(now, offset, clean=False)

    def last(self, now: int, offset: int) -> Departures:
        """What the file is to hold once nothing leaves any more."""
        return self._departures(now, offset, clean=True)

    def _departures(self, now: int, offset: int, *, clean: bool) -> Departures:
        return Departures(now, offset, clean, tuple(self._state.windows(now)))


def rates_of(config: Config, state: State) -> Rates | None:
    """The departures of a configuration's log; None where the counters are shared."""
    return Rates(path_of(config.store_path), state) if isinstance(state, MemoryState) else None
