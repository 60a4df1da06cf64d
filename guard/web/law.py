"""The configuration and its policies as the files have them now: what a running guard has in force after its reload."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from guard.config import Config, ConfigError
from guard.model import SECOND
from guard.net.say import LOG
from guard.policy.load import Policy
from guard.reload import Stamp, load_all, stamp

if TYPE_CHECKING:
    from guard.reload import Loaded

LOOK: Final = 2 * SECOND  # µs between looks at the files, as the daemon's


class Law(Struct, frozen=True):
    """What decides."""

    config: Config
    policy: Policy


class Laws:
    """The law of a configuration's file. Files that have changed, and then rested for two looks, are read again; a
    mistake in them leaves what was read before, and is told."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        self._law: Law | None = None
        self._of: Stamp = ()
        self._before: Stamp = ()
        self._looked = 0
        self._lock = asyncio.Lock()

    async def now(self) -> Law:
        """The law. ConfigError where it could never be read."""
        async with self._lock:
            if self._law is not None and self._clock() - self._looked < LOOK:
                return self._law
            self._law = await asyncio.get_running_loop().run_in_executor(None, self._read)
            self._looked = self._clock()
            return self._law

    def _read(self) -> Law:
        law = self._law
        if law is None:
            loaded = load_all(self._path, secrets.token_bytes(16))
            self._of = self._before = stamp(loaded.config)
            return _law(loaded)
        found = stamp(law.config)
        rested, self._before = found == self._before, found
        if found == self._of or not rested:
            return law
        self._of = found
        try:
            return _law(load_all(self._path, secrets.token_bytes(16)))
        except ConfigError as error:
            for problem in error.problems:
                LOG.error("web: %s", problem)
            LOG.error("web: mistakes: %d; what was read before stays", len(error.problems))
            return law


def _law(loaded: Loaded) -> Law:
    return Law(loaded.config, loaded.policy)
