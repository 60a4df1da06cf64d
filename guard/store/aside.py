"""A damaged log is kept, under another name: nothing of it is thrown away, and nothing more is written into it. So are
the books and the outbox beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from guard.store.lock import Lock
from guard.store.schema import FILE_MODE

MARK: Final = "-damaged"  # added to the name of a log that SQLite called malformed while it was written
# What is not yet in a database, the index of that, what is to be taken back, and the database. It goes last: what of
# the others stayed behind if the machine stopped in between would be played into the new one.
PARTS: Final = ("-wal", "-shm", "-journal", "")


def mark(path: str) -> None:
    """The log at `path` is damaged: the next start keeps it aside. Raises OSError."""
    os.close(os.open(path + MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))


def marked(path: Path) -> bool:
    """Whether `mark` was called since the log was last kept aside."""
    return Path(f"{path}{MARK}").exists()


def written(path: Path) -> bool:
    """Whether a guard has ever run on the log: once it was opened it got a key of registered contacts beside it."""
    return Path(f"{path}-contacts").exists()


def kept(path: Path) -> str:
    """Give the log, with what belongs to it, a name that says since when it is kept aside; that name. What stands
    there already stays. Raises OSError, and StoreLocked where another guard writes it."""
    with Lock(str(path)):
        return beside(path)


def beside(path: Path) -> str:
    """The same for a file beside a log, for the guard that writes that log: it is nobody else's. Raises OSError."""
    base = f"{path}{MARK}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    name, number = base, 1
    while os.path.lexists(name):
        number += 1
        name = f"{base}-{number}"
    for part in PARTS:
        if os.path.lexists(f"{path}{part}"):
            os.rename(f"{path}{part}", f"{name}{part}")
    Path(f"{path}{MARK}").unlink(missing_ok=True)
    return name
