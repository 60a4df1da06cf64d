"""The guard's certificates while it runs: read again when their files change, and told of before they run out.

This is apart from the configuration: whoever renews a certificate at night (certbot, acme.sh) has nothing to do with a
guard.toml that somebody is just editing. New files are used by new connections; files that cannot be used leave those
in force alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from guard.config import Config
from guard.configtls import Files
from guard.net.say import LOG
from guard.net.tls import Contexts, Tls, TlsError, contexts
from guard.tomlread import Problem

SOON: Final = timedelta(days=14)  # before a certificate runs out: certbot renews 30 days before, so something is wrong
AGAIN: Final = timedelta(days=1)  # between two warnings

Stamp = tuple[tuple[str, int, int, int], ...]


def read(config: Config, problems: list[Problem]) -> Contexts | None:
    """The contexts of a configuration, None where a file cannot be used: that is told."""
    try:
        return contexts(config.tls_files)
    except TlsError as error:
        table = "trunk" if error.key == "tls_ca" else "tls"
        problems.append(Problem(str(config.path), 0, f"{table}.{error.key}", error.reason))
        return None


def stamp(files: Files) -> Stamp:
    """What tells that a file was replaced or written: of each its time of change, size and number."""
    return tuple(_of(path) for path in files.paths())


def _of(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, -1, 0
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino


def _now() -> datetime:
    return datetime.now(UTC)


class Certificates:
    """Watches the files behind a `Tls`. `done` and `failed` count new ones."""

    def __init__(self, tls: Tls, files: Files, found: Contexts, now: Callable[[], datetime] = _now) -> None:
        self._tls = tls
        self._files = files
        self._found = found
        self._now = now
        self._seen = self._rested = stamp(files)
        self._warned: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self.done = 0
        self.failed = 0

    def adopt(self, files: Files, found: Contexts) -> None:
        """Another configuration is in force; its files were read just now."""
        self._files = files
        self._seen = self._rested = stamp(files)
        self._take(found)

    def watch(self) -> None:
        """Called every few seconds: `look`, unless the last one still waits for a disk."""
        self._expiry()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self.look())

    async def look(self) -> None:
        """For files that have changed since the last look, and not since the one before. A thread asks the disk: one
        that hangs takes no calls with it."""
        files, seen = self._files, self._seen
        now = await asyncio.get_running_loop().run_in_executor(None, stamp, files)
        if files is not self._files or seen is not self._seen:
            return  # they were read meanwhile
        changed = now != seen and now == self._rested
        self._rested = now
        if changed:
            self._seen = now
            await self._read()

    async def stop(self) -> None:
        """Give up a look or a reading that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        files = self._files
        try:
            found = await asyncio.get_running_loop().run_in_executor(None, contexts, files, self._now())
        except TlsError as error:
            self.failed += 1
            LOG.error("tls.%s; the certificates in force stay", error)
            return
        if files is self._files:
            self._take(found)
            self.done += 1
            until = f", good until {found.expires:%Y-%m-%d}" if found.expires is not None else ""
            LOG.info("certificates were read anew%s; new connections use them", until)

    def _take(self, found: Contexts) -> None:
        self._found = found
        self._warned = None
        self._tls.adopt(found)

    def _expiry(self) -> None:
        """Say each day that the certificate runs out soon, or has."""
        ends, now = self._found.expires, self._now()
        if ends is None or ends - now > SOON or (self._warned is not None and now - self._warned < AGAIN):
            return
        self._warned = now
        LOG.warning("tls.certificate %s on %s", "ran out" if ends <= now else "runs out", f"{ends:%Y-%m-%d}")
