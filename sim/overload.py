"""`python -m sim overload`: what a guard carries, what it does at twice that, and what floods do to those who call.

A guard, an IPBX and an operator on loopback, with five emergency calls a second beside all else. First the rate is
raised until a tenth of the calls is not carried any more: the most that was carried in a step is the peak. Then twice
that is offered. Then calls come at a quarter of the peak, alone and beside each flood; a flood is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from sim.daemon import Daemon
from sim.link import free_port
from sim.pressure import Placed, Pressure
from sim.site import GUARD, STRANGER, Site

FIRST: Final = 100.0  # calls a second
STEP: Final = 1.3
STEPS: Final = 14
SECONDS: Final = 5.0
CARRIED: Final = 0.75  # of what is offered, or the rate is too much; a few calls are refused by rules
FLOODS: Final = ("garbage", "invite", "half-open", "huge", "dribble")
RATE: Final = 5_000  # datagrams a second of a flood, if the machine can send so many
HUGE: Final = 60_000  # bytes
CONNECTIONS: Final = 400
TICKS: Final = os.sysconf("SC_CLK_TCK")


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each step ({SECONDS:g})")
    parser.add_argument("--flood", choices=FLOODS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Print a table."""
    if args.flood is not None:
        flood(args.flood, (GUARD, args.port))
        return 0
    address = (GUARD, free_port(GUARD))
    pressure = Pressure(address)
    with tempfile.TemporaryDirectory(prefix="sim-overload-") as folder:
        pbx, operator = pressure.ports
        site = Site(
            folder=Path(folder), port=address[1], trunk_port=operator, pbx_port=pbx, channels=1_000_000, cps=1_000_000
        )
        site.write()
        daemon = Daemon(site.config)
        try:
            daemon.wait_ready()
            _measure(pressure, daemon, args.seconds)
        finally:
            daemon.stop()
            pressure.close()
        print(*(line for line in daemon.lines if "overload" in line or "stopped:" in line), sep="\n")
    return 0


def _measure(pressure: Pressure, daemon: Daemon, seconds: float) -> None:
    print(HEAD)
    peak, dense, rate = 0.0, 0.0, FIRST
    for _ in range(STEPS):
        before = busy(daemon.pid)
        placed = pressure.run(rate, seconds)
        print(row(f"{rate:.0f} calls/s", placed, seconds, daemon.pid))
        done = carried(placed, seconds)
        if done > peak:
            peak, dense = done, done * seconds / (busy(daemon.pid) - before)
        if done < CARRIED * rate:
            break
        rate *= STEP
    before = busy(daemon.pid)
    placed = pressure.run(2 * peak, 3 * seconds)
    worth = carried(placed, 3 * seconds) * 3 * seconds / (busy(daemon.pid) - before)
    print(row(f"twice the peak: {2 * peak:.0f}", placed, 3 * seconds, daemon.pid))
    print(f"carried at twice the peak: {carried(placed, 3 * seconds) / peak:.0%} of the peak of {peak:.0f} calls/s")
    print(f"calls carried in a second of its processor time: {worth:.0f}, at the peak {dense:.0f}")
    print(HEAD)
    quiet = peak / 4
    print(row(f"alone: {quiet:.0f}", pressure.run(quiet, seconds), seconds, daemon.pid))
    for kind in FLOODS:
        words = [sys.executable, "-m", "sim", "overload", "--flood", kind, "--port", str(pressure.guard[1])]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL) as child:
            try:
                time.sleep(1.0)  # until it has begun
                placed = pressure.run(quiet, seconds)
            finally:
                child.kill()
        print(row(f"beside {kind}", placed, seconds, daemon.pid))


HEAD: Final = (
    f"{'':24} {'carried/s':>9} {'status':>22} {'answer p50':>10} {'p99':>6} {'refusal p99':>11}"
    f" {'112 p50':>7} {'max':>6} {'lost':>4} {'MB':>4}"
)


def row(name: str, placed: list[Placed], seconds: float, pid: int) -> str:
    """One line; times in ms. `lost` are emergency calls that never arrived."""
    usual = [c for c in placed if not c.sos]
    sos = [c for c in placed if c.sos]
    statuses = ",".join(f"{s or 'none'}:{n}" for s, n in Counter(c.status for c in usual).most_common(3))
    up = [c.answered - c.began for c in usual if c.status == 200]
    refused = [c.answered - c.began for c in usual if c.status >= 300]
    helped = [c.heard - c.began for c in sos if c.heard]
    lost = len(sos) - len(helped)
    return (
        f"{name:24} {carried(placed, seconds):9.0f} {statuses:>22} {ms(up, 0.5):>10} {ms(up, 0.99):>6}"
        f" {ms(refused, 0.99):>11} {ms(helped, 0.5):>7} {ms(helped, 1):>6} {lost:4} {resident(pid):4.0f}"
    )


def carried(placed: list[Placed], seconds: float) -> float:
    """Calls a second that were answered within these seconds and hung up."""
    until = placed[0].began + seconds
    return sum(c.status == 200 and c.answered <= until and not c.sos for c in placed) / seconds


def ms(times: list[float], share: float) -> str:
    """What that share of the times stayed below."""
    return f"{sorted(times)[min(int(len(times) * share), len(times) - 1)] * 1000:.0f}" if times else "-"


def busy(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> float:
    """MB of memory that a process has."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


# ---- floods, each in a process of its own ----------------------------------------------------------------------------


def flood(kind: str, guard: tuple[str, int]) -> None:
    """Until it is killed."""
    if kind in {"half-open", "dribble"}:
        _connections(kind, guard)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((STRANGER, 0))
        begun, sent = time.monotonic(), 0
        rate = RATE if kind != "huge" else RATE // 10
        while True:
            for _ in range(int((time.monotonic() - begun) * rate) - sent):
                sent += 1
                sock.sendto(_datagram(kind, sent), guard)
            time.sleep(0.001)


def _datagram(kind: str, number: int) -> bytes:
    if kind == "garbage":
        return b"\xff\x00garbage %d\r\n\r\n" % number
    body = b"x" * HUGE if kind == "huge" else b""
    return (
        b"INVITE sip:+33199001234@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bKf%d\r\nMax-Forwards: 70\r\n"
        b"From: <sip:+33145678901@x>;tag=f%d\r\nTo: <sip:+33199001234@x>\r\nCall-ID: f%d\r\nCSeq: 1 INVITE\r\n"
        b"Contact: <sip:%s>\r\nContent-Length: %d\r\n\r\n%s"
        % (GUARD.encode(), STRANGER.encode(), number, number, number, STRANGER.encode(), len(body), body)
    )


def _connections(kind: str, guard: tuple[str, int]) -> None:
    """Connections that say nothing, or a byte of a message now and then; what is closed is opened again."""
    held: list[socket.socket] = []
    text = _datagram("invite", 1)
    at = 0
    while True:
        while len(held) < CONNECTIONS:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.bind((STRANGER, 0))
            sock.settimeout(1.0)
            try:
                sock.connect(guard)
            except OSError:
                sock.close()
                break
            held.append(sock)
        if kind == "dribble":
            for sock in held[:]:
                try:
                    sock.send(text[at : at + 1])
                except OSError:
                    sock.close()
                    held.remove(sock)
            at = (at + 1) % len(text)
        else:
            for sock in held[: CONNECTIONS // 10]:
                sock.close()
            del held[: CONNECTIONS // 10]
        time.sleep(0.1)
