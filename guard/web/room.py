"""What every request needs: the configuration, who may come in, the log, and the way to the running guard."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from guard.net.say import LOG
from guard.store import accesslog
from guard.web.attempts import Attempts
from guard.web.controlclient import ControlClient
from guard.web.data.pool import Busy, Pool
from guard.web.data.quotas import Counter
from guard.web.law import Laws
from guard.web.live import Live
from guard.web.problems import Refused
from guard.web.sessions import Sessions
from guard.web.tokens import Tokens

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from guard.config import Config
    from guard.configweb import Place
    from guard.store.reader import SqliteReader
    from guard.web.roles import Visitor

KEY_OCTETS: Final = 32
T = TypeVar("T")


def wall() -> int:
    """Unix time, µs."""
    return time.time_ns() // 1000


class Room:
    """The operations room of one site. `clock` is Unix time in µs."""

    def __init__(self, config: Config, *, clock: Callable[[], int] = wall) -> None:
        assert config.web is not None  # a configuration that was checked has its place
        self.config = config
        self.place: Place = config.web
        self.clock = clock
        self.tokens = Tokens(self.place.tokens)
        self.sessions = Sessions()
        self.attempts = Attempts()
        self.key = secrets.token_bytes(KEY_OCTETS)  # of forms: it lives as long as the sessions
        self.pool = Pool(self.store, config.timezone)
        self.control = ControlClient(self.place.control)
        self.laws = Laws(config.path, clock)
        self.counter = Counter()
        self.live = Live(self.pool, self.control)
        self._long: set[str] = set()

    @property
    def zone(self) -> ZoneInfo:
        """The zone that times are shown in."""
        return self.config.zone

    @property
    def store(self) -> str:
        """The path of the log."""
        return str(self.config.store_path)

    async def read(self, work: Callable[[SqliteReader], T]) -> T:
        """What `work` makes of the log, in a thread. Raises StoreError, Refused (503) while too many wait for it."""
        try:
            return await self.pool.run(work)
        except Busy:
            raise Refused(503, "too many wait for the log", headers={"Retry-After": "1"}) from None

    @asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[None]:
        """Do what takes long, one at a time of a kind. Refused (503) while another one is at it."""
        if what in self._long:
            raise Refused(503, "another such request is under way", headers={"Retry-After": "10"})
        self._long.add(what)
        try:
            yield
        finally:
            self._long.discard(what)

    async def note(self, visitor: Visitor, what: str, options: Iterable[str] = (), reason: str = "") -> None:
        """Note in the access log that somebody sees numbers in full, or erases one's. Refused (503) where that cannot
        be done: who cannot be noted sees none."""
        if not Path(self.store).exists():
            return
        entry = {
            "at": datetime.fromtimestamp(self.clock() / 1e6, UTC).isoformat(timespec="milliseconds"),
            "token": visitor.name,
            "address": visitor.address,
            "command": "web",
            "what": what,
            "options": sorted(options),
        } | ({"reason": reason} if reason else {})
        try:
            await asyncio.get_running_loop().run_in_executor(None, accesslog.append, self.store, entry)
        except OSError as error:
            LOG.error("web: the access log cannot be written: %s", error)
            raise Refused(503, "the access log cannot be written: numbers=masked shows the rest") from error

    async def close(self) -> None:
        """Let go of the files and of the running guard."""
        await self.live.stop()
        await self.control.close()
        self.pool.close()
        self.tokens.close()
