"""One writer a log: a lock file beside it, held as long as the writer lives.

flock on a file of its own, not on the database: SQLite's POSIX locks are lost when any descriptor of the database is
closed in the same process. The kernel lets go of it when the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from typing import Self

from guard.store.errors import StoreError, StoreLocked
from guard.store.schema import FILE_MODE


class Lock:
    """Holds `<path>-lock`; StoreError where another writer does."""

    def __init__(self, path: str) -> None:
        name = path + "-lock"
        try:
            self._fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise StoreError(f"{path}: cannot be locked: {name}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise StoreLocked(f"{path}: another guard is writing it (process {holder or 'unknown'})") from error
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode("ascii"), 0)
        except OSError as error:
            os.close(self._fd)
            raise StoreError(f"{path}: cannot be locked: {name}: {error.strerror}") from error

    def release(self) -> None:
        """Let another writer in."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
