"""From frames to datagrams: link layers, IP headers, fragments, tunnels, and every limit on the way."""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.capture import link
from guard.capture.ip import (
    MAX_DATAGRAM,
    MAX_EXTENSIONS,
    MAX_NESTING,
    MAX_PIECES,
    MAX_REASSEMBLIES,
    REASSEMBLY_US,
    UDP,
    Network,
    whole_udp,
)
from guard.capture.link import LINKS, MAX_TAGS
from guard.capture.messages import MAX_ADDRESSES, MAX_FLOWS, Messages
from guard.capture.tally import Tally
from tests.capture.making import (
    COOKED,
    ETHERNET,
    GUARD,
    PBX,
    RAW,
    T0,
    ethernet,
    fragment6,
    ipv4,
    ipv6,
    options,
    pcap,
    tcp,
    udp,
)
from tests.capture.reading import of_packets, read

SIP = options()
FOUR = ipv4(udp(SIP))
SIX = ipv6(udp(SIP))
VLAN, QINQ, MPLS, PPPOE = 0x8100, 0x88A8, 0x8847, 0x8864


def cooked(packet: bytes, kind: int = 0x0800) -> bytes:
    return struct.pack("!HHH8sH", 0, 1, 6, b"\x02\0\0\0\0\x01\0\0", kind) + packet


def cooked2(packet: bytes, kind: int = 0x0800) -> bytes:
    return struct.pack("!HHIHBB8s", kind, 0, 1, 1, 0, 6, b"\x02\0\0\0\0\x01\0\0") + packet


def pppoe(packet: bytes, protocol: bytes = b"\x00\x21") -> bytes:
    return struct.pack("!BBHH", 0x11, 0, 7, len(packet) + 2) + protocol + packet


@pytest.mark.parametrize(
    ("number", "frame"),
    [
        (ETHERNET, ethernet(FOUR)),
        (ETHERNET, ethernet(FOUR + bytes(6))),  # padded to the shortest frame
        (ETHERNET, ethernet(SIX, 0x86DD)),
        (ETHERNET, ethernet(FOUR, tags=[(VLAN, 10)])),
        (ETHERNET, ethernet(FOUR, tags=[(QINQ, 10), (VLAN, 20)])),
        (ETHERNET, ethernet(SIX, 0x86DD, tags=[(0x9100, 10), (VLAN, 20)])),
        (ETHERNET, ethernet(FOUR, tags=[(VLAN, n) for n in range(MAX_TAGS - 1)])),
        (ETHERNET, ethernet(struct.pack("!II", 5 << 12, 6 << 12 | 0x100) + FOUR, MPLS)),
        (ETHERNET, ethernet(pppoe(FOUR), PPPOE)),
        (ETHERNET, ethernet(pppoe(SIX, b"\x00\x57"), PPPOE, tags=[(VLAN, 10)])),
        (ETHERNET, ethernet(pppoe(FOUR, b"\x21"), PPPOE)),
        (COOKED, cooked(FOUR)),
        (COOKED, cooked(SIX, 0x86DD)),
        (COOKED, cooked(struct.pack("!HH", 10, 0x0800) + FOUR, VLAN)),
        (link.COOKED2, cooked2(FOUR)),
        (link.COOKED2, cooked2(SIX, 0x86DD)),
        (link.NULL, struct.pack("<I", 2) + FOUR),
        (link.NULL, struct.pack(">I", 2) + FOUR),
        (link.NULL, struct.pack("<I", 30) + SIX),
        (link.LOOP, struct.pack(">I", 24) + SIX),
        (link.PPP, b"\x00\x21" + FOUR),
        (link.PPP_HDLC, b"\xff\x03\x00\x57" + SIX),
        *((n, FOUR) for n in (RAW, link.RAW_BSD, link.RAW_OPENBSD, link.IPV4)),
        (link.IPV6, SIX),
    ],
)
def test_every_link_layer(number: int, frame: bytes) -> None:
    found, tally = of_packets(frame, link=number)
    assert found == [SIP]
    assert tally.dropped() == {}


@pytest.mark.parametrize(
    ("number", "frame"),
    [
        (ETHERNET, ethernet(b"\0\x01\x08\0" + bytes(24), 0x0806)),
        (ETHERNET, ethernet(FOUR, tags=[(VLAN, n) for n in range(MAX_TAGS)])),
        (ETHERNET, ethernet(struct.pack("!I", 5 << 12) * (MAX_TAGS + 1) + FOUR, MPLS)),
        (ETHERNET, ethernet(struct.pack("!I", 0x100) + b"\x10" + FOUR, MPLS)),
        (ETHERNET, ethernet(pppoe(b"", b"\xc0\x21"), PPPOE)),
        (ETHERNET, b"\x02"),
        (ETHERNET, ethernet(b"\0", VLAN)),
        (COOKED, cooked(b"", 0x88CC)),
        (link.NULL, struct.pack("<I", 7) + FOUR),
        (RAW, b""),
        (RAW, b"\x10"),
    ],
)
def test_what_is_not_ip_is_counted(number: int, frame: bytes) -> None:
    found, tally = of_packets(frame, link=number)
    assert found == []
    assert tally.not_ip == 1


def test_an_unknown_link_type_is_said() -> None:
    found, tally = of_packets(FOUR, FOUR, link=147)
    assert found == []
    assert tally.dropped() == {"unknown_link": 2}
    assert tally.warnings == ["link type 147 is not read"]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(LINKS)), st.sampled_from([FOUR, SIX, ethernet(FOUR), b""]), st.data())
def test_no_frame_raises(number: int, good: bytes, data: st.DataObject) -> None:
    frame = bytearray(good[: data.draw(st.integers(0, len(good)))] + data.draw(st.binary(max_size=80)))
    for _ in range(data.draw(st.integers(0, 4))):
        if frame:
            frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    of_packets(bytes(frame), bytes(frame), link=number)


# ---- headers --------------------------------------------------------------------------------------------------------


def test_addresses_and_ports() -> None:
    (four,), _ = read(pcap([(T0, ipv4(udp(SIP, 1024, 5070)))]))
    assert (four[1].transport, four[1].peer, four[1].local, four[2]) == ("udp", (PBX, 1024), (GUARD, 5070), T0)
    (six,), _ = read(pcap([(T0, SIX)]))
    assert (six[1].peer, six[1].local) == (("2001:db8::5", 5060), ("2001:db8::10", 5060))


def test_the_memory_of_addresses_is_bounded() -> None:
    packets = [(T0, ipv4(udp(SIP), src=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")) for n in range(MAX_ADDRESSES + 2)]
    reading = Messages([BytesIO(pcap(packets))])
    found = [flow.peer[0] for _, flow, _ in reading]
    assert [found[n] for n in (0, 1, -1)] == ["10.0.0.0", "10.0.0.1", "10.1.0.1"]
    assert len(reading._addresses) < MAX_ADDRESSES


def test_the_memory_of_flows_is_bounded() -> None:
    packets = [(T0, ipv4(udp(SIP, 1 + n // 9, 5060 + n % 9))) for n in range(MAX_FLOWS + 2)]
    reading = Messages([BytesIO(pcap(packets))])
    found = [(flow.peer[1], flow.local[1]) for _, flow, _ in reading]
    assert [found[n] for n in (0, 10, -1)] == [
        (1, 5060),
        (2, 5061),
        (1 + (MAX_FLOWS + 1) // 9, 5060 + (MAX_FLOWS + 1) % 9),
    ]
    assert len(reading._flows) < MAX_FLOWS


@given(st.integers(0, 9), st.binary(min_size=1, max_size=8), st.integers(0, 27), st.integers(0, 40))
def test_the_usual_packet_is_what_it_is_by_the_long_way(padding: int, other: bytes, at: int, cut: int) -> None:
    """Whatever else stands in a header: where the short way finds a datagram, the long one finds that one."""
    packet = (FOUR[:at] + other + FOUR[at + len(other) :] + bytes(padding))[: len(FOUR) + padding - cut]
    size = whole_udp(packet, 0)
    if size:
        found = Network(Tally()).segment(packet, 0, T0, cut=False)
        assert found is not None
        protocol, addresses, data, start, end, short = found
        assert (protocol, addresses, data, start, short) == (UDP, packet[12:20], packet, 20, False)
        assert size == int.from_bytes(packet[24:26], "big") <= end - start
    assert whole_udp(FOUR + bytes(padding), 0) == len(FOUR) - 20


def test_options_and_extension_headers_are_passed_over() -> None:
    assert of_packets(ipv4(udp(SIP), options=b"\x01" * 8))[0] == [SIP]
    chain = struct.pack("!BB6x", 43, 0) + struct.pack("!BB6x", 60, 0) + struct.pack("!BB14x", 17, 1)
    assert of_packets(ipv6(chain + udp(SIP), following=0))[0] == [SIP]
    authenticated = struct.pack("!BB22x", 17, 4)
    assert of_packets(ipv6(authenticated + udp(SIP), following=51))[0] == [SIP]


def test_extension_headers_are_bounded() -> None:
    one = struct.pack("!BB6x", 60, 0)
    last = struct.pack("!BB6x", 17, 0)
    for n, good in ((MAX_EXTENSIONS - 1, True), (MAX_EXTENSIONS, False)):
        found, tally = of_packets(ipv6(one * (n - 1) + last + udp(SIP), following=60))
        assert (found, tally.malformed) == (([SIP], 0) if good else ([], 1))


def test_tunnels_are_seen_through_up_to_a_depth() -> None:
    def wrapped(times: int) -> bytes:
        packet = FOUR
        for n in range(times):
            packet = ipv4(packet, protocol=4) if n % 2 else ipv6(packet, following=4)
            if n % 2:
                packet = packet[:9] + b"\x29" + packet[10:]
        return packet

    assert of_packets(ipv4(FOUR, "10.0.0.1", "10.0.0.2", protocol=4))[0] == [SIP]
    for times, good in ((MAX_NESTING - 1, True), (MAX_NESTING, False)):
        found, tally = of_packets(wrapped(times))
        assert (found, tally.malformed) == (([SIP], 0) if good else ([], 1))


def test_a_total_length_of_nothing_is_the_whole_frame() -> None:
    """What a network card that splits segments leaves in a capture."""
    assert of_packets(ipv4(udp(SIP), total=0))[0] == [SIP]


@pytest.mark.parametrize(
    "packet",
    [
        FOUR[:19],
        b"\x44" + FOUR[1:],  # a header of 16 bytes
        ipv4(b"", options=b"")[:1] + ipv4(b"", total=19)[1:],
        b"\x4f" + FOUR[1:40],
        SIX[:39],
        ipv6(b"\x11\x09" + bytes(6), following=60),  # an extension longer than the packet
        ipv6(b"\x11", following=60),
        ipv6(b"\x11\0\0", following=44),
        ipv4(udp(SIP)[:7]),
        ipv4(udp(SIP, length=7)),
        ipv4(udp(SIP, length=len(SIP) + 9)),
        ipv4(tcp(SIP, 1)[:19], protocol=6),
        ipv4(tcp(SIP, 1)[:12] + b"\x40" + tcp(SIP, 1)[13:], protocol=6),
        ipv4(tcp(b"", 1)[:12] + b"\xf0" + tcp(b"", 1)[13:], protocol=6),
        ipv4(b"", protocol=4),
        ipv4(b"\x10" + FOUR, protocol=4),
    ],
)
def test_headers_that_cannot_be_are_counted(packet: bytes) -> None:
    found, tally = of_packets(packet)
    assert found == []
    assert tally.dropped() == {"malformed": 1}


def test_icmp_that_quotes_sip_is_no_sip() -> None:
    found, tally = of_packets(ipv4(b"\x03\x03" + bytes(6) + FOUR, protocol=1))
    assert (found, tally.other_transport) == ([], 1)


def test_a_datagram_ends_where_udp_says() -> None:
    assert of_packets(ipv4(udp(SIP, length=8 + len(SIP)) + b"trailer"))[0] == [SIP]
    assert of_packets(ipv4(udp(SIP, length=0)))[0] == [SIP]


def test_a_message_that_the_capture_cut_keeps_its_head() -> None:
    whole = options(body=b"v=0\r\n" * 100)
    head = whole.index(b"\r\n\r\n") + 4
    found, tally = read(pcap([(T0, ipv4(udp(whole)))], snap=28 + head + 3))
    assert found[0][0] == whole[: head + 3] + bytes(len(whole) - head - 3)
    assert tally.dropped() == {"cut": 1}
    found, tally = read(pcap([(T0, ipv4(udp(whole)))], snap=28 + head - 1))
    assert found == []
    assert tally.dropped() == {"cut": 1}


# ---- fragments ------------------------------------------------------------------------------------------------------

LONG = options(body=bytes(range(33, 127)) * 20)
WHOLE = udp(LONG)


def pieces(size: int = 600, ident: int = 1) -> list[bytes]:
    """The datagram in fragments."""
    return [
        ipv4(WHOLE[at : at + size], ident=ident, offset=at, more=at + size < len(WHOLE))
        for at in range(0, len(WHOLE), size)
    ]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_fragments_in_any_order(order: tuple[int, ...]) -> None:
    parts = pieces()
    assert len(parts) == 4
    found, tally = of_packets(*(parts[n] for n in order))
    assert found == [LONG]
    assert (tally.fragments, tally.fragments_lost) == (4, 0)


def test_fragments_that_come_twice_count_once() -> None:
    parts = pieces()
    assert of_packets(parts[0], parts[0], parts[1], parts[2], parts[1], parts[3])[0] == [LONG]


def test_a_datagram_that_misses_a_fragment_is_lost_and_counted() -> None:
    found, tally = of_packets(*pieces()[:2], *pieces()[3:])
    assert found == []
    assert tally.dropped() == {"fragments_lost": 3}


def test_fragments_of_two_datagrams_do_not_mix() -> None:
    one, two = pieces(ident=1), pieces(ident=2)
    assert of_packets(*(p for pair in zip(one, two, strict=True) for p in pair))[0] == [LONG, LONG]


@pytest.mark.parametrize("ipv", [4, 6])
def test_overlapping_fragments_are_thrown_away(ipv: int) -> None:
    """RFC 5722, RFC 8200 4.5: whoever sends them wants to be read in two ways."""
    cuts = [(0, 608), (600, len(WHOLE))]
    if ipv == 4:
        parts = [ipv4(WHOLE[a:b], offset=a, more=b < len(WHOLE)) for a, b in cuts]
    else:
        parts = [ipv6(fragment6(WHOLE[a:b], a, more=b < len(WHOLE)), following=44) for a, b in cuts]
    found, tally = of_packets(*parts)
    assert found == []
    assert tally.fragments_lost == 2


def test_an_overlap_cannot_fill_a_hole() -> None:
    """As many bytes as the datagram has, but not the right ones."""
    cuts = [(0, 608), (600, 1208), (1216, len(WHOLE))]
    found, tally = of_packets(*(ipv4(WHOLE[a:b], offset=a, more=b < len(WHOLE)) for a, b in cuts))
    assert found == []
    assert tally.fragments_lost == 3


def test_ipv6_fragments_and_the_atomic_one() -> None:
    parts = [ipv6(fragment6(WHOLE[a : a + 1200], a, more=a + 1200 < len(WHOLE)), following=44) for a in (0, 1200)]
    assert of_packets(*reversed(parts), link=RAW)[0] == [LONG]
    atomic = ipv6(fragment6(WHOLE, 0, more=False), following=44)
    assert of_packets(parts[0], atomic, parts[1])[0] == [LONG, LONG]  # it has nothing to do with the others (RFC 6946)


def test_extension_headers_behind_the_fragment_header() -> None:
    body = struct.pack("!BB6x", 17, 0) + WHOLE
    parts = [ipv6(fragment6(body[a : a + 1200], a, more=a == 0, following=60), following=44) for a in (0, 1200)]
    assert of_packets(*parts)[0] == [LONG]


def test_fragments_in_a_tunnel() -> None:
    assert of_packets(*(ipv4(p, "10.0.0.1", "10.0.0.2", protocol=4) for p in pieces()))[0] == [LONG]


def test_fragments_wait_only_so_long() -> None:
    parts = pieces()
    for late, good in ((REASSEMBLY_US, True), (REASSEMBLY_US + 1, False)):
        found, tally = read(pcap([(T0, parts[0]), (T0 + 1, parts[1]), (T0 + 2, parts[2]), (T0 + late, parts[3])]))
        assert (len(found), tally.fragments_lost) == ((1, 0) if good else (0, 4))


def test_datagrams_under_way_are_bounded() -> None:
    others = [ipv4(b"12345678", ident=n + 2, more=True) for n in range(MAX_REASSEMBLIES)]
    first, *rest = pieces()
    found, tally = of_packets(first, *others[:-1], *rest, every=1)
    assert found == [LONG]
    found, tally = of_packets(first, *others, *rest, every=1)
    assert found == []
    assert tally.fragments_lost == MAX_REASSEMBLIES + 4


def test_pieces_of_a_datagram_are_bounded() -> None:
    payload = udp(options(body=bytes(8 * MAX_PIECES)))
    for count, good in ((MAX_PIECES, True), (MAX_PIECES + 1, False)):
        body = payload[: 8 * (count - 1)] + payload[8 * (count - 1) :]
        cuts = [(n * 8, (n + 1) * 8) for n in range(count - 1)] + [((count - 1) * 8, len(body))]
        found, tally = of_packets(*(ipv4(body[a:b], offset=a, more=b < len(body)) for a, b in cuts), every=1)
        assert (len(found), bool(tally.fragments_lost)) == ((1, False) if good else (0, True))


def test_a_datagram_cannot_be_longer_than_ip_allows() -> None:
    empty = len(udp(options(body=bytes(60_000)))) - 60_000
    for excess, good in ((0, True), (1, False)):
        body = udp(options(body=bytes(MAX_DATAGRAM - empty)), length=MAX_DATAGRAM) + bytes(excess)
        assert len(body) == MAX_DATAGRAM + excess
        cuts = [(at, min(at + 1480, len(body))) for at in range(0, len(body), 1480)]
        found, tally = of_packets(*(ipv4(body[a:b], offset=a, more=b < len(body)) for a, b in cuts))
        assert (len(found), bool(tally.fragments_lost)) == (good, not good)


def test_only_the_last_fragment_may_have_an_odd_length() -> None:
    found, tally = of_packets(ipv4(WHOLE[:601], more=True), ipv4(WHOLE[601:], offset=600))
    assert found == []
    assert tally.fragments_lost == 2


def test_a_piece_beyond_the_last_one_makes_no_datagram() -> None:
    nothing = ipv4(b"", offset=16)  # says that the datagram ends at 16
    found, tally = of_packets(ipv4(WHOLE[:8], more=True), nothing, ipv4(WHOLE[16:24], offset=16, more=True))
    assert found == []
    assert (tally.fragments_lost, tally.not_sip) == (2, 0)
