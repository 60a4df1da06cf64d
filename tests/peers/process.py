"""Other people's programs as children of a test: started, asked whether they are there, stopped by their own number."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from tests.live.world import need

START_PATIENCE: Final = 15.0  # seconds until it answers: two busy cores
STOP_PATIENCE: Final = 3.0  # seconds from SIGTERM to SIGKILL
PROBE: Final = 0.2  # seconds for the answer to one probe
TAIL: Final = 3000  # characters of its log that a failure shows

_serial = itertools.count(1)


class Program:
    """One running program, in a session of its own. What it says goes to `<name>.log` in its folder."""

    def __init__(self, name: str, program: str, package: str, words: list[str], folder: Path) -> None:
        path = need(program, package)
        self.log = folder / f"{name}-{next(_serial)}.log"
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [path, *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """The end of its log, for a failure."""
        return f"{self.log.name}:\n{self.log.read_text('utf-8', 'replace')[-TAIL:]}"

    def wait(self, there: Callable[[], bool], what: str = "answer", patience: float = START_PATIENCE) -> None:
        """Return once `there` says so. Fails with its log when it ends before that, or takes too long."""
        until = time.monotonic() + patience
        while not there():
            if self.process.poll() is not None or time.monotonic() > until:
                ended = self.process.poll()
                self.stop()
                why = f"no {what} in {patience:g} s" if ended is None else f"it ended with status {ended}"
                raise AssertionError(f"{why}; {self.said()}")
            time.sleep(0.02)

    def finish(self, patience: float) -> int:
        """Its own end: the exit status. Fails with its log when it does not end."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"it did not end in {patience:g} s; {self.said()}") from None

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to it and to what it started. Nothing is left behind."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def answers_options(host: str, port: int) -> bool:
    """Whether somebody answers an OPTIONS there over UDP. An IPv6 address in brackets, as in a URI."""
    six = host.startswith("[")
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.bind(("::1" if six else "127.0.0.1", 0))
        asker.settimeout(PROBE)
        own = f"{'[::1]' if six else '127.0.0.1'}:{asker.getsockname()[1]}"
        lines = (
            f"OPTIONS sip:{host}:{port} SIP/2.0",
            f"Via: SIP/2.0/UDP {own};branch=z9hG4bKprobe{next(_serial)}",
            "Max-Forwards: 70",
            "From: <sip:probe@127.0.0.1>;tag=probe",
            f"To: <sip:{host}:{port}>",
            f"Call-ID: probe{next(_serial)}@127.0.0.1",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
        )
        try:
            asker.sendto("\r\n".join([*lines, "", ""]).encode(), (host.strip("[]"), port))
            return asker.recv(65_535).startswith(b"SIP/2.0 ")
        except (TimeoutError, ConnectionError):
            return False


def listens(protocol: str, host: str, port: int) -> bool:
    """Whether the kernel has a socket there: what sipp has no other sign for."""
    address = ip_address(host)
    words = [address.packed[n : n + 4][::-1].hex().upper() for n in range(0, len(address.packed), 4)]
    table = Path(f"/proc/net/{protocol}{'6' if address.version == 6 else ''}")
    return f" {''.join(words)}:{port:04X} " in table.read_text(encoding="ascii")
