"""Which calls become messages, and how many of them: beyond the rate, a summary stands for them. Pure.

A minute is one of the calls' own time, so that a log that is read again, after an hour without a guard, is told of in
the same words.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from guard.ledger.record import MICROS_PER_CENT, CallRecord, iso
from guard.messages.events import CallsSummary
from guard.model import Verdict

MINUTE: Final = 60_000_000  # µs
BACK: Final = 60 * MINUTE  # a call so much older than the minute that runs: the clock was put back
NAMED: Final = 20  # rules and sources that a summary names, those with the most calls


class Window(Struct):
    """The minute of one verdict that runs: `calls` is how many there were, the rest is of those beyond the rate."""

    start: int
    calls: int = 0
    over: int = 0
    since: int = 0
    until: int = 0
    first: int = 0
    last: int = 0
    accrued: int = 0
    avoided: int = 0
    rules: dict[str, int] = {}
    sources: dict[str, int] = {}


Windows = dict[Verdict, Window]


class Choice:
    """Decides call by call. `windows` is all that it remembers: whoever keeps it can go on from there."""

    def __init__(
        self,
        site: str,
        zone: tzinfo,
        verdicts: tuple[Verdict, ...],
        rules: tuple[str, ...],
        rate: int,
        windows: Windows,
    ) -> None:
        self.windows = windows
        self._site = site
        self._zone = zone
        self._verdicts = frozenset(verdicts)
        self._rules = rules
        self._rate = rate

    def wants(self, record: CallRecord) -> bool:
        """Whether calls like this one are told of at all."""
        if record.verdict not in self._verdicts:
            return False
        return not self._rules or any(fits(f.rule, pattern) for f in record.findings for pattern in self._rules)

    def take(self, record: CallRecord, at: int) -> tuple[CallsSummary | None, bool]:
        """A call that is wanted, decided `at` (Unix time, µs): the summary of the minute before where that is over now,
        and whether the call has a message of its own."""
        start = at - at % MINUTE
        window, closed = self.windows.get(record.verdict), None
        if window is None or not window.start - BACK < start <= window.start:
            closed = self._closed(record.verdict) if window is not None else None
            window = self.windows[record.verdict] = Window(start)
        window.calls += 1
        if window.calls <= self._rate:
            return closed, True
        _add(window, record, at)
        return closed, False

    def over(self, now: int) -> list[CallsSummary]:
        """The summaries of minutes that have passed at `now`."""
        passed = [v for v, w in self.windows.items() if not w.start - BACK < now - MINUTE < w.start]
        found = [self._closed(verdict) for verdict in passed]
        return [summary for summary in found if summary is not None]

    def _closed(self, verdict: Verdict) -> CallsSummary | None:
        window = self.windows.pop(verdict)
        if not window.over:
            return None
        return CallsSummary(
            site=self._site,
            why="rate",
            verdict=verdict,
            since=iso(window.since, self._zone),
            until=iso(window.until, self._zone),
            first_seq=window.first,
            last_seq=window.last,
            calls=window.over,
            rules=_most(window.rules),
            sources=_most(window.sources),
            accrued_microeuros=window.accrued,
            avoided_microeuros=window.avoided,
        )


def fits(rule: str, pattern: str) -> bool:
    """Whether a rule is meant; a `*` ends a prefix."""
    return rule.startswith(pattern[:-1]) if pattern.endswith("*") else rule == pattern


def merged(site: str, one: CallsSummary | None, other: CallsSummary) -> CallsSummary:
    """Two summaries in one, for messages that were given up; of `other`, the later one, the end."""
    if one is None:
        return replace(other, site=site, why="full", verdict=None)
    return replace(
        one,
        since=one.since if one.calls else other.since,
        until=other.until if other.calls else one.until,
        first_seq=one.first_seq or other.first_seq,
        last_seq=max(one.last_seq, other.last_seq),
        calls=one.calls + other.calls,
        rules=_most(_sum(one.rules, other.rules)),
        sources=_most(_sum(one.sources, other.sources)),
        accrued_microeuros=one.accrued_microeuros + other.accrued_microeuros,
        avoided_microeuros=one.avoided_microeuros + other.avoided_microeuros,
        others=one.others + other.others,
    )


def alone(record: CallRecord) -> CallsSummary:
    """A summary of one call."""
    return CallsSummary(
        site=record.site,
        why="full",
        verdict=None,
        since=record.time,
        until=record.time,
        first_seq=record.seq,
        last_seq=record.seq,
        calls=1,
        rules=dict.fromkeys((f.rule for f in record.findings), 1),
        sources={record.source: 1},
        accrued_microeuros=accrued_of(record),
        avoided_microeuros=avoided_of(record),
    )


def accrued_of(record: CallRecord) -> int:
    """What a call cost, in micro-euros."""
    exact = record.accrued_microeuros
    return exact if isinstance(exact, int) else record.accrued_cents * MICROS_PER_CENT


def avoided_of(record: CallRecord) -> int:
    """What a call would have cost, in micro-euros."""
    exact = record.avoided_microeuros
    return exact if isinstance(exact, int) else record.avoided_cents * MICROS_PER_CENT


def _add(window: Window, record: CallRecord, at: int) -> None:
    window.over += 1
    window.first = window.first or record.seq
    window.last = record.seq
    window.since = window.since or at
    window.until = max(window.until, at)
    window.accrued += accrued_of(record)
    window.avoided += avoided_of(record)
    for rule in {f.rule for f in record.findings}:
        window.rules[rule] = window.rules.get(rule, 0) + 1
    window.sources[record.source] = window.sources.get(record.source, 0) + 1


def _most(counted: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:NAMED])


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
