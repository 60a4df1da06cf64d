"""Captures made by the tests: frames, packets, segments and the files that hold them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

T0 = 1_795_251_600_000_000  # 2026-11-21 09:00:00 UTC, µs
SECOND = 1_000_000
PBX = "192.0.2.5"
GUARD = "192.0.2.10"
OPERATOR = "198.51.100.10"
ETHERNET, RAW, COOKED = 1, 101, 113


def udp(payload: bytes, sport: int = 5060, dport: int = 5060, *, length: int | None = None) -> bytes:
    """A UDP datagram without a checksum."""
    return struct.pack("!HHHH", sport, dport, 8 + len(payload) if length is None else length, 0) + payload


def tcp(payload: bytes, seq: int, ack: int = 0, flags: int = 0x10, sport: int = 5060, dport: int = 5060) -> bytes:
    """A TCP segment with one option."""
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 6 << 4, flags, 65535, 0, 0)
    return head + b"\x01\x01\x01\x00" + payload


def ipv4(
    body: bytes,
    src: str = PBX,
    dst: str = GUARD,
    *,
    protocol: int = 17,
    ident: int = 1,
    offset: int = 0,
    more: bool = False,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    """An IPv4 packet; `offset` in bytes."""
    head = 20 + len(options)
    return (
        struct.pack(
            "!BBHHHBBH",
            0x40 | head // 4,
            0,
            head + len(body) if total is None else total,
            ident,
            (0x2000 if more else 0) | offset // 8,
            64,
            protocol,
            0,
        )
        + ip_address(src).packed
        + ip_address(dst).packed
        + options
        + body
    )


def ipv6(body: bytes, src: str = "2001:db8::5", dst: str = "2001:db8::10", *, following: int = 17) -> bytes:
    """An IPv6 packet."""
    return (
        struct.pack("!IHBB", 6 << 28, len(body), following, 64) + ip_address(src).packed + ip_address(dst).packed + body
    )


def fragment6(body: bytes, offset: int, *, more: bool, ident: int = 7, following: int = 17) -> bytes:
    """A fragment header (RFC 8200 4.5) and the piece behind it."""
    return struct.pack("!BBHI", following, 0, offset | int(more), ident) + body


def ethernet(packet: bytes, kind: int = 0x0800, tags: Iterable[tuple[int, int]] = ()) -> bytes:
    """An Ethernet frame, with VLAN tags as (EtherType, id)."""
    chain = [*tags, (kind, 0)]
    out = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + struct.pack("!H", chain[0][0])
    for (_, vlan), (following, _) in pairwise(chain):
        out += struct.pack("!HH", vlan, following)
    return out + packet


def pcap(
    packets: Iterable[tuple[int, bytes]],
    *,
    link: int = RAW,
    order: str = "<",
    nanos: bool = False,
    snap: int = 262144,
) -> bytes:
    """A pcap file of (instant in µs, frame); frames are cut to `snap`."""
    out = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nanos else 0xA1B2C3D4, 2, 4, 0, 0, snap, link)]
    for at, frame in packets:
        fraction = at % SECOND * (1000 if nanos else 1)
        kept = frame[:snap]
        out += [struct.pack(order + "IIII", at // SECOND, fraction, len(kept), len(frame)), kept]
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<", *, major: int = 1) -> bytes:
    """A pcapng section header of unknown length."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, major, 0, -1), order)


def interface(link: int = RAW, order: str = "<", *, resol: int | None = None, offset: int = 0, snap: int = 0) -> bytes:
    """A pcapng interface."""
    options = b""
    if resol is not None:
        options += struct.pack(order + "HHBxxx", 9, 1, resol)
    if offset:
        options += struct.pack(order + "HHq", 14, 8, offset)
    if options:
        options += struct.pack(order + "HH", 0, 0)
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


def enhanced(ticks: int, frame: bytes, order: str = "<", *, number: int = 0, original: int | None = None) -> bytes:
    """A pcapng packet."""
    size = len(frame) if original is None else original
    return block(
        6, struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), size) + frame, order
    )


def simple(frame: bytes, order: str = "<") -> bytes:
    """A pcapng packet without a time."""
    return block(3, struct.pack(order + "I", len(frame)) + frame, order)


def written(folder: Path, data: bytes, name: str = "c.pcap") -> Path:
    """The bytes as a file."""
    path = folder / name
    path.write_bytes(data)
    return path


def options(n: int = 1, body: bytes = b"") -> bytes:
    """A small SIP request, the `n`th."""
    return (
        f"OPTIONS sip:a@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK{n}\r\n"
        f"From: <sip:b@192.0.2.5>;tag=1\r\nTo: <sip:a@192.0.2.10>\r\nCall-ID: {n}\r\nCSeq: {n} OPTIONS\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
