"""What systemd is told (sd_notify(3)): a datagram of lines to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import os
import socket
from typing import Final

from guard.net.say import harmless

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"  # µs after which systemd takes a silent guard for hung


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

    def tell(self, *lines: str) -> None:
        """Send assignments such as `READY=1`; values are made harmless, since a line break would start another."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(harmless(line) for line in lines).encode(), self._path)
        except OSError:
            self.lost += 1

    @staticmethod
    def watchdog() -> float | None:
        """How often systemd wants to hear of us, in seconds: half of its patience. None where it does not watch."""
        usec = os.environ.get(WATCHDOG, "")
        pid = os.environ.get("WATCHDOG_PID", "")
        if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
            return None
        return int(usec) / 2_000_000

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
