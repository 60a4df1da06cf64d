"""Captures of live runs: by dumpcap from the kernel, and by the peers themselves where no program may listen."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim.agent import Agent
from sim.link import Peer
from tests.live.world import need

MAGIC_NANOSECONDS = 0xA1B23C4D
LINKTYPE_RAW = 101  # the packet begins with its IP header
UDP = 17
START_PATIENCE = 10.0  # seconds


class Pcap:
    """What peers send and receive over UDP, as a capture: one packet a message, in the order of their instants."""

    def __init__(self) -> None:
        self._packets: list[tuple[int, bytes]] = []

    def listen(self, agent: Agent) -> None:
        """Hear everything of this peer."""
        agent.link.tap = self._heard

    def write(self, path: Path) -> None:
        """Write a pcap file."""
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", MAGIC_NANOSECONDS, 2, 4, 0, 0, 65_535, LINKTYPE_RAW))
            for at, packet in sorted(self._packets):
                seconds, nanos = divmod(at, 1_000_000_000)
                file.write(struct.pack("<IIII", seconds, nanos, len(packet), len(packet)) + packet)

    def _heard(self, data: bytes, source: Peer, destination: Peer, at: int) -> None:
        if source.transport == "udp":
            self._packets.append((at, packet(data, source, destination)))


def packet(data: bytes, source: Peer, destination: Peer) -> bytes:
    """An IPv4 packet with one UDP datagram (no UDP checksum: 0 says that there is none, RFC 768)."""
    length = 8 + len(data)
    addresses = socket.inet_aton(source.host) + socket.inet_aton(destination.host)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, UDP, 0) + addresses
    total = sum(struct.unpack("!10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
    return head + struct.pack("!HHHH", source.port, destination.port, length, 0) + data


@contextmanager
def dumpcap(path: Path, ports: list[int], host: str = "", form: str = "pcapng") -> Iterator[None]:
    """Capture these ports of the loopback interface into `path` while the block runs; with `host` only its own."""
    program = need("dumpcap", "tshark")
    wanted = f"({' or '.join(f'port {p}' for p in ports)})" + (f" and host {host}" if host else "")
    kind = ["-P"] if form == "pcap" else []
    process = subprocess.Popen(
        [program, "-q", *kind, "-i", "lo", "-f", wanted, "-w", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _wait_started(process, path)
        yield
        time.sleep(1.0)  # dumpcap takes packets from the kernel in blocks, up to a second old
    finally:
        process.terminate()
        process.communicate()


def _wait_started(process: subprocess.Popen[bytes], path: Path) -> None:
    until = time.monotonic() + START_PATIENCE
    while not path.exists() or not path.stat().st_size:
        if process.poll() is not None:
            pytest.fail(
                "dumpcap may not capture here: sudo dpkg-reconfigure wireshark-common, and join the group wireshark",
                pytrace=False,
            )
        assert time.monotonic() < until, "dumpcap does not start"
        time.sleep(0.05)
