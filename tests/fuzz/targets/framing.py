"""Messages out of a stream of bytes. The first byte says how the stream is cut into pieces."""

from __future__ import annotations

from typing import Final

from guard.sip.framing import MAX_BODY, MAX_HEAD, PING, KeepAlive, StreamFramer, Unframeable
from tests.fuzz.targets import TESTS, Target, small

LONGEST: Final = 512
PIECES: Final = 12  # that a stream is cut into: more only take longer


def seeds() -> list[bytes]:
    """Torture messages one after the other, and pings."""
    one = b"A a SIP/2.0\r\nl: 5\r\n\r\nhello"
    made = [b"\1" + one + PING + one, b"\3" + PING * 3 + one, b"\7\r\n" + one + b"\r\n" + one, b"\2" + one[:-2]]
    made += [b"\5" + p.read_bytes() for p in (TESTS / "corpus").glob("torture*/*.dat")]
    return small(made, LONGEST)


def check(data: bytes) -> None:
    """The same at one go, and cut into pieces of one length, of growing ones, and in two."""
    if not data:
        return
    how, stream = data[0], data[1:]
    at_once = framed([stream])
    size = how % 31 + 1
    if how & 1:  # small pieces where the first messages end, then the rest
        pieces = [stream[i : i + size] for i in range(0, PIECES * size, size)] + [stream[PIECES * size :]]
    else:
        at = how * len(stream) // 255
        pieces = [stream[:at], stream[at:]]
    assert framed(pieces) == at_once, "what comes out depends on how the stream is cut"
    out, end = at_once
    size = sum(len(m) for m in out if isinstance(m, bytes)) + 4 * sum(isinstance(m, KeepAlive) for m in out)
    assert size + (end if isinstance(end, int) else 0) <= len(stream), "more comes out than went in"
    for m in out:
        if isinstance(m, bytes):
            assert m in stream
            assert b"\r\n\r\n" in m


def framed(pieces: list[bytes]) -> tuple[list[bytes | KeepAlive], int | tuple[str, bytes]]:
    """What comes out, and what is left in it or how it ended."""
    framer = StreamFramer()
    out: list[bytes | KeepAlive] = []
    for piece in pieces:
        try:
            out += framer.feed(piece)
        except Unframeable as error:
            return out + error.items, (error.reason, error.head)
        assert framer.pending <= MAX_HEAD + MAX_BODY + 4
    return out, framer.pending


TARGET: Final = Target(
    invariant="However a stream is cut into pieces, the same messages and pings come out of it and it ends in the same "
    "way; nothing comes out that did not go in.",
    longest=LONGEST,
    seeds=seeds,
    words=(b"\r\n", b"\r\n\r\n", b"\r\n ", b"l:", b"Content-Length:", b"0\r\n\r\n", b"l: 1\r\n\r\n", b"524289", b"\n"),
    check=check,
)
