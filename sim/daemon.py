"""`guard run -c FILE` as a child process: started, waited for, stopped by its own process number."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Final, Protocol

SAYS_READY: Final = re.compile(r"(?:.*\bguard: |(?:\S+ )*INFO )?(?:web: )?ready\b")  # after its name, a time or a level
START_PATIENCE: Final = 20.0  # seconds: two busy cores
STOP_PATIENCE: Final = 20.0


class Begun(Protocol):
    """A process that was begun: of `subprocess.Popen` what is used here."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def returncode(self) -> int | None:
        """Its exit status once that is known, negative where a signal ended it."""

    @property
    def stderr(self) -> IO[str] | None:
        """What it says."""

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. Raises subprocess.TimeoutExpired after so many seconds."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""

    def terminate(self) -> None:
        """Send it SIGTERM, unless it has ended."""

    def kill(self) -> None:
        """Send it SIGKILL, unless it has ended."""


class NotReady(Exception):
    """The daemon ended, or said nothing in time. The text holds what it did say."""


class Daemon:
    """One running guard, or another of its processes (`command`). `lines` is what it wrote on standard error so far,
    also kept in `told` when that is given. `before` are words of a program that becomes it."""

    def __init__(
        self,
        config: Path,
        told: Path | None = None,
        command: str = "run",
        more: tuple[str, ...] = (),
        before: tuple[str, ...] = (),
    ) -> None:
        self.config = config
        self._before = before
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._told = told
        self.process = self._begun([command, "-c", str(config), *more])
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _begun(self, words: list[str]) -> Begun:
        # A session of its own: Ctrl-C in our terminal is ours to act on, and the daemon gets its SIGTERM in order.
        return subprocess.Popen(
            [*self._before, sys.executable, "-m", "guard.cli.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def wait_ready(self, patience: float = START_PATIENCE) -> None:
        """Return when it takes calls. Raises NotReady."""
        until = time.monotonic() + patience
        while not self._ready.wait(0.05):
            if self.process.poll() is not None:
                self._listener.join()
                if self._ready.is_set():
                    break
                self._close()
                raise NotReady(self._said(f"guard run ended with status {self.process.returncode}"))
            if time.monotonic() > until:
                self.kill()
                raise NotReady(self._said(f"guard run was not ready after {patience:g} s"))

    def stop(self, patience: float = STOP_PATIENCE) -> int:
        """SIGTERM, and its exit status; after `patience` seconds SIGKILL (a negative status)."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._close()

    def kill(self) -> int:
        """SIGKILL: as if the machine had taken it away."""
        self.process.kill()
        return self._close()

    def _close(self) -> int:
        status = self.process.wait()
        self._listener.join()
        if self.process.stderr is not None:
            self.process.stderr.close()
        return status

    def _said(self, what: str) -> str:
        return "\n".join([what, *(line.removeprefix("guard: ") for line in self.lines)])

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.rstrip("\n")
            self.lines.append(text)
            if self._told is not None:
                with self._told.open("a", encoding="utf-8") as file:
                    file.write(line)
            if SAYS_READY.match(text):
                self._ready.set()
