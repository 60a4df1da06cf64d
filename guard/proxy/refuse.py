"""What the guard itself answers, and how it says why: to a person and to a machine (INTERFACES, SIP behaviour).

A refusal carries `Reason: SIP;cause=…;text="rule #record"` (RFC 3326), `Reason: Q.850;cause=21` for PBXs that know only
that (two values of the header, RFC 9366 apart), and `Warning: 399 site "rule: what happened"`. It is 403 for a rule and
480 for rates and limits, never 503: a PBX takes that for a dead trunk (RFC 3261 21.5.4). Where the site says so, a rule
refuses with 603 as ATIS-1000099 profiles it, or, who declares `sip.608`, with 608 and a card of whom to turn to
(RFC 8688).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from guard.model import Decision
from guard.sip.headers import quote_text
from guard.sip.message import Message

PHRASES: Final[dict[int, bytes]] = {
    100: b"Trying",
    200: b"OK",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Request Entity Too Large",
    416: b"Unsupported URI Scheme",
    420: b"Bad Extension",
    430: b"Flow Failed",
    480: b"Temporarily Unavailable",
    481: b"Call/Transaction Does Not Exist",
    482: b"Loop Detected",
    483: b"Too Many Hops",
    487: b"Request Terminated",
    500: b"Server Internal Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"Version Not Supported",
    513: b"Message Too Large",
    603: b"Network Blocked",
    608: b"Rejected",
}
PLUS: Final = 603
CARD: Final = 608
PLAIN: Final = 403
_SIP_608: Final = re.compile(rb"[;,]\s*\+sip\.608\s*(?:[=;,]|$)", re.IGNORECASE)
BUSY_RETRY_AFTER: Final = b"Retry-After: 5\r\n"  # seconds until a full guard is asked again
FULL: Final = "guard is full"
FAULT: Final = "a fault of the guard"
STOPPING: Final = "the guard is being stopped"
OVERLOADED: Final = "the guard has more calls than it can serve"
MAX_REASON: Final = 127  # bytes of a Reason value: some PBXs swallow one of 128 (FreeSWITCH issue 1481)
MAX_WARNING: Final = 200  # bytes of the Warning's text: a screen line or two


class Refusals(Struct, frozen=True):
    """What refusals say of whom to turn to: `redress` as 603+ has it (`v=analytics1;url=…`), `location` whose network
    refuses; `card` signs a card at an instant (Unix time, µs) and gives the URI where it is found. `announced` tells
    that somebody plays an announcement to callers who know nothing of 608 (RFC 8688 3.4)."""

    redress: bytes = b""
    location: bytes = b""
    card: Callable[[int], bytes] | None = None
    announced: bool = False


NO_REDRESS: Final = Refusals()


def spoken(decision: Decision, m: Message | None, how: Refusals) -> Decision:
    """A decision with the status that its caller understands. 608 is for callers who declare `sip.608` (RFC 8688 3.3);
    others would take it for 600, busy everywhere (RFC 3261 8.1.3.2), and are owed an announcement, for which the guard
    has no voice: they hear 403, which says as much."""
    if decision.status != CARD or how.announced or (m is not None and _declared(m)):
        return decision
    return replace(decision, status=PLAIN)


def _declared(m: Message) -> bool:
    """Whether a request's Feature-Caps name sip.608 (RFC 6809 6.2)."""
    return any(_SIP_608.search(line) for line in m.all(b"feature-caps"))


def phrase(status: int) -> bytes:
    """The reason phrase of a status line."""
    return PHRASES.get(status, b"Refused")


def reason(status: int, why: str) -> bytes:
    """A Reason header line with a text cut so that the value stays below 128 bytes."""
    head = b"SIP;cause=%d;text=" % status
    room = MAX_REASON - len(head)
    quoted = quote_text(why)
    while len(quoted) > room:
        why = why[: len(why) - max(1, (len(quoted) - room))]
        quoted = quote_text(why)
    return b"Reason: " + head + quoted + b"\r\n"


def network_blocked(seq: int, how: Refusals) -> bytes:
    """The Reason of a 603 by ATIS-1000099: its text is pairs, the last of them the record's number."""
    pairs = how.redress + (b";id=%d" % seq if seq else b"")
    return b'Reason: SIP;cause=603;text="' + pairs + b'";location=' + how.location + b"\r\n"


def refusal(decision: Decision, seq: int, site: str, how: Refusals = NO_REDRESS, wall: int = 0) -> list[bytes]:
    """The header lines of a refusal: why, by which rule and record, and when to try again. `wall` is Unix time, µs."""
    why = reason(decision.status, f"{decision.rule} #{seq}" if seq else decision.rule)
    if decision.status == PLUS and how.redress:
        why = network_blocked(seq, how)
    lines = [why, b'Reason: Q.850;cause=21;text="Call rejected"\r\n']
    if decision.status == CARD and how.card is not None:
        lines.append(b"Call-Info: <" + how.card(wall) + b">;purpose=jwscard\r\n")
    finding = next((f for f in decision.findings if f.rule == decision.rule), None)
    said = f"{decision.rule}: {finding.text.en}" if finding is not None else decision.rule
    agent = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in site) or "guard"
    lines.append(b"Warning: 399 " + agent.encode() + b" " + quote_text(said[:MAX_WARNING]) + b"\r\n")
    if decision.retry_after:
        lines.append(b"Retry-After: %d\r\n" % decision.retry_after)
    return lines


# RFC 5630 5.3: what is asked for by sips is carried over TLS all the way, or not at all.
INSECURE: Final = (b'Warning: 380 guard "SIPS Not Allowed"\r\n', reason(480, "sips needs TLS on both sides"))
NO_FINAL: Final = reason(408, "no final answer")  # why the guard itself cancels what rang too long
# A 503 without a time is of this one call: with one an IPBX would send nothing for so long, no emergency call either
# (RFC 3261 21.5.4).
PARTING: Final = {480: (BUSY_RETRY_AFTER, reason(480, STOPPING)), 503: (reason(503, STOPPING),)}
SHED: Final = {480: (BUSY_RETRY_AFTER, reason(480, OVERLOADED)), 503: (reason(503, OVERLOADED),)}
FAILED: Final = (BUSY_RETRY_AFTER, reason(480, FAULT))  # what a caller gets that a bug of ours stopped
