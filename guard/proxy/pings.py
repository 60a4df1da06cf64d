"""OPTIONS to next hops: whether those of a trunk that has several are there, asked while no call is at stake."""

from __future__ import annotations

from typing import Final

from guard.proxy.context import Context
from guard.proxy.forward import MAX_FORWARDS, URI_ENDS, via_line
from guard.proxy.health import HopState
from guard.proxy.hunt import retry_after
from guard.proxy.routing import host_text
from guard.proxy.timers import REPEAT, SILENCE
from guard.proxy.transactions import ClientTx
from guard.sip.message import Message

WAIT: Final = 2_000_000  # µs for the answer to one: time for two repetitions (RFC 3261 17.1.2.2)
DOWN_EVERY: Final = 2_000_000  # µs between two to a hop that is down: so soon it is missed no more
SPREAD: Final = 100_000  # µs between the first ones to different hops


class Pings:
    """Sends them, and hears what comes of it. Timers of a hop: REPEAT for the next one, SILENCE for its answer."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._n = 0

    def begin(self, now: int) -> None:
        """Ask every hop that is to be asked and is not yet."""
        for i, state in enumerate(self._c.health.watched()):
            if not state.armed[REPEAT] and not state.armed[SILENCE]:
                self._c.timers.arm(state, REPEAT, now + (i + 1) * SPREAD)

    def fire(self, state: HopState, kind: int, now: int) -> None:
        """A timer of a hop fired."""
        c = self._c
        if kind == SILENCE:
            self._forget(state)
            c.count("pings_unanswered")
            if state.listens:  # silence tells nothing of one that has never answered
                c.health.failed(state, "OPTIONS unanswered", now, since=now - WAIT)
            self._again(state, now)
        elif state in c.health.watched():
            self._send(state, now)

    def answered(self, tx: ClientTx, response: Message, now: int) -> None:
        """Any final answer will do: also a 404 or 405 comes from somebody who is there (RFC 3261 11.2)."""
        state = tx.hop
        if state is None or state.ping != tx.key or response.status < 200:
            return
        state.ping = None
        state.armed[SILENCE] = 0
        if response.status == 503:
            self._c.health.refused(state, retry_after(response), now)
        else:
            self._c.health.pinged(state, now)
        self._again(state, now)

    def failed(self, tx: ClientTx, now: int) -> None:
        """It could not be sent."""
        state = tx.hop
        if state is None or state.ping != tx.key:
            return
        state.ping = None
        state.armed[SILENCE] = 0
        self._c.health.failed(state, "unreachable", now, since=now)
        self._again(state, now)

    def _again(self, state: HopState, now: int) -> None:
        if self._c.health.knows(state):
            every = state.trunk.every
            self._c.timers.arm(state, REPEAT, now + (min(every, DOWN_EVERY) if state.down_until else every))

    def _forget(self, state: HopState) -> None:
        """Repeat the one that is out no more."""
        ping, state.ping = state.ping, None
        tx = self._c.layer.clients.pop(ping, None) if ping is not None else None
        if tx is not None:
            tx.armed = [0] * len(tx.armed)

    def _send(self, state: HopState, now: int) -> None:
        c, flow = self._c, state.flow
        c.count("pings")
        self._n += 1
        branch = c.forwarder.own_branch(b"OPTIONS%d" % self._n)
        here = c.here.sent_by(flow.transport, flow.local)
        host = f"{host_text(flow.peer[0])}:{flow.peer[1]}".encode()
        lines = [
            b"OPTIONS sip:" + host + URI_ENDS[flow.transport] + b" SIP/2.0\r\n",
            via_line(flow, here, branch),
            b"Max-Forwards: %d\r\n" % MAX_FORWARDS,
            b"From: <sip:guard@" + here + b">;tag=" + branch[7:] + b"\r\n",
            b"To: <sip:" + host + b">\r\n",
            b"Call-ID: " + branch[7:] + b"@" + here + b"\r\n",
            b"CSeq: 1 OPTIONS\r\n",
            b"Contact: <sip:guard@" + here + b">\r\n",
            b"Accept: application/sdp\r\n",
            b"Content-Length: 0\r\n\r\n",
        ]
        tx = ClientTx(branch, b"OPTIONS", b"".join(lines), flow, None)
        tx.hop = state
        state.ping = tx.key
        c.timers.arm(state, SILENCE, now + WAIT)
        c.layer.start_client(tx, now)
