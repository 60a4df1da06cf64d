"""Started by test_full_disk: writes calls, or books, under a limit of file sizes, as on a full disk; then goes on.

Prints, as JSON, how many were told to be on disk before it was full, how many refused, and how many after.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.sqlite import SqliteWriter
from tests.store.making import attempt, decision, finding
from tests.store.making_log import DIGITS, PARIS
from tests.store.test_books import BILL

Told = SimpleQueue[BaseException | None]


def full(limit: int) -> None:
    """No file may grow beyond so many octets (a write that would fails with EFBIG: Python ignores SIGXFSZ)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def calls(path: Path, limit: int) -> list[int]:
    """Until one is refused, and five more; then with room again."""
    writer = SqliteWriter(path, site="hq", money={"operator": DIGITS})

    def ask(n: int) -> BaseException | None:
        told: Told = SimpleQueue()
        writer.decided(attempt(n, caller=f"+331456{n:05d}"), decision("blocked", finding("cli.premium")), told.put)
        return told.get(timeout=30)

    return _counted(ask, limit, writer.close, room=5)


def books(path: Path, limit: int) -> list[int]:
    """The same with penalties entered by hand: what is refused is not kept, so there is nothing to catch up with."""
    made = Books(path, PARIS)

    def ask(n: int) -> BaseException | None:
        try:
            made.enter(BILL)
        except StoreError as error:
            return error
        return None

    return _counted(ask, limit, made.close, room=0)


def _counted(ask: Callable[[int], BaseException | None], limit: int, close: Callable[[], None], room: int) -> list[int]:
    full(limit)
    before = refused = 0
    while ask(before) is None:
        before += 1
    refused = 1
    for n in range(room):
        refused += ask(10_000 + n) is not None
    full(resource.RLIM_INFINITY)
    after = sum(ask(20_000 + n) is None for n in range(10))
    close()
    return [before, refused, after]


if __name__ == "__main__":
    what = calls if sys.argv[1] == "calls" else books
    print(json.dumps(what(Path(sys.argv[2]), int(sys.argv[3]))))
