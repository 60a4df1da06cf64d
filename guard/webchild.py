"""`guard web` as a process beside the daemon (`guard run --web`): started, looked after, stopped. Whatever becomes of
it, calls go on: none waits for anything here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Final

from guard.net.say import LOG

FIRST_PAUSE: Final = 1.0  # s before it is started again
MAX_PAUSE: Final = 60.0  # s, where it ends again and again
STEADY: Final = 60.0  # s that it has to run before its next end counts as the first
PARTING: Final = 8.0  # s that it may take to end: its server gives answers under way five
# It ends with the daemon, also where that was killed: it must not hold its port. Its standard input is a pipe that
# nobody writes to, and that the kernel closes with the daemon.
CODE: Final = """\
import os, signal, sys, threading

def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=watch, daemon=True).start()
from guard.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class WebChild:
    """`start` it on a running loop when the log is open; `stop` it before the guard ends. `starts` counts."""

    def __init__(self, config: Path, *, pause: float = FIRST_PAUSE) -> None:
        self.starts = 0
        self.pid = 0
        self._command = [sys.executable, "-c", CODE, "web", "-c", str(config)]
        self._first = self._pause = pause
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End it, for good."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PARTING)
        except TimeoutError:
            LOG.warning("guard web does not end: it is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                self._process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.PIPE)
            except OSError as error:
                LOG.error("guard web cannot be started: %s", error.strerror or error)
            else:
                self.starts += 1
                self.pid = self._process.pid
                status = await self._process.wait()
                LOG.warning("guard web has ended (status %d); calls go on, and it is started again", status)
            if loop.time() - begun >= STEADY:
                self._pause = self._first
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, MAX_PAUSE)
