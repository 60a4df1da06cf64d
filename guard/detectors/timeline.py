"""One time for all that is watched: that of the calls, but never going back."""

from __future__ import annotations

from typing import Final

from guard.model import SECOND

JITTER: Final = 5 * SECOND  # captures and stamps of ends may be out of order by so much: that is no clock set back


class Timeline:
    """`back` counts how often the clock of the calls was set back. From there on time goes on where it was."""

    def __init__(self) -> None:
        self._last = 0
        self._shift = 0
        self.back = 0

    @property
    def now(self) -> int:
        """The last instant that was read."""
        return self._last

    def read(self, at: int) -> int:
        """The instant of `at` (µs of Unix time) on this timeline."""
        own = at + self._shift
        if own < self._last:
            if own < self._last - JITTER:
                self._shift += self._last - own
                self.back += 1
            return self._last
        self._last = own
        return own
