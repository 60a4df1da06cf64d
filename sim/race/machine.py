"""The machine that a race is run on: which cores are whose, what a tree of processes takes, what else is going on."""

from __future__ import annotations

import os
import platform
import re
import struct
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from msgspec import Struct

ROOT: Final = Path(__file__).parents[2]
PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")
SAYS: Final = 5.0  # seconds until a program has told its version
LATENCY: Final = Path("/dev/cpu_dma_latency")  # µs that cores may take to wake up, as long as it is held open


class Cores(Struct, frozen=True):
    """Whose core is which: that of the proxy, and that of both ends. With one core only they share it."""

    proxy: int
    ends: int

    @property
    def apart(self) -> bool:
        return self.proxy != self.ends


class Taken(Struct, frozen=True):
    """What a tree of processes has taken so far: seconds of processor time, and kB of memory as of now."""

    cpu: float
    memory: int


def cores() -> Cores:
    """Two of those that we may use, or twice the only one."""
    ours = sorted(os.sched_getaffinity(0))
    return Cores(proxy=ours[0], ends=ours[-1])


def load() -> float:
    """Processes that wanted to run, over the last minute."""
    return os.getloadavg()[0]


@contextmanager
def awake() -> Iterator[None]:
    """Keep the cores from sleeping where there is nothing to do, as tuned's profile "latency-performance" does. Who
    sleeps in a virtual machine begins anew with caches that others have used meanwhile. OSError where that is
    forbidden."""
    with LATENCY.open("wb", buffering=0) as asked:
        asked.write(struct.pack("i", 0))
        yield


def busy() -> tuple[int, int]:
    """(ticks that all cores worked, ticks that went by) since the machine was started."""
    fields = [int(f) for f in (PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def tree(roots: Iterable[int]) -> list[int]:
    """These processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal() and (stat := _stat(int(folder.name))):
            children.setdefault(int(stat[1]), []).append(int(folder.name))
    found = list(roots)
    for pid in found:
        found += children.get(pid, [])
    return found


def taken(roots: Iterable[int]) -> Taken:
    """What a tree has taken: its processes, and those that have ended and were waited for. Of memory,
    what they have written; what several of them share counts once (PSS), and programs, mapped from files, do not."""
    pids = tree(roots)
    return Taken(cpu=spent(pids), memory=sum(_pss(pid) for pid in pids))


def spent(pids: Iterable[int]) -> float:
    """Seconds of processor time of these processes, and of their children that were waited for."""
    return sum(int(f) for pid in pids for f in _stat(pid)[11:15]) / TICKS


def _stat(pid: int) -> list[str]:
    """Fields 3 and on of /proc/PID/stat (proc(5)); empty for a process that is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss(pid: int) -> int:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(kb) for kb in re.findall(r"^Pss_(?:Anon|Shmem):\s+(\d+) kB", text, re.MULTILINE))


def processor() -> str:
    """What the kernel calls it."""
    names = re.findall(r"^model name\s*: (.+)$", (PROC / "cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return names[0].strip() if names else platform.machine()


def versions() -> str:
    """Of everything that takes part, in one line."""
    said = [f"Linux {platform.release()}", f"Python {platform.python_version()}", f"uvloop {version('uvloop')}"]
    for name, words, pattern in (
        ("Kamailio", ["kamailio", "-v"], r"kamailio (\S+)"),
        ("sipp", ["sipp", "-v"], r"SIPp v([\d.]+)"),
        ("Redis", ["redis-server", "--version"], r"v=(\S+)"),
        ("tshark", ["tshark", "--version"], r"TShark \(Wireshark\) (\S+?)\.? "),
    ):
        found = re.search(pattern, _says(words))
        said.append(f"{name} {found[1] if found else 'missing'}")
    return ", ".join(said)


def source() -> str:
    """The commit that is measured, and whether files differ from it; empty outside of a checkout."""
    commit = _says(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    changed = _says(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "guard", "sim"]).strip()
    return f"{commit} with changes" if commit and changed else commit


def _says(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SAYS, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout + done.stderr
