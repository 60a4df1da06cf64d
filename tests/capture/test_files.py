"""Files and pipes: formats, byte orders, clocks, compression, cuts and garbage."""

from __future__ import annotations

import gzip
import struct
import zlib
from contextlib import suppress
from io import BytesIO, RawIOBase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.capture.files import CHUNK, PIECE, CaptureError
from guard.capture.messages import Messages
from guard.capture.pcap import MAX_FRAME, frames
from guard.capture.pcapng import LAST_INSTANT, MAX_BLOCK, MAX_INTERFACES
from guard.capture.tally import MAX_WARNINGS, Tally
from tests.capture.making import (
    ETHERNET,
    RAW,
    SECOND,
    T0,
    block,
    enhanced,
    interface,
    ipv4,
    options,
    pcap,
    section,
    simple,
    udp,
    written,
)
from tests.capture.reading import fails, frames_of, read

ODD = T0 + 123_456  # an instant with microseconds
PACKET = ipv4(udp(options()))


class Trickle(RawIOBase):
    """A pipe that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        """At most one byte."""
        return self._data.read(min(size, 1) if size >= 0 else 1)


# ---- pcap -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanos", [False, True])
def test_pcap_in_both_byte_orders_and_resolutions(order: str, nanos: bool) -> None:
    found, _ = frames_of(pcap([(ODD, b"abc"), (ODD + 1, b"")], order=order, nanos=nanos, link=ETHERNET))
    assert found == [(ODD, ETHERNET, b"abc", False), (ODD + 1, ETHERNET, b"", False)]


def test_a_cut_frame_says_so() -> None:
    found, _ = frames_of(pcap([(T0, b"abcdef")], snap=4))
    assert found == [(T0, RAW, b"abcd", True)]


def test_the_upper_bits_of_the_link_type_are_not_part_of_it() -> None:
    data = bytearray(pcap([(T0, b"a")]))
    data[23] = 0x14  # frame check sequence of 4 bytes, present
    assert frames_of(bytes(data))[0][0][1] == RAW


def test_frames_longer_than_a_chunk_of_file_come_whole() -> None:
    big = bytes(range(256)) * 1024
    data = pcap([(T0 + n, big) for n in range(2 * CHUNK // len(big) + 3)])
    found, _ = frames_of(data)
    assert len(found) == 2 * CHUNK // len(big) + 3
    assert all(frame == big for _, _, frame, _ in found)


@pytest.mark.parametrize("left", [1, 10, 15, 17, 20])
def test_a_file_that_ends_within_a_packet_counts_up_to_there(left: int) -> None:
    whole = pcap([(T0, b"abc")])
    found, tally = frames_of(whole + pcap([(T0, b"abcdefgh")])[24:][:left])
    assert len(found) == 1
    assert tally.warnings == [f"x: byte {len(whole)}: the last packet is cut short; what came before it counts"]


def test_a_record_of_impossible_length_is_an_error_at_its_place() -> None:
    good = pcap([(T0, b"abc")])
    for size, wrong in ((MAX_FRAME, False), (MAX_FRAME + 1, True)):
        data = good + struct.pack("<IIII", 1, 0, size, size) + bytes(size)
        if not wrong:
            assert len(frames_of(data)[0]) == 2
            continue
        error = fails(data)
        assert (error.name, error.offset) == ("x", len(good))
        assert str(error) == f"x: byte {len(good)}: a packet of {size} bytes, more than {MAX_FRAME}"


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (b"", 0, "empty"),
        (b"\xd4\xc3", 0, "too short to be a capture"),
        (b"<html>", 0, "neither pcap nor pcapng: it begins with 3c 68 74 6d"),
        (pcap([])[:20], 0, "the file header is cut short"),
        (pcap([])[:4] + b"\x03\0" + pcap([])[6:], 4, "pcap version 3 is not known"),
    ],
)
def test_what_is_no_capture_is_an_error(data: bytes, offset: int, reason: str) -> None:
    error = fails(data)
    assert (error.offset, error.reason) == (offset, reason)


# ---- pcapng ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_in_both_byte_orders(order: str) -> None:
    data = section(order) + interface(ETHERNET, order) + enhanced(ODD, b"abcde", order)
    assert frames_of(data)[0] == [(ODD, ETHERNET, b"abcde", False)]


@pytest.mark.parametrize(
    ("resol", "ticks"),
    [
        (None, ODD),
        (0, ODD // SECOND),
        (3, ODD // 1000),
        (6, ODD),
        (9, ODD * 1000 + 999),
        (12, T0 * 1000),  # overflows 64 bits in picoseconds: an instant of 1970
        (0x80, ODD // SECOND),
        (0x80 | 20, (ODD << 20) // SECOND + 1),
    ],
)
def test_resolutions(resol: int | None, ticks: int) -> None:
    value = resol or 0
    exact = ticks / (2 ** (value & 127) if value & 128 else 10**value) if resol is not None else ticks / SECOND
    ((at, *_),), _ = frames_of(section() + interface(resol=resol) + enhanced(ticks & (1 << 64) - 1, b"a"))
    assert abs(at - exact * SECOND) <= 256  # a float of this size is no finer
    if resol in {None, 6, 9}:
        assert at == ODD


def test_the_offset_of_an_interface_counts() -> None:
    data = section() + interface(offset=-3600) + enhanced(ODD, b"a")
    assert frames_of(data)[0][0][0] == ODD - 3600 * SECOND


def test_sections_have_their_own_byte_order_and_interfaces() -> None:
    data = section("<") + interface(ETHERNET, "<") + interface(RAW, "<", resol=9)
    data += enhanced(ODD * 1000, b"one", "<", number=1)
    data += section(">") + interface(RAW, ">") + enhanced(ODD + 1, b"two", ">")
    assert [f[:3] for f in frames_of(data)[0]] == [(ODD, RAW, b"one"), (ODD + 1, RAW, b"two")]


def test_simple_packets_have_the_time_of_the_one_before() -> None:
    data = section() + interface(snap=4) + enhanced(ODD, b"abc") + simple(b"abc")
    found, tally = frames_of(data)
    assert [f[0] for f in found] == [ODD, ODD]
    assert tally.untimed == 1


def test_a_simple_packet_is_cut_by_the_snapshot_length() -> None:
    body = struct.pack("<I", 9) + b"abcd"
    found, _ = frames_of(section() + interface(snap=4) + block(3, body))
    assert found == [(0, RAW, b"abcd", True)]


def test_the_old_packet_block_is_read() -> None:
    body = struct.pack("<HHIIII", 0, 7, ODD >> 32, ODD & 0xFFFFFFFF, 3, 5) + b"abc"
    assert frames_of(section() + interface() + block(2, body))[0] == [(ODD, RAW, b"abc", True)]


def test_other_blocks_are_passed_over_however_long() -> None:
    data = section() + block(5, b"statistics") + interface() + block(0x0BAD, bytes(MAX_BLOCK + 4)) + enhanced(ODD, b"a")
    assert len(frames_of(data)[0]) == 1


def test_an_unbelievable_time_does_not_count() -> None:
    data = section() + interface() + enhanced(LAST_INSTANT, b"a") + enhanced(LAST_INSTANT + 1, b"b")
    found, tally = frames_of(data)
    assert [f[0] for f in found] == [LAST_INSTANT, LAST_INSTANT]
    assert tally.untimed == 1


HEAD = section() + interface()


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (section()[:10], 0, "the section header is cut short"),
        (section()[:8] + b"abcd" + section()[12:], 0, "a section header whose byte order is 61 62 63 64"),
        (section(major=2), 0, "pcapng version 2 is not known"),
        (HEAD + struct.pack("<II", 6, 13) + bytes(9), len(HEAD), "a block of 13 bytes"),
        (HEAD + struct.pack("<II", 6, 8), len(HEAD), "a block of 8 bytes"),
        (HEAD + block(6, bytes(8)), len(HEAD), "a packet block that is too short"),
        (HEAD + block(6, bytes(40))[:-4] + bytes(4), len(HEAD), "the two lengths of a block disagree"),
        (HEAD + block(5, bytes(40))[:-4] + bytes(4), len(HEAD), "the two lengths of a block disagree"),
        (HEAD + enhanced(1, b"a", number=1), len(HEAD), "a packet of interface 1, which was not described"),
        (HEAD + block(6, struct.pack("<IIIII", 0, 0, 0, 9, 9)), len(HEAD), "a packet of 9 bytes in a block of 32"),
        (section() + block(1, b""), 28, "an interface block that is too short"),
        (
            HEAD + struct.pack("<II", 6, MAX_BLOCK + 4),
            len(HEAD),
            f"a block of {MAX_BLOCK + 4} bytes, more than {MAX_BLOCK}",
        ),
    ],
)
def test_a_broken_pcapng_is_an_error_at_its_place(data: bytes, offset: int, reason: str) -> None:
    error = fails(data)
    assert (error.offset, error.reason) == (offset, reason)


def test_interfaces_are_bounded() -> None:
    one = interface()
    data = section() + one * MAX_INTERFACES
    assert frames_of(data)[0] == []
    assert fails(data + one).reason == f"more than {MAX_INTERFACES} interfaces"


@pytest.mark.parametrize("left", [1, 9, 30])
@pytest.mark.parametrize("last", [enhanced(ODD, b"abcdef"), block(5, bytes(40))])
def test_a_pcapng_that_ends_within_a_block_counts_up_to_there(left: int, last: bytes) -> None:
    whole = section() + interface() + enhanced(ODD, b"abc")
    found, tally = frames_of(whole + last[:left])
    assert len(found) == 1
    assert tally.warnings == [f"x: byte {len(whole)}: the last block is cut short; what came before it counts"]


# ---- files, pipes, gzip ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["isa__call.pcap", "isa__call.pcapng"])
def test_gzip_is_seen_through(name: str, tmp_path: Path) -> None:
    data = (Path(__file__).parent / "data" / name).read_bytes()
    half = len(data) // 2
    members = gzip.compress(data[:half]) + gzip.compress(data[half:]) + bytes(512)  # padded, as a tape would
    found, tally = frames_of(members)
    assert found == frames_of(data)[0]
    assert tally.warnings == []
    path = written(tmp_path, members, "c.pcap.gz")
    assert list(Messages([path])) == read(data)[0]


def test_cut_and_broken_gzip_count_up_to_there() -> None:
    packed = gzip.compress(pcap([(T0 + n, struct.pack("<I", n * 7919) * 50) for n in range(5000)]))
    found, tally = frames_of(packed[:-2000])
    assert 0 < len(found) < 5000
    assert tally.warnings[-1] == "x: the gzip data end in the middle"
    found, tally = frames_of(packed + b"\x1f\x8b no member")
    assert len(found) == 5000
    assert tally.warnings[-1].startswith("x: the gzip data end badly: Error -3")


def test_gzip_does_not_unfold_in_memory() -> None:
    """A gigabyte of nothing in a megabyte of gzip is read piece by piece."""
    bomb = pcap([]) + struct.pack("<IIII", 1, 0, MAX_FRAME, MAX_FRAME) + bytes(MAX_FRAME)
    bomb += (struct.pack("<IIII", 1, 0, MAX_FRAME, MAX_FRAME) + bytes(MAX_FRAME)) * 100
    reading = frames(BytesIO(gzip.compress(bomb)), Tally(), "x")
    assert sum(len(frame) for _, _, frame, _ in reading) == 101 * MAX_FRAME


def test_thousands_of_gzip_members_are_not_copied_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib copies what follows a member: with a megabyte at a time, 50 000 empty ones took seconds."""
    looked_at = 0
    inflater_of = zlib.decompressobj

    class Counted:
        def __init__(self, window: int) -> None:
            self._inflater = inflater_of(window)

        def decompress(self, data: bytes, most: int) -> bytes:
            nonlocal looked_at
            looked_at += len(data)
            return self._inflater.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inflater, name)

    monkeypatch.setattr("guard.capture.files.zlib.decompressobj", Counted)
    member = gzip.compress(b"", mtime=0)
    whole = member * 20_000 + gzip.compress(pcap([(1, b"frame")]))
    assert [frame for _, _, frame, _ in frames(BytesIO(whole), Tally(), "x")] == [b"frame"]
    assert looked_at <= 20_000 * PIECE


def test_a_pipe_that_trickles() -> None:
    tally = Tally()
    for data in (
        pcap([(T0, PACKET)]),
        section() + interface() + enhanced(T0, PACKET),
        gzip.compress(pcap([(T0, PACKET)])),
    ):
        assert [f[2] for f in frames(Trickle(data), tally, "x")] == [PACKET]  # type: ignore[arg-type]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"none\.pcap: No such file or directory") as caught:
        list(Messages([tmp_path / "none.pcap"]))
    assert caught.value.offset is None
    with pytest.raises(CaptureError, match="Is a directory"):
        list(Messages([tmp_path]))


def test_warnings_are_bounded_and_said_once() -> None:
    tally = Tally()
    for n in range(MAX_WARNINGS + 5):
        tally.warn(f"warning {n}", f"warning {n}")
    assert len(tally.warnings) == MAX_WARNINGS


# ---- garbage --------------------------------------------------------------------------------------------------------

GOOD = [
    pcap([(T0, PACKET), (T0 + 5, PACKET)]),
    section() + interface(resol=9) + enhanced(T0 * 1000, PACKET) + simple(PACKET),
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*GOOD, b"", GOOD[0][:24], section(), section(">"), HEAD]),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6),
    st.binary(max_size=200),
)
def test_nothing_but_a_capture_error_comes_of_garbage(good: bytes, flips: list[tuple[int, int]], rest: bytes) -> None:
    data = bytearray(good)
    for at, value in flips:
        if at < len(data):
            data[at] = value
    with suppress(CaptureError):
        read(bytes(data) + rest)
