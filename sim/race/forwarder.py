"""The floor: a bare UDP forwarder on uvloop. It splices Via and Record-Route, and knows, decides and keeps nothing.

`python -m sim.race.forwarder HOST PORT CALLER_HOST CALLER_PORT CALLEE_HOST CALLEE_PORT`: requests of the caller go to
the callee, answers back. What a proxy in Python costs at the least on this machine: the kernel's part, the loop's, and
some work with bytes. It is no SIP proxy: it has no transactions, and believes everybody.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, cast

import uvloop

from guard.net.udp import bound

Address = tuple[str, int]
ROUTE: Final = b"\r\nRoute: "
BRANCH: Final = b";branch="


class Forwarder(asyncio.DatagramProtocol):
    """One socket, two peers."""

    def __init__(self, here: Address, caller: Address, callee: Address) -> None:
        self._caller, self._callee = caller, callee
        own = f"{here[0]}:{here[1]}".encode()
        self._via = b"\r\nVia: SIP/2.0/UDP " + own + b";branch="
        self._record = b"\r\nRecord-Route: <sip:" + own + b";lr>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._send = cast("asyncio.DatagramTransport", transport).sendto

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A request gets a Via (an INVITE a Record-Route too) and loses its Route; an answer loses its first Via."""
        if data.startswith(b"SIP/2.0"):
            start = data.index(b"\r\nVia: ")
            self._send(data[:start] + data[data.index(b"\r\n", start + 2) :], self._caller)
            return
        line = data.index(b"\r\n")
        # A repetition leaves under the branch of the first, or whoever gets it takes it for another (RFC 3261 16.11).
        branch = data.index(BRANCH) + len(BRANCH)
        more = self._via + data[branch : data.index(b"\r\n", branch)].partition(b";")[0] + b".f"
        route = data.find(ROUTE)
        if route >= 0:
            data = data[:route] + data[data.index(b"\r\n", route + 2) :]
        elif data.startswith(b"INVITE"):
            more += self._record
        elif data.startswith(b"OPTIONS"):  # whoever wants to know whether it is there
            self._send(b"SIP/2.0 200 OK" + data[line:], addr)
            return
        self._send(data[:line] + more + data[line:], self._callee if addr == self._caller else self._caller)


async def serve(here: Address, caller: Address, callee: Address) -> None:
    """Until it is ended. Its socket keeps as much as the guard's."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Forwarder(here, caller, callee), sock=bound(*here))
    await loop.create_future()


def main() -> None:
    """See the module."""
    words = sys.argv[1:]
    here, caller, callee = ((words[n], int(words[n + 1])) for n in (0, 2, 4))
    uvloop.run(serve(here, caller, callee))


if __name__ == "__main__":
    main()
