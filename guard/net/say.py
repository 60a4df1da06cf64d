"""What the daemon says to people, on standard error: one line an event, limited in rate, harmless to a terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

LOG: Final = logging.getLogger("guard")
MAX_LINE: Final = 500  # characters: what the network sends must not fill a disk by way of its error messages
LINES: Final = 5  # lines of one kind in PERIOD; the rest is counted, and told with the next one
PERIOD: Final = 60_000_000  # µs


def harmless(text: str) -> str:
    """Text of unknown origin on one line: whatever is not printable is escaped (no escape sequences, no line breaks,
    no direction marks), what is too long is cut."""
    if len(text) > MAX_LINE:
        text = text[:MAX_LINE] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


class Line(logging.Formatter):
    """One harmless line a record; an exception as its last line, with where it was raised. `plain` leaves out the
    time, for a supervisor that adds its own."""

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__("%(message)s" if plain else "%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        record.message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            record.message += ": " + told(record.exc_info[1])
        if self.usesTime():
            record.asctime = self.formatTime(record)
        return harmless(self.formatMessage(record))


def told(error: BaseException) -> str:
    """An exception in a few words: its type, its text, and the innermost place in our code that it came from."""
    where = ""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        where = f" at {code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{where}"


class Voice:
    """Warnings limited in rate by kind. Kinds are named by us, never by the network, so the table stays small."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._said: dict[str, tuple[int, int]] = {}  # kind -> (start of its period, how many since)

    def warn(self, kind: str, text: str, error: BaseException | None = None) -> None:
        """Say `text`, unless this kind was said often enough of late."""
        self._say(logging.WARNING, kind, text, error, {})

    def note(self, kind: str, text: str, fields: Mapping[str, str]) -> None:
        """The same of what is nobody's fault. `fields` are for the journal (guard/net/journal.py)."""
        self._say(logging.INFO, kind, text, None, fields)

    def _say(self, level: int, kind: str, text: str, error: BaseException | None, fields: Mapping[str, str]) -> None:
        more = {"fields": {"GUARD_KIND": kind, **fields}}
        now = self._now()
        since, count = self._said.get(kind, (now, 0))
        if now - since >= PERIOD:
            if count > LINES:
                left = count - LINES
                LOG.log(level, "%s: %d more like it in the last minute were not told", kind, left, extra=more)
            since, count = now, 0
        self._said[kind] = (since, count + 1)
        if count < LINES:
            LOG.log(level, "%s: %s", kind, text, exc_info=error, extra=more)
