"""What makes a request the same transaction, which dialog it is of, and where its answers go."""

from __future__ import annotations

from typing import Final

from guard.proxy.effects import Flow
from guard.proxy.routing import DEFAULT_PORT
from guard.proxy.transactions import ServerKey
from guard.sip.headers import BadHeader, Via, parse_via
from guard.sip.message import Message

INVITE: Final = b"INVITE"
REFRESHES: Final = frozenset({INVITE, b"UPDATE"})  # what agrees on a session interval (RFC 4028 7.1)
MAX_SESSION: Final = 24 * 3600  # s; a longer interval says no more than none
MAX_DIGITS: Final = 10
# For an emergency call whose Via cannot be read: its answers go to where it came from.
NO_VIA: Final = parse_via(b"SIP/2.0/UDP unknown;rport", 0, 25)


def tag_of(m: Message, *, to: bool) -> bytes:
    """The tag of To or From, b"" where there is none or it cannot be read."""
    try:
        return (m.to() if to else m.from_()).tag or b""
    except BadHeader:
        return b""


def session_of(m: Message) -> int:
    """The session interval that a 2xx grants, µs; 0 where it grants none that can be read (RFC 4028 4)."""
    digits = (m.first(b"session-expires") or b"").partition(b";")[0].strip()
    return min(int(digits), MAX_SESSION) * 1_000_000 if digits.isdigit() and len(digits) <= MAX_DIGITS else 0


def reply_flow(flow: Flow, via: Via) -> Flow:
    """Where answers to a request go: back over its stream, or to the Via's port, with rport to where it came from
    (RFC 3261 18.2.2, RFC 3581 4)."""
    if flow.transport != "udp" or via.rport is not None:
        return flow
    port = via.port or DEFAULT_PORT
    return flow if port == flow.peer[1] else Flow("udp", flow.local, (flow.peer[0], port))


def server_key(m: Message, via: Via, flow: Flow, method: bytes) -> ServerKey:
    """What makes a request the same transaction (RFC 3261 17.2.3); without a magic cookie, by RFC 2543's fields."""
    branch = via.branch or b""
    if branch[:7].lower() == b"z9hg4bk" and len(branch) > 7:
        return branch, via.sent_by, method, flow.peer[0]
    number = (m.first(b"cseq") or b"").split(b" ", 1)[0]
    old = b"|".join((m.uri, m.first(b"call-id") or b"", tag_of(m, to=False), number, m.first(b"via") or b""))
    return old, b"2543", method, flow.peer[0]
