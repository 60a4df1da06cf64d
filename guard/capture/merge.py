"""Frames of several captures as one, in the order of their time.

A capture that was rotated, or taken at both sides of the guard at once, is one story: read one file after the other,
a rate would be half of what it was. So frames are merged by time. A file is opened when its time comes, so that a
month of rotated files needs no month of open files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from guard.capture.files import CaptureError, opened
from guard.capture.pcap import frames, runs
from guard.capture.records import Frame, Run, in_order
from guard.capture.tally import Tally

MAX_OPEN: Final = 64  # captures that overlap in time, each with a chunk of a megabyte in memory

Source = Path | BinaryIO


class Progress:
    """How far reading is: `size` bytes in all, as far as known (a pipe has none), and `done` of them."""

    __slots__ = ("_open", "_past", "size")

    def __init__(self, sources: Sequence[Source]) -> None:
        self.size = sum(s.stat().st_size for s in sources if isinstance(s, Path) and s.is_file())
        self._past = 0
        self._open: list[BinaryIO] = []

    @property
    def done(self) -> int:
        """Bytes read, of compressed files as they lie on disk."""
        return self._past + sum(f.tell() for f in self._open)

    def opened(self, path: Path) -> BinaryIO:
        """The file, which is counted from now on. Raises CaptureError."""
        stream = opened(path)
        self._open.append(stream)
        return stream

    def closed(self, stream: BinaryIO) -> None:
        """The file was read to its end."""
        if not stream.closed:  # it is, where nobody read to the end and both are collected as garbage
            self._past += stream.tell()
        self._open.remove(stream)
        stream.close()


def merged(sources: Sequence[Source], tally: Tally, progress: Progress) -> Iterator[Run]:
    """The frames of all `sources`, none earlier than the one before. Raises CaptureError.

    Within one capture the order of the file holds: a frame earlier than the one before it counts at that one's time.
    """
    if len(sources) == 1:
        yield from _in_order(sources[0], tally, progress)
        return
    waiting = _by_beginning(sources)
    heap: list[tuple[int, int, Frame, Iterator[Frame]]] = []
    while waiting or heap:
        while waiting and (not heap or waiting[-1][0] <= heap[0][0]):
            _, number, source = waiting.pop()
            if len(heap) >= MAX_OPEN:
                raise CaptureError(_name(source), None, f"more than {MAX_OPEN} captures of the same time")
            rest: Iterator[Frame] = chain.from_iterable(_in_order(source, tally, progress))
            frame = next(rest, None)
            if frame is not None:
                heap.append((frame[0], number, frame, rest))
                heapify(heap)
        if not heap:
            continue
        _, number, frame, rest = heap[0]
        yield [frame]
        following = next(rest, None)
        if following is None:
            heappop(heap)
        else:
            heapreplace(heap, (following[0], number, following, rest))


def _by_beginning(sources: Sequence[Source]) -> list[tuple[int, int, Source]]:
    """The captures by the time of their first frame, the last one first; a pipe begins at once."""
    begin = []
    for number, source in enumerate(sources):
        first = next(frames(source, Tally()), None) if isinstance(source, Path) else None
        begin.append((first[0] if first is not None else 0, number, source))
    return sorted(begin, key=lambda b: b[:2], reverse=True)


def _in_order(source: Source, tally: Tally, progress: Progress) -> Iterator[Run]:
    """The frames of one capture, at times that never go back."""
    stream = progress.opened(source) if isinstance(source, Path) else source
    last = 0
    try:
        for run in runs(stream, tally, _name(source)):
            last = in_order(run, last, tally)
            yield run
    finally:
        if stream is not source:
            progress.closed(stream)


def _name(source: Source) -> str:
    return str(source) if isinstance(source, Path) else "standard input"
