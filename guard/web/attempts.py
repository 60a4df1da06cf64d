"""How often an address may be wrong about a token."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from guard.model import SECOND

WRONG: Final = 10  # in PERIOD: a person who pastes the wrong line, not a machine that tries
PERIOD: Final = 60 * SECOND  # µs
MOST: Final = 4_096  # addresses that are remembered: beyond, the one that was wrong longest ago goes


class Attempts:
    """Wrong tokens by address; of IPv6 by network, of which one host has as many addresses as it likes."""

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[int, int]] = {}  # the start of a period, how many within

    def wait(self, address: str, now: int) -> int:
        """How many seconds an address has to wait; 0 for none."""
        began, count = self._wrong.get(_of(address), (0, 0))
        left = began + PERIOD - now
        return -(-left // SECOND) if count >= WRONG and left > 0 else 0

    def wrong(self, address: str, now: int) -> None:
        """It was wrong."""
        key = _of(address)
        began, count = self._wrong.pop(key, (now, 0))
        if now - began >= PERIOD:
            began, count = now, 0
        if len(self._wrong) >= MOST:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[key] = began, count + 1

    def __len__(self) -> int:
        return len(self._wrong)


def _of(address: str) -> str:
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(IPv6Network((int(ip) >> 64 << 64, 64)))
