"""HEPv3 packets, read and written: pure, bounded, and strict about lengths only.

A packet is `HEP3`, its length, and chunks of vendor, type, length and value (HEP3 Network Protocol Specification,
sipcapture/HEP). Chunks of a vendor, and generic ones of no use here, are passed over: senders add their own. What two
chunks of one type say, the last one says, as in Homer's own collectors.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from ipaddress import ip_address
from struct import Struct as Format
from struct import error as unfit
from typing import Final

from msgspec import Struct

MAGIC: Final = b"HEP3"
MAGICS: Final = frozenset({MAGIC, b"EEP3"})  # the second as some senders write the protocol's later name
HEAD: Final = 6  # octets before the first chunk, and before the value of each
MAX_PACKET: Final = 65_535  # what the length field can say
MAX_DATAGRAM: Final = 65_507  # what one UDP datagram over IPv4 can carry
MAX_UNPACKED: Final = 65_535  # octets of a compressed payload, unpacked: no SIP message in a datagram is longer
MAX_CHUNKS: Final = 64  # the specification names some 40 types; who sends more wants to keep us busy

SIP: Final = 1  # types of payload
LOG: Final = 100
UDP: Final = 17  # IP protocols
TCP: Final = 6
TLS: Final = 22  # IDP: what Kamailio writes for SIP over TLS, which is no IP protocol
IPV4: Final = 2  # families: AF_INET and AF_INET6 of Linux
IPV6: Final = 10
V6: Final = 16  # octets of an IPv6 address
KNOWN: Final = 4096  # addresses kept in both forms; forged ones only empty the memory

_packet = Format("!4sH").unpack_from
_chunk = Format("!HHH").unpack_from
_u8, _u16, _u32 = Format("!HHHB"), Format("!HHHH"), Format("!HHHI")
_number = int.from_bytes

FAMILY, PROTOCOL, SRC4, DST4, SRC6, DST6, SRC_PORT, DST_PORT = range(1, 9)
SECONDS, MICROS, TYPE, AGENT, KEEP_ALIVE, KEY, PAYLOAD, PACKED, CORRELATION, VLAN = range(9, 19)
NODE: Final = 19  # the name of the capture agent (heplify)

# How long a value is. Elsewhere any length will do.
_SIZES: Final = {
    FAMILY: 1, PROTOCOL: 1, SRC4: 4, DST4: 4, SRC6: 16, DST6: 16, SRC_PORT: 2, DST_PORT: 2, SECONDS: 4, MICROS: 4,
    TYPE: 1, AGENT: 4, KEEP_ALIVE: 2, VLAN: 2,
}  # fmt: skip
_NAMES: Final = {
    FAMILY: "IP protocol family", PROTOCOL: "IP protocol ID", SRC4: "IPv4 source address",
    DST4: "IPv4 destination address", SRC6: "IPv6 source address", DST6: "IPv6 destination address",
    SRC_PORT: "source port", DST_PORT: "destination port", SECONDS: "timestamp, seconds",
    MICROS: "timestamp, microseconds", TYPE: "protocol type", AGENT: "capture agent ID",
    KEEP_ALIVE: "keep alive timer", VLAN: "VLAN ID",
}  # fmt: skip


class BadPacket(ValueError):
    """No HEPv3 packet; the text says what is wrong, and where."""


class Packet(Struct, frozen=True, kw_only=True):
    """One mirrored message. `src` and `dst` are who sent it and who got it, numeric; `at` is when, µs of Unix time.

    `type` is what `payload` is (`SIP`, `LOG` and others), `protocol` the IP protocol that carried it. `key` is the
    collector's password, `correlation` what the payload belongs to: a Call-ID. `node` is the agent's name, `agent` its
    number.
    """

    src: tuple[str, int]
    dst: tuple[str, int]
    at: int
    payload: bytes
    type: int = SIP
    protocol: int = UDP
    agent: int = 0
    key: bytes = b""
    correlation: bytes = b""
    node: bytes = b""
    vlan: int = 0
    keep_alive: int = 0


def decode(data: bytes) -> Packet:
    """The packet in a datagram, or in a frame of a stream. Raises BadPacket."""
    values = _values(data)
    six = SRC6 in values or values.get(FAMILY) == bytes([IPV6])
    src, dst = (values.get(n) for n in ((SRC6, DST6) if six else (SRC4, DST4)))
    if src is None or dst is None:
        raise BadPacket(f"no {'source' if src is None else 'destination'} address")
    if TYPE not in values:
        raise BadPacket("no protocol type")
    if SECONDS not in values:
        raise BadPacket("no timestamp")
    micros = _number(values.get(MICROS, b""))
    return Packet(
        src=(_text_of(src), _number(values.get(SRC_PORT, b""))),
        dst=(_text_of(dst), _number(values.get(DST_PORT, b""))),
        at=_number(values[SECONDS]) * 1_000_000 + min(micros, 999_999),
        payload=unpacked(values[PACKED]) if PACKED in values else values.get(PAYLOAD, b""),
        type=values[TYPE][0],
        protocol=_number(values.get(PROTOCOL, bytes([UDP]))),
        agent=_number(values.get(AGENT, b"")),
        key=values.get(KEY, b""),
        correlation=values.get(CORRELATION, b""),
        node=values.get(NODE, b""),
        vlan=_number(values.get(VLAN, b"")),
        keep_alive=_number(values.get(KEEP_ALIVE, b"")),
    )


def _values(data: bytes) -> dict[int, bytes]:
    """The generic chunks by type. Raises BadPacket."""
    size = len(data)
    if data[:4] not in MAGICS:
        old = data[:1] in {b"\x01", b"\x02"}
        raise BadPacket(f"HEP version {data[0]}: only version 3 is read" if old else "no HEP3 at the beginning")
    if size < HEAD or _packet(data)[1] != size:
        raise BadPacket(f"{size} octets, and not as many as its length says")
    values: dict[int, bytes] = {}
    at, chunks = HEAD, 0
    while at < size:
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise BadPacket(f"more than {MAX_CHUNKS} chunks")
        if at + HEAD > size:
            raise BadPacket(f"a chunk at octet {at} that is cut off")
        vendor, kind, length = _chunk(data, at)
        if length < HEAD or at + length > size:
            raise BadPacket(f"a chunk at octet {at} with the length {length}")
        if not vendor:
            if _SIZES.get(kind, length - HEAD) != length - HEAD:
                raise BadPacket(f"{_NAMES[kind]} at octet {at} has {length - HEAD} octets, not {_SIZES[kind]}")
            values[kind] = data[at + HEAD : at + length]
        at += length
    return values


def unpacked(packed: bytes) -> bytes:
    """A compressed payload: zlib's format or gzip's, whichever it is. Raises BadPacket."""
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        out = unzip.decompress(packed, MAX_UNPACKED)
    except zlib.error as error:
        raise BadPacket("a compressed payload that cannot be unpacked") from error
    if not unzip.eof:
        raise BadPacket(f"a compressed payload that is cut off, or longer than {MAX_UNPACKED} octets")
    return out


def encode(packet: Packet, limit: int = MAX_PACKET) -> bytes:
    """The packet as it goes over the wire, `limit` octets at most: a longer payload is cut. ValueError for an address
    that is none, and for numbers and texts that do not fit."""
    try:
        parts = _numbers(packet)
    except unfit as error:
        raise ValueError(f"a number that does not fit into its chunk: {error}") from error
    texts = ((KEY, packet.key), (CORRELATION, packet.correlation), (NODE, packet.node))
    parts += [_octets(kind, text) for kind, text in texts if text]
    room = limit - HEAD - sum(map(len, parts)) - HEAD
    if room < 0:
        raise ValueError(f"no room for a payload within {limit} octets")
    parts.append(_octets(PAYLOAD, packet.payload[:room]))
    body = b"".join(parts)
    return MAGIC + (HEAD + len(body)).to_bytes(2, "big") + body


def _numbers(packet: Packet) -> list[bytes]:
    """The chunks with addresses and numbers. Raises ValueError, and struct.error."""
    src, dst = _octets_of(packet.src[0]), _octets_of(packet.dst[0])
    six = len(src) == len(dst) == V6
    if len(src) != len(dst):
        raise ValueError(f"{packet.src[0]} and {packet.dst[0]} are of different families")
    parts = [
        _u8.pack(0, FAMILY, 7, IPV6 if six else IPV4),
        _u8.pack(0, PROTOCOL, 7, packet.protocol),
        _octets(SRC6 if six else SRC4, src),
        _octets(DST6 if six else DST4, dst),
        _u16.pack(0, SRC_PORT, 8, packet.src[1]),
        _u16.pack(0, DST_PORT, 8, packet.dst[1]),
        _u32.pack(0, SECONDS, 10, packet.at // 1_000_000),
        _u32.pack(0, MICROS, 10, packet.at % 1_000_000),
        _u8.pack(0, TYPE, 7, packet.type),
        _u32.pack(0, AGENT, 10, packet.agent),
    ]
    if packet.keep_alive:
        parts.append(_u16.pack(0, KEEP_ALIVE, 8, packet.keep_alive))
    if packet.vlan:
        parts.append(_u16.pack(0, VLAN, 8, packet.vlan))
    return parts


@lru_cache(maxsize=KNOWN)
def _octets_of(host: str) -> bytes:
    """An address without its zone, which no packet can say. ValueError where it is none."""
    return ip_address(host.partition("%")[0]).packed


@lru_cache(maxsize=KNOWN)
def _text_of(octets: bytes) -> str:
    """An address as text."""
    return str(ip_address(octets))


def _octets(kind: int, value: bytes) -> bytes:
    if len(value) > MAX_PACKET - HEAD:
        raise ValueError(f"{len(value)} octets are too many for a chunk")
    return b"\0\0" + kind.to_bytes(2, "big") + (HEAD + len(value)).to_bytes(2, "big") + value


class Framer:
    """Packets out of a stream of octets, as far as they have come. What is no HEPv3 ends the stream: where the next
    packet begins cannot be known."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Every packet that is complete now. Raises BadPacket; at most one packet is held back."""
        held = self._held
        held += data
        out: list[bytes] = []
        at = 0
        while len(held) - at >= HEAD:
            magic, length = _packet(held, at)
            if magic not in MAGICS or length < HEAD:
                odd = "no HEP3 at the beginning" if magic not in MAGICS else f"a packet with the length {length}"
                raise BadPacket(odd)
            if len(held) - at < length:
                break
            out.append(bytes(held[at : at + length]))
            at += length
        del held[:at]
        return out
