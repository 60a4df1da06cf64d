"""What a proxy adds to the set-up of a call, as seen on the wire: dumpcap stamps each message before and behind it.

sipp's own clock ticks every 4 ms; the kernel's stamps do not. Needs the right to capture (root, or the group that
Debian makes for it); without it there is no figure. It is not run while processor time is measured.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from guard.capture.messages import Captured, CaptureError, Messages
from sim.labelled.words import SimError
from sim.race.load import pinned, said, start, stop
from sim.site import GUARD

# INVITEs and 200s over UDP only: all that is stamped.
FILTER: Final = "udp and (udp[8:4] = 0x494e5649 or (udp[8:4] = 0x5349502f and udp[16:4] = 0x32303020))"
PATIENCE: Final = 10.0  # seconds until it captures, and until it has ended
FILE: Final = "wire.pcap"
BUFFER: Final = "32"  # MB in the kernel: it may wait for its core
DRAIN: Final = 0.3  # seconds after the last message


class Tap:
    """A capture of the loopback interface that runs until `stop`."""

    def __init__(self, folder: Path, core: int) -> None:
        self.path = folder / FILE
        self.path.unlink(missing_ok=True)
        self._folder = folder
        words = [*pinned(core), "dumpcap", "-q", "-i", "lo", "-P", "-B", BUFFER, "-f", FILTER, "-w", str(self.path)]
        self._process = start(words, folder, "dumpcap")
        until = time.monotonic() + PATIENCE
        while not (self.path.exists() and self.path.stat().st_size):
            if self._process.poll() is not None or time.monotonic() > until:
                stop(self._process)
                raise SimError(f"dumpcap does not capture: {said(folder, 'dumpcap')}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order: what it holds is written."""
        if self._process.poll() is None:
            time.sleep(DRAIN)
            os.kill(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            stop(self._process)
            raise SimError("dumpcap does not end") from None

    def added(self) -> list[float]:
        """Milliseconds that the proxy added to each set-up: its INVITE's and its 200's way through it together."""
        try:
            return added(Messages([self.path]))
        except CaptureError as error:
            raise SimError(str(error)) from error


def added(messages: Iterable[Captured]) -> list[float]:
    """See `Tap.added`: of every call whose INVITE and 200 were both seen before and behind the proxy."""
    seen: dict[bytes, dict[tuple[bool, bool], int]] = {}
    for data, flow, instant in messages:
        request = data.startswith(b"INVITE ")
        if not request and b" INVITE\r\n" not in data:
            continue  # the 200 to a BYE
        call = seen.setdefault(_call_id(data), {})
        # The first of each counts: a repetition tells when the first one was lost, not how long it took.
        call.setdefault((request, flow.local[0] == GUARD), instant)
    return [
        (call[True, False] - call[True, True] + call[False, False] - call[False, True]) / 1000
        for call in seen.values()
        if len(call) == 4
    ]


def _call_id(data: bytes) -> bytes:
    at = data.index(b"\r\nCall-ID:") + 10
    return data[at : data.index(b"\r\n", at)].strip()


def may_capture(folder: Path, core: int) -> str:
    """Why nothing can be captured here; empty where it can."""
    try:
        Tap(folder, core).stop()
    except (SimError, OSError) as error:
        return str(error)
    return ""
