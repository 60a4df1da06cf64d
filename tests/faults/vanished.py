"""Run by test_vanished.py: a source's address goes away with all its connections, some of them in a call, and nothing
that is sent there comes back. The kernel notices in 30 s what it sent in vain (TCP_USER_TIMEOUT), and in 90 s the rest
(SO_KEEPALIVE); a message that was begun and not finished has 20 s."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim import site as s
from sim.ports import free_port
from sim.trunk import Habit
from tests.live.test_faults import calls, opened
from tests.live.test_stalls import options
from tests.live.world import World, live, run

pytestmark = pytest.mark.live

FAR = "10.5.0.2"
EACH = 10  # connections that are idle, in a call, in the middle of a message
SLOWLY = "+33199009999"  # is answered after the address has gone
NOTICED = 120.0  # s in which every descriptor is to be back
SOURCE = f"""
[[source]]
name = "far"
address = ["{FAR}"]
trunk = "operator"
usage = "human"
line_from = "header:X-Line"
"""


def far(site: s.Site) -> None:
    site.more = SOURCE


def address(what: str) -> None:
    """Add the address to this network, or take it away."""
    subprocess.run(["ip", "addr", what, f"{FAR}/32", "dev", "lo"], check=True)


def invite(world: World, n: int, port: int) -> bytes:
    """A call that rings on."""
    host = world.site.guard[0]
    lines = (
        f"INVITE sip:{SLOWLY}@{host} SIP/2.0",
        f"Via: SIP/2.0/TCP {FAR}:{port};branch=z9hG4bKv{n}",
        "Max-Forwards: 70",
        f"From: <sip:{s.ALICE}@{FAR}>;tag={n}",
        f"To: <sip:{SLOWLY}@{host}>",
        f"Call-ID: v{n}@{FAR}",
        "CSeq: 1 INVITE",
        f"Contact: <sip:a@{FAR}:{port};transport=tcp>",
        f"X-Line: 2{n:02}",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextmanager
def connected(world: World) -> Iterator[list[socket.socket]]:
    """Connections of that source that the guard has answered on."""
    with contextlib.ExitStack() as stack:
        held = []
        for n in range(3 * EACH):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.settimeout(10)
            sock.bind((FAR, free_port(FAR)))
            sock.connect(world.site.guard)
            sock.sendall(options(world, n))
            assert sock.recv(20).startswith(b"SIP/2.0 200")
            held.append(sock)
        yield held


def test_what_vanished_peers_held_is_given_back(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path, habits={SLOWLY: Habit(ring=0.02, answer=4.0)}, setup=far) as world:
            await calls(world)
            rest = opened(world.daemon.pid)
            with connected(world) as held:
                idle, talking, halfway = held[:EACH], held[EACH : 2 * EACH], held[2 * EACH :]
                for n, sock in enumerate(talking):
                    sock.sendall(invite(world, n, sock.getsockname()[1]))
                for n, sock in enumerate(halfway):
                    sock.sendall(options(world, n)[:-100])
                async with asyncio.timeout(3):  # before these calls are answered
                    while len({c.call_id for c in world.trunk.news if c.called == SLOWLY}) < EACH:
                        await asyncio.sleep(0.02)
                address("del")
                assert opened(world.daemon.pid) >= rest + len(idle) + len(talking) + len(halfway)
                async with asyncio.timeout(NOTICED):
                    while opened(world.daemon.pid) > rest:
                        await calls(world)
                        await asyncio.sleep(1)
            await calls(world)
            assert await asyncio.to_thread(world.daemon.stop) == 0
            assert re.search(rf"\btcp_stalled {EACH}\b", world.daemon.lines[-1])

    address("add")
    run(scene)
