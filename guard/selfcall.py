"""The guard calls itself: a made-up INVITE is read and decided as any other, on the loop that carries calls.

Nothing of it leaves the guard, is recorded, counted, taken or learned: it is asked about, as `guard decide` asks. It
proves that a call that comes now would be decided: that the loop turns, and that parser, sources, rules, detection and
counters answer.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

from guard.model import CallAttempt, Decision
from guard.proxy.effects import Flow
from guard.proxy.routing import host_text
from guard.sources import Source

CALLED: Final = "+33199000000"  # of a block that is never given to anybody (PNN 2.5.12: films and books)
NOBODY: Final = IPv4Address("192.0.2.1")  # RFC 5737: who calls where no [[source]] is named

_INVITE: Final = """\
INVITE sip:{called}@{host} SIP/2.0\r
Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bKself\r
Max-Forwards: 70\r
From: <sip:{called}@{host}>;tag=self\r
To: <sip:{called}@{host}>\r
Call-ID: self@{host}\r
CSeq: 1 INVITE\r
Contact: <sip:{host}>\r
User-Agent: sip-guard\r
Content-Length: 0\r
\r
"""


class Core(Protocol):
    """What reads it (guard/proxy/core.py)."""

    def read(self, data: bytes, flow: Flow, now: int) -> CallAttempt:
        """The call that a first INVITE asks for."""


class Desk(Protocol):
    """What decides it (guard/desk.py)."""

    def asked(self, call: CallAttempt, now: int) -> Decision:
        """What would be decided, with nothing counted."""


def invite(sources: tuple[Source, ...]) -> tuple[bytes, Flow]:
    """The message, and where it comes from: the first address of the first source, so that its rules are asked."""
    caller: IPv4Address | IPv6Address = sources[0].networks[0].network_address if sources else NOBODY
    host = host_text(str(caller))
    data = _INVITE.format(called=CALLED, host=host).encode()
    return data, Flow("udp", (str(caller), 5060), (str(caller), 5060))


def place(core: Core, desk: Desk, sources: tuple[Source, ...], now: int) -> Decision:
    """Place it. Raises whatever is broken."""
    data, flow = invite(sources)
    return desk.asked(core.read(data, flow, now), now)
