"""A real redis-server for a test: on a unix socket or a free port, in a folder of its own, stopped by its number."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

PROGRAM = os.environ.get("GUARD_TEST_REDIS", "redis-server")  # or the path of a valkey-server
PATIENCE = 10.0  # s until a server that does not answer has failed


class Server:
    """One redis-server. `url` is where it is; `more` are options of its command line."""

    def __init__(self, folder: Path, *more: str, port: int = 0, password: str = "") -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.port = port
        self.more = more
        self.password = password
        self.url = f"redis://127.0.0.1:{port}" if port else f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        where = ["--port", str(self.port), "--bind", "127.0.0.1"] if self.port else ["--port", "0"]
        self.process = subprocess.Popen(
            [PROGRAM, *where, "--unixsocket", str(self.socket), "--save", "", "--dir", str(self.folder),
             "--logfile", str(self.folder / "redis.log"), *self.more],
        )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while not self.answers():
            assert time.monotonic() < until, (self.folder / "redis.log").read_text()
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def client(self) -> redis.Redis:
        """To look into it."""
        return redis.Redis(unix_socket_path=str(self.socket), password=self.password or None, protocol=2)

    def replicated(self) -> bool:
        """Whether it has all of its master's data."""
        with self.client() as client:
            return str(client.info("replication").get("master_link_status")) == "up"

    def offset(self) -> int:
        """How far the data has come: a master's that was given out, a replica's that was taken."""
        with self.client() as client:
            return int(client.info("replication")["master_repl_offset"])

    def pause(self) -> None:
        """It hangs: connections stay, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, with all that it knew."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def serving(*more: str, port: int = 0, password: str = "") -> Iterator[Server]:
    """A server that runs. Its folder is a short one: the path of a unix socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="guard-redis-"))
    server = Server(folder, *more, port=port, password=password)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
