"""SIP messages out of captures: the one way in, from files and pipes to (message, who sent it to whom, when).

SIP is known by its start line, whatever the port. Addresses and ports are those of the innermost IP packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from guard.capture.files import CaptureError
from guard.capture.ip import TCP, Network, Segment, whole_udp
from guard.capture.link import ETHERNET, LINKS, NOT_IP, ethernet
from guard.capture.merge import Progress, merged
from guard.capture.records import Run
from guard.capture.start import is_sip
from guard.capture.streams import Streams
from guard.capture.tally import Tally
from guard.proxy.effects import Address, Flow

__all__ = ["CaptureError", "Captured", "Messages"]

TICK: Final = 8192  # frames between two calls of `tick`: some 20 ms
MAX_ADDRESSES: Final = 65_536  # remembered in text form; a scan only empties the memory
MAX_FLOWS: Final = 65_536  # pairs of address and port, likewise

_UNKNOWN: Final = -2  # beside NOT_IP
_ends = Struct("!HH").unpack_from  # ports
_ports = Struct("!HHH").unpack_from  # and, of UDP, the length
_tcp = Struct("!IIBB").unpack_from  # sequence, acknowledgement, data offset, flags

Captured = tuple[bytes, Flow, int]
"""(one SIP message, `flow.peer` who sent it and `flow.local` who got it, instant in µs of Unix time)."""


class Messages:
    """The SIP messages of captures (paths, or binary streams such as standard input), merged by time: iterate, once.

    Instants never go back. `tally` counts what was read and what was lost, `progress` tells how far reading is.
    Iterating raises CaptureError, which names file and byte offset, where a capture cannot be read on. `tick` is called
    now and then while it goes on.
    """

    def __init__(self, sources: Sequence[Path | BinaryIO], tick: Callable[[], None] | None = None) -> None:
        self.tally = Tally()
        self.progress = Progress(sources)
        self._sources = sources
        self._tick = tick
        self._network = Network(self.tally)
        self._streams = Streams(self.tally)
        self._addresses: dict[bytes, str] = {}
        self._flows: dict[bytes, Flow] = {}

    def __iter__(self) -> Iterator[Captured]:
        for run in self.runs():
            yield from run

    def runs(self) -> Iterator[list[Captured]]:
        """The same, as many at a time as one piece of a capture has: what is paid for each message is less."""
        for run in merged(self._sources, self.tally, self.progress):
            yield self._found(run)
        self._network.finish()
        for key, conn, messages in self._streams.finish():
            self.tally.sip += len(messages)
            flow = self._tcp_flow(key, conn)
            yield [(message, flow, self.tally.last or 0) for message in messages]

    def _found(self, run: Run) -> list[Captured]:
        """The messages in some frames."""
        tally = self.tally
        if tally.first is None:
            tally.first = run[0][0]
        found: list[Captured] = []
        for instant, link, data, cut in run:
            tally.frames += 1
            if self._tick is not None and not tally.frames % TICK:
                self._tick()
            tally.bytes += len(data)
            tally.last = instant
            at = ethernet(data) if link == ETHERNET else self._place(data, link)
            if at < 0:
                tally.not_ip += at == NOT_IP
                continue
            size = whole_udp(data, at)
            if not size:
                self._other(data, at, instant, cut, found)
                continue
            message = data[at + 28 : at + 20 + size]
            if is_sip(message):
                tally.sip += 1
                found.append((message, self._flow(data[at + 12 : at + 24]), instant))
            else:
                tally.not_sip += 1
        return found

    def _place(self, data: bytes, link: int) -> int:
        """Where the IP packet begins, NOT_IP where there is none, _UNKNOWN where nobody can tell."""
        place = LINKS.get(link)
        if place is None:
            self.tally.unknown_link += 1
            self.tally.warn(f"link type {link} is not read")
            return _UNKNOWN
        return place(data)

    def _other(self, data: bytes, at: int, instant: int, cut: bool, found: list[Captured]) -> None:
        """An IP packet that is not the usual one: what messages it has, or completes."""
        segment = self._network.segment(data, at, instant, cut=cut)
        if segment is None:
            return
        if segment[0] == TCP:
            self._stream(segment, instant, found)
            return
        message = self._datagram(segment)
        if message is not None:
            self.tally.sip += 1
            _, addresses, data, at, _, _ = segment
            found.append((message, self._flow(addresses + data[at : at + 4]), instant))

    def _datagram(self, found: Segment) -> bytes | None:
        """The SIP message of a UDP datagram. Of one that the capture cut off, the body is filled up with zeros: it
        says nothing that a decision rests on. Where the head is cut too, there is no message."""
        _, _, data, at, end, cut = found
        tally = self.tally
        if at + 8 > end:
            tally.malformed += 1
            return None
        length = _ports(data, at)[2]
        if length and length < 8:
            tally.malformed += 1
            return None
        if length and at + length < end:
            end = at + length
        message = data[at + 8 : end]
        if not is_sip(message):
            tally.not_sip += 1
            return None
        if at + length > end:
            if not cut:
                tally.malformed += 1
                return None
            tally.cut += 1
            if b"\r\n\r\n" not in message:
                return None
            message = message.ljust(length - 8, b"\0")
        return message

    def _stream(self, segment: Segment, instant: int, found: list[Captured]) -> None:
        _, addresses, data, at, end, _ = segment
        head = at + 20 <= end and (data[at + 12] >> 4) * 4
        if not head or head < 20 or at + head > end:
            self.tally.malformed += 1
            return
        seq, ack, _, flags = _tcp(data, at + 4)
        size = len(addresses) // 2
        here, there = addresses[:size] + data[at : at + 2], addresses[size:] + data[at + 2 : at + 4]
        conn, messages = self._streams.segment(
            here + there, there + here, seq, ack, flags, data[at + head : end], instant
        )
        if messages:
            self.tally.sip += len(messages)
            flow = self._tcp_flow(here + there, conn)
            found.extend([(message, flow, instant) for message in messages])

    def _tcp_flow(self, key: bytes, conn: int) -> Flow:
        half = len(key) // 2
        return Flow("tcp", self._end(key[half:]), self._end(key[:half]), conn)

    def _end(self, raw: bytes) -> Address:
        return self._address(raw[:-2]), int.from_bytes(raw[-2:], "big")

    def _flow(self, ends: bytes) -> Flow:
        """Of a datagram: `ends` are both addresses, source first, and both ports."""
        flow = self._flows.get(ends)
        if flow is None:
            if len(self._flows) >= MAX_FLOWS:
                self._flows.clear()
            source, target = _ends(ends, len(ends) - 4)
            size = len(ends) // 2 - 2
            there, here = self._address(ends[:size]), self._address(ends[size : 2 * size])
            flow = self._flows[ends] = Flow("udp", (here, target), (there, source))
        return flow

    def _address(self, raw: bytes) -> str:
        known = self._addresses
        text = known.get(raw)
        if text is None:
            if len(known) >= MAX_ADDRESSES:
                known.clear()
            text = known[raw] = str(ip_address(raw))
        return text
