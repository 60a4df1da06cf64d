"""What goes into the proxy core and what comes out of it: the whole of its contract with the driver."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from mypy_extensions import mypyc_attr

from guard.model import CallAttempt, CallEnded

Transport = Literal["udp", "tcp", "tls"]
Address = tuple[str, int]


class Flow(Struct, frozen=True):
    """Where bytes came from or go to: one UDP socket and peer, or one TCP or TLS connection.

    `local` is the listening (or connecting) address of ours, `peer` the other end, both numeric. `conn` numbers a
    connection (0 for UDP, and for a peer that the driver has yet to connect to). `names` are the hosts that a verified
    certificate of the other end speaks for. The other end of an `unproven` one has not proved who it is,
    and would have had to: only emergency calls go there, and are taken from there.
    """

    transport: Transport
    local: Address
    peer: Address
    conn: int = 0
    names: tuple[str, ...] = ()
    unproven: bool = False


@mypyc_attr(acyclic=True)
class Send:
    """Bytes for the wire. Towards a TCP or TLS peer with `conn` 0 the driver connects, or re-uses a connection to it.

    `key` names the client transaction to tell by `ProxyCore.send_failed(key, now)` when the peer cannot be reached,
    "" when nobody needs to know.
    """

    __slots__ = ("data", "flow", "key")

    def __init__(self, flow: Flow, data: bytes, key: str = "") -> None:
        self.flow = flow
        self.data = data
        self.key = key


class Decide(Struct, frozen=True):
    """A new call attempt wants a decision; answer with `ProxyCore.decided(ticket, …)`, once, now or later.

    `passed` tells that the call is already on its way (an emergency call): it is only to be counted and recorded.
    `again` tells that another target of an attempt that was counted before (a fork, or after a 3xx) wants judging: the
    rules speak, nothing is counted, and only what is not simply allowed becomes a record.
    `error` names the fault of ours for which nothing could be read of the call: what is configured for faults of the
    engine decides, and `call` holds next to nothing.
    """

    ticket: int
    call: CallAttempt
    passed: bool = False
    again: bool = False
    error: str = ""


class Withdraw(Struct, frozen=True):
    """The caller gave up (CANCEL, or its deadline) before the decision: no answer is wanted any more.

    `status` is what the caller got (487, or 480 for a decision that came too late).
    """

    ticket: int
    ended: CallEnded


class Ended(Struct, frozen=True):
    """A decided call ended; exactly one for each ticket that was decided."""

    ticket: int
    ended: CallEnded


class Close(Struct, frozen=True):
    """A stream that cannot be understood any more is to be closed after what was sent on it."""

    flow: Flow


class Stranger(Struct, frozen=True):
    """A request from an address that no `[[source]]` or `[[trunk]]` names: no answer, but a record (rate-limited)."""

    flow: Flow
    method: str
    uri: str
    call: CallAttempt | None


class HopTurned(Struct, frozen=True):
    """A next hop went down, for `why`; or, where that is "", it is up again. `place` is transport, host, port."""

    trunk: str
    place: tuple[str, str, int]
    why: str


class Unproven(Struct, frozen=True):
    """An emergency call was taken by a next hop whose certificate nobody could verify: no other took it."""

    trunk: str
    place: tuple[str, str, int]


Effect = Send | Decide | Withdraw | Ended | Close | Stranger | HopTurned | Unproven
