"""Bytes of a capture file, a stream or a gzip of either, in bounded pieces that know where they stand in the file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

CHUNK: Final = 1 << 20  # bytes read at a time: large enough to amortise the call, small beside everything else
PIECE: Final = 16 * 1024  # bytes inflated at a time: zlib copies the rest after each member, and there may be thousands
GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31  # zlib's way to say: 32 KiB window, gzip header and trailer


class CaptureError(ValueError):
    """A capture that cannot be read (on). Its text names the file and the byte offset, uncompressed; `offset` is None
    where it could not even be opened."""

    def __init__(self, name: str, offset: int | None, reason: str) -> None:
        super().__init__(f"{name}: {reason}" if offset is None else f"{name}: byte {offset}: {reason}")
        self.name = name
        self.offset = offset
        self.reason = reason


class Bytes:
    """A read-ahead window on a file: `window[at:]` is what was read and not yet taken; it only grows by `fill`."""

    __slots__ = ("_pieces", "at", "base", "eof", "name", "warnings", "window")

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self.window = b""
        self.at = 0
        self.base = 0  # file offset of window[0]
        self.eof = False
        self.warnings: list[str] = []
        self._pieces = self._read(stream)

    @property
    def offset(self) -> int:
        """Where in the (uncompressed) file the next byte to take stands."""
        return self.base + self.at

    def fill(self, need: int) -> bool:
        """Make `need` bytes available from `at` on; False when the file ends before."""
        have = len(self.window) - self.at
        if have >= need:
            return True
        pieces = [self.window[self.at :]]
        self.base += self.at
        self.at = 0
        while have < need and not self.eof:
            piece = next(self._pieces, b"")
            if not piece:
                self.eof = True
            pieces.append(piece)
            have += len(piece)
        self.window = b"".join(pieces)
        return have >= need

    def skip(self, count: int) -> bool:
        """Pass over `count` bytes without holding them; False when the file ends before."""
        while count:
            if not self.fill(1):
                return False
            step = min(count, len(self.window) - self.at)
            self.at += step
            count -= step
        return True

    def error(self, reason: str, offset: int | None = None) -> CaptureError:
        """An error at `offset`, or at the place reached."""
        return CaptureError(self.name, self.offset if offset is None else offset, reason)

    def _read(self, stream: BinaryIO) -> Iterator[bytes]:
        read = getattr(stream, "read1", stream.read)  # a pipe gives what it has: a live capture is followed at once
        first: bytes = read(CHUNK)
        while len(first) < len(GZIP):
            more: bytes = read(CHUNK)
            if not more:
                break
            first += more
        if first[: len(GZIP)] == GZIP:
            yield from self._inflate(first, stream)
            return
        while first:
            yield first
            first = read(CHUNK)

    def _inflate(self, first: bytes, stream: BinaryIO) -> Iterator[bytes]:
        """Gzip members one after another. What a broken or cut one gave before counts; the rest is a warning."""
        read = getattr(stream, "read1", stream.read)
        pieces = (first[i : i + PIECE] for i in range(0, len(first), PIECE))
        inflater = zlib.decompressobj(_GZIP_WINDOW)
        data = next(pieces)
        while data:
            try:
                piece = inflater.decompress(data, CHUNK)
            except zlib.error as error:
                self.warnings.append(f"{self.name}: the gzip data end badly: {error}")
                return
            if piece:
                yield piece
            if inflater.eof:
                data = (inflater.unused_data or next(pieces, b"") or read(PIECE)).lstrip(b"\0")
                inflater = zlib.decompressobj(_GZIP_WINDOW)
                continue
            data = inflater.unconsumed_tail or next(pieces, b"") or read(PIECE)
            if not data:
                self.warnings.append(f"{self.name}: the gzip data end in the middle")


def opened(path: str | Path) -> BinaryIO:
    """The file at `path`, for reading. Raises CaptureError when it cannot be opened."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise CaptureError(str(path), None, error.strerror or str(error)) from error
