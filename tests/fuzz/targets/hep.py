"""HEPv3 packets, alone and in a stream."""

from __future__ import annotations

import zlib
from typing import Final

from guard.hep.packet import (
    LOG,
    MAX_PACKET,
    MAX_UNPACKED,
    PACKED,
    PAYLOAD,
    TLS,
    BadPacket,
    Framer,
    Packet,
    decode,
    encode,
)
from tests.fuzz.targets import TESTS, Target, small

LONGEST: Final = 1024


def seeds() -> list[bytes]:
    """What a Kamailio sent, and packets of our own: both families, every field, compressed ones."""
    made = [bytes.fromhex((TESTS / "hep" / "data" / "kamailio-siptrace.hex").read_text("ascii"))]
    a, b = ("192.0.2.5", 5060), ("192.0.2.10", 5062)
    one = Packet(src=a, dst=b, at=1_795_251_600_123_456, payload=b"INVITE sip:a@b SIP/2.0\r\n\r\n")
    six = Packet(
        src=("2001:db8::5", 1),
        dst=("2001:db8::a", 2),
        at=1,
        payload=b"x",
        type=LOG,
        protocol=TLS,
        agent=7,
        key=b"k",
        correlation=b"c1@pbx",
        node=b"n",
        vlan=3,
        keep_alive=4,
    )
    made += [encode(one), encode(six), encode(one) * 2]
    plain = encode(one)
    packed = zlib.compress(one.payload)
    at = plain.rfind(b"\0\0\0\x0f")
    made.append(sized(plain[:at] + b"\0\0\0\x10" + (6 + len(packed)).to_bytes(2, "big") + packed))
    return small(made, LONGEST)


def sized(data: bytes) -> bytes:
    """The same with its true length in its head: without it, hardly any change gets past the first check."""
    return data[:4] + min(len(data), MAX_PACKET).to_bytes(2, "big") + data[6:]


def check(data: bytes) -> None:
    """As it came, with its length put right, and as a stream."""
    one(data)
    if len(data) >= 6:
        one(sized(data))
    at = data[-1] * len(data) // 255 if data else 0
    assert framed([data]) == framed([data[:at], data[at:]]), "what comes out depends on how the stream is cut"


def one(data: bytes) -> None:
    """One packet: what is read can be written, and reads the same."""
    try:
        found = decode(data)
    except BadPacket:
        return
    assert len(found.payload) <= max(MAX_UNPACKED, len(data))
    assert 0 <= found.at < (1 << 32) * 1_000_000
    try:
        written = encode(found)
    except ValueError:  # no room once unpacked, or a field of a size that only the sender knows
        return
    again = decode(written)
    cut = found.payload[: len(again.payload)] if len(written) == MAX_PACKET else found.payload
    assert again.payload == cut
    for name in Packet.__struct_fields__:
        assert name == "payload" or getattr(again, name) == getattr(found, name), name


def framed(pieces: list[bytes]) -> tuple[list[bytes], str]:
    """The packets of a stream, and what ended it."""
    framer = Framer()
    out: list[bytes] = []
    for piece in pieces:
        try:
            out += framer.feed(piece)
        except BadPacket as error:
            return [], str(error)  # those before it in the same piece are lost with the stream
    return out, ""


TARGET: Final = Target(
    invariant="Any bytes are a packet or a named error; a packet that was read is written and read again as itself; "
    "what is unpacked stays within its bound; a stream gives the same packets however it is cut.",
    longest=LONGEST,
    seeds=seeds,
    words=(
        b"HEP3",
        b"EEP3",
        *(b"\0\0" + n.to_bytes(2, "big") for n in (*range(1, PAYLOAD), PAYLOAD, PACKED, 17, 18, 19)),
    ),
    check=check,
)
