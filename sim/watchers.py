"""`python -m sim watchers`: what fifty people who watch the live page cost the process that calls go through.

A guard, its web page, an IPBX and an operator on loopback; calls at a steady rate, in rounds that take turns: with
nobody watching, and with so many open event streams. What is compared is the daemon's own processor time for a call,
and how long calls waited to be set up. The watchers are a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from msgspec import Struct

from sim.daemon import Daemon
from sim.ipbx import How, Ipbx
from sim.labelled.words import SimError
from sim.ports import free_port
from sim.site import ALICE, GUARD, Site
from sim.trunk import Habit, Trunk

WATCHERS: Final = 50
ROUNDS: Final = 5
SECONDS: Final = 8.0
RATE: Final = 25  # calls a second: less than what two shared cores can take, lest the machine's limit be measured
TALK: Final = 0.05  # s
PATIENCE: Final = 20.0  # s, for all streams to be open
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Round(Struct, frozen=True):
    """What one round took: µs of the daemon's processor time a call, ms from INVITE to answer (median)."""

    cpu_us: float
    setup_ms: float


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("--watchers", type=int, default=WATCHERS, help=f"open event streams ({WATCHERS})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each kind, in turns ({ROUNDS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of calls a round ({SECONDS:g})")
    parser.add_argument("--watch", metavar="HOST:PORT", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Print both and their ratio."""
    if args.watch is not None:
        host, _, port = args.watch.rpartition(":")
        asyncio.run(_watch_all(host, int(port), args.watchers))
        return 0
    with tempfile.TemporaryDirectory(prefix="sim-watch-") as folder:
        alone, watched = asyncio.run(_measure(Path(folder), args.watchers, args.rounds, args.seconds))
    for name, rounds in (("nobody", alone), (f"{args.watchers} people", watched)):
        cpu, setup = median(r.cpu_us for r in rounds), median(r.setup_ms for r in rounds)
        each = ", ".join(f"{r.cpu_us:.0f}" for r in rounds)
        print(f"{name:>12} watching: {cpu:7.0f} µs of the daemon a call ({each}), set up in {setup:.1f} ms")
    ratio = median(r.cpu_us for r in watched) / median(r.cpu_us for r in alone)
    print(f"ratio {ratio:.3f}")
    return 0


async def _measure(folder: Path, watchers: int, rounds: int, seconds: float) -> tuple[list[Round], list[Round]]:
    port, web = free_port(GUARD), free_port(GUARD)
    trunk = Trunk(habits={ALICE: Habit()})
    await trunk.start()
    pbx = Ipbx((GUARD, port))
    await pbx.start()
    site = Site(
        folder=folder,
        port=port,
        trunk_port=trunk.port,
        pbx_port=pbx.port,
        mode="monitor",  # one caller who calls like this would be shut off
        cps=10_000,
        channels=10_000,
        more=f'\n[web]\nlisten = "{GUARD}:{web}"\nopen_viewer = true\n',
    )
    site.write()
    daemons: list[Daemon] = []
    try:
        for command in ("run", "web"):
            daemons.append(Daemon(site.config, command=command))
            await asyncio.to_thread(daemons[-1].wait_ready)
        await _calls(pbx, daemons[0].pid, 2.0)  # what is done once
        alone: list[Round] = []
        watched: list[Round] = []
        for _ in range(rounds):
            alone.append(await _calls(pbx, daemons[0].pid, seconds))
            crowd = await asyncio.to_thread(_crowd, f"{GUARD}:{web}", watchers)
            try:
                watched.append(await _calls(pbx, daemons[0].pid, seconds))
                if crowd.poll() is not None:
                    raise SimError("a watcher was let go before the round was over")
            finally:
                _end(crowd)
        return alone, watched
    finally:
        for peer in (pbx, trunk):
            await peer.stop()
        for daemon in reversed(daemons):
            await asyncio.to_thread(daemon.stop)


async def _calls(pbx: Ipbx, pid: int, seconds: float) -> Round:
    """A steady stream of calls, each of another number and line; SimError where one is not answered."""
    loop = asyncio.get_running_loop()
    count = max(1, round(RATE * seconds))
    before, begun = _cpu(pid), loop.time()
    placed = []
    for n in range(count):
        await asyncio.sleep(max(0.0, begun + n / RATE - loop.time()))
        placed.append(pbx.place(ALICE, f"+33199{n % 1_000_000:06d}", How(line=str(200 + n % 50), talk=TALK)))
    results = await asyncio.gather(*placed)
    await asyncio.sleep(0.3)  # the last ends are written
    used = _cpu(pid) - before
    failed = [r.status for r in results if r.status != 200]
    if failed:
        raise SimError(f"{len(failed)} of {count} calls were not answered: {failed[0]}")
    return Round(used / count * 1e6, median(r.answered - r.began for r in results) * 1e3)


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has had, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _crowd(where: str, count: int) -> subprocess.Popen[str]:
    """The watchers, when all their streams are open."""
    crowd = subprocess.Popen(
        [sys.executable, "-m", "sim", "watchers", "--watch", where, "--watchers", str(count)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert crowd.stdout is not None
    if not crowd.stdout.readline().startswith("open"):
        _end(crowd)
        raise SimError("the live page does not answer")
    return crowd


def _end(crowd: subprocess.Popen[str]) -> None:
    crowd.kill()
    crowd.communicate()


async def _watch_all(host: str, port: int, count: int) -> None:
    """Open the streams, say so, and read them until somebody ends us; ends by itself where one is closed."""
    streams = [asyncio.open_connection(host, port) for _ in range(count)]
    request = f"GET /api/v1/live HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
    opened = await asyncio.wait_for(asyncio.gather(*streams), PATIENCE)
    for _, writer in opened:
        writer.write(request)
    for reader, _ in opened:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise SimError(head.partition(b"\r\n")[0].decode("latin-1"))
    print("open", flush=True)
    reading = [asyncio.create_task(_drain(reader)) for reader, _ in opened]
    await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass
