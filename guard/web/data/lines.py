"""Lines: which are nearest to their quotas, and one line's page."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from guard.ledger.incidentrecord import IncidentRecord
from guard.ledger.record import CallRecord
from guard.policy.load import Policy
from guard.rules import quota_callees, quota_talk
from guard.rules.months import month_start
from guard.store.contract import Query
from guard.store.money import before
from guard.store.reader import SqliteReader
from guard.web import hidden
from guard.web.data import calls, incidents
from guard.web.data.quotas import Counter, Key, Use, quotas

NEAREST: Final = 20  # lines and trunks shown unasked
SPOKEN: Final = 2_000  # findings of quotas, the newest, whose lines are looked at
RECENT: Final = 5_000  # calls, the newest, whose busiest lines are looked at
BUSIEST: Final = 20  # of those
LAST: Final = 20  # calls on a line's page
SOURCES: Final = 10  # sources that may have a line of one name


class NearestView(Struct, frozen=True, kw_only=True):
    """Lines and trunks by their share of a quota, the largest first. Looked at are every trunk, the lines that a quota
    has warned of this month, and the busiest of late: others have used less than the first warning's part.
    `quotas` tells whether any is in force; `counting` that sums are not whole yet."""

    uses: tuple[Use, ...]
    quotas: bool
    counting: bool


class LineView(Struct, frozen=True, kw_only=True):
    """One line, as far as the log knows it; a name may be one of several sources. `record` is its last call's: by
    `#record` it is asked for where its name is masked."""

    line: str
    record: int
    sources: tuple[str, ...]
    calls: tuple[CallRecord, ...]
    uses: tuple[Use, ...]
    incidents: tuple[IncidentRecord, ...]


def nearest(
    reader: SqliteReader, policy: Policy, counter: Counter, now: int, *, limit: int = NEAREST, full: bool = False
) -> NearestView:
    """Who is nearest to a quota in the month of `now` (Unix time, µs)."""
    every = list(quotas(policy, now))
    keys = [Key("", "", trunk) for trunk in dict.fromkeys(q.trunk for q in every if q.per == "trunk")]
    if any(q.per == "line" for q in every):
        keys += _lines(reader, now)
    found = counter.uses(reader, policy, keys, now)
    found.sort(key=lambda u: (-u.used * 1_000_000 // u.limit, u.trunk, u.source, u.line))
    return NearestView(
        uses=tuple(_seen(reader, u, full=full) for u in found[: max(limit, 0)]),
        quotas=bool(every),
        counting=any(u.counting for u in found),
    )


def one(
    reader: SqliteReader,
    policy: Policy,
    counter: Counter,
    line: str,
    now: int,
    *,
    full: bool = False,
    privacy: bool = False,
) -> LineView | None:
    """The line of that name, or of a call (`#123`); None where the log has no call of it. Where numbers are not shown
    in `full`, Refused (403) for a name that masks hide; `privacy` as for `hidden.check`."""
    by_call = hidden.BY_CALL.match(line)
    if by_call is not None:
        detail = hidden.detail_of(reader, int(by_call.group(1)))
        line = detail.record.line if detail is not None else ""
    if not line or line.endswith("*"):  # as a filter that would be many lines
        return None
    if by_call is None and not full:
        hidden.check("line", line, privacy=privacy)
    last = list(reader.search(Query(line=line, all=True, newest_first=True, limit=LAST)).seqs)
    sources = _sources(reader, line)
    if not sources:
        return None
    found = counter.uses(reader, policy, [Key(source, line, "") for source in sources], now)
    opened = [i for source in sources for i in incidents.of_line(reader, source, line, now, full=full)]
    return LineView(
        line=incidents.shown(line, full=full),
        record=last[0] if last else 0,
        sources=tuple(sources),
        calls=calls.shown(reader, last, full=full),
        uses=tuple(_seen(reader, u, full=full) for u in found),
        incidents=tuple({i.id: i for i in opened}.values()),
    )


def _lines(reader: SqliteReader, now: int) -> list[Key]:
    """Lines that quotas have spoken of this month, the latest first, then the busiest of late."""
    rules = (quota_callees.ID, quota_talk.ID)
    first = before(reader, month_start(now, reader.zone))
    spoken = reader.fetch(
        "SELECT DISTINCT c.source, c.line FROM (SELECT seq FROM call_rules WHERE rule IN (?, ?) AND seq > ?"
        " ORDER BY seq DESC LIMIT ?) r JOIN calls c ON c.seq = r.seq WHERE c.line <> ''",
        (*rules, first, SPOKEN),
    )
    busy = reader.fetch(
        "SELECT source, line FROM (SELECT source, line FROM calls WHERE direction = 'outbound' AND seq > ?"
        " ORDER BY seq DESC LIMIT ?) WHERE line <> '' GROUP BY source, line ORDER BY count(*) DESC LIMIT ?",
        (first, RECENT, BUSIEST),
    )
    return [Key(source, line, "") for source, line in dict.fromkeys([*spoken, *busy])]


def _sources(reader: SqliteReader, line: str) -> list[str]:
    """The sources whose line it is: of its newest calls, lest a busy one be read whole."""
    calls, first = reader.calls()
    newest = f"SELECT c.source FROM {calls} WHERE c.line = ? ORDER BY {first} DESC, c.seq DESC LIMIT ?"
    rows = reader.fetch(f"SELECT DISTINCT source FROM ({newest}) LIMIT ?", (line, RECENT, SOURCES))
    return [source for (source,) in rows]


def _seen(reader: SqliteReader, use: Use, *, full: bool) -> Use:
    """As it may be seen, with a call by which its line is found again where its name does not."""
    name = incidents.shown(use.line, full=full)
    if not name or (name == use.line and hidden.BY_CALL.match(name) is None):
        return use
    calls, first = reader.calls()
    sql = f"SELECT c.seq FROM {calls} WHERE c.line = ? ORDER BY {first} DESC, c.seq DESC LIMIT 1"
    rows = reader.fetch(sql, (use.line,))
    return replace(use, line=name, record=rows[0][0] if rows else 0)
