"""The records of a pcap file that lie in memory, taken at once: what is paid for each frame of a capture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from guard.capture.tally import Tally

MAX_FRAME: Final = 262_144  # bytes: libpcap's own MAXIMUM_SNAPLEN; a longer record is a broken file
RECORD: Final = 16  # bytes of a record's head: seconds, fraction, bytes captured, bytes on the wire

Frame = tuple[int, int, bytes, bool]
"""(instant in µs of Unix time, link type, the bytes captured, whether the capture cut the frame short)."""

Run = list[Frame]
"""Frames that follow each other, at least one: as many as were in memory."""


def taken(
    window: bytes,
    at: int,
    unpack: Callable[[bytes, int], tuple[int, int, int, int]],
    divisor: int,
    link: int,
    run: Run,
) -> int:
    """Put the frames of all whole records from `at` on into `run`; where the first stands that is not whole, or too
    long to be one. `unpack` reads a record's head, `divisor` makes microseconds of its fraction."""
    end = len(window)
    while at + RECORD <= end:
        seconds, fraction, length, original = unpack(window, at)
        start = at + RECORD
        after = start + length
        if length > MAX_FRAME or after > end:
            break
        run.append((seconds * 1_000_000 + fraction // divisor, link, window[start:after], original > length))
        at = after
    return at


def in_order(run: Run, last: int, tally: Tally) -> int:
    """Let no frame be earlier than the one before it, nor than `last`; the time of the last."""
    for n, frame in enumerate(run):
        if frame[0] < last:
            tally.backwards += 1
            run[n] = (last, frame[1], frame[2], frame[3])
        else:
            last = frame[0]
    return last
