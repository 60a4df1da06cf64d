"""Limits of one's own: how much may accrue in a day and in a month before somebody is told, or rules act. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import Final, Literal

from msgspec import Struct

Span = Literal["day", "month"]
SHAPES: Final[dict[Span, str]] = {"day": "%Y-%m-%d", "month": "%Y-%m"}


class Alert(Struct, frozen=True, kw_only=True):
    """`accrued` (micro-euros) in `key`, a day or a month, is more than `limit`; with `enforces` rules on trial act."""

    span: Span
    key: str
    accrued: int
    limit: int
    enforces: bool = False


class Watch:
    """Sums of the day and the month that run, each told once when it passes its limit; `enforce` are limits beyond
    which rules on trial act as long as that day or month runs.

    What belongs to another day or month than that of `now` is not counted: calls of the past are nobody's alarm.
    """

    def __init__(self, limits: dict[Span, int], zone: tzinfo, enforce: dict[Span, int] | None = None) -> None:
        self.limits = limits
        self.enforce = enforce or {}
        self._zone = zone
        self._sums: dict[tuple[Span, str], int] = {}
        self._beside: dict[tuple[Span, str], int] = {}
        self._told: set[tuple[Span, str]] = set()

    def add(self, at: int, accrued: int) -> None:
        """A call of the instant `at` (Unix time, µs) has accrued so much."""
        for span in SHAPES:
            key = (span, self._key(span, at))
            self._sums[key] = self._sums.get(key, 0) + accrued

    def beside(self, sums: Iterable[tuple[int, int]]) -> None:
        """What accrues beside the calls, as things stand, in place of what was said before: instants and sums."""
        self._beside = {}
        for at, accrued in sums:
            for span in SHAPES:
                key = (span, self._key(span, at))
                self._beside[key] = self._beside.get(key, 0) + accrued

    def _accrued(self, key: tuple[Span, str]) -> int:
        return self._sums.get(key, 0) + self._beside.get(key, 0)

    def alerts(self, now: int) -> list[Alert]:
        """What has passed its limit and was not told yet."""
        out: list[Alert] = []
        running: set[tuple[Span, str]] = {(span, self._key(span, now)) for span in SHAPES}
        for span, key in sorted(running):
            limit, accrued = self.limits.get(span), self._accrued((span, key))
            if limit is not None and accrued > limit and (span, key) not in self._told:
                self._told.add((span, key))
                out.append(Alert(span=span, key=key, accrued=accrued, limit=limit))
        # Months of a guard that runs for years are not kept; a clock that jumps back finds the day before still.
        if len(self._sums) > 100:
            self._sums = {k: v for k, v in self._sums.items() if k in running}
            self._told &= running
        return out

    def beyond(self, now: int) -> list[Alert]:
        """What is beyond a limit from which rules act, now: told or not."""
        out: list[Alert] = []
        for span, limit in self.enforce.items():
            key = self._key(span, now)
            accrued = self._accrued((span, key))
            if accrued > limit:
                out.append(Alert(span=span, key=key, accrued=accrued, limit=limit, enforces=True))
        return out

    def _key(self, span: Span, at: int) -> str:
        return datetime.fromtimestamp(at // 1_000_000, self._zone).strftime(SHAPES[span])
