"""Requests too long for a datagram on its way go over TCP to a hop that is reached over UDP (RFC 3261 18.1.1).

Beyond 1300 octets a datagram is cut into fragments on most ways, and firewalls and NATs lose those. Where the hop takes
no TCP after all the same request goes over UDP, as it would have, and for some minutes none is tried again. Only this
one request goes another way: Record-Route and Contacts stay those of UDP.
"""

from __future__ import annotations

from typing import Final, Literal

from guard.proxy.effects import Flow
from guard.proxy.health import Health
from guard.proxy.routing import Here

LARGE: Final = 1_300  # octets, where the MTU of the way is not known (RFC 3261 18.1.1)
LONGEST_UDP: Final = 65_507 - 2_048  # octets of a request that still fits a datagram with what we add (RFC 768, IPv4)
SMALL_TIME: Final = 600_000_000  # µs for which a hop that refused TCP is not asked again
Way = Literal["auto", "tcp", "udp"]


class Large:
    """Tells which way a long request takes."""

    def __init__(self, here: Here, health: Health) -> None:
        self._here = here
        self._health = health

    def instead(self, flow: Flow, now: int, *, sure: bool = False) -> Flow | None:
        """The flow over TCP for what is too long for `flow`, None where there is none. Where its trunk says `auto`, and
        with `sure`, only to a host that is listed as reached over TCP as well."""
        state = self._health.get((flow.transport, *flow.peer))
        if flow.transport != "udp" or state is None or state.trunk.large == "udp" or state.small_until > now:
            return None
        host, port = flow.peer
        if not self._here.listens("tcp", host):
            return None  # nobody could answer (18.1.1: be prepared to receive)
        listed = next((h for h in state.trunk.hops if h.transport == "tcp" and h.host == host), None)
        if listed is None and (sure or state.trunk.large == "auto"):
            return None
        return self._here.flow_to("tcp", host, listed.port if listed is not None else port)

    def refused(self, flow: Flow, now: int) -> None:
        """The hop of `flow` takes no TCP."""
        state = self._health.get((flow.transport, *flow.peer))
        if state is not None:
            state.small_until = now + SMALL_TIME
