"""Messages out of a stream: the same ones however it is cut, and nothing that two readers would cut differently."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guard.sip.framing import KEEP_ALIVE, MAX_BODY, MAX_HEAD, PING, KeepAlive, StreamFramer, Unframeable
from guard.sip.message import BadMessage, parse
from tests.sip.making import CORPUS, SOUP, based, mutated

ONE = based(b"Content-Length: 5", body=b"hello")
TWO = based(b"L : 0", start=b"SIP/2.0 200 OK")
FOLDED = based(b"Content-Length:", b" 5", body=b"hello")
TWICE = based(b"l: 1", b"Content-Length: 1", body=b"x")

Items = list[bytes | KeepAlive]


def frame(pieces: list[bytes]) -> tuple[Items, str]:
    """What comes out of a stream cut into these pieces, and why it ended."""
    framer, out = StreamFramer(), []
    for piece in pieces:
        try:
            out += framer.feed(piece)
        except Unframeable as error:
            return out + error.items, f"{error.reason} {len(error.head)}"
    return out, f"pending {framer.pending}"


@pytest.mark.parametrize(
    ("data", "items", "end"),
    [
        (ONE, [ONE], "pending 0"),
        (ONE + TWO + ONE, [ONE, TWO, ONE], "pending 0"),
        (ONE + TWO[:-1], [ONE], f"pending {len(TWO) - 1}"),
        (PING, [KEEP_ALIVE], "pending 0"),
        (PING + ONE + PING + PING + TWO, [KEEP_ALIVE, ONE, KEEP_ALIVE, KEEP_ALIVE, TWO], "pending 0"),
        (b"\r\n" + ONE + b"\r\n" + TWO, [ONE, TWO], "pending 0"),  # single line ends between messages are nothing
        (b"\r\n\r" + ONE, [ONE], "pending 0"),
        (b"\n\n" + ONE, [ONE], "pending 0"),
        (b"\r\n\r\n\r\n" + ONE, [KEEP_ALIVE, ONE], "pending 0"),
        (b"\r\n\r", [], "pending 3"),
        (b"", [], "pending 0"),
        (FOLDED + FOLDED, [FOLDED, FOLDED], "pending 0"),
        (TWICE + TWICE, [TWICE, TWICE], "pending 0"),
    ],
)
def test_streams(data: bytes, items: Items, end: str) -> None:
    assert frame([data]) == (items, end)
    assert frame([data[i : i + 1] for i in range(len(data))]) == (items, end)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "no Content-Length"),
        ((b"Content-Length: five",), "no Content-Length"),
        ((b"Content-Length: -999",), "no Content-Length"),
        ((b"Content-Length:",), "no Content-Length"),
        ((b"Content-Length: 99999999999",), "no Content-Length"),
        ((b"Content-Length: 5, 5",), "no Content-Length"),
        ((b"Content-Length: 5", b" 5"), "no Content-Length"),  # unfolded it is "5 5"
        ((b"Content-Length: 5", b"\t"), "no Content-Length"),
        ((b"Content-Length: 13", b"Content-Length: 5"), "Content-Length in doubt"),
        ((b"l: 5", b"Content-Length: x"), "Content-Length in doubt"),
        ((b"Content-Length: %d" % (MAX_BODY + 1),), "body too long"),
    ],
)
def test_an_end_in_doubt_is_no_end(lines: tuple[bytes, ...], reason: str) -> None:
    data = based(*lines)
    framer = StreamFramer()
    with pytest.raises(Unframeable, match=reason) as caught:
        framer.feed(ONE + data)
    assert caught.value.items == [ONE]
    assert caught.value.head == data


def test_other_headers_that_begin_alike_say_nothing_of_the_length() -> None:
    data = based(
        b"Content-Length-X: 7", b"X-Content-Length: 8", b"X: Content-Length: 9", b" l: 10", b"Content-Length: 0"
    )
    assert frame([data]) == ([data], "pending 0")


def test_the_longest_head_and_body() -> None:
    head = based(b"Content-Length: %d" % MAX_BODY)
    framer = StreamFramer()
    assert framer.feed(head) == []
    assert framer.pending == len(head)
    assert framer.feed(b"x" * (MAX_BODY - 1)) == []
    assert framer.feed(b"x" * 2) == [head + b"x" * MAX_BODY]
    assert framer.pending == 1


def padded(end: int) -> bytes:
    """A message whose empty line starts at `end`."""
    data = based(b"X-Pad: ", b"Content-Length: 0")
    at = data.index(b"X-Pad: ") + 7
    return data[:at] + b"x" * (end - len(data) + 4) + data[at:]


@pytest.mark.parametrize("step", [1 << 20, 1460, 4099])
def test_the_limit_of_the_head_does_not_depend_on_the_cut(step: int) -> None:
    for end in (MAX_HEAD - 1, MAX_HEAD):
        data = padded(end)
        assert data.index(b"\r\n\r\n") == end
        assert frame([data[i : i + step] for i in range(0, len(data), step)]) == ([data], "pending 0")
        assert frame([data[:-1], data[-1:]]) == ([data], "pending 0")
    data = padded(MAX_HEAD + 1)
    assert frame([data[i : i + step] for i in range(0, len(data), step)]) == ([], "head too long 0")
    assert frame([data[:-1], data[-1:]]) == ([], "head too long 0")


def test_no_more_is_held_than_one_head() -> None:
    framer = StreamFramer()
    framer.feed(b"x" * (MAX_HEAD + 3))
    with pytest.raises(Unframeable, match="head too long"):
        framer.feed(b"x")


STREAMS = st.lists(
    st.one_of(st.sampled_from([ONE, TWO, PING, b"\r\n", b"\r", b"\n"]), st.sampled_from(CORPUS), mutated(), SOUP),
    max_size=5,
).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 3000), max_size=12))
@settings(max_examples=250, deadline=None)
@example(ONE + PING + ONE, [1, len(ONE), len(ONE) + 1, len(ONE) + 2, len(ONE) + 3])
@example(ONE + b"INVITE x SIP/2.0\r\n\r\n", [3])
def test_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    at = sorted({min(c, len(data)) for c in cuts} | {0, len(data)})
    whole = frame([data])
    assert frame([data[a:b] for a, b in pairwise(at)]) == whole
    if len(data) < 400:
        assert frame([data[i : i + 1] for i in range(len(data))]) == whole


@given(STREAMS)
@settings(max_examples=250, deadline=None)
def test_the_parser_sees_the_length_that_the_framer_saw(data: bytes) -> None:
    """What the framer cuts out is either a message of exactly that length, or refused: never one with another body."""
    for item in frame([data])[0]:
        if isinstance(item, bytes):
            try:
                m = parse(item, stream=True)
            except BadMessage:
                continue
            assert m.content_length() == len(m.body())
            assert item.endswith(m.data)
