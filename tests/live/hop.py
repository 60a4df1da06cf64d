"""One next hop of an operator, in a process of its own: `python -m tests.live.hop HOST [FIRST-ANSWER]`.

It prints its port, and at SIGTERM what it saw, as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import Final, Literal

import msgspec
from msgspec import Struct

from sim.trunk import Habit, Trunk

PATIENCE: Final = 20.0  # seconds


class Saw(Struct, frozen=True):
    """What a hop saw of calls, by Call-ID."""

    invited: tuple[str, ...]
    answered: tuple[str, ...]
    cancelled: tuple[str, ...]
    ended: tuple[str, ...]
    options: int


class Hop:
    """A next hop as a child. `freeze` and `thaw` stop its process and let it go on; `stop` says what it saw."""

    def __init__(self, host: str, habit: Habit | None = None, transport: Literal["udp", "tcp"] = "udp") -> None:
        self.host, self.transport = host, transport
        words = [str(habit.refuse), str(habit.answer or 0)] if habit is not None else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.hop", host, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def uri(self) -> str:
        return f"sip:{self.host}:{self.port};transport={self.transport}"

    def freeze(self) -> None:
        """Stop the process: its sockets stay open, and nobody reads them."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> Saw:
        """End it, and hear what it saw."""
        self.thaw()
        self.process.terminate()
        out, _ = self.process.communicate(timeout=PATIENCE)
        return msgspec.json.decode(out, type=Saw)

    def kill(self) -> None:
        """Whatever happened: leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


async def serve(host: str, habit: Habit) -> None:
    trunk = Trunk(host, habits={"": habit})
    await trunk.start()
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    print(trunk.port, flush=True)
    await done.wait()
    saw = {
        "invited": [s.call_id for s in trunk.seen],
        "answered": sorted(trunk.answered),
        "cancelled": sorted(trunk.cancelled),
        "ended": sorted(trunk.ended),
        "options": trunk.counts["OPTIONS"],
    }
    print(json.dumps(saw), flush=True)
    await trunk.stop()


if __name__ == "__main__":
    refuse, answer = (int(sys.argv[2]), float(sys.argv[3])) if len(sys.argv) > 2 else (0, 0.06)
    asyncio.run(serve(sys.argv[1], Habit(refuse=refuse, answer=answer)))
