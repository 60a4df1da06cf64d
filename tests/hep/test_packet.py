"""HEPv3 packets: what others wrote is read, what we write others read, and nothing that comes in does harm."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from guard.hep.packet import (
    LOG,
    MAX_CHUNKS,
    MAX_DATAGRAM,
    MAX_PACKET,
    MAX_UNPACKED,
    TLS,
    BadPacket,
    Framer,
    Packet,
    decode,
    encode,
)
from tests.hep.other import chunk, mirrored, packet, read

DATA = Path(__file__).parent / "data"
A, B = ("192.0.2.5", 5060), ("192.0.2.10", 5062)
A6, B6 = ("2001:db8::5", 5060), ("2001:db8::a", 5061)
AT = 1_795_251_600_123_456
INVITE = b"INVITE sip:112@192.0.2.10 SIP/2.0\r\n\r\n"

ports = st.integers(0, 65_535)
small = st.integers(0, 255)
texts = st.binary(max_size=80)


def addresses(version: int) -> SearchStrategy[tuple[str, int]]:
    return st.tuples(st.ip_addresses(v=4 if version == 4 else 6).map(str), ports)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Any packet that can be."""
    version = draw(st.sampled_from([4, 6]))
    return Packet(
        src=draw(addresses(version)),
        dst=draw(addresses(version)),
        at=draw(st.integers(0, 2**32 * 1_000_000 - 1)),
        payload=draw(st.binary(max_size=3000)),
        type=draw(small),
        protocol=draw(small),
        agent=draw(st.integers(0, 2**32 - 1)),
        key=draw(texts),
        correlation=draw(texts),
        node=draw(texts),
        vlan=draw(ports),
        keep_alive=draw(ports),
    )


def told(data: bytes) -> str:
    """What is said of data that is no packet; "" where it is one."""
    try:
        decode(data)
    except BadPacket as error:
        return str(error)
    return ""


@given(packets())
def test_what_is_written_is_read_again(one: Packet) -> None:
    assert decode(encode(one)) == one


@given(packets())
def test_another_reader_finds_the_same(one: Packet) -> None:
    found = read(encode(one))
    six = ":" in one.src[0]
    assert found[1] == bytes([10 if six else 2])
    assert {3, 4, 5, 6} & set(found) == ({5, 6} if six else {3, 4})
    assert struct.unpack(">HH", found[7] + found[8]) == (one.src[1], one.dst[1])
    assert struct.unpack(">II", found[9] + found[10]) == divmod(one.at, 1_000_000)
    assert (found[11], found[2]) == (bytes([one.type]), bytes([one.protocol]))
    assert (found.get(14, b""), found.get(17, b""), found[15]) == (one.key, one.correlation, one.payload)


@given(st.binary(max_size=400) | st.binary(max_size=400).map(packet))
def test_whatever_comes_is_a_packet_or_a_clear_error(data: bytes) -> None:
    assert told(data).isprintable()


@given(packets(), st.integers(0, 5000), small)
def test_a_packet_with_an_octet_changed_does_no_harm(one: Packet, at: int, octet: int) -> None:
    data = bytearray(encode(one))
    data[at % len(data)] = octet
    assert told(bytes(data)).isprintable()


@pytest.mark.parametrize(("src", "dst"), [(A, B), (A6, B6)])
def test_a_packet_of_another_hand(src: tuple[str, int], dst: tuple[str, int]) -> None:
    found = decode(mirrored(INVITE, src, dst, AT, protocol=TLS, key=b"k", more=(chunk(17, b"c@x"), chunk(19, b"n"))))
    assert found == Packet(
        src=src, dst=dst, at=AT, payload=INVITE, protocol=TLS, agent=2001, key=b"k", correlation=b"c@x", node=b"n"
    )


def test_a_packet_of_kamailio() -> None:
    """Of the siptrace module of Kamailio 5.6.3, taken from the wire by tests/hep/kamailio.py."""
    found = decode(bytes.fromhex((DATA / "kamailio-siptrace.hex").read_text("ascii")))
    assert (found.src, found.dst, found.agent) == (("127.0.0.1", 15972), ("127.0.0.1", 15970), 77)
    assert (found.type, found.protocol, found.key) == (1, 17, b"secret")
    assert found.payload.startswith(b"INVITE sip:+33612345678@127.0.0.1:15970 SIP/2.0\r\n")
    assert found.payload.endswith(b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize("squeeze", [zlib.compress, gzip.compress])
def test_a_compressed_payload(squeeze: object) -> None:
    assert callable(squeeze)
    assert decode(mirrored(b"", A, B, AT, packed=squeeze(INVITE))).payload == INVITE


def test_vendors_and_types_unknown_are_passed_over() -> None:
    more = (
        chunk(15, b"not this", vendor=9),
        chunk(0x28, b"\0\1"),
        chunk(0x7777, b""),
        chunk(11, b"too long", vendor=1),
    )
    assert decode(mirrored(INVITE, A, B, AT, more=more)).payload == INVITE


def test_the_later_name_of_the_protocol() -> None:
    data = mirrored(INVITE, A, B, AT)
    assert decode(b"EEP3" + data[4:]) == decode(data)


def bomb() -> bytes:
    return mirrored(b"", A, B, AT, packed=zlib.compress(bytes(MAX_UNPACKED + 1)))


def good(**changed: bytes | None) -> bytes:
    """A packet of named chunks; those that are None are left out."""
    parts = {"family": chunk(1, b"\2"), "src": chunk(3, bytes(4)), "dst": chunk(4, bytes(4)),
             "seconds": chunk(9, bytes(4)), "type": chunk(11, b"\1")}  # fmt: skip
    return packet(*(c for c in (parts | changed).values() if c is not None))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no HEP3 at the beginning"),
        (b"HEP", "no HEP3 at the beginning"),
        (b"HEP3", "4 octets, and not as many as its length says"),
        (b"\x01\x10\x02\x11", "HEP version 1: only version 3 is read"),
        (b"\x02\x10\x02\x11", "HEP version 2: only version 3 is read"),
        (INVITE, "no HEP3 at the beginning"),
        (packet(length=7), "6 octets, and not as many as its length says"),
        (packet(length=5), "6 octets, and not as many as its length says"),
        (packet(b"\0\0\0\1"), "a chunk at octet 6 that is cut off"),
        (packet(chunk(1, b"\2", length=5)), "a chunk at octet 6 with the length 5"),
        (packet(chunk(1, b"\2", length=0)), "a chunk at octet 6 with the length 0"),
        (packet(chunk(1, b"\2", length=8)), "a chunk at octet 6 with the length 8"),
        (packet(chunk(1, b"\0\2")), "IP protocol family at octet 6 has 2 octets, not 1"),
        (packet(chunk(9, b"")), "timestamp, seconds at octet 6 has 0 octets, not 4"),
        (good(src=None), "no source address"),
        (good(dst=None), "no destination address"),
        (good(family=chunk(1, b"\x0a")), "no source address"),
        (good(dst=chunk(6, bytes(16))), "no destination address"),
        (good(type=None), "no protocol type"),
        (good(seconds=None), "no timestamp"),
        (packet(*[chunk(99, b"")] * (MAX_CHUNKS + 1)), f"more than {MAX_CHUNKS} chunks"),
        (mirrored(b"", A, B, AT, packed=b"not packed"), "a compressed payload that cannot be unpacked"),
        (mirrored(b"", A, B, AT, packed=zlib.compress(INVITE)[:-1]),
         f"a compressed payload that is cut off, or longer than {MAX_UNPACKED} octets"),
        (bomb(), f"a compressed payload that is cut off, or longer than {MAX_UNPACKED} octets"),
    ],
)  # fmt: skip
def test_what_is_no_packet_is_told(data: bytes, why: str) -> None:
    with pytest.raises(BadPacket) as raised:
        decode(data)
    assert str(raised.value) == why


def test_a_packet_with_as_many_chunks_as_may_be() -> None:
    assert decode(good(more=b"".join([chunk(99, b"")] * (MAX_CHUNKS - 5)))).payload == b""


def test_a_payload_unpacked_as_long_as_may_be() -> None:
    assert len(decode(mirrored(b"", A, B, AT, packed=zlib.compress(bytes(MAX_UNPACKED)))).payload) == MAX_UNPACKED


def test_microseconds_that_are_more_than_a_second() -> None:
    assert decode(good(micros=chunk(10, b"\xff" * 4))).at == 999_999


@pytest.mark.parametrize("limit", [MAX_PACKET, MAX_DATAGRAM, 200])
def test_a_payload_that_does_not_fit_is_cut(limit: int) -> None:
    one = Packet(src=A, dst=B, at=AT, payload=bytes(70_000), type=LOG, correlation=b"c", key=b"k")
    data = encode(one, limit)
    assert len(data) == limit
    kept = decode(data)
    assert msgspec.structs.replace(kept, payload=b"") == msgspec.structs.replace(one, payload=b"")
    assert one.payload.startswith(kept.payload)


def test_an_address_with_a_zone_goes_without() -> None:
    one = Packet(src=("fe80::1%eth0", 1), dst=("fe80::2%3", 2), at=AT, payload=b"")
    assert decode(encode(one)).src == ("fe80::1", 1)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Packet(src=A, dst=B6, at=0, payload=b""), "different families"),
        (Packet(src=("pbx", 1), dst=B, at=0, payload=b""), "does not appear to be an IPv4 or IPv6 address"),
        (Packet(src=("192.0.2.1", 65_536), dst=B, at=0, payload=b""), "a number that does not fit"),
        (Packet(src=A, dst=B, at=-1, payload=b""), "a number that does not fit"),
        (Packet(src=A, dst=B, at=2**32 * 1_000_000, payload=b""), "a number that does not fit"),
        (Packet(src=A, dst=B, at=0, payload=b"", key=bytes(65_500)), "no room for a payload"),
        (Packet(src=A, dst=B, at=0, payload=b"", key=bytes(65_530)), "65530 octets are too many for a chunk"),
    ],
)
def test_what_cannot_be_written_is_told(one: Packet, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        encode(one)


@given(st.lists(packets(), max_size=4), st.lists(st.integers(1, 900), min_size=1, max_size=8))
def test_a_stream_comes_apart_where_its_packets_do(some: list[Packet], sizes: list[int]) -> None:
    stream = b"".join(map(encode, some))
    framer, out, at, turn = Framer(), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        out += framer.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert [decode(p) for p in out] == some


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"GET / HTTP/1.1", "no HEP3 at the beginning"), (b"HEP3\0\5 ", "a packet with the length 5")],
)
def test_a_stream_of_something_else_ends(data: bytes, why: str) -> None:
    framer = Framer()
    with pytest.raises(BadPacket, match=why):
        framer.feed(encode(Packet(src=A, dst=B, at=0, payload=b"")) + data)
