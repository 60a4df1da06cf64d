"""TCP streams: segments in any order, repeated, overlapping or missing, to the SIP messages in them.

Each direction is followed on its own. What the capture does not have is a hole: once the other side has acknowledged
beyond it, or too much waits behind it, reading goes on after it, at the next start line. A capture that begins in
the middle of a connection is read in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guard.capture.start import MAX_START_LINE, is_sip, next_start
from guard.capture.tally import Tally
from guard.sip.framing import KeepAlive, StreamFramer, Unframeable

MAX_DIRECTIONS: Final = 16_384  # remembered; the one silent for longest gives way. Two of them are a connection
MAX_BEHIND_HOLE: Final = 256 * 1024  # bytes that wait behind a hole: a usual receive window
MAX_PIECES: Final = 512  # segments that wait behind a hole
MAX_HELD: Final = 64 * 1024 * 1024  # bytes held for all directions together
MAX_JUMP: Final = 16 * 1024 * 1024  # a sequence number further ahead is another connection, not a hole
HOLE_US: Final = 2_000_000  # how long a hole may be waited for when nobody acknowledges: several retransmissions

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000


class _Cutter:
    """Messages out of the bytes of one direction; finds its place again after a hole or nonsense."""

    __slots__ = ("_framer", "_kept", "_tail", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._framer: StreamFramer | None = None  # None: looking for a start line
        self._tail = b""  # then: the line that may become one
        self._kept: list[bytes] = []  # else: what the framer holds, to look through when it gives up

    @property
    def held(self) -> int:
        """Bytes waiting for the rest of a message."""
        return self._framer.pending if self._framer is not None else len(self._tail)

    def lost_place(self) -> None:
        """A hole: what was begun cannot be ended."""
        self._tally.stream_skipped += self.held
        self._framer, self._tail, self._kept = None, b"", []

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now."""
        if self._framer is None:
            data = self._find(data)
            if not data:
                return []
        framer = self._framer
        if framer is None:  # _find set it
            return []
        if not framer.pending:
            self._kept.clear()
            if data[0] not in b"\r\n" and not self._plausible(data):
                self._framer = None
                return self.feed(data)
        self._kept.append(data)
        try:
            out = framer.feed(data)
        except Unframeable:
            return self._salvage()
        pending = framer.pending
        if pending <= len(data):  # what it holds came just now: all before it is done with
            self._kept = [data[len(data) - pending :]]
        return self._messages(out)

    def _plausible(self, data: bytes) -> bool:
        """Whether a message may begin here, as far as these bytes tell."""
        return is_sip(data) or (len(data) < MAX_START_LINE and b"\n" not in data)

    def _messages(self, out: Sequence[bytes | KeepAlive]) -> list[bytes]:
        messages = []
        for item in out:
            if isinstance(item, bytes):
                if is_sip(item):
                    messages.append(item)
                else:
                    messages += self._within(item)
        return messages

    def _within(self, item: bytes) -> list[bytes]:
        """A framed thing that begins with nonsense: the message behind the nonsense, if there is one."""
        start = next_start(item)
        self._tally.stream_skipped += len(item) if start < 0 else start
        return [] if start < 0 else [item[start:]]

    def _find(self, data: bytes) -> bytes:
        """Look for a start line; what follows from it on, and a new framer, or b"" when there is none yet."""
        data = self._tail + data
        start = next_start(data)
        if start >= 0:
            self._tally.stream_skipped += start
            self._framer, self._tail, self._kept = StreamFramer(), b"", []
            return data[start:]
        line = data.rfind(b"\n") + 1
        if len(data) - line > MAX_START_LINE:
            line = len(data)
        self._tally.stream_skipped += line
        self._tail = data[line:]
        return b""

    def _salvage(self) -> list[bytes]:
        """The framer gave up. Feed what it held to a new one line by line, so that what is whole before the broken
        message comes out, pass over that one up to the next start line, and so on; what is unfinished goes on."""
        data = b"".join(self._kept)
        messages: list[bytes] = []
        framer: StreamFramer | None = None
        kept = at = 0
        for line in data.splitlines(keepends=True):
            at += len(line)
            if framer is None:
                if next_start(line) != 0:
                    continue
                self._tally.stream_skipped += at - len(line) - kept
                framer, kept = StreamFramer(), at - len(line)
            try:
                messages += self._messages(framer.feed(line))
            except Unframeable:
                framer = None
            else:
                kept = at - framer.pending
        rest = data[kept:]
        if framer is None:  # looking for a start line, of which the beginning may be there
            line_start = rest.rfind(b"\n") + 1
            self._tally.stream_skipped += line_start
            rest = rest[line_start:]
        self._framer, self._tail = framer, b"" if framer is not None else rest
        self._kept = [rest] if framer is not None and rest else []
        return messages


class _Direction:
    """One direction of one connection. `ahead` holds what came before its turn, by its distance from `origin`."""

    __slots__ = ("ahead", "ahead_bytes", "conn", "cutter", "hole_since", "next")

    def __init__(self, conn: int, first: int, tally: Tally) -> None:
        self.conn = conn
        self.next = first  # the sequence number that is due
        self.cutter = _Cutter(tally)
        self.ahead: dict[int, bytes] = {}
        self.ahead_bytes = 0
        self.hole_since = 0

    @property
    def held(self) -> int:
        return self.ahead_bytes + self.cutter.held


class Streams:
    """Follows every TCP connection of a capture."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._directions: dict[bytes, _Direction] = {}  # least recently used first
        self._held = 0
        self._conns = 0

    def segment(
        self, key: bytes, back: bytes, seq: int, ack: int, flags: int, data: bytes, now: int
    ) -> tuple[int, list[bytes]]:
        """Take one segment; the number of its connection and the messages that are whole now.

        `key` names this direction and `back` the other one. Messages of the other direction never come out here: an
        acknowledgement only marks its hole as lost, and its next segment is read on from there.
        """
        directions = self._directions
        reverse = directions.get(back)
        if reverse is not None and reverse.ahead and flags & _ACK and _behind(reverse.next, ack):
            reverse.hole_since = now - HOLE_US - 1
        one = directions.pop(key, None)
        if flags & _SYN:
            seq = seq + 1 & _MASK
            if one is None or one.next != seq:
                one = self._fresh(one, reverse, seq, starts=True)
        elif one is None or _far(one.next, seq):
            if not data:
                if one is not None:
                    directions[key] = one
                return 0, []
            one = self._fresh(one, reverse, seq, starts=False)
        directions[key] = one
        held = one.held
        out = self._take(one, seq, data, now) if data or one.ahead else []
        if flags & (_RST | _FIN):
            out += self._over_hole(one) if flags & _RST else []
        self._held += one.held - held
        if len(directions) > MAX_DIRECTIONS or self._held > MAX_HELD:
            self._make_room()
        return one.conn, out

    def _fresh(self, old: _Direction | None, reverse: _Direction | None, first: int, *, starts: bool) -> _Direction:
        """A direction seen for the first time, or taken into use again."""
        if old is not None:
            self._held -= old.held
            old.cutter.lost_place()
        if reverse is None or (old is not None and old.conn == reverse.conn):
            self._conns += 1
            self._tally.streams += 1
            conn = self._conns
        else:
            conn = reverse.conn
        return _Direction(conn, first, self._tally)

    def _take(self, one: _Direction, seq: int, data: bytes, now: int) -> list[bytes]:
        out: list[bytes] = []
        early = seq - one.next & _MASK
        if early >= _HALF:  # it begins with what was read before
            data = data[_MASK + 1 - early :]
            early = 0
        if data and early:
            self._keep(one, seq, data, now)
        elif data:
            out += one.cutter.feed(data)
            one.next = one.next + len(data) & _MASK
        if one.ahead:
            out += self._close_up(one)
            if one.ahead and self._lost(one, now):
                out += self._over_hole(one)
        return out

    def _keep(self, one: _Direction, seq: int, data: bytes, now: int) -> None:
        """Set aside a segment that came before its turn; of two at one place the longer one."""
        if not one.ahead:
            one.hole_since = now
        known = one.ahead.get(seq, b"")
        if len(data) > len(known):
            one.ahead[seq] = data
            one.ahead_bytes += len(data) - len(known)

    def _close_up(self, one: _Direction) -> list[bytes]:
        """Read on with what was set aside, as far as there is no hole."""
        out: list[bytes] = []
        for seq in sorted(one.ahead, key=lambda s: s - one.next + _HALF & _MASK):
            if seq - one.next & _MASK and not seq - one.next & _HALF:
                break
            data = one.ahead.pop(seq)
            one.ahead_bytes -= len(data)
            data = data[one.next - seq & _MASK :]
            if data:
                out += one.cutter.feed(data)
                one.next = one.next + len(data) & _MASK
        return out

    def _lost(self, one: _Direction, now: int) -> bool:
        return one.ahead_bytes > MAX_BEHIND_HOLE or len(one.ahead) > MAX_PIECES or now - one.hole_since > HOLE_US

    def _over_hole(self, one: _Direction) -> list[bytes]:
        """Give up what is missing and read on after it, hole after hole, until nothing waits."""
        out: list[bytes] = []
        while one.ahead:
            self._tally.stream_gaps += 1
            one.cutter.lost_place()
            one.next = min(one.ahead, key=lambda s: s - one.next & _MASK)
            out += self._close_up(one)
        return out

    def _make_room(self) -> None:
        """Forget the directions that were silent for longest."""
        directions = self._directions
        while directions and (len(directions) > MAX_DIRECTIONS or self._held > MAX_HELD):
            key = next(iter(directions))
            one = directions.pop(key)
            if one.held:
                self._tally.streams_lost += 1
            self._held -= one.held

    def finish(self) -> list[tuple[bytes, int, list[bytes]]]:
        """Nothing more comes: (direction, connection, messages) of what waits behind holes."""
        out = []
        for key, one in self._directions.items():
            messages = self._over_hole(one)
            if messages:
                out.append((key, one.conn, messages))
            one.cutter.lost_place()
        self._directions.clear()
        self._held = 0
        return out


def _behind(due: int, ack: int) -> bool:
    """Whether the other side has what is due here: it acknowledged beyond it."""
    return 0 < (ack - due & _MASK) < _HALF


def _far(due: int, seq: int) -> bool:
    """Whether a sequence number is too far from the one that is due to belong to the same connection."""
    ahead = seq - due & _MASK
    return MAX_JUMP < ahead < _MASK + 1 - MAX_JUMP
