"""Capture files: pcap and pcapng, from the file's header to the SIP messages in TCP streams."""

from __future__ import annotations

import gzip
from io import BytesIO
from typing import Final

from guard.capture.files import GZIP, CaptureError
from guard.capture.messages import Messages
from guard.capture.pcap import frames
from guard.capture.start import is_sip
from guard.capture.tally import Tally
from tests.capture.making import (
    ETHERNET,
    T0,
    enhanced,
    ethernet,
    interface,
    ipv4,
    ipv6,
    pcap,
    section,
    simple,
    tcp,
    udp,
)
from tests.fuzz.targets import TESTS, Target, small

LONGEST: Final = 1536
MAX_GZIP: Final = 1032  # bytes that one byte may unpack to (zlib's technical notes)
MAX_MESSAGE: Final = 65_535  # bytes of a datagram's message, which may be filled up where the capture cut it


def seeds() -> list[bytes]:
    """The small captures of other programs, and made ones: streams, fragments, both families, compressed."""
    made = [p.read_bytes() for p in (TESTS / "capture" / "data").glob("*.pcap*")]
    sip = b"OPTIONS sip:a@b SIP/2.0\r\nl: 0\r\n\r\n"
    bodies = [
        ipv4(udp(sip)),
        ipv4(tcp(sip[:9], 100), protocol=6),
        ipv4(tcp(sip[9:], 109), protocol=6),
        ipv4(udp(sip)[:16], more=True),
        ipv4(udp(sip)[16:], offset=16),
        ipv6(udp(sip)),
    ]
    packets = [(T0 + n, body) for n, body in enumerate(bodies)]
    made += [pcap(packets), pcap(packets, order=">", nanos=True), gzip.compress(pcap(packets), mtime=0)]
    made.append(pcap([(at, ethernet(body, tags=[(0x8100, 5)])) for at, body in packets], link=ETHERNET))
    for order in "<>":
        blocks = b"".join(enhanced(at, body, order) for at, body in packets)
        made.append(section(order) + interface(order=order, resol=6, offset=5) + blocks + simple(bodies[0], order))
    return small(made, LONGEST)


def check(data: bytes) -> None:
    """Every message of it, then every frame alone."""
    reading = Messages([BytesIO(data)])
    last = count = 0
    try:
        for message, flow, at in reading:
            assert is_sip(message), "a message that does not begin as one"
            assert len(message) <= max(MAX_MESSAGE, len(data))
            assert at >= last, "time goes back"
            assert 0 <= flow.peer[1] <= 65_535 >= flow.local[1]
            last, count = at, count + 1
    except CaptureError as error:
        offset = error.offset
    else:
        offset = 0
    most = len(data) * (MAX_GZIP if data[:2] == GZIP else 1)
    assert offset is not None, "an error without its offset"
    assert 0 <= offset <= most, "an offset where there is nothing"
    tally = reading.tally
    assert tally.sip >= count
    assert data[:2] == GZIP or tally.bytes <= len(data), "more was read than there is"
    assert all(v >= 0 for v in tally.dropped().values())
    try:
        counted = sum(1 for _ in frames(BytesIO(data), Tally(), "x"))
    except CaptureError:
        return
    assert counted == tally.frames


TARGET: Final = Target(
    invariant="Any bytes are read to their end or to a named error with its offset; what comes out are SIP messages "
    "within their bounds, at times that never go back; nothing is counted that was not there.",
    longest=LONGEST,
    seeds=seeds,
    words=(
        b"\xd4\xc3\xb2\xa1",
        b"\xa1\xb2\xc3\xd4",
        b"\x4d\x3c\xb2\xa1",
        b"\x0a\x0d\x0d\x0a",
        b"\x4d\x3c\x2b\x1a",
        b"\x08\x00",
        b"\x81\x00",
        b"\x86\xdd",
        b"\x88\x64",
        b"\x88\x47",
        b"\x1f\x8b\x08",
        b"SIP/2.0 200 OK\r\n",
        b"l: 0\r\n\r\n",
        b"\x45\x00",
        b"\x60\x00\x00\x00",
        b"OPTIONS sip:a@b SIP/2.0\r\n",
        b"\xff\xff\xff\xff",
        b"\x01\x00\x00\x00",
        b"\x06\x00\x00\x00",
    ),
    check=check,
)
