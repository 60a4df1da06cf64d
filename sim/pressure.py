"""Calls as fast as they are wanted, by an IPBX and an operator that do as little as they can: one thread, two sockets.

An INVITE is sent again as RFC 3261 17.1.1.2 says until something is heard, and so is a BYE. Nothing else is.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import deque
from typing import Final

from msgspec import Struct

from sim.site import CUSTOMER, IPBX, OPERATOR

T1: Final = 0.5  # s until a request is sent again for want of an answer; then twice that
TRIES: Final = 4
BUFFER: Final = 8 << 20
AFTER: Final = 2.0  # s in which calls that have begun may finish
FIELD: Final = {
    name: re.compile(rb"\r\n" + name + rb"[ \t]*:[ \t]*([^\r\n]*)") for name in (b"Via", b"Call-ID", b"To", b"CSeq")
}
COPIED: Final = re.compile(rb"\r\n((?:Via|Record-Route|From|To|Call-ID|CSeq):[^\r\n]*)")
SOS_EVERY: Final = 0.2  # s between emergency calls


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
    """`run` offers calls at a rate. All that was placed stays in `calls`."""

    def __init__(self, guard: tuple[str, int]) -> None:
        self.guard = guard
        self.pbx, self.operator = (_bound(host) for host in (IPBX, OPERATOR))
        self.calls: dict[int, Placed] = {}
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

    def run(self, rate: float, seconds: float, *, sos: bool = True) -> list[Placed]:
        """Offer calls evenly for so long, and five emergency calls a second beside them; those that were placed, once
        they had time to finish."""
        begun = time.monotonic()
        placed: list[Placed] = []
        helped = 0
        while (now := time.monotonic()) - begun < seconds:
            due = int((now - begun) * rate) - (len(placed) - helped)
            placed += [self._place(sos=False) for _ in range(due)]
            if sos and (now - begun) / SOS_EVERY > helped:
                helped += 1
                placed.append(self._place(sos=True))
            self._turn(0.001)
        until = time.monotonic() + AFTER
        while time.monotonic() < until and not all(c.over for c in placed):
            self._turn(0.01)
        self._again.clear()
        return placed

    def _turn(self, patience: float) -> None:
        for key, _ in self._selector.select(patience):
            key.data()
        now = time.monotonic()
        while self._again and self._again[0][0] <= now:
            _, number = self._again.popleft()
            self._repeat(self.calls[number], now)

    def _place(self, *, sos: bool) -> Placed:
        number = self._next = self._next + 1
        call = self.calls[number] = Placed(number=number, sos=sos, began=time.monotonic())
        self.pbx.sendto(self._invite(call), self.guard)
        self._again.append((call.began + T1, number))
        return call

    def _repeat(self, call: Placed, now: float) -> None:
        if call.over or call.tries >= TRIES or (call.provisional and not call.bye):
            return
        call.tries += 1
        self.pbx.sendto(call.bye or self._invite(call), self.guard)
        self._again.append((now + T1, call.number))

    # ---- messages --------------------------------------------------------------------------------------------------

    def _request(self, method: str, call: Placed, cseq: int, to: str, branch: str, more: str = "") -> bytes:
        host, port = IPBX, self.ports[0]
        at = f"{self.guard[0]}:{self.guard[1]}"
        uri = f"sip:{OPERATOR}:{self.ports[1]}" if more else f"sip:{'112' if call.sos else _callee(call.number)}@{at}"
        return (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch}{call.number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{_caller(call.number)}@{host}>;tag=a{call.number}\r\nTo: {to}\r\n"
            f"Call-ID: {call.number}-pressure@{host}\r\nCSeq: {cseq} {method}\r\nX-Line: {call.number % 500}\r\n"
            f"Contact: <sip:{host}:{port}>\r\n{more}Content-Length: 0\r\n\r\n"
        ).encode()

    def _invite(self, call: Placed) -> bytes:
        return self._request("INVITE", call, 1, f"<sip:{CUSTOMER}@{self.guard[0]}>", "i")

    def _at_pbx(self) -> None:
        for data in _read(self.pbx):
            if not data.startswith(b"SIP/2.0 "):
                continue
            status, call = int(data[8:11]), self._call(data)
            if call is None:
                continue
            if status < 200:
                call.provisional = True
            elif b"INVITE" in _field(data, b"CSeq"):
                self._final(call, status, _field(data, b"To").decode())
            else:
                call.over = True

    def _final(self, call: Placed, status: int, to: str) -> None:
        first = not call.status
        if first:
            call.status, call.answered = status, time.monotonic()
        if status >= 300:
            call.over = True
            self.pbx.sendto(self._request("ACK", call, 1, to, "i"), self.guard)
            return
        route = f"Route: <sip:{self.guard[0]}:{self.guard[1]};lr>\r\n"
        self.pbx.sendto(self._request("ACK", call, 1, to, "k", route), self.guard)
        if first:
            call.bye = self._request("BYE", call, 2, to, "b", route)
            self.pbx.sendto(call.bye, self.guard)
            call.tries = 1
            self._again.append((call.answered + T1, call.number))

    def _at_operator(self) -> None:
        for data in _read(self.operator):
            if data.startswith((b"ACK", b"SIP/2.0")):
                continue
            if data.startswith(b"INVITE"):
                call = self._call(data)
                if call is not None and not call.heard:
                    call.heard = time.monotonic()
            self.operator.sendto(self._ok(data), self.guard)

    def _ok(self, data: bytes) -> bytes:
        lines = [
            line + (b";tag=z" if line[:3] == b"To:" and b"tag=" not in line else b"") for line in COPIED.findall(data)
        ]
        contact = b"Contact: <sip:%s:%d>" % (OPERATOR.encode(), self.ports[1])
        return b"\r\n".join([b"SIP/2.0 200 OK", *lines, contact, b"Content-Length: 0", b"", b""])

    def _call(self, data: bytes) -> Placed | None:
        number = _field(data, b"Call-ID").partition(b"-")[0]
        return self.calls.get(int(number)) if number.isdigit() else None


def _field(data: bytes, name: bytes) -> bytes:
    found = FIELD[name].search(data)
    return found[1] if found else b""


def _callee(number: int) -> str:
    return f"+33199{number * 7919 % 1_000_000:06d}"


def _caller(number: int) -> str:
    return f"+331456789{number % 100:02d}"


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.bind((host, 0))
    return sock


def _read(sock: socket.socket) -> list[bytes]:
    found: list[bytes] = []
    try:
        while len(found) < 256:
            found.append(sock.recv(65_535))
    except BlockingIOError:
        pass
    return found
