"""One SIP message: as a datagram, and as what a framer cut out of a stream."""

from __future__ import annotations

from typing import Final

from guard.sip.check import check_request, check_response
from guard.sip.framing import StreamFramer, Unframeable
from guard.sip.headers import BadHeader
from guard.sip.message import BadMessage, Message, parse
from tests.fuzz.targets import TESTS, Target, small

LONGEST: Final = 2048


def seeds() -> list[bytes]:
    """RFC 4475's torture messages, and those for IPv6 of RFC 5118."""
    return small([p.read_bytes() for p in (TESTS / "corpus").glob("torture*/*.dat")], LONGEST)


def check(data: bytes) -> None:
    """Both ways of reading it."""
    try:
        m = parse(data)
    except BadMessage as error:
        refused(error)
        return
    assert m.whole
    read(m)
    again = parse(m.data)
    assert [f.raw for f in again.fields] == [f.raw for f in m.fields], "read twice, it is another message"
    assert again.body() == m.body()
    streamed(m.data)


def answered(status: int) -> None:
    """A refusal says what to answer."""
    assert 400 <= status < 600


def refused(why: BadMessage) -> None:
    """What could be read of a broken message is whole as far as it goes; only a request is answered."""
    answered(why.status)
    if why.message is not None:
        read(why.message)
        assert why.message.is_request or why.fatal


def streamed(data: bytes) -> None:
    """The same bytes out of a stream: what the parser takes as a whole message, the framer does not cut elsewhere."""
    try:
        m = parse(data, stream=True)
        items = StreamFramer().feed(m.data)
    except (BadMessage, Unframeable):
        return
    assert items == [m.data], "the framer cuts a whole message elsewhere than the parser"


def read(m: Message) -> None:
    """The index tells the original bytes; every header gives a value or BadHeader."""
    raws = b"".join(f.raw + b"\r\n" for f in m.fields)
    assert m.data[: m.start_end] + raws == m.data[: m.body_at - 2], "the index does not tell the bytes"
    assert all(m.data[start:end].endswith(b"\r\n") for _, start, _, end in m.lines)
    for what in (m.via, m.vias, m.cseq, m.call_id, m.from_, m.to, m.routes, m.max_forwards, m.content_length):
        try:
            what()
        except BadHeader:
            continue
    for name in (b"contact", b"record-route", b"p-asserted-identity", b"diversion"):
        try:
            for one in m.routes(name):
                assert one.uri == one.uri.strip(b" \t\r\n")
                assert one.uri in one.text
                _ = one.params, one.tag, one.display, one.address
        except BadHeader:
            continue
    try:
        check_request(m) if m.is_request else check_response(m)
    except BadMessage as error:
        answered(error.status)


TARGET: Final = Target(
    invariant="Any bytes are a message whose index tells every byte of it, or a refusal with a status; every header "
    "is a value or a named error; the stream framer never cuts elsewhere than the parser.",
    longest=LONGEST,
    seeds=seeds,
    words=(
        b"\r\n",
        b"\r\n ",
        b"\r\n\r\n",
        b"SIP/2.0",
        b"INVITE sip:a@b SIP/2.0\r\n",
        b"SIP/2.0 200 OK\r\n",
        b"Via: ",
        b"v:",
        b"SIP/2.0/UDP ",
        b";branch=z9hG4bK",
        b";rport",
        b";received=",
        b"From: ",
        b"To: ",
        b"Call-ID: ",
        b"CSeq: 1 ",
        b"Max-Forwards: 0",
        b"Content-Length: 0\r\n",
        b"l: 5\r\n",
        b"Contact: ",
        b"Route: ",
        b";lr",
        b"Record-Route: ",
        b"<sip:",
        b">",
        b";tag=",
        b"tel:+33",
        b"Proxy-Require: ",
        b"sips:",
        b"urn:service:sos",
    ),
    check=check,
)
