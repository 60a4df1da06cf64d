"""Link layers: from a frame to the IP packet in it. Numbers are those of the LINKTYPE_ registry of libpcap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

ETHERNET: Final = 1
NULL, PPP, RAW_BSD, RAW_OPENBSD, PPP_HDLC, RAW, LOOP = 0, 9, 12, 14, 50, 101, 108
COOKED, IPV4, IPV6, COOKED2 = 113, 228, 229, 276
MAX_TAGS: Final = 8  # VLAN tags, MPLS labels: two are usual, an endless stack is an attack

_VLAN: Final = {b"\x81\x00", b"\x88\xa8", b"\x91\x00"}
_IP: Final = {b"\x08\x00", b"\x86\xdd"}
_MPLS: Final = {b"\x88\x47", b"\x88\x48"}
_PPPOE: Final = b"\x88\x64"
_BSD_FAMILIES: Final = {2, 24, 28, 30, 10}  # AF_INET; AF_INET6 of NetBSD, FreeBSD, Darwin and Linux

NOT_IP: Final = -1


def _by_type(data: bytes, kind: bytes, at: int) -> int:
    """Where the IP packet begins, given an EtherType and what follows it."""
    for _ in range(MAX_TAGS):
        if kind in _IP:
            return at
        if kind in _VLAN:
            kind, at = data[at + 2 : at + 4], at + 4
        elif kind == _PPPOE:  # RFC 2516: version and type, code, session, length
            return _ppp(data, at + 6)
        elif kind in _MPLS:
            return _labels(data, at)
        else:
            return NOT_IP
    return NOT_IP


def _labels(data: bytes, at: int) -> int:
    """RFC 3032: four bytes a label, the bottom one marked; what lies below is told by its first nibble."""
    for _ in range(MAX_TAGS):
        label = data[at : at + 4]
        at += 4
        if len(label) < 4:
            return NOT_IP
        if label[2] & 1:
            return _raw(data, at)
    return NOT_IP


def _ppp(data: bytes, at: int) -> int:
    """RFC 1661: a protocol in two bytes, or one (odd) when compressed; HDLC's address and control before it or not."""
    if data[at : at + 2] == b"\xff\x03":
        at += 2
    first = data[at : at + 1]
    if first in {b"\x21", b"\x57"}:
        return at + 1
    return at + 2 if data[at : at + 2] in {b"\x00\x21", b"\x00\x57"} else NOT_IP


def _raw(data: bytes, at: int = 0) -> int:
    return at if data[at : at + 1] and data[at] >> 4 in {4, 6} else NOT_IP


def ethernet(data: bytes) -> int:
    """Where the IP packet begins in an Ethernet frame, NOT_IP where it has none."""
    if len(data) > 14 and data[12] == 8 and not data[13]:  # IPv4, without a tag
        return 14
    return _by_type(data, data[12:14], 14)


def _cooked(data: bytes) -> int:
    return _by_type(data, data[14:16], 16)


def _cooked2(data: bytes) -> int:
    return _by_type(data, data[0:2], 20)


def _loopback(data: bytes) -> int:
    """An address family in the byte order of the machine that captured, whichever that was."""
    family = data[:4]
    if int.from_bytes(family, "little") in _BSD_FAMILIES or int.from_bytes(family, "big") in _BSD_FAMILIES:
        return _raw(data, 4)
    return NOT_IP


def _point_to_point(data: bytes) -> int:
    return _ppp(data, 0)


LINKS: Final[dict[int, Callable[[bytes], int]]] = {
    NULL: _loopback,
    LOOP: _loopback,
    ETHERNET: ethernet,
    PPP: _point_to_point,
    PPP_HDLC: _point_to_point,
    RAW: _raw,
    RAW_BSD: _raw,
    RAW_OPENBSD: _raw,
    IPV4: _raw,
    IPV6: _raw,
    COOKED: _cooked,
    COOKED2: _cooked2,
}
"""Link type -> where in a frame its IP packet begins, NOT_IP where it has none."""
