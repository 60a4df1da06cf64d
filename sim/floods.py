"""What those do who mean harm: datagrams and connections without end, until the process is killed."""

from __future__ import annotations

import socket
import time
from typing import Final

from sim.site import GUARD, STRANGER

FLOODS: Final = ("garbage", "invite", "half-open", "huge", "dribble")
RATE: Final = 5_000  # datagrams a second of a flood, if the machine can send so many
HUGE: Final = 60_000  # bytes
CONNECTIONS: Final = 400


def flood(kind: str, guard: tuple[str, int]) -> None:
    """Until it is killed."""
    if kind in {"half-open", "dribble"}:
        _connections(kind, guard)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((STRANGER, 0))
        begun, sent = time.monotonic(), 0
        rate = RATE if kind != "huge" else RATE // 10
        while True:
            for _ in range(int((time.monotonic() - begun) * rate) - sent):
                sent += 1
                sock.sendto(_datagram(kind, sent), guard)
            time.sleep(0.001)


def _datagram(kind: str, number: int) -> bytes:
    if kind == "garbage":
        return b"\xff\x00garbage %d\r\n\r\n" % number
    body = b"x" * HUGE if kind == "huge" else b""
    return (
        b"INVITE sip:+33199001234@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bKf%d\r\nMax-Forwards: 70\r\n"
        b"From: <sip:+33145678901@x>;tag=f%d\r\nTo: <sip:+33199001234@x>\r\nCall-ID: f%d\r\nCSeq: 1 INVITE\r\n"
        b"Contact: <sip:%s>\r\nContent-Length: %d\r\n\r\n%s"
        % (GUARD.encode(), STRANGER.encode(), number, number, number, STRANGER.encode(), len(body), body)
    )


def _connections(kind: str, guard: tuple[str, int]) -> None:
    """Connections that say nothing, or a byte of a message now and then; what is closed is opened again."""
    held: list[socket.socket] = []
    text = _datagram("invite", 1)
    at = 0
    while True:
        while len(held) < CONNECTIONS:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.bind((STRANGER, 0))
            sock.settimeout(1.0)
            try:
                sock.connect(guard)
            except OSError:
                sock.close()
                break
            held.append(sock)
        if kind == "dribble":
            for sock in held[:]:
                try:
                    sock.send(text[at : at + 1])
                except OSError:
                    sock.close()
                    held.remove(sock)
            at = (at + 1) % len(text)
        else:
            for sock in held[: CONNECTIONS // 10]:
                sock.close()
            del held[: CONNECTIONS // 10]
        time.sleep(0.1)
