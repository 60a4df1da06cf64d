"""Erasing by a command, where no guard is running: the same as the running guard does, in one go."""

from __future__ import annotations

from collections.abc import Callable

from guard.store import retention
from guard.store.requests import Answer
from guard.store.sqlite import ERASE_LIMIT, SqliteWriter

Advance = Callable[[int, int], None]


def purge(writer: SqliteWriter, now: int, days: int) -> Answer:
    """Erase what is older than so many days. Raises StoreError; what was done until then stays done."""
    with writer.reader() as reader:
        wanted = retention.due(reader, now, days)
        calls, entries = retention.count(reader, wanted)
        for seqs, mark in retention.slices(reader, wanted):
            writer.erase(seqs, "retention", now, mark, wanted.forget)
            writer.flush()
    return Answer(calls=calls, entries=entries)


def forget(writer: SqliteWriter, number: str, now: int, advance: Advance) -> Answer:
    """Erase the calls of a number. Raises StoreError; what was done until then stays done."""
    with writer.reader() as reader:
        found = list(retention.about(reader, number, advance))
    seqs = tuple(sorted(seq for one in found for seq in one.seqs))
    for start in range(0, max(len(seqs), 1), ERASE_LIMIT):
        writer.erase(seqs[start : start + ERASE_LIMIT], "request", now)
        writer.flush()
    return Answer(calls=len(found), entries=len(seqs))
