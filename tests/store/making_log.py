"""Logs for tests: written by the real writer, read back by the real reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from guard.ledger.penalties import Figures
from guard.model import CallAttempt, CallEnded, Decision
from guard.store.contract import Query
from guard.store.reader import Detail, SqliteReader
from guard.store.sqlite import SqliteWriter
from guard.store.verify import Verified, verify

PARIS = ZoneInfo("Europe/Paris")
DIGITS = Figures(
    contract="technicophone-sip-trunk",
    per_number=2_500_000_000,
    per_attempt=50_000,
    rules=("cli.*",),
    zone=PARIS,
    reading="digits",
)

Call = tuple[CallAttempt, Decision, *tuple[CallEnded, ...]]


def write(path: Path, calls: Iterable[Call], money: Mapping[str, Figures] | None = None) -> list[int]:
    """Write calls, each with its end where one is given; the decisions' seqs."""
    writer = SqliteWriter(path, site="hq", money={"operator": DIGITS} if money is None else money)
    seqs = []
    for call, decided, *ends in calls:
        seqs.append(writer.decided(call, decided, None))
        for ended in ends:
            writer.ended(seqs[-1], ended)
    writer.close()
    return seqs


def details(path: Path, query: Query | None = None) -> list[Detail]:
    """What a query finds; everything where none is given."""
    with SqliteReader(path) as reader:
        return list(reader.details(query or Query(all=True)))


def seqs(path: Path, query: Query) -> list[int]:
    """The seqs of what a query finds."""
    with SqliteReader(path) as reader:
        return [r.seq for r in reader.records(query)]


def verified(path: Path) -> Verified:
    """What a walk along the chain finds."""
    with SqliteReader(path) as reader:
        return verify(reader, lambda _done, _of: None)
