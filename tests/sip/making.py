"""Messages for the tests of the SIP layer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hypothesis import strategies as st

from guard.sip.message import BadMessage, Message, parse

BASE: Final = (
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
    b"From: <sip:a@x>;tag=1",
    b"To: <sip:b@y>",
    b"Call-ID: c",
    b"CSeq: 1 OPTIONS",
    b"Max-Forwards: 70",
)
CORPUS: Final = [p.read_bytes() for p in sorted((Path(__file__).parent.parent / "corpus").glob("torture*/*.dat"))]


def wire(*lines: bytes, start: bytes = b"OPTIONS sip:b@y SIP/2.0", body: bytes = b"") -> bytes:
    """A message of a start line, these header lines and a body."""
    return b"\r\n".join((start, *lines, b"", body))


def based(*lines: bytes, start: bytes = b"OPTIONS sip:b@y SIP/2.0", body: bytes = b"") -> bytes:
    """The same, with these lines instead of those of `BASE` that have their name, or behind them."""
    names = {line.partition(b":")[0].strip().lower() for line in lines}
    kept = [line for line in BASE if line.partition(b":")[0].lower() not in names]
    return wire(*kept, *lines, start=start, body=body)


def made(*lines: bytes, start: bytes = b"OPTIONS sip:b@y SIP/2.0", body: bytes = b"") -> Message:
    """`based`, parsed."""
    return parse(based(*lines, start=start, body=body))


def bad(data: bytes, *, stream: bool = False) -> BadMessage:
    """The error that these bytes are refused with."""
    try:
        parse(data, stream=stream)
    except BadMessage as error:
        return error
    raise AssertionError(f"not refused: {data[:80]!r}")


# Pieces that mean something to a parser, in any order: deeper than random bytes ever get.
PIECES: Final = st.sampled_from(
    [
        b"INVITE",
        b"SIP/2.0",
        b" ",
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n ",
        b"\t",
        b":",
        b";",
        b",",
        b"=",
        b"?",
        b"@",
        b"<",
        b">",
        b'"',
        b"\\",
        b"%",
        b"%41",
        b"[",
        b"]",
        b"[::1]",
        b"sip:",
        b"tel:",
        b"a@b",
        b"Via",
        b"v",
        b"From",
        b"f",
        b"To",
        b"Route",
        b"Contact",
        b"Call-ID",
        b"CSeq",
        b"1 INVITE",
        b"Content-Length",
        b"l",
        b"0",
        b"5",
        b"-1",
        b"99999999999",
        b"tag=",
        b"branch=z9hG4bK",
        b"rport",
        b"received=",
        b"\x00",
        b"\xff",
        b"\xc3\xa9",
        b"5060",
        b"192.0.2.1",
        b"UDP",
    ]
)
SOUP: Final = st.lists(PIECES, max_size=40).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message of the torture corpus with some bytes cut out, and others put in."""
    data = draw(st.sampled_from(CORPUS))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(SOUP) + data[at + draw(st.integers(0, 12)) :]
    return data


ANYTHING: Final = st.one_of(st.binary(max_size=400), SOUP, mutated())
