"""IP: from a packet to the UDP or TCP segment in it, through options, extension headers, fragments and tunnels."""

from __future__ import annotations

from struct import Struct
from typing import Final

from guard.capture.tally import Tally

UDP: Final = 17
TCP: Final = 6
MAX_NESTING: Final = 4  # tunnels in tunnels: one is usual, and each costs a turn
MAX_EXTENSIONS: Final = 16  # IPv6 extension headers of one packet; RFC 8200 knows seven
MAX_REASSEMBLIES: Final = 1024  # datagrams under reassembly at a time; the oldest gives way
MAX_PIECES: Final = 256  # fragments of one datagram: 64 KiB in the smallest usual packets (576 bytes) are 120
MAX_DATAGRAM: Final = 65_535
REASSEMBLY_US: Final = 30_000_000  # how long a datagram waits for its fragments: RFC 791 and Linux say 30 s

_USUAL: Final = 0x45  # version 4, a header of five words: without options
_UDP_DATA: Final = 28  # bytes of such a header and UDP's
_IN_IPV4, _IN_IPV6, _ROUTING, _FRAGMENT, _AUTH, _OPTIONS = 4, 41, 43, 44, 51, 60
_SKIPPED: Final = {0, _ROUTING, _OPTIONS, 135, 139, 140}  # extension headers of the common form (RFC 6564)

_shorts = Struct("!HHH").unpack_from
_short = Struct("!H").unpack_from
_long = Struct("!I").unpack_from

Segment = tuple[int, bytes, bytes, int, int, bool]
"""(protocol, both addresses (8 or 32 bytes), buffer, start and end of the segment in it, whether it was cut short)."""


def whole_udp(data: bytes, at: int) -> int:
    """The length of the UDP datagram, its header with it, in the usual packet at `at`: IPv4 without options, neither in
    fragments nor cut. 0 of any other, which `Network.segment` looks at."""
    if len(data) < at + _UDP_DATA or data[at] != _USUAL or data[at + 9] != UDP:
        return 0
    if data[at + 6] & 0x3F or data[at + 7]:  # more fragments, or an offset
        return 0
    total, length = data[at + 2] << 8 | data[at + 3], data[at + 24] << 8 | data[at + 25]
    return length if at + total <= len(data) and 8 <= length <= total - 20 else 0


class _Reassembly:
    """The fragments of one datagram: where each begins, and how long it all is once the last is there."""

    __slots__ = ("cut", "length", "pieces", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self.pieces: dict[int, bytes] = {}
        self.length = -1
        self.cut = False

    def fits(self, offset: int, data: bytes) -> bool:
        """Whether this fragment overlaps no other. Overlapping ones are used to evade (RFC 5722, RFC 8200 4.5)."""
        end = offset + len(data)
        return not any(start < end and offset < start + len(other) for start, other in self.pieces.items())

    def whole(self) -> bytes | None:
        """The datagram, once all of it is there."""
        if self.length < 0 or sum(map(len, self.pieces.values())) != self.length:
            return None
        last = max(self.pieces)
        if last + len(self.pieces[last]) != self.length:
            return None  # a piece beyond the last one: no datagram that could be
        return b"".join(self.pieces[start] for start in sorted(self.pieces))


class Network:
    """Takes IP packets, gives transport segments. Holds fragments, within the limits above."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._waiting: dict[tuple[bytes, int, int], _Reassembly] = {}

    def segment(self, data: bytes, at: int, now: int, *, cut: bool) -> Segment | None:
        """The transport segment of the packet at `at`, None where there is none (yet)."""
        tally = self._tally
        for _ in range(MAX_NESTING):
            if at >= len(data):
                break
            found = self._ipv4(data, at, now, cut) if data[at] >> 4 == 4 else self._ipv6(data, at, now, cut)
            if found is None:
                return None
            protocol, _, data, at, end, cut = found
            if protocol in (UDP, TCP):
                return found
            if protocol not in {_IN_IPV4, _IN_IPV6}:
                tally.other_transport += 1
                return None
            data, at = data[at:end], 0
            if not data or data[0] >> 4 not in {4, 6}:
                break
        tally.malformed += 1
        return None

    def _ipv4(self, data: bytes, at: int, now: int, cut: bool) -> Segment | None:
        if len(data) - at < 20:
            return self._malformed()
        head = (data[at] & 15) * 4
        total, ident, flags = _shorts(data, at + 2)
        end = at + total if total else len(data)  # 0: the network card was to fill it in (segmentation offload)
        if head < 20 or at + head > end:
            return self._malformed()
        if end > len(data):
            end, cut = len(data), True
            if at + head > end:
                return self._malformed()
        protocol, addresses = data[at + 9], data[at + 12 : at + 20]
        if flags & 0x3FFF:  # more fragments, or an offset
            key = (addresses, protocol, ident)
            return self._fragment(key, data[at + head : end], (flags & 0x1FFF) * 8, bool(flags & 0x2000), now, cut)
        return protocol, addresses, data, at + head, end, cut

    def _ipv6(self, data: bytes, at: int, now: int, cut: bool) -> Segment | None:
        if len(data) - at < 40 or data[at] >> 4 != 6:
            return self._malformed()
        length = _short(data, at + 4)[0]
        end = at + 40 + length if length else len(data)
        if end > len(data):
            end, cut = len(data), True
        return self._extensions(data, data[at + 6], data[at + 8 : at + 40], at + 40, end, now, cut)

    def _extensions(
        self, data: bytes, protocol: int, addresses: bytes, at: int, end: int, now: int, cut: bool
    ) -> Segment | None:
        """Pass over extension headers (RFC 8200 4); a fragment goes into its datagram."""
        for _ in range(MAX_EXTENSIONS):
            if protocol in _SKIPPED:
                size = (data[at + 1] + 1) * 8 if at + 8 <= end else 0
            elif protocol == _AUTH:
                size = (data[at + 1] + 2) * 4 if at + 8 <= end else 0
            elif protocol == _FRAGMENT:
                if at + 8 > end:
                    break
                offset, ident = _short(data, at + 2)[0], _long(data, at + 4)[0]
                if not offset & 0xFFF9:  # an atomic fragment (RFC 6946): all of it is here
                    protocol, at = data[at], at + 8
                    continue
                key = (addresses, data[at], ident)
                return self._fragment(key, data[at + 8 : end], offset & 0xFFF8, bool(offset & 1), now, cut)
            else:
                return protocol, addresses, data, at, end, cut
            if not size or at + size > end:
                break
            protocol, at = data[at], at + size
        return self._malformed()

    def _fragment(
        self, key: tuple[bytes, int, int], data: bytes, offset: int, more: bool, now: int, cut: bool
    ) -> Segment | None:
        tally = self._tally
        tally.fragments += 1
        waiting = self._waiting
        under_way = waiting.get(key)
        if under_way is not None and now - under_way.since > REASSEMBLY_US:
            self._give_up(key)
            under_way = None
        if under_way is None:
            self._make_room(now)
            under_way = waiting[key] = _Reassembly(now)
        end = offset + len(data)
        if under_way.pieces.get(offset) == data:
            return None  # the same one again
        if end > MAX_DATAGRAM or len(under_way.pieces) >= MAX_PIECES or not under_way.fits(offset, data):
            under_way.pieces[-1] = data
            self._give_up(key)
            return None
        under_way.pieces[offset] = data
        under_way.cut |= cut
        if not more:
            under_way.length = end
        whole = under_way.whole()
        if whole is None:
            return None
        del waiting[key]
        addresses, protocol, _ = key
        if len(addresses) == 32:
            return self._extensions(whole, protocol, addresses, 0, len(whole), now, under_way.cut)
        return protocol, addresses, whole, 0, len(whole), under_way.cut

    def _make_room(self, now: int) -> None:
        """Give up what waited too long, and the oldest when there are too many. The dict is in order of age."""
        waiting = self._waiting
        while waiting:
            key = next(iter(waiting))
            if len(waiting) < MAX_REASSEMBLIES and now - waiting[key].since <= REASSEMBLY_US:
                return
            self._give_up(key)

    def _give_up(self, key: tuple[bytes, int, int]) -> None:
        self._tally.fragments_lost += len(self._waiting.pop(key).pieces)

    def _malformed(self) -> Segment | None:
        self._tally.malformed += 1
        return None

    def finish(self) -> None:
        """Nothing more comes: what still waits is lost."""
        for key in list(self._waiting):
            self._give_up(key)
