"""Peers of a whole guard that do not read what it says to them: others' calls go on, and what they held is given back.

Peers that vanish: tests/faults/test_vanished.py, since the kernel takes its time to notice them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim import site as s
from tests.live.test_faults import PATIENCE, calls, opened
from tests.live.world import World, live, run

pytestmark = pytest.mark.live

SLOW = 2  # peers that do not read
BUFFER = 4_096  # octets that the kernel keeps for each of them: what comes after these stays with the guard
LONG = "c" * 6_000  # of a Call-ID, which every answer repeats


def options(world: World, n: int) -> bytes:
    """A request that the guard answers itself."""
    host, port = world.site.guard
    return (
        f"OPTIONS sip:{host}:{port} SIP/2.0\r\nVia: SIP/2.0/TCP {s.IPBX}:9;branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:a@{s.IPBX}>;tag=1\r\nTo: <sip:{host}>\r\nCall-ID: {n}{LONG}\r\nCSeq: {n} OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


@contextmanager
def deaf(world: World, count: int) -> Iterator[list[socket.socket]]:
    """Connections of the IPBX whose other end reads nothing."""
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            sock.bind((s.IPBX, 0))
            sock.connect(world.site.guard)
            sock.setblocking(False)
            held.append(sock)
        yield held


async def asking(world: World, sock: socket.socket) -> int:
    """Ask on and on without reading, until the guard has had enough: how often."""
    loop = asyncio.get_running_loop()
    n = 0
    with contextlib.suppress(ConnectionError):
        while True:
            n += 1
            await loop.sock_sendall(sock, options(world, n))
    return n


def test_who_does_not_read_is_given_up_and_nobody_else_notices(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path) as world:
            await calls(world)
            rest = opened(world.daemon.pid)
            with deaf(world, SLOW) as held:
                flood = [asyncio.create_task(asking(world, sock)) for sock in held]
                over = asyncio.gather(*flood)
                async with asyncio.timeout(6 * PATIENCE):
                    while not over.done():
                        await calls(world)
                assert min(await over) > 1
                async with asyncio.timeout(PATIENCE):
                    while opened(world.daemon.pid) > rest:
                        await asyncio.sleep(0.05)
            await calls(world)
            assert await asyncio.to_thread(world.daemon.stop) == 0
            (counted,) = re.findall(r"tcp_slow_readers (\d+)", world.daemon.lines[-1])
            assert int(counted) == SLOW

    run(scene)
