"""HEPv3 written by another hand than the guard's: the specification's table of chunks, one by one."""

from __future__ import annotations

import socket
import struct

SIX, FOUR = socket.AF_INET6, socket.AF_INET


def chunk(kind: int, value: bytes, vendor: int = 0, length: int | None = None) -> bytes:
    """One chunk; `length` lies about it."""
    return struct.pack(">HHH", vendor, kind, 6 + len(value) if length is None else length) + value


def packet(*chunks: bytes, magic: bytes = b"HEP3", length: int | None = None) -> bytes:
    """A packet of these chunks; `length` lies about it."""
    body = b"".join(chunks)
    return magic + struct.pack(">H", 6 + len(body) if length is None else length) + body


def mirrored(
    payload: bytes,
    src: tuple[str, int],
    dst: tuple[str, int],
    at: int,
    *,
    protocol: int = 17,
    kind: int = 1,
    key: bytes | None = None,
    packed: bytes | None = None,
    more: tuple[bytes, ...] = (),
) -> bytes:
    """What an agent sends of one message; `packed` in place of its payload."""
    family = SIX if ":" in src[0] else FOUR
    first = 5 if family == SIX else 3
    return packet(
        chunk(1, bytes([10 if family == SIX else 2])),
        chunk(2, bytes([protocol])),
        chunk(first, socket.inet_pton(family, src[0])),
        chunk(first + 1, socket.inet_pton(family, dst[0])),
        chunk(7, struct.pack(">H", src[1])),
        chunk(8, struct.pack(">H", dst[1])),
        chunk(9, struct.pack(">I", at // 1_000_000)),
        chunk(10, struct.pack(">I", at % 1_000_000)),
        chunk(11, bytes([kind])),
        chunk(12, struct.pack(">I", 2001)),
        *(() if key is None else (chunk(14, key),)),
        *more,
        chunk(15, payload) if packed is None else chunk(16, packed),
    )


def read(data: bytes) -> dict[int, bytes]:
    """The generic chunks of a packet, which has to be whole."""
    magic, length = struct.unpack_from(">4sH", data)
    assert (magic, length) == (b"HEP3", len(data))
    out, at = {}, 6
    while at < length:
        vendor, kind, size = struct.unpack_from(">HHH", data, at)
        assert vendor == 0
        assert kind not in out
        out[kind] = data[at + 6 : at + size]
        at += size
    assert at == length
    return out
