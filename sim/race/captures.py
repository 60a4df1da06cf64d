"""How fast a capture is read: guard replay with every rule and detector, and tshark with four fields of SIP."""

from __future__ import annotations

import subprocess
from datetime import date, datetime
from datetime import time as clock
from pathlib import Path
from typing import Final

from msgspec import Struct

from sim.bench import BODY
from sim.labelled.capture import write
from sim.labelled.rhythm import PARIS, instant
from sim.labelled.scenarios import scenario
from sim.labelled.words import SimError
from sim.labelled.world import World, config
from sim.race.load import environment, interpreter, pinned, sides, stop

DAY: Final = date(2026, 11, 16)  # a Monday without holidays around it
SEED: Final = 1
OFFICE: Final = 400  # people: some 44 000 messages a day
PATIENCE: Final = 240.0
BOUND: Final = 60.0  # seconds for tshark, which takes the longer for a packet the more calls it has seen
FIELDS: Final = ("sip.Method", "sip.Status-Code", "sip.Call-ID", "sip.CSeq")


class Read(Struct, frozen=True):
    """Packets, and how many of them for each second of processor time, the start of the program included."""

    packets: int
    a_second: float


def captured(folder: Path, people: int) -> tuple[Path, int]:
    """A working day of an office as a capture, and the guard.toml beside it; how many packets."""
    folder.mkdir(parents=True, exist_ok=True)
    start = instant(datetime.combine(DAY, clock(), PARIS))
    world = World(SEED, start, 1.0, scenario(f"office:{people}"))
    (folder / "guard.toml").write_text(config(world, folder), encoding="utf-8")
    path = folder / "day.pcap"
    return path, write(world, path, describe=_description)


def _description(number: int) -> bytes:
    """A session description with a port of its own, as every call has: readers that follow the media mind it."""
    return BODY.replace("30000", str(10_000 + 2 * number % 50_000)).encode()


def replayed(capture: Path, packets: int, home: Path, core: int) -> Read:
    """By the guard in `home`, to its summary."""
    configured = ["-c", str(capture.parent / "guard.toml")]
    words = [interpreter(home), "-m", "guard.cli.main", "replay", str(capture), *configured]
    return Read(packets, packets / _took([*pinned(core), *words], home))


def dissected(capture: Path, packets: int, core: int, bound: float = BOUND) -> Read:
    """By tshark, for `bound` seconds at most: what it has told by then counts."""
    words = [*pinned(core), "tshark", "-l", "-n", "-r", str(capture), "-Y", "sip", "-T", "fields"]
    for field in FIELDS:
        words += ["-e", field]
    told = capture.with_name("tshark.txt")
    begun = sides()
    with told.open("wb") as file:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL)
        try:
            status = process.wait(bound)
        except subprocess.TimeoutExpired:
            stop(process)
            status = 0
    if status:
        raise SimError(f"tshark ended with status {status}")
    with told.open("rb") as file:
        read = min(packets, sum(1 for _ in file))
    return Read(read, read / (sides() - begun))


def _took(words: list[str], home: Path) -> float:
    """Seconds of processor time until it has ended well. SimError where it does not."""
    begun = sides()
    done = subprocess.run(words, cwd=home, env=environment(home), capture_output=True, timeout=PATIENCE, check=False)
    if done.returncode:
        text = done.stderr[-1000:].decode("utf-8", "replace")
        raise SimError(f"{words[3]} ended with status {done.returncode}: {text}")
    return sides() - begun
