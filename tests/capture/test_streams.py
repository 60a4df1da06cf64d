"""TCP: segments in any order, repeated, overlapping, missing; messages cut anywhere; and every limit."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.capture import start
from guard.capture import streams as module
from guard.capture.start import MAX_START_LINE, is_sip, next_start
from guard.capture.streams import HOLE_US, MAX_BEHIND_HOLE, MAX_JUMP, MAX_PIECES, Streams
from guard.capture.tally import Tally
from guard.sip.framing import MAX_BODY, MAX_HEAD
from tests.capture.making import GUARD, PBX, T0, ipv4, options, tcp
from tests.capture.reading import of_packets

SYN, ACK, RST, FIN = 2, 16, 4, 1
HERE, THERE = b"here->there", b"there->here"
MANY = [options(n, b"x" * (n * 37 % 200) + b"\r\n") for n in range(1, 13)]
STREAM = b"".join(MANY)


class One:
    """One direction of one connection, and what came out of it."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.streams = Streams(self.tally)
        self.out: list[bytes] = []
        self.conns: list[int] = []
        self.now = T0

    def __call__(self, seq: int, data: bytes = b"", flags: int = ACK, *, later: int = 1000) -> None:
        self.now += later
        conn, messages = self.streams.segment(HERE, THERE, seq & 0xFFFFFFFF, 0, flags, data, self.now)
        self.out += messages
        self.conns.append(conn)

    def back(self, ack: int) -> None:
        """The other side acknowledges."""
        _, messages = self.streams.segment(THERE, HERE, 77, ack & 0xFFFFFFFF, ACK, b"", self.now)
        assert messages == []

    def end(self) -> list[bytes]:
        for _, _, messages in self.streams.finish():
            self.out += messages
        return self.out


def cut(data: bytes, places: Iterable[int]) -> list[tuple[int, bytes]]:
    """(offset, bytes) of `data` cut at `places`."""
    edges = sorted({0, len(data), *(p % len(data) for p in places)})
    return [(a, data[a:b]) for a, b in pairwise(edges)]


def played(segments: Iterable[tuple[int, bytes]], start: int = 1000) -> One:
    one = One()
    one(start, b"", SYN)
    for at, data in segments:
        one(start + 1 + at, data)
    one.end()
    return one


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, len(STREAM)), max_size=30), st.integers(0, 0xFFFFFFFF), st.randoms(use_true_random=False)
)
def test_any_cut_any_order_any_repetition(places: list[int], start: int, dice: random.Random) -> None:
    segments = cut(STREAM, places)
    again = [(max(at - 3, 0), STREAM[max(at - 3, 0) : at + len(data)]) for at, data in segments if dice.random() < 0.3]
    mixed = segments + again
    # Nothing comes so early that it could be another connection, or is given up as a hole.
    mixed = sorted(mixed, key=lambda s: s[0] // 4000 * 10 + dice.randrange(10))
    one = played(mixed, start)
    assert one.out == MANY
    assert one.tally.dropped() == {}


def test_a_sequence_number_that_wraps() -> None:
    assert played(cut(STREAM, range(0, len(STREAM), 100)), 0xFFFFFF00).out == MANY


def test_a_capture_that_begins_in_the_middle() -> None:
    middle = len(MANY[0]) + 30
    one = One()
    for at, data in cut(STREAM[middle:], range(0, 3000, 70)):
        one(500 + at, data)
    assert one.end() == MANY[2:]
    assert one.tally.stream_skipped == len(MANY[1]) - 30


def test_a_hole_costs_the_messages_in_it() -> None:
    """The segment that carries messages 4 to 6 was not captured: the others come out."""
    first, last = len(b"".join(MANY[:3])) - 5, len(b"".join(MANY[:6])) + 25
    one = played([(0, STREAM[:first]), (last, STREAM[last:])])
    assert one.out == MANY[:2] + MANY[7:]
    assert one.tally.stream_gaps == 1
    assert one.tally.stream_skipped == len(MANY[2]) - 5 + len(MANY[6]) - 25


def test_of_two_segments_at_one_place_the_longer_counts() -> None:
    half = len(STREAM) // 2
    behind = [(half, STREAM[half : half + 50]), (half, STREAM[half:]), (half, STREAM[half : half + 9])]
    assert played([*behind, (0, STREAM[:half])]).out == MANY


def test_what_waits_behind_a_hole_comes_out_at_the_end_of_the_capture() -> None:
    found, tally = of_packets(ipv4(tcp(MANY[0], 1), protocol=6), ipv4(tcp(MANY[2], 5000), PBX, GUARD, protocol=6))
    assert found == [MANY[0], MANY[2]]
    assert tally.sip == 2


def test_two_holes() -> None:
    offsets = [len(b"".join(MANY[:n])) for n in range(len(MANY) + 1)]
    parts = [(offsets[n], MANY[n]) for n in range(len(MANY)) if n not in {2, 7}]
    one = played(parts)
    assert one.out == [m for n, m in enumerate(MANY) if n not in {2, 7}]
    assert one.tally.stream_gaps == 2


def test_a_hole_is_over_when_the_other_side_has_it() -> None:
    one = One()
    one(1, MANY[0])
    after = 1 + len(MANY[0])
    one(after + 100, MANY[2])
    assert one.out == MANY[:1]
    one.back(after)  # the hole is still open
    one(after + 100 + len(MANY[2]), b"")
    assert one.out == MANY[:1]
    one.back(after + 1)
    one(after + 100 + len(MANY[2]), MANY[3])
    assert one.out == [MANY[0], *MANY[2:4]]


def test_a_hole_is_waited_for_only_so_long() -> None:
    for wait, good in ((HOLE_US, False), (HOLE_US + 1, True)):
        one = One()
        one(1, MANY[0])
        one(5000, MANY[2])
        one(5000 + len(MANY[2]), MANY[3], later=wait)
        assert (one.out == [MANY[0], *MANY[2:4]]) is good


def test_bytes_behind_a_hole_are_bounded() -> None:
    one = One()
    one(1, MANY[0])
    full = (MAX_BEHIND_HOLE - 1) // 1000
    for n in range(full):
        one(2000 + n * 1000, b"y" * 1000, later=1)
    one(2000 + full * 1000, b"y" * (MAX_BEHIND_HOLE - full * 1000), later=1)
    assert one.tally.stream_gaps == 0
    one(2000 + MAX_BEHIND_HOLE, b"y", later=1)
    assert one.tally.stream_gaps == 1


def test_segments_behind_a_hole_are_bounded() -> None:
    one = One()
    one(1, MANY[0])
    for n in range(MAX_PIECES):
        one(2000 + 2 * n, b"y", later=1)
    assert one.tally.stream_gaps == 0
    one(2000 + 2 * MAX_PIECES, b"y", later=1)
    assert one.tally.stream_gaps == MAX_PIECES + 1


def test_a_jump_is_another_connection() -> None:
    for jump, conns in ((MAX_JUMP, 1), (MAX_JUMP + 1, 2)):
        one = One()
        one(1, MANY[0])
        due = 1 + len(MANY[0])
        one(due + jump, MANY[1])
        assert one.tally.streams == conns
        assert one.end() == MANY[:2]


def test_ports_used_again_are_another_connection() -> None:
    one = One()
    one(100, b"", SYN)
    one(101, MANY[0] + MANY[1][:20])
    one(100, b"", SYN | ACK)
    one(101, MANY[2])
    assert one.out == [MANY[0], MANY[2]]
    assert one.conns == [1, 1, 2, 2]
    assert one.tally.stream_skipped == 20


def test_both_directions_are_one_connection() -> None:
    tally = Tally()
    streams = Streams(tally)
    assert streams.segment(HERE, THERE, 1, 0, SYN, b"", T0)[0] == 1
    assert streams.segment(THERE, HERE, 9, 2, SYN | ACK, b"", T0)[0] == 1
    assert streams.segment(HERE, THERE, 2, 10, ACK, MANY[0], T0) == (1, [MANY[0]])
    assert streams.segment(THERE, HERE, 10, 2, ACK, MANY[1], T0) == (1, [MANY[1]])
    assert tally.streams == 1


def test_a_reset_gives_what_waits_behind_a_hole() -> None:
    one = One()
    one(1, MANY[0])
    one(5000, MANY[1])
    one(6000, b"", RST)
    assert one.out == MANY[:2]


@pytest.mark.interpreted
@pytest.mark.parametrize("limit", ["MAX_DIRECTIONS", "MAX_HELD"])
def test_memory_is_bounded_over_all_connections(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The direction that was silent for longest is forgotten first."""
    monkeypatch.setattr(module, limit, {"MAX_DIRECTIONS": 10, "MAX_HELD": 10 * 20}[limit])
    tally = Tally()
    streams = Streams(tally)
    for n in range(11):
        streams.segment(b"%d" % n, b"-%d" % n, 1, 0, ACK, MANY[0][:20], T0 + n)
    assert tally.streams_lost == 1
    assert streams.segment(b"0", b"-0", 21, 0, ACK, MANY[0][20:], T0 + 20)[1] == []
    assert streams.segment(b"10", b"-10", 21, 0, ACK, MANY[0][20:], T0 + 21)[1] == [MANY[0]]


def test_acknowledgements_alone_take_no_memory() -> None:
    one = One()
    one(1, b"")
    assert one.conns == [0]
    assert one.tally.streams == 0


# ---- messages in a stream -------------------------------------------------------------------------------------------


def test_keep_alives_between_messages() -> None:
    assert played([(0, b"\r\n\r\n" + MANY[0] + b"\r\n\r\n\r\n" + MANY[1])]).out == MANY[:2]


@pytest.mark.parametrize(
    "broken",
    [
        options().replace(b"Content-Length: 0\r\n", b""),
        options().replace(b"Content-Length: 0", b"Content-Length: 0\r\nl: 5"),
        options().replace(b"Content-Length: 0", b"Content-Length: %d" % (MAX_BODY + 1)),
        b"OPTIONS sip:a SIP/2.0\r\nX: " + b"y" * MAX_HEAD + b"\r\n\r\n",
    ],
    ids=["no length", "two lengths", "long body", "long head"],
)
def test_a_message_without_an_end_costs_only_itself(broken: bytes) -> None:
    first = options(0, b"a body that ends without a line break")
    one = played([(0, first + broken), (len(first + broken), MANY[1] + MANY[2])])
    assert one.out == [first, *MANY[1:3]]
    assert one.tally.stream_skipped >= len(broken)


def test_the_largest_body_comes_out() -> None:
    big = options(1, b"z" * MAX_BODY)
    assert played(cut(big, range(0, len(big), 9000))).out == [big]


@pytest.mark.parametrize("size", [1, 7, 1460])
def test_nonsense_before_between_and_after(size: int) -> None:
    noise = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    data = noise + MANY[0] + noise + MANY[1] + b"\x16\x03\x01\n" + MANY[2]
    one = played([(n, data[n : n + size]) for n in range(0, len(data), size)])
    assert one.out == MANY[:3]


def test_what_was_framed_is_not_kept() -> None:
    """Segments that never end where a message does."""
    one = One()
    data = STREAM * 20
    for n in range(0, len(data), 101):
        one(1 + n, data[n : n + 101])
        (direction,) = one.streams._directions.values()
        assert sum(map(len, direction.cutter._kept)) <= max(map(len, MANY)) + 101
    assert one.out == MANY * 20


def test_other_protocols_take_no_memory() -> None:
    one = One()
    for n in range(200):
        one(1 + n * 1000, b"\x17\x03\x03" + bytes(997), later=1)
    assert one.out == []
    (held,) = [d.held for d in one.streams._directions.values()]
    assert held <= MAX_START_LINE


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=60), st.integers(0, 31)), max_size=30), st.booleans()
)
def test_nothing_in_a_stream_raises(segments: list[tuple[int, bytes, int]], sip: bool) -> None:
    one = One()
    for seq, data, flags in segments:
        one(seq, (MANY[0][:40] if sip else b"") + data, flags)
    for message in one.end():
        assert is_sip(message)


def test_segments_in_packets() -> None:
    half = len(MANY[0]) // 2
    there, back = (PBX, GUARD), (GUARD, PBX)
    found, tally = of_packets(
        ipv4(tcp(b"", 10, 0, SYN), *there, protocol=6),
        ipv4(tcp(b"", 90, 11, SYN | ACK), *back, protocol=6),
        ipv4(tcp(MANY[0][half:], 11 + half, 91), *there, protocol=6),
        ipv4(tcp(MANY[0][:half], 11, 91), *there, protocol=6),
        ipv4(tcp(MANY[1], 91, 11 + len(MANY[0])), *back, protocol=6),
    )
    assert found == MANY[:2]
    assert tally.streams == 1


# ---- start lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "good"),
    [
        (b"INVITE sip:a SIP/2.0\r\n", True),
        (b"\r\n\r\nINVITE sip:a SIP/2.0\r\n", True),
        (b"!interesting-Method0123456789_*+`.%indeed'~ sip:1@x SIP/2.0\r\n", True),
        (b"NEWMETHOD  sip:a   SIP/7.0 \r\n", True),
        (b"SIP/2.0 200 OK\r\n", True),
        (b"SIP/2.0 200\n", True),
        (b"INVITE sip:a SIP/2.0", False),
        (b"INVITE SIP/2.0\r\n", False),
        (b"GET / HTTP/1.1\r\n", False),
        (b"INVITE sip:a\r\n SIP/2.0\r\n", False),
        (b"\x80\x00", False),
        (b"\0", False),
        (b"", False),
        (b"A " + b"u" * 8000 + b" SIP/2.0\r\n", True),
        (b"A " + b"u" * 8001 + b" SIP/2.0\r\n", False),
        (b"A" * 64 + b" sip:a SIP/2.0\r\n", True),
        (b"A" * 65 + b" sip:a SIP/2.0\r\n", False),
    ],
)
def test_start_lines(data: bytes, good: bool) -> None:
    assert is_sip(data) is good
    assert next_start(b"noise\r\n" + data) == ((7 + len(data) - len(data.lstrip(b"\r\n"))) if good else -1)


@given(
    st.lists(
        st.sampled_from([b"INVITE", b"BYE", b"x", b" ", b" ", b"sip:a", b" SIP/2.0", b"\r\n", b"\r", b"\n", b"\0"])
    )
)
def test_what_the_short_way_knows_the_expression_knows(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert start._by_expression(data) or not start._usual(data)
    assert start._usual(b"INVITE sip:a SIP/2.0\r\n" + data)
