"""What every request needs: the configuration, who may come in, and the log."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from guard.store.reader import SqliteReader
from guard.web.attempts import Attempts
from guard.web.sessions import Sessions
from guard.web.tokens import Tokens

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from guard.config import Config
    from guard.configweb import Place

KEY_OCTETS: Final = 32


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

    @property
    def zone(self) -> ZoneInfo:
        """The zone that times are shown in."""
        return self.config.zone

    @property
    def store(self) -> str:
        """The path of the log."""
        return str(self.config.store_path)

    def reader(self) -> SqliteReader:
        """The log, to be closed after use. StoreError."""
        return SqliteReader(self.store, timezone=self.config.timezone)

    def close(self) -> None:
        """Let go of the files."""
        self.tokens.close()
