"""Guards begun by a fork of a process that has imported everything already: as many starts as one likes, without the
second of processor time that the imports of each would take. What is begun is a process like any other."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import IO, Final, NoReturn, Self

from guard.cli.main import main
from sim.daemon import Begun, Daemon

IMPORTED: Final = (
    "uvloop",
    "guard.cli.run",
    "guard.app",
    "guard.webchild",
)  # what `guard run` imports, and what that brings along
MOST: Final = 4_096  # octets of a command
STATUS: Final = 4  # octets, big-endian and signed
END: Final = 20.0  # s for a process to end that has nothing more to do


class Nursery:
    """The process that forks. One guard at a time: the next is begun when the last has ended."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.live.forked"],
                stdin=theirs.fileno(),
                cwd=Path(__file__).parents[2],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def guard(self, config: Path) -> Daemon:
        """`guard run -c config`."""
        return _Forked(config, self._ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


class _Forked(Daemon):
    def __init__(self, config: Path, nursery: socket.socket) -> None:
        self._nursery = nursery
        super().__init__(config)

    def _begun(self, words: list[str]) -> Begun:
        return _Child(self._nursery, words)


class _Child:
    """What `subprocess.Popen` is of a process that was begun by itself."""

    def __init__(self, nursery: socket.socket, words: list[str]) -> None:
        self._nursery = nursery
        heard, says = os.pipe()
        self.stderr: IO[str] | None = os.fdopen(heard, encoding="utf-8", errors="replace")
        socket.send_fds(nursery, ["\0".join(words).encode()], [says])
        os.close(says)
        self.pid = int.from_bytes(nursery.recv(STATUS), signed=True)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._nursery], [], [], 0)[0]:
            self.returncode = int.from_bytes(self._nursery.recv(STATUS), signed=True)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self._nursery], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and its status is on the way
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve(asked: socket.socket) -> None:
    """Begin what is asked for, say its number, and, once it has ended, its status; until nobody can ask."""
    for name in IMPORTED:
        import_module(name)
    while True:
        words, fds, _, _ = socket.recv_fds(asked, MOST, 1)
        if not words:
            return
        pid = os.fork()
        if pid == 0:
            asked.close()
            become(words.decode().split("\0"), fds[0])
        os.close(fds[0])
        asked.send(pid.to_bytes(STATUS, signed=True))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        asked.send(status.to_bytes(STATUS, signed=True))


def become(words: list[str], says: int) -> NoReturn:
    """Be `guard WORDS`, which says on `says` what it says on standard error."""
    os.setsid()
    os.dup2(says, 2)
    os.close(says)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    sys.exit(main(words))


if __name__ == "__main__":
    with socket.socket(fileno=os.dup(0)) as parent:
        serve(parent)
