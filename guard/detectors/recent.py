"""The last calls of a subject, one by one.

They are octets, at work as at rest, so that a subject is woken by a few slices whatever it did before: of a million
that call in turn, each is woken by its every call. A clause that really looks takes the column that it needs.
"""

from __future__ import annotations

from array import array
from bisect import insort
from struct import Struct as Layout
from typing import Final

from mypy_extensions import mypyc_attr

from guard.detectors.words import RECENT

OPEN, ANSWERED, CANCELLED, FAILED = range(4)
SVA, DEAR, STEP, REFUSED, CLOSED, SHORT, HYPER, NEAR = (1 << n for n in range(8))  # bits of `Past.marks`

_ROW: Final = Layout("<QQHBB")  # at, callee, caller, marks, outcome
_CALL: Final = Layout("<QQ")  # of it, what tells a call from others
_PRICE: Final = Layout("<HHH")  # cents, fee, talk. A line that calls nothing dear, as most, keeps none
ROW: Final = 20  # octets
PRICE: Final = 6
SECOND_WIDTH: Final = 4  # of one of `set_ups`
SECOND: Final = 1_000_000  # µs: that of guard.model, which is not compiled, is looked up anew each time
_CALLER, _MARKS, _OUTCOME = 16, 18, 19  # where they stand in a row
# One column of so many rows: instants, numbers called, callers.
_INSTANTS: Final = tuple([Layout("<" + n * "Q12x") for n in range(RECENT + 1)])
_CALLEES: Final = tuple([Layout("<" + n * "8xQ4x") for n in range(RECENT + 1)])
_CALLERS: Final = tuple([Layout("<" + n * "16xH2x") for n in range(RECENT + 1)])
LATEST: Final = (1 << 32) - 1  # second of Unix time, of those that `set_ups` tells apart


@mypyc_attr(acyclic=True)
class Past:
    """One call. `callee` is the number called as an integer, `caller` 16 bits of the presented one; `talk` in seconds,
    rounded up, of a call that costs; `cents` a minute, `fee` cents a call."""

    __slots__ = ("at", "callee", "caller", "cents", "fee", "marks", "outcome", "talk")

    def __init__(
        self, at: int, callee: int, caller: int, marks: int, outcome: int, cents: int = 0, fee: int = 0, talk: int = 0
    ) -> None:
        self.at = at
        self.callee = callee
        self.caller = caller
        self.marks = marks
        self.outcome = outcome
        self.cents = cents
        self.fee = fee
        self.talk = talk

    def cost(self, now: int) -> int:
        """Cents, a minute at least, and up to now while it is up; by the minute or by the call, whichever is more: no
        number bills both. One that did not come about costs nothing."""
        if not (self.cents or self.fee) or self.outcome > ANSWERED:
            return 0
        seconds = (now - self.at) // 1_000_000 if self.outcome == OPEN else self.talk
        return max(self.cents * max(-(-seconds // 60), 1), self.fee)


@mypyc_attr(acyclic=True)
class Recent:
    """The last `RECENT` calls in the order in which they were last heard of, set up or over: however many are up, the
    last ends are there.

    `rows` holds one after another, `prices` what each costs, or nothing where all are free. `set_ups` is when the last
    ones were set up, in order, in seconds of Unix time: of these calls, and of others that are forgotten.
    """

    __slots__ = ("prices", "rows", "set_ups")

    def __init__(self, rows: bytes = b"", prices: bytes = b"", set_ups: bytes = b"") -> None:
        self.rows = rows
        self.prices = prices
        self.set_ups = array("I", set_ups)

    def __len__(self) -> int:
        return len(self.rows) // ROW

    def add(self, past: Past, marks: int) -> None:
        """One more call, with these marks instead of its own."""
        self.set_ups.append(_second(past.at))
        if len(self.set_ups) > RECENT:
            self.set_ups.pop(0)
        self._append(past, marks)

    def over(self, call: Past, marks: int) -> None:
        """This call, which is over and left these marks, is now the last one heard of: also where so many were set up
        since that it was forgotten. Its outcome and its talk are those of `call`."""
        place = self._up(call)
        if place < 0:
            insort(self.set_ups, _second(call.at))
            if len(self.set_ups) > RECENT:
                self.set_ups.pop(0)
            marks |= call.marks
        else:
            marks |= self.rows[place + _MARKS]
            self._cut(place)
        self._append(call, marks)

    def drop(self, call: Past) -> bool:
        """Forget this call, which is up. Whether it was known."""
        place = self._up(call)
        if place >= 0:
            self._cut(place)
        return place >= 0

    def clear(self) -> None:
        """Forget all."""
        self.rows = self.prices = b""

    def _up(self, call: Past) -> int:
        """Where the row of this call begins, the last one of them that is up: another may have begun with it. -1 where
        there is none."""
        wanted, rows = _CALL.pack(call.at, call.callee), self.rows
        place = rows.rfind(wanted)
        while place >= 0 and (place % ROW or rows[place + _OUTCOME] != OPEN):
            place = rows.rfind(wanted, 0, place + len(wanted) - 1)
        return place

    def _cut(self, place: int) -> None:
        self.rows = self.rows[:place] + self.rows[place + ROW :]
        if self.prices:
            price = place // ROW * PRICE
            self.prices = self.prices[:price] + self.prices[price + PRICE :]

    def _append(self, past: Past, marks: int) -> None:
        rows, prices = self.rows, self.prices
        if len(rows) >= RECENT * ROW:
            rows, prices = rows[ROW:], prices[PRICE:]
        if prices or past.cents or past.fee:
            talk = past.talk if past.cents or past.fee else 0
            self.prices = (prices or bytes(len(rows) // ROW * PRICE)) + _PRICE.pack(past.cents, past.fee, talk)
        self.rows = rows + _ROW.pack(past.at, past.callee, past.caller, marks, past.outcome)

    def rest(self, since: int) -> None:
        """Leave out the calls from before an instant that are the next to be pushed out. One that took its place later
        keeps it, lest a rest make room for others."""
        rows, gone = self.rows, 0
        while gone < len(rows) and _CALL.unpack_from(rows, gone)[0] < since:
            gone += ROW
        if gone:
            self.rows, self.prices = rows[gone:], self.prices[gone // ROW * PRICE :]
            while self.set_ups and not self.had(len(self.set_ups), since // SECOND):
                self.set_ups.pop(0)
        if self.prices and not any(self.prices):
            self.prices = b""

    # ---- what clauses look at --------------------------------------------------------------------------------------

    def had(self, calls: int, since: int) -> bool:
        """Whether it may have so many calls that were set up since a second of Unix time. Nearly always it has not, and
        that is found without a look at any of them."""
        if len(self.set_ups) < calls:
            return False
        second: int = self.set_ups[-calls]
        return second >= since or second == LATEST

    def instants(self) -> tuple[int, ...]:
        """When each was set up, µs of Unix time."""
        return _INSTANTS[len(self.rows) // ROW].unpack(self.rows)

    def callees(self) -> tuple[int, ...]:
        """The number that each called."""
        return _CALLEES[len(self.rows) // ROW].unpack(self.rows)

    def callers(self) -> tuple[int, ...]:
        """The number that each presented."""
        return _CALLERS[len(self.rows) // ROW].unpack(self.rows)

    def one_caller(self) -> bool:
        """Whether all presented the same number."""
        low, high = self.rows[_CALLER::ROW], self.rows[_CALLER + 1 :: ROW]
        return low.count(low[:1]) == len(low) and high.count(high[:1]) == len(high)

    def marks(self) -> bytes:
        """The marks of each."""
        return self.rows[_MARKS::ROW]

    def outcomes(self) -> bytes:
        """The outcome of each."""
        return self.rows[_OUTCOME::ROW]

    def cost(self, which: list[int], now: int) -> int:
        """Cents of these of them, up to now."""
        return sum([self.call(n).cost(now) for n in which]) if self.prices else 0

    def call(self, n: int) -> Past:
        """One of them."""
        at, callee, caller, marks, outcome = _ROW.unpack_from(self.rows, n * ROW)
        if not self.prices:
            return Past(at, callee, caller, marks, outcome)
        cents, fee, talk = _PRICE.unpack_from(self.prices, n * PRICE)
        return Past(at, callee, caller, marks, outcome, cents, fee, talk)

    def all(self) -> list[Past]:
        """All of them."""
        return [self.call(n) for n in range(len(self))]


def _second(at: int) -> int:
    """The second of an instant, within what `set_ups` holds."""
    return min(max(at // SECOND, 0), LATEST)
