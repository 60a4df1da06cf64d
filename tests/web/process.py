"""`guard web -c FILE` as a child process: started, waited for, stopped by its own process number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

PATIENCE: Final = 30.0  # s: two busy cores


class WebProcess:
    """One running `guard web`; `lines` is what it said so far."""

    def __init__(self, config: Path) -> None:
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._said = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "guard.cli.main", "web", "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_ready(self) -> None:
        """Return when it serves."""
        assert self._ready.wait(PATIENCE), self.lines
        assert self.process.poll() is None, self.lines

    def wait_for(self, words: str) -> None:
        """Return when it has said so."""
        with self._said:
            assert self._said.wait_for(lambda: any(words in line for line in self.lines), PATIENCE), self.lines

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self._thread.join(PATIENCE)
            assert self.process.stderr is not None
            self.process.stderr.close()
        return self.process.returncode

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._said:
                self.lines.append(line.rstrip())
                self._said.notify_all()
            if "web: ready" in line:
                self._ready.set()
        self._ready.set()  # it ended: who waits looks at what it said
