"""Sessions of browsers, kept in this process alone: a restart signs everybody out. Bounded, and they expire."""

from __future__ import annotations

import secrets
from typing import Final

from msgspec import Struct

from guard.model import SECOND

HOUR: Final = 3_600 * SECOND
IDLE: Final = 2 * HOUR  # µs without a request: a screen that nobody sits at
LONGEST: Final = 12 * HOUR  # a shift
MOST: Final = 1_000
MOST_OF_ONE: Final = 20  # of one token: the oldest go
OCTETS: Final = 32


class Session(Struct, kw_only=True):
    """One browser that signed in with a token (its id). Times are µs."""

    token: int
    began: int
    seen: int


class Sessions:
    """Every session, by its id, which only the browser's cookie has."""

    def __init__(self) -> None:
        self._all: dict[str, Session] = {}

    def begin(self, token: int, now: int) -> str:
        """A new session of a token; its id, always a new one: none that a request brought along is taken over."""
        self._sweep(now)
        mine = [sid for sid, session in self._all.items() if session.token == token]
        for sid in mine[: len(mine) - MOST_OF_ONE + 1]:
            del self._all[sid]
        while len(self._all) >= MOST:
            del self._all[min(self._all, key=lambda sid: self._all[sid].seen)]
        sid = secrets.token_urlsafe(OCTETS)
        self._all[sid] = Session(token=token, began=now, seen=now)
        return sid

    def find(self, sid: str, now: int) -> Session | None:
        """The session of an id while it is good; that it was asked for keeps it awake."""
        session = self._all.get(sid)
        if session is None:
            return None
        if not _good(session, now):
            del self._all[sid]
            return None
        session.seen = now
        return session

    def end(self, sid: str) -> None:
        """Sign out."""
        self._all.pop(sid, None)

    def __len__(self) -> int:
        return len(self._all)

    def _sweep(self, now: int) -> None:
        for sid in [sid for sid, session in self._all.items() if not _good(session, now)]:
            del self._all[sid]


def _good(session: Session, now: int) -> bool:
    return now - session.seen < IDLE and now - session.began < LONGEST
