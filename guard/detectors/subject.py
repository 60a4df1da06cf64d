"""What is kept of one line, presented number or premium service: its last calls one by one, what its calls cost on each
of thirty days, and the calls that are usual at each hour of the week.

A subject that is at work is an object; one that rests is packed into octets, so that a million fit in memory. Both hold
the same octets in parts, so that who calls is woken by slices.
"""

from __future__ import annotations

from array import array
from struct import Struct as Layout
from typing import Final
from zlib import crc32

from mypy_extensions import mypyc_attr

from guard.detectors.origins import WIDTH, Origins
from guard.detectors.recent import NEAR, PRICE, ROW, SECOND_WIDTH, Past, Recent
from guard.detectors.usual import CELLS, Usual, unpacked
from guard.detectors.words import BACKS, DAY

DAYS: Final = 30
MOST: Final = 65_535  # of a day's cents, of a run, and of what a call costs: beyond, counting on tells nothing new
MOST_CALLS: Final = (1 << 32) - 1  # of a subject: what its octets hold
NEXT: Final = 100  # numbers this near are neighbours: a block of a hundred, the way ranges are sold

INSTANT: Final = 8  # octets of one
GRAIN: Final = 64  # octets: packed subjects grow by so much, so that memory that one gives up fits another

# What octets begin with: first, last, callee, calls; the hour that is counted and the calls in it; run; how many calls,
# their set-ups, call-backs, calls received and origins there are; which of these there are as well.
_HEAD: Final = Layout("<QQQIIHHBBBBBB")
HEAD: Final = 42  # octets
USUAL, PRICED, SPENT = 1, 2, 4  # the usual hours; prices of calls; cents of days
_DAY: Final = Layout("<I")


def mark(text: str) -> int:
    """A short stand-in for an address, an agent or a number that need only be told from others."""
    return crc32(text.encode("utf-8", "replace"))


@mypyc_attr(acyclic=True)
class Subject:
    """One line, presented number or premium service.

    `spent` holds cents of thirty days, up to day `today` of Unix time, each at its number modulo thirty; nothing where
    nothing ever cost any. `run` is how many of the last calls went to ever higher numbers, `callee` the number called
    last.
    """

    __slots__ = (
        "backs",
        "callee",
        "calls",
        "first",
        "last",
        "origins",
        "received",
        "recent",
        "run",
        "spent",
        "today",
        "usual",
    )

    def __init__(
        self, at: int, recent: Recent | None = None, usual: Usual | None = None, origins: Origins | None = None
    ) -> None:
        self.first = at
        self.last = at
        self.calls = 0
        self.callee = 0
        self.run = 0
        self.recent = Recent() if recent is None else recent
        self.today = 0
        self.spent: array[int] | None = None
        self.backs: tuple[int, ...] = ()
        self.received: tuple[int, ...] = ()
        self.origins = Origins() if origins is None else origins
        self.usual = Usual() if usual is None else usual

    def called(self, past: Past) -> None:
        """One more call."""
        step = past.callee - self.callee
        near = 0 < step <= NEXT or -NEXT <= step < 0
        self.run = self.run + 1 if step > 0 else 1
        self.callee = past.callee
        self.recent.add(past, past.marks | NEAR if near else past.marks)
        self.calls += 1
        self.last = past.at

    def called_back(self, at: int) -> None:
        """Somebody called back whom it had rung for a moment."""
        self.backs = (*self.backs[1 - BACKS :], at)

    def got(self, at: int) -> None:
        """A call came in."""
        self.received = (*self.received[1 - BACKS :], at)

    def cost(self, at: int, cents: int) -> None:
        """Add to the cents of the day of `at`."""
        spent = self.spent
        if spent is None:
            spent = self.spent = array("H", bytes(2 * DAYS))
        self._pass(at // DAY)
        place = self.today % DAYS
        spent[place] = min(spent[place] + cents, MOST)

    def _pass(self, day: int) -> None:
        """Days up to this one have come: those of thirty days before make room."""
        spent = self.spent
        if spent is not None and day > self.today:
            for gone in range(max(self.today + 1, day - DAYS + 1), day + 1):
                spent[gone % DAYS] = 0
            self.today = day

    def dearest(self, at: int) -> int:
        """Cents of the dearest day of the last thirty, the day of `at` left out."""
        spent, day, most = self.spent, at // DAY, 0
        if spent is not None:
            for other in range(max(self.today, day) - DAYS + 1, min(self.today + 1, day)):
                most = max(most, spent[other % DAYS])
        return most

    def new_origins(self, at: int) -> int:
        """How many of its origins were never seen before the last day."""
        return self.origins.new(at, self.first)

    def forgive(self) -> None:
        """A person says that all is well: what it did counts no more, and what it showed is its own."""
        self.recent.clear()
        self.backs = ()
        self.run = self.usual.count = 0
        self.origins.forgive()

    def packed(self) -> bytes:
        """A resting subject. Calls, calls back and calls received from more than a day before its last call are left
        out: no pattern looks at them."""
        since = self.last - DAY
        recent, usual = self.recent, self.usual
        recent.rest(since)
        self._pass(self.last // DAY)
        instants: list[int] = []
        backs = received = 0
        if self.backs or self.received:
            instants = [at for at in self.backs if at >= since]
            backs = len(instants)
            instants += [at for at in self.received if at >= since]
            received = len(instants) - backs
        cells, prices, spent = usual.packed(), recent.prices, self.spent
        if spent is not None and not any(spent):
            spent = None
        holds = (USUAL if cells else 0) | (PRICED if prices else 0) | (SPENT if spent is not None else 0)
        head = _HEAD.pack(
            self.first, self.last, self.callee, min(self.calls, MOST_CALLS), usual.hour, usual.counted,
            min(self.run, MOST), len(recent), len(recent.set_ups), backs, received, len(self.origins), holds,
        )  # fmt: skip
        parts = [head, recent.rows, recent.set_ups.tobytes(), self.origins.packed(), cells, prices]
        if instants:
            parts.append(array("Q", instants).tobytes())
        if spent is not None:
            parts += [_DAY.pack(self.today), spent.tobytes()]
        data = b"".join(parts)
        return data.ljust(-(-len(data) // GRAIN) * GRAIN, b"\0")


def unpack(data: bytes) -> Subject:
    """The subject again that `Subject.packed` made these octets of."""
    (
        first, last, callee, calls, hour, counted, run, pasts, set_ups, backs, received, origins, holds,
    ) = _HEAD.unpack_from(data)  # fmt: skip
    rows = HEAD + pasts * ROW
    marks = rows + set_ups * SECOND_WIDTH
    hours = marks + origins * WIDTH
    place = hours + origins * WIDTH
    cells = b""
    if holds & USUAL:
        cells = data[place : place + CELLS]
        place += CELLS
    prices = b""
    if holds & PRICED:
        prices = data[place : place + pasts * PRICE]
        place += pasts * PRICE
    found = Subject(
        first,
        Recent(data[HEAD:rows], prices, data[rows:marks]),
        unpacked(cells, hour, counted),
        Origins(data[marks:hours], data[hours : hours + origins * WIDTH]),
    )
    found.last, found.callee, found.calls, found.run = last, callee, calls, run
    if backs or received:
        end = place + (backs + received) * INSTANT
        instants = tuple(array("Q", data[place:end]))
        found.backs, found.received = instants[:backs], instants[backs:]
        place = end
    if holds & SPENT:
        found.today = _DAY.unpack_from(data, place)[0]
        place += _DAY.size
        found.spent = array("H", data[place : place + 2 * DAYS])
    return found
