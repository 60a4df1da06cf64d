"""systemd, as a service sees it: a notify socket, kept descriptors (FDSTORE), and a start that hands them over."""

from __future__ import annotations

import array
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PATIENCE: Final = 30.0  # s
# What systemd does between fork and exec: the descriptors at 3, 4, …, and whom they are for.
EXEC: Final = """\
import fcntl, os, sys
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(",") if fd]
for place, fd in enumerate(fds):
    os.dup2(fd, 3 + place)
    os.close(fd)
os.environ["LISTEN_PID"] = os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "guard.cli.main", *sys.argv[2:]])
"""


class Supervisor:
    """Starts `guard run` and hears it. `said` is all it told, a dict of assignments each; `kept` its sockets."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.said: list[dict[str, str]] = []
        self.kept: dict[str, int] = {}
        self.config = config
        self._path = str(folder / "notify")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self._path)
        self._sock.settimeout(0.05)
        self._errors = (folder / "stderr").open("a+", encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, watchdog_s: float = 20, **more: str) -> int:
        """A life of the guard, with what was kept; its pid. Wait for READY with `until`."""
        names = list(self.kept)
        env = {
            **os.environ,
            "NOTIFY_SOCKET": self._path,
            "WATCHDOG_USEC": str(int(watchdog_s * 1_000_000)),
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(names),
            **more,
        }
        fds = tuple(self.kept.values())
        command = [sys.executable, "-c", EXEC, ",".join(map(str, fds)), "run", "-c", str(self.config)]
        self.process = subprocess.Popen(
            command, env=env, pass_fds=fds, stdin=subprocess.DEVNULL, stderr=self._errors, start_new_session=True
        )
        return self.process.pid

    def hear(self) -> bool:
        """Take one notice, if one comes within a moment."""
        try:
            data, ancillary, _, _ = self._sock.recvmsg(4096, socket.CMSG_SPACE(64))
        except TimeoutError:
            return False
        fds = array.array("i")
        for _, _, content in ancillary:
            fds.frombytes(content)
        notice = dict(line.split("=", 1) for line in data.decode().split("\n"))
        self.said.append(notice)
        name = notice.get("FDNAME", "")
        if notice.get("FDSTOREREMOVE") == "1" and name in self.kept:
            os.close(self.kept.pop(name))
        if notice.get("FDSTORE") == "1":
            (self.kept[name],) = fds
        return True

    def until(self, what: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """The next notice of which `what` holds."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.hear() and what(self.said[-1]):
                return self.said[-1]
            assert self.process is None or self.process.poll() in {None, 0}, self.told()
        raise AssertionError(f"not told: {self.said}\n{self.told()}")

    def ready(self) -> dict[str, str]:
        """The next READY."""
        return self.until(lambda notice: notice.get("READY") == "1")

    def told(self) -> str:
        """What it wrote on standard error so far."""
        self._errors.seek(0)
        return self._errors.read()

    def end(self, number: int) -> int:
        """Send a signal and wait; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End whatever is left."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in self.kept.values():
            os.close(fd)
        self._errors.close()
        self._sock.close()
