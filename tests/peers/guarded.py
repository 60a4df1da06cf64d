"""`guard run` between peers, and its log."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from guard.store.contract import Query
from guard.store.reader import SqliteReader
from sim.daemon import Daemon
from sim.ports import free_port
from sim.site import GUARD, IPBX, OPERATOR, Site
from tests.live.world import Record
from tests.peers.recording import recorder, run

SETTLED: Final = 10.0  # seconds until the ends of all calls are in the log


class Guarded:
    """A running guard. Its records come in the order of their calls, each once."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.daemon = Daemon(site.config)
        self.seen = 0  # records that were asked for before

    @property
    def address(self) -> str:
        return f"{GUARD}:{self.site.port}"

    def records(self, calls: int) -> list[Record]:
        """The next `calls` records, once all of them have their end. There may be no more."""
        wanted = self.seen + calls
        until = time.monotonic() + SETTLED
        while (over := self._over()) < wanted:
            assert time.monotonic() < until, f"{over} calls of {wanted} are over; " + "\n".join(self.daemon.lines)
            time.sleep(0.02)
        found = run("log", "-c", str(self.site.config), "--all", "--json")[self.seen :]
        self.seen += len(found)
        assert len(found) == calls, f"{len(found)} records of {calls} calls"
        return found

    def record(self) -> Record:
        """The record of the one call since."""
        return self.records(1)[0]

    def restart(self, *, killed: bool = False) -> None:
        """Stop the guard, or kill it, and start the next one on the same files."""
        ended = self.daemon.kill() if killed else self.daemon.stop()
        assert ended == (-signal.SIGKILL if killed else 0), "\n".join(self.daemon.lines)
        self.daemon = Daemon(self.site.config)
        self.daemon.wait_ready()

    def says(self, what: str) -> None:
        """Wait until it has told this on standard error."""
        until = time.monotonic() + SETTLED
        while not any(what in line for line in self.daemon.lines):
            assert time.monotonic() < until, f"it never said {what!r}; " + "\n".join(self.daemon.lines)
            time.sleep(0.02)

    def _over(self) -> int:
        with SqliteReader(self.site.folder / self.site.store) as reader:
            return sum(d.end is not None for d in reader.details(Query(all=True)))


def between(folder: Path, transport: str = "udp", trunk_port: int = 0) -> Site:
    """A site on free ports."""
    return Site(
        folder=folder,
        port=free_port(GUARD),
        trunk_port=trunk_port or free_port(OPERATOR),
        pbx_port=free_port(IPBX),
        trunk_transport=transport,
    )


@contextmanager
def guarded(
    folder: Path, site: Site | None = None, *, swap: dict[str, str] | None = None, record: str = ""
) -> Iterator[Guarded]:
    """A guard that takes calls. `swap` replaces text in its configuration; `record` names the capture of its run, where
    captures are made (recording.py).

    At the end it must stop at SIGTERM with status 0, and must have told of no fault.
    """
    site = site or between(folder)
    site.write()
    text = site.config.read_text("utf-8")
    for old, new in (swap or {}).items():
        assert old in text
        text = text.replace(old, new, 1)
    site.config.write_text(text, encoding="utf-8")
    running = Guarded(site)
    try:
        running.daemon.wait_ready()
        with recorder(record, site):
            yield running
        assert running.daemon.stop() == 0, "\n".join(running.daemon.lines)
        faults = [line for line in running.daemon.lines if "Error" in line or "exception" in line]
        assert not faults, "\n".join(faults)
    finally:
        running.daemon.kill()
