"""Messages that are no proper SIP, by the address that they came from: scanners try what a stack makes of nonsense."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec.structs import replace

from guard.model import SECOND, CallAttempt

SPAN: Final = 3_600 * SECOND  # µs for which they are counted, from the first one on
ADDRESSES: Final = 4_096  # counted at once: a flood from made-up addresses only forgets the longest quiet sooner
MOST: Final = 1_000_000  # of one address: beyond, counting on tells nothing new


class Odd:
    """Counts of the last hour at most, bounded."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[int, int]] = (
            OrderedDict()
        )  # address -> (first, how many), the longest quiet first

    def note(self, address: str, now: int) -> None:
        """One more from this address."""
        first, many = self._of.pop(address, (now, 0))
        if now - first >= SPAN:
            first, many = now, 0
        self._of[address] = (first, min(many + 1, MOST))
        if len(self._of) > ADDRESSES:
            self._of.popitem(last=False)

    def of(self, address: str, now: int) -> int:
        """How many came from this address in the hour that is being counted."""
        if not self._of:
            return 0
        first, many = self._of.get(address, (now, 0))
        return many if now - first < SPAN else 0

    def met(self, call: CallAttempt, now: int) -> CallAttempt:
        """The attempt, with what else came from its address."""
        odd = self.of(call.source_address, now)
        return replace(call, odd=odd) if odd else call
