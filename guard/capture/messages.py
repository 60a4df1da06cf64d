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
from guard.capture.ip import TCP, Network, Segment
from guard.capture.link import LINKS, NOT_IP
from guard.capture.merge import Progress, merged
from guard.capture.start import is_sip
from guard.capture.streams import Streams
from guard.capture.tally import Tally
from guard.proxy.effects import Address, Flow

__all__ = ["CaptureError", "Captured", "Messages"]

TICK: Final = 8192  # frames between two calls of `tick`: some 20 ms
MAX_ADDRESSES: Final = 65_536  # remembered in text form; a scan only empties the memory

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

    def __iter__(self) -> Iterator[Captured]:
        tally, segment = self.tally, self._network.segment
        for instant, link, data, cut in merged(self._sources, tally, self.progress):
            tally.frames += 1
            if self._tick is not None and not tally.frames % TICK:
                self._tick()
            tally.bytes += len(data)
            if tally.first is None:
                tally.first = instant
            tally.last = instant
            place = LINKS.get(link)
            if place is None:
                tally.unknown_link += 1
                tally.warn(f"link type {link} is not read")
                continue
            at = place(data)
            if at == NOT_IP:
                tally.not_ip += 1
                continue
            found = segment(data, at, instant, cut=cut)
            if found is None:
                continue
            if found[0] == TCP:
                yield from self._stream(found, instant)
            else:
                message = self._datagram(found)
                if message is not None:
                    tally.sip += 1
                    yield message, self._flow(found), instant
        self._network.finish()
        for key, conn, messages in self._streams.finish():
            tally.sip += len(messages)
            flow = self._tcp_flow(key, conn)
            for message in messages:
                yield message, flow, tally.last or 0

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

    def _stream(self, found: Segment, instant: int) -> Iterator[Captured]:
        _, addresses, data, at, end, _ = found
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
            for message in messages:
                yield message, flow, instant

    def _tcp_flow(self, key: bytes, conn: int) -> Flow:
        half = len(key) // 2
        return Flow("tcp", self._end(key[half:]), self._end(key[:half]), conn)

    def _end(self, raw: bytes) -> Address:
        return self._address(raw[:-2]), int.from_bytes(raw[-2:], "big")

    def _flow(self, found: Segment) -> Flow:
        _, addresses, data, at, _, _ = found
        source, target, _ = _ports(data, at)
        size = len(addresses) // 2
        return Flow("udp", (self._address(addresses[size:]), target), (self._address(addresses[:size]), source))

    def _address(self, raw: bytes) -> str:
        known = self._addresses
        text = known.get(raw)
        if text is None:
            if len(known) >= MAX_ADDRESSES:
                known.clear()
            text = known[raw] = str(ip_address(raw))
        return text
