"""Calls as fast as they are wanted, by an IPBX and an operator that do as little as they can: one thread, two sockets.

An INVITE is sent again as RFC 3261 17.1.1.2 says until something is heard, and so is a BYE. Nothing else is.
When something arrived is the kernel's word: what this thread is late by to read it counts for nobody.
"""

from __future__ import annotations

import re
import selectors
import socket
import struct
import time
from collections import deque
from typing import Final

from msgspec import Struct

from sim.site import CUSTOMER, IPBX, OPERATOR

T1: Final = 0.5  # s until a request is sent again for want of an answer; then twice that
TRIES: Final = 4
BUFFER: Final = 8 << 20
SO_TIMESTAMPNS: Final = 35  # Linux: each datagram comes with the instant of its arrival
STAMP: Final = struct.Struct("qq")  # seconds and nanoseconds of Unix time
ROOM: Final = 64  # bytes for that
AFTER: Final = 2.0  # s in which calls that have begun may finish
FIELD: Final = {
    name: re.compile(rb"\r\n" + name + rb"[ \t]*:[ \t]*([^\r\n]*)") for name in (b"Via", b"Call-ID", b"To", b"CSeq")
}
COPIED: Final = re.compile(rb"\r\n((?:Via|Record-Route|From|To|Call-ID|CSeq):[^\r\n]*)")
SOS_EVERY: Final = 0.2  # s between emergency calls
LINES: Final = 500
NUMBERS: Final = 100  # of the simulated site (sim/site.py), from +33145678900 on
MAIN: Final = 78_900  # the last digits of the first
CALLEES: Final = 1_000_000  # all different: no memory flatters the figures


class Placed(Struct):
    """A call. Instants are seconds of one clock, 0 where it did not come to that; `status` is the final answer's."""

    number: int
    sos: bool
    began: float
    heard: float = 0.0  # by the operator
    answered: float = 0.0  # by anybody, finally
    status: int = 0
    provisional: bool = False
    over: bool = False
    tries: int = 1
    bye: bytes = b""


class Pressure:
    """`run` offers calls at a rate, of so many `lines` and `numbers` by turns, to so many `callees`; who is answered
    hangs up after `talk` seconds. All that was placed stays in `calls`."""

    def __init__(
        self, guard: tuple[str, int], *, lines: int = LINES, numbers: int = NUMBERS, callees: int = CALLEES,
        talk: float = 0.0, first_line: int = 0,
    ) -> None:  # fmt: skip
        self.guard = guard
        self._lines, self._numbers, self._callees, self._talk = lines, numbers, callees, talk
        self._first_line = first_line
        self._talking: deque[tuple[float, int, bytes]] = deque()
        self.pbx, self.operator = (_bound(host) for host in (IPBX, OPERATOR))
        self.calls: dict[int, Placed] = {}
        self.late = 0.0  # s, the longest that this thread has left its sockets alone in the last `run`
        self._unix = time.time() - time.monotonic()
        self._next = 0
        self._again: deque[tuple[float, int]] = deque()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.pbx, selectors.EVENT_READ, self._at_pbx)
        self._selector.register(self.operator, selectors.EVENT_READ, self._at_operator)

    @property
    def ports(self) -> tuple[int, int]:
        """Those of the IPBX and of the operator."""
        return self.pbx.getsockname()[1], self.operator.getsockname()[1]

    def close(self) -> None:
        """Give the ports back."""
        self._selector.close()
        self.pbx.close()
        self.operator.close()

    def run(self, rate: float, seconds: float, *, sos: bool = True, patience: float = AFTER) -> list[Placed]:
        """Offer calls evenly for so long, and five emergency calls a second beside them; those that were placed, once
        they are over or had time to finish."""
        begun = time.monotonic()
        placed: list[Placed] = []
        helped, self.late, turned = 0, 0.0, begun
        while (now := time.monotonic()) - begun < seconds:
            self.late, turned = max(self.late, now - turned), now
            due = int((now - begun) * rate) - (len(placed) - helped)
            placed += [self._place(sos=False) for _ in range(due)]
            if sos and (now - begun) / SOS_EVERY > helped:
                helped += 1
                placed.append(self._place(sos=True))
            self._turn(0.001)
        until = time.monotonic() + patience + self._talk
        while time.monotonic() < until and not all(c.over for c in placed):
            self._turn(0.01)
        self._again.clear()
        self._talking.clear()
        return placed

    def _turn(self, patience: float) -> None:
        for key, _ in self._selector.select(patience):
            key.data()
        now = time.monotonic()
        while self._again and self._again[0][0] <= now:
            _, number = self._again.popleft()
            self._repeat(self.calls[number], now)
        while self._talking and self._talking[0][0] <= now:
            _, number, bye = self._talking.popleft()
            self._hang_up(self.calls[number], bye, now)

    def _place(self, *, sos: bool) -> Placed:
        number = self._next = self._next + 1
        call = self.calls[number] = Placed(number=number, sos=sos, began=time.monotonic())
        self.pbx.sendto(self._invite(call), self.guard)
        self._again.append((call.began + T1, number))
        return call

    def _repeat(self, call: Placed, now: float) -> None:
        if call.over or call.tries >= TRIES or ((call.provisional or call.status) and not call.bye):
            return
        call.tries += 1
        self.pbx.sendto(call.bye or self._invite(call), self.guard)
        self._again.append((now + T1, call.number))

    # ---- messages --------------------------------------------------------------------------------------------------

    def _request(self, method: str, call: Placed, cseq: int, to: str, branch: str, more: str = "") -> bytes:
        host, port = IPBX, self.ports[0]
        at, line = f"{self.guard[0]}:{self.guard[1]}", self._first_line + call.number % self._lines
        uri = (
            f"sip:{OPERATOR}:{self.ports[1]}"
            if more
            else f"sip:{'112' if call.sos else self._callee(call.number)}@{at}"
        )
        return (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch}{call.number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{self._caller(call.number)}@{host}>;tag=a{call.number}\r\nTo: {to}\r\n"
            f"Call-ID: {call.number}-pressure@{host}\r\nCSeq: {cseq} {method}\r\nX-Line: {line}\r\n"
            f"Contact: <sip:{host}:{port}>\r\n{more}Content-Length: 0\r\n\r\n"
        ).encode()

    def _invite(self, call: Placed) -> bytes:
        return self._request("INVITE", call, 1, f"<sip:{CUSTOMER}@{self.guard[0]}>", "i")

    def _at_pbx(self) -> None:
        for data, at in self._read(self.pbx):
            if not data.startswith(b"SIP/2.0 "):
                continue
            status, call = int(data[8:11]), self._call(data)
            if call is None:
                continue
            if status < 200:
                call.provisional = True
            elif b"INVITE" in _field(data, b"CSeq"):
                self._final(call, status, _field(data, b"To").decode(), at)
            else:
                call.over = True

    def _final(self, call: Placed, status: int, to: str, at: float) -> None:
        first = not call.status
        if first:
            call.status, call.answered = status, at
        if status >= 300:
            call.over = True
            self.pbx.sendto(self._request("ACK", call, 1, to, "i"), self.guard)
            return
        route = f"Route: <sip:{self.guard[0]}:{self.guard[1]};lr>\r\n"
        self.pbx.sendto(self._request("ACK", call, 1, to, "k", route), self.guard)
        if first:
            bye = self._request("BYE", call, 2, to, "b", route)
            if self._talk:
                self._talking.append((call.answered + self._talk, call.number, bye))
            else:
                self._hang_up(call, bye, call.answered)

    def _hang_up(self, call: Placed, bye: bytes, now: float) -> None:
        call.bye = bye
        self.pbx.sendto(bye, self.guard)
        call.tries = 1
        self._again.append((now + T1, call.number))

    def _at_operator(self) -> None:
        for data, at in self._read(self.operator):
            if data.startswith((b"ACK", b"SIP/2.0")):
                continue
            if data.startswith(b"INVITE"):
                call = self._call(data)
                if call is not None and not call.heard:
                    call.heard = at
            self.operator.sendto(self._ok(data), self.guard)

    def _ok(self, data: bytes) -> bytes:
        lines = [
            line + (b";tag=z" if line[:3] == b"To:" and b"tag=" not in line else b"") for line in COPIED.findall(data)
        ]
        contact = b"Contact: <sip:%s:%d>" % (OPERATOR.encode(), self.ports[1])
        return b"\r\n".join([b"SIP/2.0 200 OK", *lines, contact, b"Content-Length: 0", b"", b""])

    def _callee(self, number: int) -> str:
        return f"+33199{number % self._callees * 7919 % 1_000_000:06d}"

    def _caller(self, number: int) -> str:
        return f"+331456{MAIN + number % self._numbers:05d}"

    def _read(self, sock: socket.socket) -> list[tuple[bytes, float]]:
        """What has arrived, each with when."""
        found: list[tuple[bytes, float]] = []
        try:
            while len(found) < 256:
                data, more, _, _ = sock.recvmsg(65_535, ROOM)
                seconds, nanoseconds = STAMP.unpack(more[0][2])
                found.append((data, seconds + nanoseconds / 1e9 - self._unix))
        except BlockingIOError:
            pass
        return found

    def _call(self, data: bytes) -> Placed | None:
        number = _field(data, b"Call-ID").partition(b"-")[0]
        return self.calls.get(int(number)) if number.isdigit() else None


def _field(data: bytes, name: bytes) -> bytes:
    found = FIELD[name].search(data)
    return found[1] if found else b""


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind((host, 0))
    return sock
