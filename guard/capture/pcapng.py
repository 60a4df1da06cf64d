"""Frames out of pcapng files (draft-ietf-opsawg-pcapng): sections, interfaces, enhanced, simple and old packets."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

from guard.capture.files import Bytes
from guard.capture.tally import Tally

SECTION: Final = b"\x0a\x0d\x0d\x0a"  # the same in both byte orders
MAX_BLOCK: Final = 16 * 1024 * 1024  # bytes of a block that is read: libpcap's own limit; others are passed over
MAX_INTERFACES: Final = 65_536  # of one section: an interface takes 20 bytes of file and more of memory
LAST_INSTANT: Final = 253_402_300_799_000_000  # µs: the last second of year 9999, which a calendar can still write
_INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED = 1, 2, 3, 6
_OPT_TSRESOL, _OPT_TSOFFSET = 9, 14

Frame = tuple[int, int, bytes, bool]


class _Interface:
    """One interface of a section: link type, snapshot length, and how its clock becomes µs."""

    __slots__ = ("divide", "link", "multiply", "offset", "snap")

    def __init__(self, link: int, snap: int) -> None:
        self.link = link
        self.snap = snap
        self.multiply = self.divide = 1
        self.offset = 0  # µs

    def resolution(self, value: int) -> None:
        """if_tsresol: a negative power of 10, or of 2 with the highest bit set."""
        self.multiply, self.divide = 1_000_000, (2 if value & 0x80 else 10) ** (value & 0x7F)
        if self.divide <= self.multiply and not self.multiply % self.divide:
            self.multiply, self.divide = self.multiply // self.divide, 1

    def micros(self, ticks: int) -> int:
        return ticks * self.multiply // self.divide + self.offset


class _Section:
    """The byte order and the interfaces of the section that is being read."""

    __slots__ = ("head", "interfaces", "order", "packet", "quad")

    def __init__(self, order: str) -> None:
        self.order = order
        self.interfaces: list[_Interface] = []
        self.head = Struct(order + "II").unpack_from
        self.quad = Struct(order + "I").unpack_from
        self.packet = Struct(order + "IIIII").unpack_from


def read_pcapng(file: Bytes, tally: Tally) -> Iterator[Frame]:
    """Every frame, by the file's order. The file stands at its first block, which is a section's header."""
    section = _section(file)
    last = 0  # a simple packet has no time of its own
    while file.fill(8):
        window, at = file.window, file.at
        kind, length = section.head(window, at)
        if window[at : at + 4] == SECTION:
            section = _section(file)
            kind, length = section.head(file.window, file.at)
        if length < 12 or length & 3:
            raise file.error(f"a block of {length} bytes")
        if kind not in {_INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED}:
            if not _pass_over(file, section, length, tally):
                return
            continue
        if length > MAX_BLOCK:
            raise file.error(f"a block of {length} bytes, more than {MAX_BLOCK}")
        if not file.fill(length):
            break
        window, at = file.window, file.at
        if section.quad(window, at + length - 4)[0] != length:
            raise file.error("the two lengths of a block disagree")
        if kind == _INTERFACE:
            _interface(file, section, length)
        else:
            instant, link, start, size, original = _packet(file, section, kind, length)
            if instant is None or not 0 <= instant <= LAST_INSTANT:
                tally.untimed += 1
            else:
                last = instant
            yield last, link, window[start : start + size], original > size
        file.at = at + length
    if file.fill(1):
        _cut_short(file, file.offset, tally)


def _pass_over(file: Bytes, section: _Section, length: int, tally: Tally) -> bool:
    """Skip a block of a kind that is not read, however long; False when the file ends in it."""
    start = file.offset
    if file.skip(length - 4) and file.fill(4):
        if section.quad(file.window, file.at)[0] != length:
            raise file.error("the two lengths of a block disagree", start)
        file.at += 4
        return True
    _cut_short(file, start, tally)
    return False


def _cut_short(file: Bytes, offset: int, tally: Tally) -> None:
    tally.warn(f"{file.name}: byte {offset}: the last block is cut short; what came before it counts")


def _section(file: Bytes) -> _Section:
    """The section whose header stands at the file's place; it is checked and not taken."""
    if not file.fill(12):
        raise file.error("the section header is cut short")
    magic = file.window[file.at + 8 : file.at + 12]
    if magic == b"\x4d\x3c\x2b\x1a":
        section = _Section("<")
    elif magic == b"\x1a\x2b\x3c\x4d":
        section = _Section(">")
    else:
        raise file.error(f"a section header whose byte order is {magic.hex(' ')}")
    length = section.quad(file.window, file.at + 4)[0]
    if not 28 <= length <= MAX_BLOCK or not file.fill(16):
        raise file.error(f"a section header of {length} bytes")
    (major,) = Struct(section.order + "H").unpack_from(file.window, file.at + 12)
    if major != 1:
        raise file.error(f"pcapng version {major} is not known")
    return section


def _interface(file: Bytes, section: _Section, length: int) -> None:
    if length < 20:
        raise file.error("an interface block that is too short")
    if len(section.interfaces) >= MAX_INTERFACES:
        raise file.error(f"more than {MAX_INTERFACES} interfaces")
    window, at = file.window, file.at
    link, _, snap = Struct(section.order + "HHI").unpack_from(window, at + 8)
    interface = _Interface(link, snap)
    option = Struct(section.order + "HH").unpack_from
    place, end = at + 16, at + length - 4
    while place + 4 <= end:
        code, size = option(window, place)
        place += 4
        if not code or place + size > end:
            break
        if code == _OPT_TSRESOL and size == 1:
            interface.resolution(window[place])
        elif code == _OPT_TSOFFSET and size == 8:
            interface.offset = Struct(section.order + "q").unpack_from(window, place)[0] * 1_000_000
        place += size + (-size & 3)
    section.interfaces.append(interface)


def _packet(file: Bytes, section: _Section, kind: int, length: int) -> tuple[int | None, int, int, int, int]:
    """(instant or None, link type, start in the window, bytes captured, bytes on the wire) of one packet block."""
    window, at = file.window, file.at
    if length < (16 if kind == _SIMPLE else 32):
        raise file.error("a packet block that is too short")
    if kind == _SIMPLE:
        number, original, start = 0, section.quad(window, at + 8)[0], at + 12
    else:
        number, high, low, size, original = section.packet(window, at + 8)
        start = at + 28
        if kind == _OLD_PACKET:  # 16 bits of interface, 16 of drop count
            number = Struct(section.order + "H").unpack_from(window, at + 8)[0]
    if number >= len(section.interfaces):
        raise file.error(f"a packet of interface {number}, which was not described")
    interface = section.interfaces[number]
    if kind == _SIMPLE:
        size = min(original, interface.snap or original, at + length - 4 - start)
        return None, interface.link, start, size, original
    if start + size > at + length - 4:
        raise file.error(f"a packet of {size} bytes in a block of {length}")
    return interface.micros(high << 32 | low), interface.link, start, size, original
