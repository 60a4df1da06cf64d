"""Frames out of pcap files (draft-ietf-opsawg-pcap): µs and ns, both byte orders; pcapng is in `pcapng`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from guard.capture.files import Bytes, opened
from guard.capture.pcapng import SECTION, read_pcapng
from guard.capture.records import MAX_FRAME, RECORD, Frame, Run, taken
from guard.capture.tally import Tally

__all__ = ["MAX_FRAME", "Frame", "frames", "runs"]

_HEADER: Final = 24
_LINK_BITS: Final = 0x03FFFFFF  # the upper bits of the link type tell of the frame check sequence

# first four bytes -> (byte order, divisor of the fraction to get µs)
_MAGIC: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1),
    b"\xa1\xb2\xc3\xd4": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1000),
}


def frames(source: str | Path | BinaryIO, tally: Tally, name: str = "") -> Iterator[Frame]:
    """Every frame of a capture, in the file's order: `runs` one by one."""
    for run in runs(source, tally, name):
        yield from run


def runs(source: str | Path | BinaryIO, tally: Tally, name: str = "") -> Iterator[Run]:
    """The frames of a capture, in the file's order, holding about one chunk of it at a time.

    `source` is a path or a binary stream; gzip is seen through. A file that ends within a packet ends the reading
    with a warning in `tally`. Raises CaptureError for what is no capture, or is broken in the middle.
    """
    stream = opened(source) if isinstance(source, str | Path) else source
    try:
        file = Bytes(stream, name or str(getattr(stream, "name", "capture")))
        yield from _runs(file, tally)
        tally.warn(*file.warnings)
    finally:
        if stream is not source:
            stream.close()


def _runs(file: Bytes, tally: Tally) -> Iterator[Run]:
    if not file.fill(4):
        raise file.error("too short to be a capture" if file.window else "empty", 0)
    magic = file.window[:4]
    if magic == SECTION:
        for frame in read_pcapng(file, tally):
            yield [frame]
    elif magic in _MAGIC:
        yield from _read_pcap(file, tally, *_MAGIC[magic])
    else:
        raise file.error(f"neither pcap nor pcapng: it begins with {magic.hex(' ')}", 0)


def _read_pcap(file: Bytes, tally: Tally, order: str, divisor: int) -> Iterator[Run]:
    if not file.fill(_HEADER):
        raise file.error("the file header is cut short", 0)
    major, _, _, _, _, link = Struct(order + "HHiIII").unpack_from(file.window, 4)
    if major != 2:
        raise file.error(f"pcap version {major} is not known", 4)
    link &= _LINK_BITS
    file.at = _HEADER
    unpack = Struct(order + "IIII").unpack_from
    while file.fill(RECORD):
        run: Run = []
        file.at = taken(file.window, file.at, unpack, divisor, link, run)
        if run:
            yield run
            continue
        length = unpack(file.window, file.at)[2]
        if length > MAX_FRAME:
            raise file.error(f"a packet of {length} bytes, more than {MAX_FRAME}")
        if not file.fill(RECORD + length):
            break
    if file.fill(1):
        tally.warn(f"{file.name}: byte {file.offset}: the last packet is cut short; what came before it counts")
