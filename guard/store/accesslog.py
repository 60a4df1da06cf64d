"""The access log beside the log: who saw numbers in full, when, and by which way; never the numbers themselves."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

SUFFIX: Final = "-access"  # after the log's name
MODE: Final = 0o600


def append(store: str, entry: Mapping[str, object]) -> None:
    """Add a line to the access log of the log at `store`. Raises OSError: who cannot be noted sees no numbers."""
    path = store + SUFFIX
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.geteuid() == 0:  # made by root, it must still take the owner's lines
            owner = Path(store).stat()
            os.fchown(fd, owner.st_uid, owner.st_gid)
        os.write(fd, msgspec.json.encode(entry) + b"\n")
    finally:
        os.close(fd)
