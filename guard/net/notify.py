"""What systemd is told (sd_notify(3)): a datagram of lines to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import os
import socket
import time
from array import array
from collections.abc import Sequence
from typing import Final

from guard.net.say import harmless

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"  # µs after which systemd takes a silent guard for hung
SIGNS: Final = 4  # of life in that time: one that is missed, or late, costs nobody a restart


class Notify:
    """Tells systemd how it goes; says nothing where nobody listens. A notice that cannot be sent is counted, no more:
    the guard does not depend on its supervisor."""

    def __init__(self, address: str | None = None) -> None:
        path = os.environ.get(SOCKET, "") if address is None else address
        self._socket: socket.socket | None = None
        self.lost = 0
        if path:
            self._path = "\0" + path[1:] if path.startswith("@") else path  # "@": Linux's abstract names
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    @property
    def heard(self) -> bool:
        """Whether somebody is told at all."""
        return self._socket is not None

    def tell(self, *lines: str, sockets: Sequence[socket.socket] = ()) -> None:
        """Send assignments such as `READY=1`; values are made harmless, since a line break would start another."""
        if self._socket is None:
            return
        data = "\n".join(harmless(line) for line in lines).encode()
        try:
            # Not socket.send_fds, which takes an address and forgets it.
            rights = (
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [s.fileno() for s in sockets]))] if sockets else []
            )
            self._socket.sendmsg([data], rights, 0, self._path)
        except OSError:
            self.lost += 1

    def keep(self, name: str, sock: socket.socket) -> None:
        """Have systemd keep a socket for the next life of the guard. What its name stood for before is let go: a second
        copy would come back as well. FDPOLL=0, since an ICMP error of a peer would else end the keeping."""
        self.tell("FDSTOREREMOVE=1", f"FDNAME={name}")
        self.tell("FDSTORE=1", "FDPOLL=0", f"FDNAME={name}", sockets=(sock,))

    def drop(self, name: str) -> None:
        """Have systemd let go of a socket."""
        self.tell("FDSTOREREMOVE=1", f"FDNAME={name}")

    def reloading(self) -> None:
        """A configuration is being read; READY=1 ends it. The instant tells this reload from one before."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    @staticmethod
    def watchdog() -> float | None:
        """How often systemd is to hear of us, in seconds: `SIGNS` times in its patience; None: it does not watch."""
        usec = os.environ.get(WATCHDOG, "")
        pid = os.environ.get("WATCHDOG_PID", "")
        if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
            return None
        return int(usec) / (SIGNS * 1_000_000)

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
