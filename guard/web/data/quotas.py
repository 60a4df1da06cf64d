"""What lines and trunks have used of their monthly quotas, counted from the log as the rules count it.

Counting goes on where it ended, a bounded number of calls at a time: a page never waits for a month of a busy trunk,
and says that it is still counting. What is counted lives in this process only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from guard.numbering.number import EMERGENCY
from guard.policy.load import Policy
from guard.rules import quota_callees, quota_talk
from guard.rules.base import Per
from guard.rules.months import month_of, month_start
from guard.store.money import before
from guard.store.reader import SqliteReader

Kind = Literal["talk-time", "callees"]
KEYS: Final = 256  # lines and trunks that are counted at a time: the least looked at are counted anew
STEP: Final = 4_000  # calls counted for one request, of all keys together: a third of a second from a cold disk
OPEN: Final = 15_000  # calls of one key whose end is awaited; the talk of more is not known before they are looked at
MOST: Final = 50_000  # different callees that are remembered of one key: beyond, "at least so many"
SECOND: Final = 1_000_000  # µs
DAY: Final = 86_400 * SECOND  # calls are looked at from so long before the month: their talk counts when they end
HOUR: Final = 3_600
_EMERGENCY: Final = ", ".join(f"'{number}'" for number in sorted(EMERGENCY))


class Quota(Struct, frozen=True, kw_only=True):
    """A quota in force: of each line, or of the trunk. `limit` is in seconds of talk, or different numbers called."""

    rule: str
    kind: Kind
    per: Per
    trunk: str
    limit: int


class Use(Struct, frozen=True, kw_only=True):
    """What is used of a quota in the running month. `percent` is rounded down and goes beyond 100; with `counting` the
    month's calls are not all counted yet: look again. `record` is a call of a line whose name is masked, else 0."""

    rule: str
    kind: Kind
    per: Per
    trunk: str
    source: str
    line: str
    month: str
    used: int
    limit: int
    percent: int
    counting: bool
    record: int = 0


class Key(Struct, frozen=True):
    """Who is counted: a line of a source (`trunk` ""), or a trunk."""

    source: str
    line: str
    trunk: str


class _Count:
    """What one key has used in a month."""

    __slots__ = ("after", "callees", "done", "month", "open", "talk_us")

    def __init__(self, month: int, after: int) -> None:
        self.month = month
        self.after = after  # the last entry looked at
        self.callees: set[str] = set()
        self.talk_us = 0
        self.open: set[int] = set()
        self.done = False


def quotas(policy: Policy, at: int) -> Iterator[Quota]:
    """The quotas in force at an instant (Unix time, µs), of every trunk."""
    for count in policy.counts:
        rule = count.rule
        if not rule.since <= at < rule.until:
            continue
        for trunk, terms in policy.terms.items():
            if isinstance(rule.settings, quota_talk.Settings) and rule.id == quota_talk.ID:
                per, hours = quota_talk.allowed(terms, rule.settings)
                kind: Kind = "talk-time"
                limit = hours * HOUR
            elif isinstance(rule.settings, quota_callees.Settings) and rule.id == quota_callees.ID:
                per, limit = quota_callees.allowed(terms, rule.settings)
                kind = "callees"
            else:
                continue
            if limit:
                yield Quota(rule=rule.id, kind=kind, per=per or "trunk", trunk=trunk, limit=limit)


class Counter:
    """Counts what keys have used; any thread may ask, one counts at a time."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Key, _Count] = OrderedDict()
        self._lock = threading.Lock()

    def uses(self, reader: SqliteReader, policy: Policy, keys: list[Key], at: int) -> list[Use]:
        """What each key has used of each quota that binds it, in the month of `at`."""
        zone = reader.zone
        since = month_start(at, zone)
        out: list[Use] = []
        every = list(quotas(policy, at))
        with self._lock:
            left = STEP
            start: int | None = None
            for place, key in enumerate(keys[:KEYS]):
                bound = [q for q in every if (q.per == "line") == bool(key.line) and key.trunk in {q.trunk, ""}]
                if not bound:
                    continue
                count = self._counts.get(key)
                if count is None or count.month != since:
                    start = before(reader, since - DAY) if start is None else start
                    count = self._counts[key] = _Count(since, start)
                self._counts.move_to_end(key)
                share = max(left // (min(len(keys), KEYS) - place), 1)  # a busy trunk must not starve the lines
                left -= self._count(reader, key, count, share, talk=any(q.kind == "talk-time" for q in bound))
                out += [_use(key, count, quota, at, reader) for quota in _first(bound)]
            while len(self._counts) > KEYS:
                self._counts.popitem(last=False)
        return out

    def _count(self, reader: SqliteReader, key: Key, count: _Count, most: int, *, talk: bool) -> int:
        """Count what came since, `most` calls at a time; how many were looked at. Ends only where `talk` counts."""
        looked = 0
        if count.open and talk:
            looked += self._ends(reader, count)
        most = max(most - looked, 1)  # calls that never end must not keep it from going on
        calls, first = reader.calls() if key.line else ("calls c", "c.seq")
        where, values = (
            ("c.line = ? AND c.source = ?", (key.line, key.source)) if key.line else ("c.trunk = ?", (key.trunk,))
        )
        # Only a flagged call can have been given up while it was held: the other bodies need not be read.
        withdrawn = "(SELECT json_extract(d.body, '$.withdrawn') FROM entries d WHERE d.seq = c.seq)"
        sql = (
            "SELECT c.seq, c.at, c.callee, c.direction = 'outbound' AND c.verdict <> 'blocked'"
            f" AND c.callee NOT IN ({_EMERGENCY}) AND NOT (c.verdict = 'flagged' AND coalesce({withdrawn}, 0))"
            f" FROM {calls} WHERE {where} AND c.seq > ? ORDER BY {first}, c.seq LIMIT ?"
        )
        rows = reader.fetch(sql, (*values, count.after, most))
        for seq, at, callee, counts in rows:
            count.after = seq
            if counts:
                if at >= count.month and len(count.callees) < MOST:
                    count.callees.add(callee)
                if talk and len(count.open) < OPEN:
                    count.open.add(seq)
        count.done = len(rows) < most
        if rows and talk:
            self._ends(reader, count)
        return looked + len(rows)

    def _ends(self, reader: SqliteReader, count: _Count) -> int:
        """Add the talk of calls that have ended; how many were looked at."""
        waiting = sorted(count.open)
        for start in range(0, len(waiting), 500):
            some = waiting[start : start + 500]
            marks = ", ".join("?" * len(some))
            sql = (
                "SELECT n.call_seq, n.at, coalesce(json_extract(e.body, '$.talk_us'), 0) FROM ends n"
                f" JOIN entries e ON e.seq = n.seq WHERE n.call_seq IN ({marks})"
            )
            for seq, at, talk in reader.fetch(sql, some):
                count.open.discard(seq)
                if at >= count.month and isinstance(talk, int):
                    count.talk_us += talk
        return len(waiting)


def _first(bound: list[Quota]) -> Iterator[Quota]:
    """Of quotas of the same kind the least: a line may call by several trunks."""
    for kind in ("talk-time", "callees"):
        mine = [q for q in bound if q.kind == kind]
        if mine:
            yield min(mine, key=lambda q: q.limit)


def _use(key: Key, count: _Count, quota: Quota, at: int, reader: SqliteReader) -> Use:
    used = count.talk_us // SECOND if quota.kind == "talk-time" else len(count.callees)
    return Use(
        rule=quota.rule,
        kind=quota.kind,
        per=quota.per,
        trunk=quota.trunk,
        source=key.source,
        line=key.line,
        month=month_of(at, reader.zone),
        used=used,
        limit=quota.limit,
        percent=used * 100 // quota.limit,
        counting=not count.done,
    )
