"""Sockets that a supervisor kept over a restart (sd_listen_fds(3), file descriptor store): what arrives between two
lives of the guard waits in them, and the next life reads it.

A supervisor passes them on as descriptors 3, 4, … and says so in LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES. Names are
not believed: a socket is what the kernel says that it is bound to.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final, Literal

from guard.net.udp import target
from guard.proxy.effects import Address

FIRST: Final = 3  # SD_LISTEN_FDS_START
MOST: Final = 256  # descriptors looked at: more than a configuration has addresses
UNNAMED: Final = "unknown"  # what systemd calls a descriptor that has no name

Kind = Literal["udp", "tcp", "tls"]
_TYPES: Final = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM, "tls": socket.SOCK_STREAM}


def name_of(kind: str, host: str, port: int) -> str:
    """The name that a socket is kept under: letters that FDNAME takes (no colon), one for each address."""
    return f"{kind}-{host.replace(':', '_')}-{port}"


class Handed:
    """The sockets that this process was given. `take` those that are wanted, then `close` the rest."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        env = os.environ if environ is None else environ
        self._left: list[tuple[str, socket.socket]] = []
        count = env.get("LISTEN_FDS", "")
        if env.get("LISTEN_PID") != str(os.getpid()) or not count.isascii() or not count.isdigit():
            return  # meant for another process, or nothing
        names = env.get("LISTEN_FDNAMES", "").split(":")
        for place in range(min(int(count), MOST)):
            try:
                sock = socket.socket(fileno=FIRST + place)
            except OSError:
                continue  # no socket, or not open: none of ours
            sock.set_inheritable(False)
            sock.setblocking(False)
            self._left.append((names[place] if place < len(names) else UNNAMED, sock))

    def __len__(self) -> int:
        return len(self._left)

    def take(self, kind: Kind, host: str, port: int) -> socket.socket | None:
        """The socket that is bound to this address, if it was passed on; it is the caller's from now on."""
        for place, (_, sock) in enumerate(self._left):
            if sock.type == _TYPES[kind] and _bound_to(sock, (host, port)):
                del self._left[place]
                return sock
        return None

    def close(self) -> list[str]:
        """Let go of what nobody wanted: addresses that the configuration names no more. Their names."""
        left, self._left = self._left, []
        for _, sock in left:
            sock.close()
        return [name for name, _ in left]


def _bound_to(sock: socket.socket, address: Address) -> bool:
    """Whether it is bound to exactly this address."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if sock.family != family:
        return False
    try:
        name, wanted = sock.getsockname(), target(host, port)
        same = socket.inet_pton(family, name[0].partition("%")[0]) == socket.inet_pton(family, wanted[0])
    except OSError:  # an interface that is not there any more
        return False
    zone = wanted[3] if len(wanted) > 2 else 0
    return same and name[1] == port and (family == socket.AF_INET or name[3] == zone)
