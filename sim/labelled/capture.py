"""A world as a capture: what a tap between each exchange and the guard would have seen, as pcap (Ethernet, IPv4, UDP).

`guard replay` of it decides as `straight` does. The guard of the capture let everything pass and held nothing: what it
sent on to the operators is not in it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from pathlib import Path
from socket import inet_aton
from typing import Final

from guard.model import CallAttempt
from sim.labelled.words import BYE_ANSWERED, IPBX_HOST, Placed
from sim.labelled.world import GUARD, GUARD_PORT, SIP_PORT

MS: Final = 1_000
ANSWER_LAG: Final = 2 * MS  # between two messages that answer each other
AFTER_TRYING: Final = 5 * MS  # from INVITE to 100
LINK_ETHERNET: Final = 1
SNAP: Final = 65_535
_FILE: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP, LINK_ETHERNET)
_RECORD: Final = struct.Struct("<IIII")
_MACS: Final = b"\x02\0\0\0\0\x01" + b"\x02\0\0\0\0\x02" + b"\x08\0"  # locally administered, both
_IP: Final = struct.Struct("!BBHHHBBH4s4s")
_UDP: Final = struct.Struct("!HHHH")
_REASONS: Final = {
    100: "Trying", 180: "Ringing", 200: "OK", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    407: "Proxy Authentication Required", 480: "Temporarily Unavailable", 484: "Address Incomplete", 486: "Busy Here",
    487: "Request Terminated", 503: "Service Unavailable",
}  # fmt: skip

Address = tuple[str, int]
Message = tuple[int, Address, Address, bytes]
"""(instant, who sent it, who got it, the SIP message)."""


def write(
    calls: Iterable[Placed],
    path: Path,
    guard: Address = (GUARD, GUARD_PORT),
    describe: Callable[[int], bytes] | None = None,
) -> int:
    """Write a capture of the calls; how many messages it has. With `describe` an INVITE, and the 200 to it, has the
    session description that this makes of the number of messages before. Raises OSError."""
    count = 0
    with path.open("wb") as file:
        file.write(_FILE)
        for at, source, target, data in messages(calls, guard):
            if describe is not None and _describes(data):
                body = describe(count)
                more = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(body)
                data = data.replace(b"Content-Length: 0\r\n\r\n", more + body)
            frame = _framed(source, target, data)
            file.write(_RECORD.pack(at // 1_000_000, at % 1_000_000, len(frame), len(frame)) + frame)
            count += 1
    return count


def messages(calls: Iterable[Placed], guard: Address = (GUARD, GUARD_PORT)) -> Iterator[Message]:
    """Every message of the calls, in order of time; in memory are those of the calls that are up."""
    heap: list[tuple[int, int, Message]] = []
    n = 0
    for placed in calls:
        while heap and heap[0][0] <= placed.call.at:
            yield heappop(heap)[2]
        for message in of_call(placed, guard):
            n += 1
            heappush(heap, (message[0], n, message))
    while heap:
        yield heappop(heap)[2]


def of_call(placed: Placed, guard: Address) -> Iterator[Message]:
    """The messages of one call, as its `CallEnded` says that it went."""
    call, ended = placed.call, placed.ended
    caller = call.source_address, SIP_PORT
    leg = _Leg(call, guard)

    def up(at: int, data: bytes) -> Message:
        return at, caller, guard, data

    def down(at: int, data: bytes) -> Message:
        return at, guard, caller, data

    # Where a call is cancelled or refused, its end is the instant of the final answer; of an answered one, of the BYE.
    final = ended.at - ended.talk_us
    yield up(call.at, leg.invite())
    yield down(call.at + AFTER_TRYING, leg.answer(100, "INVITE"))
    if ended.ring_us:
        yield down(final - ended.ring_us, leg.answer(180, "INVITE"))
    if ended.outcome == "cancelled":
        yield up(final - 2 * ANSWER_LAG, leg.request("CANCEL"))
        yield down(final - ANSWER_LAG, leg.answer(200, "CANCEL"))
    yield down(final, leg.answer(ended.final_status, "INVITE"))
    yield up(final + ANSWER_LAG, leg.request("ACK"))
    if ended.outcome == "answered":
        by_caller = ended.by != "callee"
        bye, answer = leg.bye(by_caller=by_caller)
        there, back = (up, down) if by_caller else (down, up)
        yield there(ended.at, bye)
        yield back(ended.at + BYE_ANSWERED, answer)


class _Leg:
    """The leg of a call between whoever placed it and the guard."""

    def __init__(self, call: CallAttempt, guard: Address) -> None:
        self._call = call
        self._guard = f"{guard[0]}:{guard[1]}"
        self._host = f"{call.source_address}:{SIP_PORT}"
        self._from = f"<sip:{call.caller.raw}@{call.source_address}>;tag={call.from_tag}"
        self._uri = f"sip:{call.callee.raw}@{self._target()}"
        self._to = f"<sip:{call.callee.raw}@{guard[0]}>"
        self._tag = f";tag=t{call.from_tag}"
        self._via = f"SIP/2.0/UDP {self._host};branch=z9hG4bK{call.call_id.partition('@')[0]}"

    def _target(self) -> str:
        """A call from the operator names the exchange that it is for, as the guard's `contact` does."""
        call = self._call
        if call.direction == "outbound":
            return self._guard
        network = call.source_address.rpartition(".")[0]
        return f"{network}.{IPBX_HOST}:{SIP_PORT}"

    def invite(self) -> bytes:
        """The set-up."""
        call = self._call
        more = [f"Contact: <sip:{call.caller.raw}@{self._host}>"]
        if call.line:
            more.append(f"X-Line: {call.line}")
        if call.user_agent:
            more.append(f"User-Agent: {call.user_agent}")
        return self._message(f"INVITE {self._uri} SIP/2.0", self._via, self._from, self._to, "1 INVITE", more)

    def request(self, method: str) -> bytes:
        """CANCEL or ACK of the set-up. The ACK of an answer has no transaction to find: its branch does not matter."""
        to = self._to + (self._tag if method == "ACK" else "")
        return self._message(f"{method} {self._uri} SIP/2.0", self._via, self._from, to, f"1 {method}")

    def answer(self, status: int, method: str) -> bytes:
        """An answer to the set-up, or to its CANCEL."""
        to = self._to if status == 100 else self._to + self._tag
        return self._message(_status(status), self._via, self._from, to, f"1 {method}")

    def bye(self, *, by_caller: bool) -> tuple[bytes, bytes]:
        """The BYE of either side, and its answer."""
        host = self._host if by_caller else self._guard
        via = f"SIP/2.0/UDP {host};branch=z9hG4bKbye{self._call.call_id.partition('@')[0]}"
        ours, theirs = self._from, self._to + self._tag
        if not by_caller:
            ours, theirs = theirs, ours
        start = f"BYE {self._uri if by_caller else f'sip:{self._call.caller.raw}@{self._host}'} SIP/2.0"
        return self._message(start, via, ours, theirs, "2 BYE"), self._message(_status(200), via, ours, theirs, "2 BYE")

    def _message(self, start: str, via: str, from_: str, to: str, cseq: str, more: list[str] | None = None) -> bytes:
        request = not start.startswith("SIP/")
        lines = [start, f"Via: {via}", *(["Max-Forwards: 70"] if request else []), f"From: {from_}", f"To: {to}"]
        lines += [f"Call-ID: {self._call.call_id}", f"CSeq: {cseq}", *(more or ()), "Content-Length: 0", "", ""]
        return "\r\n".join(lines).encode()


def _describes(data: bytes) -> bool:
    """Whether it is an INVITE, or a 200 to one."""
    return data.startswith((b"INVITE ", b"SIP/2.0 200 ")) and b"\r\nCSeq: 1 INVITE\r\n" in data


def _status(status: int) -> str:
    return f"SIP/2.0 {status} {_REASONS.get(status, 'No Reason')}"


def _framed(source: Address, target: Address, data: bytes) -> bytes:
    """Ethernet, IPv4 and UDP around a message. The sum of IPv4 is right; that of UDP is left out, as it may be."""
    udp = _UDP.pack(source[1], target[1], 8 + len(data), 0)
    head = (0x45, 0, 28 + len(data), 0, 0x4000, 64, 17)
    ends = inet_aton(source[0]), inet_aton(target[0])
    words = struct.unpack("!10H", _IP.pack(*head, 0, *ends))
    whole = sum(words)
    whole = (whole & 0xFFFF) + (whole >> 16)
    checksum = ~((whole & 0xFFFF) + (whole >> 16)) & 0xFFFF
    return _MACS + _IP.pack(*head, checksum, *ends) + udp + data
