"""Ports for programs that are yet to start: no two askers on a machine get the same one soon.

A port that the kernel chose and that was closed again is free for everybody until the program that it is for has
started: the next socket of any process that leaves the choice to the kernel may be given it. So these are taken from
below the kernel's own range (ip_local_port_range begins at 32768), in a round that all processes of a user share.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path
from typing import Final

from sim.link import pair

LOW: Final = 12_000
SPAN: Final = 20_000  # ports in the round
STEP: Final = 7_919  # prime to SPAN: neighbours are far apart in time, so that a range of ports may begin at one
WIDTH: Final = 8  # bytes of the counter in its file


def round_file() -> Path:
    """Where it is kept how far the round has come."""
    return Path(tempfile.gettempdir()) / f"sip-guard-ports-{os.geteuid()}"


def free_port(host: str) -> int:
    """A port of `host` that is free for UDP and TCP, and that nobody else is given for SPAN more. Raises OSError."""
    for _ in range(SPAN):
        port = LOW + _turn() * STEP % SPAN
        try:
            udp, tcp = pair(host, port)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
            continue
        with udp, tcp:
            return port
    raise OSError(errno.EADDRINUSE, f"no port of {host} from {LOW} to {LOW + SPAN - 1} is free")


def _turn() -> int:
    """How many were asked for before this one, by any process of this user."""
    fd = os.open(round_file(), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        turn = int.from_bytes(os.pread(fd, WIDTH, 0), "little")
        os.pwrite(fd, ((turn + 1) % SPAN).to_bytes(WIDTH, "little"), 0)
    finally:
        os.close(fd)
    return turn
