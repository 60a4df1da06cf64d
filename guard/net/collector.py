"""Where agents send HEPv3 packets: UDP datagrams, and TCP connections with one packet after the other.

Nothing is ever sent back. What an agent sends is held back no longer than until a packet is whole, so that memory is
bounded by the connections.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Literal, cast

from guard.hep.packet import BadPacket, Framer
from guard.net import stream, udp

MAX_AGENTS: Final = 256  # TCP connections, of 64 KiB at most each; an agent has one
BATCH: Final = 256  # datagrams read before anything else has its turn

Packets = Callable[[bytes, str], None]  # a packet, and the address of its agent
Complaint = Callable[[str, str], None]  # the address of an agent, and what is wrong with its stream


class Collector:
    """Listens where it is told to. `packets` hears each packet, `complain` of each connection that is none of HEPv3."""

    def __init__(self, packets: Packets, complain: Complaint) -> None:
        self._packets = packets
        self._complain = complain
        self._loop = asyncio.get_running_loop()
        self._socks: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._agents: set[Agent] = set()

    async def listen(self, transport: Literal["udp", "tcp"], host: str, port: int) -> None:
        """Take packets there. Raises OSError."""
        if transport == "udp":
            sock = udp.bound(host, port)
            self._socks.append(sock)
            self._loop.add_reader(sock.fileno(), self._readable, sock)
        else:
            server = await self._loop.create_server(lambda: Agent(self), sock=stream.bound(host, port))
            self._servers.append(server)

    def close(self) -> None:
        """Take nothing more."""
        for sock in self._socks:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        for server in self._servers:
            server.close()
        for agent in tuple(self._agents):
            agent.abort()

    def _readable(self, sock: socket.socket) -> None:
        packets = self._packets
        try:
            for _ in range(BATCH):
                data, peer = sock.recvfrom(udp.MAX_DATAGRAM)
                if data:
                    packets(data, str(peer[0]))
        except BlockingIOError:
            return

    # ---- connections -----------------------------------------------------------------------------------------------

    def opened(self, agent: Agent) -> None:
        """A connection came. One too many closes at once."""
        if len(self._agents) >= MAX_AGENTS:
            self._complain(agent.host, f"more than {MAX_AGENTS} connections of agents")
            agent.abort()
            return
        self._agents.add(agent)

    def heard(self, agent: Agent, packets: list[bytes]) -> None:
        """Packets of a connection."""
        for data in packets:
            self._packets(data, agent.host)

    def odd(self, agent: Agent, why: str) -> None:
        """A connection that is none of HEPv3."""
        self._complain(agent.host, why)
        agent.abort()

    def closed(self, agent: Agent) -> None:
        """A connection ended."""
        self._agents.discard(agent)


class Agent(asyncio.Protocol):
    """One TCP connection of an agent."""

    def __init__(self, collector: Collector) -> None:
        self.host = ""
        self._collector = collector
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's classes
        peer = transport.get_extra_info("peername")
        self.host = str(peer[0]) if peer else ""
        self._collector.opened(self)

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        try:
            self._collector.heard(self, self._framer.feed(data))
        except BadPacket as bad:
            self._collector.odd(self, str(bad))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._collector.closed(self)

    def abort(self) -> None:
        """Close it now."""
        if self._transport is not None:
            self._transport.abort()
