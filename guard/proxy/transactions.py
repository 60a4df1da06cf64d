"""Transactions: the tables of `tables.py` brought to life (RFC 3261 section 17, RFC 6026).

`Layer.step` looks one cell up and performs its actions; what a transaction has to tell goes to the core through three
calls: a response that came, a time-out, a peer that cannot be reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from guard.proxy import tables
from guard.proxy.effects import Effect, Flow, Send
from guard.proxy.tables import A, Cell, I, S
from guard.proxy.timers import RETRY, TIMEOUT, UNARMED, Owner, Timers

if TYPE_CHECKING:
    from guard.proxy.call import Call
    from guard.proxy.health import HopState
    from guard.proxy.hunt import Hunt
    from guard.proxy.shapes import Changes, Limit
    from guard.sip.message import Message

# RFC 3261 table 4, in microseconds.
T1: Final = 500_000
T2: Final = 4_000_000
T4: Final = 5_000_000
GIVE_UP: Final = 64 * T1  # timers B, D (over 32 s), F, H, J, L, M
MAX_TRANSACTIONS: Final = 400_000  # about 1 KiB each; beyond that new requests are refused or dropped, and counted

Cells = tuple[tuple[Cell | str | None, ...], ...]


def _dense(table: tables.Table) -> Cells:
    """The table as rows by state and input: an index instead of a hash on the hot path."""
    return tuple(tuple(table.get((s, i), tables.ILLEGAL) for i in I) for s in S)


INVITE_CLIENT: Final = _dense(tables.INVITE_CLIENT)
CLIENT: Final = _dense(tables.CLIENT)
INVITE_SERVER: Final = _dense(tables.INVITE_SERVER)
SERVER: Final = _dense(tables.SERVER)

# Looked at in every step: a name of the module is found in a tenth of the time that a member of an enumeration takes.
# One by one, each `Final`: so the compiler knows it without a look-up.
_PASS: Final = A.PASS
_RESEND: Final = A.RESEND
_SEND: Final = A.SEND
_ACK: Final = A.ACK
_ARM_LINGER: Final = A.ARM_LINGER
_FAIL_TIMEOUT: Final = A.FAIL_TIMEOUT
_FAIL_ERROR: Final = A.FAIL_ERROR
_STOP_RETRY: Final = A.STOP_RETRY
_STOP_TIMEOUT: Final = A.STOP_TIMEOUT
_CALLING: Final = S.CALLING
_TRYING: Final = S.TRYING
_PROCEEDING: Final = S.PROCEEDING
_COMPLETED: Final = S.COMPLETED
_ACCEPTED: Final = S.ACCEPTED
_CONFIRMED: Final = S.CONFIRMED
_TERMINATED: Final = S.TERMINATED
_SEND_P: Final = I.SEND_P
_SEND_OK: Final = I.SEND_OK
_SEND_NO: Final = I.SEND_NO

ServerKey = tuple[bytes, bytes, bytes, str]  # branch, sent-by, method, peer address


class ServerTx(Owner):
    """A request that somebody sent us. `request` is kept until its final answer, `sent` the last response."""

    __slots__ = (
        "again", "call", "cancelled", "cells", "client", "flow", "from_caller", "hunt", "interval", "key", "lenient",
        "limit", "reliable", "request", "sent", "state", "target", "ticket",
    )  # fmt: skip

    def __init__(self, key: ServerKey, request: Message, flow: Flow, *, invite: bool) -> None:
        super().__init__()
        self.key = key
        self.request: Message | None = request
        self.flow = flow
        self.reliable = flow.transport != "udp"
        self.cells = INVITE_SERVER if invite else SERVER
        self.state = _PROCEEDING if invite else _TRYING
        self.interval = T1
        self.sent = b""
        self.client: ClientTx | None = None
        self.call: Call | None = None
        self.from_caller = True
        self.again = False  # within a dialog: a re-INVITE sets no call up
        self.cancelled = False  # its caller sent a CANCEL
        self.lenient = False  # of an emergency call: it is carried whatever cannot be read of it
        self.target = b""  # what a decision on it rests on (facts.fingerprint), once that is asked
        self.ticket = 0  # of the question whether this target is allowed, while that waits
        self.limit: Limit | None = None  # of an INVITE whose talk is limited
        self.hunt: Hunt | None = None  # of an INVITE to a trunk: the hops that it has yet to try


class ClientTx(Owner):
    """A request that we sent on. `server` is whose it was, None for our own CANCEL."""

    __slots__ = (
        "branch", "cancel", "cells", "data", "fallback", "flow", "given_up", "hop", "interval", "invite", "key", "left",
        "reliable", "server", "state",
    )  # fmt: skip

    def __init__(self, branch: bytes, method: bytes, data: bytes, flow: Flow, server: ServerTx | None) -> None:
        super().__init__()
        self.branch = branch
        self.key = (branch, method)
        self.invite = method == b"INVITE"
        self.data = data
        self.flow = flow
        self.reliable = flow.transport != "udp"
        self.cells = INVITE_CLIENT if self.invite else CLIENT
        self.state = _CALLING if self.invite else _TRYING
        self.interval = T1
        self.server = server
        self.given_up = False  # cancelled: nothing makes timer C longer any more
        self.cancel = False  # to be cancelled as soon as a provisional answer allows it (RFC 3261 9.1)
        self.hop: HopState | None = None  # of an INVITE to a trunk, and of an OPTIONS of our own: who is to answer
        self.left = False  # its hop was left for another
        self.fallback: tuple[Flow, Changes] | None = None  # the way over UDP of what is tried over TCP for its length


class Core(Protocol):
    """What a transaction tells its core."""

    def passed(self, tx: ClientTx, response: Message, now: int) -> None:
        """A response that the transaction user is to see."""

    def acknowledge(self, tx: ClientTx, response: Message) -> None:
        """Send the ACK of a final answer that is no 2xx."""

    def failed(self, tx: ClientTx, status: int, now: int) -> None:
        """No answer in time (408), or a peer that cannot be reached (480)."""


class Layer:
    """All transactions, their timers and their machines."""

    def __init__(self, core: Core, effects: list[Effect], timers: Timers) -> None:
        self._core = core
        self._effects = effects
        self._timers = timers
        self.servers: dict[ServerKey, ServerTx] = {}
        self.clients: dict[tuple[bytes, bytes], ClientTx] = {}

    def full(self) -> bool:
        """Whether there is no room for another transaction."""
        return len(self.servers) + len(self.clients) >= MAX_TRANSACTIONS

    def start_client(self, tx: ClientTx, now: int) -> None:
        """Send the request, and wait as RFC 3261 17.1 says."""
        self.clients[tx.key] = tx
        self._effects.append(Send(tx.flow, tx.data, f"{tx.branch.decode()} {tx.key[1].decode()}"))
        if not tx.reliable:
            self._timers.after(tx, RETRY, now, T1)
        self._timers.after(tx, TIMEOUT, now, GIVE_UP)

    def send(self, flow: Flow, data: bytes) -> None:
        """Bytes that no transaction repeats."""
        self._effects.append(Send(flow, data))

    def respond(self, tx: ServerTx, status: int, data: bytes, now: int) -> bool:
        """Send a response; False where the transaction has its final answer already and this one is dropped."""
        what = _SEND_P if status < 200 else _SEND_OK if status < 300 else _SEND_NO
        if status >= 200:
            tx.request = None  # nothing is answered from it any more
        return self.step_server(tx, what, now, data)

    def step_server(self, tx: ServerTx, what: I, now: int, data: bytes = b"") -> bool:
        """One input to a server transaction; whether the table had a transition for it."""
        cell = tx.cells[tx.state][what]
        if cell is None:
            return False
        if isinstance(cell, str):
            raise AssertionError(f"server transaction {tx.state.name}: {what.name}")
        tx.state, actions = cell
        for action in actions:
            if action is _SEND:
                tx.sent = data
                self._effects.append(Send(tx.flow, data))
            elif action is _RESEND:
                if tx.sent:
                    self._effects.append(Send(tx.flow, tx.sent))
            elif action is _ARM_LINGER:
                self._linger_server(tx, now)
            else:
                self._timer_action(tx, action, now)
        if tx.state is _TERMINATED:
            self.servers.pop(tx.key, None)
            tx.client = None  # no cycle of the two is left behind
        return True

    def step_client(self, tx: ClientTx, what: I, now: int, response: Message | None = None) -> None:
        """One input to a client transaction."""
        cell = tx.cells[tx.state][what]
        if cell is None:
            return
        if isinstance(cell, str):
            raise AssertionError(f"client transaction {tx.state.name}: {what.name}")
        tx.state, actions = cell
        for action in actions:
            if action is _PASS:
                assert response is not None
                self._core.passed(tx, response, now)
            elif action is _ACK:
                assert response is not None
                self._core.acknowledge(tx, response)
            elif action is _RESEND:
                self._effects.append(Send(tx.flow, tx.data))
            elif action is _ARM_LINGER:
                self._linger_client(tx, now)
            elif action is _FAIL_TIMEOUT:
                self._core.failed(tx, 408, now)
            elif action is _FAIL_ERROR:
                self._core.failed(tx, 480, now)
            else:
                self._timer_action(tx, action, now)
        if tx.state is _TERMINATED:
            self.clients.pop(tx.key, None)
            tx.server = None  # timers may hold it for as long as timer C is

    def _timer_action(self, tx: ServerTx | ClientTx, action: A, now: int) -> None:
        if action is _STOP_RETRY:
            tx.armed[RETRY] = 0
        elif action is _STOP_TIMEOUT:
            tx.armed[TIMEOUT] = 0
        elif action is A.ARM_TIMEOUT:
            self._timers.after(tx, TIMEOUT, now, GIVE_UP)
        elif tx.reliable:
            return  # a stream repeats nothing
        elif action is A.ARM_RETRY:
            self._timers.after(tx, RETRY, now, T1)
        elif action is A.AGAIN:
            tx.interval *= 2
            if tx.cells is not INVITE_CLIENT:
                tx.interval = min(tx.interval, T2)
            self._timers.arm(tx, RETRY, now + tx.interval)
        elif action is A.SLOW_RETRY:
            tx.interval = T2
            self._timers.arm(tx, RETRY, now + T2)

    def _linger_server(self, tx: ServerTx, now: int) -> None:
        """Timers I (after the ACK), J and L: how long retransmissions are still absorbed."""
        tx.client = tx.hunt = None
        invite = tx.cells is INVITE_SERVER
        if tx.state is _CONFIRMED:
            wait = 0 if tx.reliable else T4
        elif tx.state is _ACCEPTED:
            wait = GIVE_UP
            tx.sent = b""  # repeated by the callee itself (RFC 6026 7.1)
        elif not invite and not tx.reliable:
            wait = GIVE_UP
        else:
            wait = 0
        self._timers.linger(tx, now, wait)

    def _linger_client(self, tx: ClientTx, now: int) -> None:
        """Timers D, K and M: how long answers are still absorbed, or passed on. No other timer is left to it."""
        tx.armed = UNARMED
        if tx.state is _ACCEPTED:
            wait = GIVE_UP
            tx.data = b""  # neither sent nor acknowledged by us any more
        elif tx.reliable:
            wait = 0
        else:
            wait = GIVE_UP if tx.invite else T4
        self._timers.linger(tx, now, wait)
