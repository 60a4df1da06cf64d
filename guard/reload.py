"""A configuration read again while the guard runs: checked first, swapped between two calls, or left alone."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from guard import certificates, refusals
from guard.config import Config, ConfigError, read
from guard.net.say import LOG, told
from guard.net.tls import Contexts
from guard.nexthops import resolved
from guard.policy.load import Policy, check_policy
from guard.proxy.refuse import Refusals
from guard.proxy.routing import Trunks
from guard.tomlread import Problem

# What the sockets, the log and records already rest on: these change with a restart.
FIXED: Final = ("site", "timezone", "listen", "store", "evidence", "state", "hep")
POLICY_FILES: Final = frozenset({".toml", ".csv"})

Stamp = tuple[tuple[str, int, int], ...]


class Loaded(Struct, frozen=True):
    """Everything that a reload swaps."""

    config: Config
    policy: Policy
    trunks: Trunks
    tls: Contexts
    refusals: Refusals


def load_all(path: Path, key: bytes) -> Loaded:
    """Read and check everything that `path` names. Raises ConfigError with every mistake."""
    problems: list[Problem] = []
    config = read(path, problems)
    policy = policy_of(config, problems, key) if config is not None else None
    found = certificates.read(config, problems) if config is not None and not problems else None
    how = refusals.read(config, problems) if config is not None and not problems else None
    if config is None or policy is None or found is None or how is None:
        raise ConfigError(problems)
    return Loaded(config, policy, resolved(config), found, how)


def policy_of(config: Config, problems: list[Problem], key: bytes = b"") -> Policy | None:
    """The policies of a configuration, None where there are mistakes: also a list or a file that is not there."""
    try:
        return check_policy(config, problems, key)
    except OSError as error:
        file = str(error.filename)
        if not any(p.file == file for p in problems):
            problems.append(Problem(file, 0, "", error.strerror or "cannot be read"))
        return None


def load_anew(path: Path, key: bytes) -> Loaded:
    """The same for a guard that runs: the cases that policies carry must hold as well. Raises ConfigError.

    A guard that starts asks none of them: better one that decides as written than none at all."""
    from guard.cases import failing  # a start asks none

    loaded = load_all(path, key)
    problems = failing(loaded.config, loaded.policy)
    if problems:
        raise ConfigError(problems)
    return loaded


def kept_back(running: Config, fresh: Config) -> tuple[str, ...]:
    """The keys that changed and that only a restart puts in force."""
    return tuple(key for key in FIXED if getattr(running.file, key) != getattr(fresh.file, key))


def _files(config: Config) -> Iterator[Path]:
    yield config.path
    yield from config.lists.values()
    for folder, _, names in os.walk(config.policies):
        yield from (Path(folder, name) for name in names if Path(name).suffix in POLICY_FILES)


def stamp(config: Config) -> Stamp:
    """What tells that a file of a configuration has changed: each one's name, time of change and size."""
    out = []
    for path in _files(config):
        try:
            found = path.stat()
        except OSError:
            out.append((str(path), 0, -1))
        else:
            out.append((str(path), found.st_mtime_ns, found.st_size))
    return tuple(sorted(out))


class Running(Protocol):
    """What takes a new configuration over."""

    config: Config

    def adopt(self, loaded: Loaded) -> None:
        """Put it in force."""

    def reading(self, *, over: bool) -> None:
        """It is being read, or has been: whatever came of it."""


class Reloader:
    """Reads the configuration again when it is asked to, or when its files have changed and then rested.

    `done` and `failed` count; a configuration that is wrong leaves the one in force alone, and is told.
    """

    def __init__(self, running: Running, config: Config) -> None:
        self._running = running
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._seen = self._rested = stamp(config)
        self.done = 0
        self.failed = 0

    def watch(self) -> None:
        """Called every few seconds: `look`, unless the last one still waits for a disk."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self.look())

    async def look(self) -> None:
        """For files that have changed since the last look, and not since the one before. A thread asks the disk: a
        dozen files take half a millisecond, and a disk that hangs takes no calls with it."""
        config, seen = self._running.config, self._seen
        # Not waited for by whoever stops: the disk may hang, and a stamp leaves nothing to be closed.
        now = await asyncio.get_running_loop().run_in_executor(None, stamp, config)
        if config is not self._running.config or seen is not self._seen:
            return  # they were read meanwhile
        changed = now not in {self._seen, self._rested}
        if now != self._seen and now == self._rested:
            self.ask()
        self._rested = now
        if changed:
            LOG.info("the configuration's files are changing")

    def ask(self) -> None:
        """Read it again, unless that is being done."""
        if self._task is None or self._task.done():
            self._running.reading(over=False)
            self._task = asyncio.get_running_loop().create_task(self._reload())
            self._task.add_done_callback(lambda _: self._running.reading(over=True))

    async def stop(self) -> None:
        """Give up a reading that is under way."""
        tasks = [task for task in (self._task, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        # Whatever came of it: nothing here may keep the log from being committed.
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reload(self) -> None:
        config = self._running.config
        loop = asyncio.get_running_loop()
        try:
            self._seen = await loop.run_in_executor(None, stamp, config)
            loaded = await loop.run_in_executor(None, load_anew, config.path, secrets.token_bytes(16))
            rested = await loop.run_in_executor(None, stamp, loaded.config)
        except ConfigError as error:
            self.failed += 1
            for problem in error.problems:
                LOG.error("reload: %s", problem)
            LOG.error("reload: mistakes: %d; the configuration in force stays", len(error.problems))
            return
        except Exception as error:  # noqa: BLE001 - a fault of ours while reading costs no call: told, and nothing swapped
            self.failed += 1
            LOG.error("reload: %s; the configuration in force stays", told(error))
            return
        for key in kept_back(config, loaded.config):
            LOG.warning("reload: %s has changed: that takes a restart", key)
        for warning in loaded.config.warnings:
            LOG.warning("%s", warning)
        self._running.adopt(loaded)
        self._seen = self._rested = rested
        self.done += 1
        LOG.info("reloaded: mode %s, policy %s", loaded.config.file.mode, loaded.policy.digest)
