"""A SIP user agent for the simulated peers: transactions over UDP and TCP, and dialogs (RFC 3261 8, 12, 13, 17).

Only as much as peers need, written apart from the guard's own code so that neither hides the other's mistakes.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import Counter

from sim.link import Arrival, Link, Peer
from sim.wire import Headers, Sip, build, host_port, param, respond, uri_of

T1 = 0.5  # seconds, RFC 3261 17.1.1.1
T2 = 4.0  # seconds: the longest pause between retransmissions of anything but an INVITE
GIVE_UP = 64 * T1  # seconds until a transaction that nobody answers has failed


class Silence(Exception):
    """Nobody answered a request in the time given."""


class ClientTx:
    """One request that we sent: it goes again over UDP until it is answered; answers wait in a queue."""

    def __init__(self, agent: Agent, request: bytes, peer: Peer) -> None:
        self._agent = agent
        self.request = Sip(request)
        self.peer = peer
        self.data = request
        self.sent = 0
        self.provisional = False
        self.final: Sip | None = None
        self.heard: asyncio.Queue[Arrival] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._send(T1)

    def _send(self, pause: float) -> None:
        self.sent += 1
        self._agent.link.send(self.data, self.peer)
        if self.peer.transport == "udp":
            following = pause * 2 if self.request.method == "INVITE" else min(pause * 2, T2)
            self._timer = asyncio.get_running_loop().call_later(pause, self._send, following)

    def quiet(self) -> None:
        """No more retransmissions."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self, arrival: Arrival) -> None:
        """An answer came. A final one other than 2xx to an INVITE is acknowledged, each time that it comes."""
        answer = arrival.message
        invite = self.request.method == "INVITE"
        if invite or answer.status >= 200:
            self.quiet()
        if answer.status < 200:
            self.provisional = True
        elif invite and answer.status >= 300:
            self._agent.link.send(self._ack(answer), self.peer)
        if self.final is not None:
            return
        if answer.status >= 200:
            self.final = answer
            self._agent.forget(self)
        self.heard.put_nowait(arrival)

    async def next(self, patience: float = GIVE_UP) -> Arrival:
        """The next answer; Silence when none came in `patience` seconds."""
        try:
            return await asyncio.wait_for(self.heard.get(), patience)
        except TimeoutError:
            self.quiet()
            raise Silence(f"{self.request.method} to {self.request.uri}: no answer in {patience:g} s") from None

    async def done(self, patience: float = GIVE_UP) -> Sip:
        """The final answer."""
        while True:
            answer = (await self.next(patience)).message
            if answer.status >= 200:
                return answer

    def cancel(self) -> ClientTx:
        """Send the CANCEL of this INVITE (RFC 3261 9.1)."""
        return ClientTx.launch(self._agent, self._same("CANCEL", self.request.get("to")), self.peer)

    def _ack(self, answer: Sip) -> bytes:
        return self._same("ACK", answer.get("to"))

    def _same(self, method: str, to: str) -> bytes:
        """A request of the same transaction (RFC 3261 9.1, 17.1.1.3)."""
        r = self.request
        headers: Headers = [("Via", r.get("via")), ("Max-Forwards", "70")]
        headers += [("Route", v) for v in r.all("route")]
        headers += [("From", r.get("from")), ("To", to), ("Call-ID", r.call_id), ("CSeq", f"{r.cseq} {method}")]
        return build(f"{method} {r.uri} SIP/2.0", headers)

    @classmethod
    def launch(cls, agent: Agent, request: bytes, peer: Peer) -> ClientTx:
        """Send a request, and hear its answers."""
        tx = cls(agent, request, peer)
        agent.clients[tx.request.branch, tx.request.method] = tx
        return tx


class ServerTx:
    """One request that came in: retransmissions of it get the last answer again."""

    def __init__(self, agent: Agent, arrival: Arrival) -> None:
        self._agent = agent
        self.request = arrival.message
        self.peer = arrival.peer
        self.at = arrival.at
        self.tag = secrets.token_hex(4)
        self.last = b""
        self.status = 0
        self.acknowledged = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._waited = 0.0

    def reply(self, status: int, *, headers: Headers | None = None, body: bytes = b"") -> None:
        """Answer. What an INVITE is finally answered goes again until the ACK comes (RFC 3261 13.3.1.4, 17.2.1)."""
        tag = "" if status == 100 else self.tag
        self.status = status
        self.last = respond(self.request, status, to_tag=tag, headers=headers, body=body)
        if status >= 200:
            self._agent.retire(self)
            if self.request.method == "INVITE" and (self.peer.transport == "udp" or status < 300):
                self._timer = asyncio.get_running_loop().call_later(T1, self._again, T1)
        self.resend()

    def resend(self) -> None:
        """The last answer again, if there is one."""
        if self.last:
            self._agent.link.send(self.last, self.peer)

    def _again(self, pause: float) -> None:
        self._waited += pause
        if self._waited >= GIVE_UP or self.acknowledged.is_set():
            return
        self._agent.counts["answers sent again"] += 1
        self.resend()
        following = min(pause * 2, T2)
        self._timer = asyncio.get_running_loop().call_later(following, self._again, following)

    def acked(self) -> None:
        """Its ACK came."""
        self.acknowledged.set()
        self.quiet()

    def quiet(self) -> None:
        """No more retransmissions."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Dialog:
    """One dialog as we hold it: enough to send requests in it (RFC 3261 12.2.1.1)."""

    def __init__(self, agent: Agent, *, local: str, remote: str, target: str, route: list[str], call_id: str) -> None:
        self._agent = agent
        self.local = local
        self.remote = remote
        self.target = target
        self.route = route
        self.call_id = call_id
        self.cseq = 0

    @classmethod
    def of_caller(cls, agent: Agent, invite: Sip, answer: Sip) -> Dialog:
        """The dialog that a 2xx to our INVITE sets up: the route is Record-Route turned round (12.1.2)."""
        dialog = cls(
            agent,
            local=invite.get("from"),
            remote=answer.get("to"),
            target=uri_of(answer.get("contact")) or invite.uri,
            route=answer.all("record-route")[::-1],
            call_id=invite.call_id,
        )
        dialog.cseq = invite.cseq
        return dialog

    @classmethod
    def of_callee(cls, agent: Agent, tx: ServerTx) -> Dialog:
        """The dialog that our 2xx sets up (12.1.1)."""
        invite = tx.request
        return cls(
            agent,
            local=f"{invite.get('to')};tag={tx.tag}",
            remote=invite.get("from"),
            target=uri_of(invite.get("contact")),
            route=invite.all("record-route"),
            call_id=invite.call_id,
        )

    def request(self, method: str, *, cseq: int | None = None, body: bytes = b"") -> tuple[bytes, Peer]:
        """A request in the dialog, and where it goes. An ACK has the number of its INVITE."""
        if cseq is None:
            self.cseq += 1
        peer = Peer(*_order(uri_of(self.route[0]) if self.route else self.target))
        headers: Headers = [("Via", self._agent.via(peer)), ("Max-Forwards", "70")]
        headers += [("Route", r) for r in self.route]
        headers += [
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq or self.cseq} {method}"),
        ]
        return build(f"{method} {self.target} SIP/2.0", headers, body), peer

    def send(self, method: str) -> ClientTx:
        """Send a request in the dialog."""
        data, peer = self.request(method)
        return ClientTx.launch(self._agent, data, peer)


class Agent:
    """One user agent on one address: subclasses say what it does with requests."""

    def __init__(self, host: str, name: str) -> None:
        self.name = name
        self.link = Link(host, self._arrived)
        self.clients: dict[tuple[str, str], ClientTx] = {}
        self.servers: dict[tuple[str, str], ServerTx] = {}
        self._finals: dict[tuple[str, int], ServerTx] = {}  # INVITEs answered with 2xx, by Call-ID and CSeq
        self._acks: dict[tuple[str, int], tuple[bytes, Peer]] = {}  # ours, for a 2xx that comes again
        self.counts: Counter[str] = Counter()
        self._branches = itertools.count(1)
        self._token = secrets.token_hex(4)

    @property
    def host(self) -> str:
        return self.link.host

    @property
    def port(self) -> int:
        return self.link.port

    async def start(self, port: int = 0) -> None:
        """Open the sockets."""
        await self.link.start(port)

    async def stop(self) -> None:
        """Close them, and forget every transaction."""
        for client in self.clients.values():
            client.quiet()
        for server in (*self.servers.values(), *self._finals.values()):
            server.quiet()
        await self.link.stop()

    # ---- for subclasses --------------------------------------------------------------------------------------------

    def on_request(self, tx: ServerTx) -> None:
        """A new request, ACK and retransmissions apart."""
        tx.reply(501)

    def on_ack(self, tx: ServerTx, ack: Sip) -> None:
        """The ACK of a 2xx of ours."""

    def via(self, peer: Peer) -> str:
        """A Via of ours for a request to `peer`, with a new branch."""
        branch = f"z9hG4bK{self._token}{next(self._branches)}"
        return f"SIP/2.0/{peer.transport.upper()} {self.host}:{self.port};branch={branch};rport"

    def contact(self, user: str, transport: str = "udp") -> str:
        """Our Contact."""
        suffix = ";transport=tcp" if transport == "tcp" else ""
        return f"<sip:{user}@{self.host}:{self.port}{suffix}>"

    def acknowledge(self, dialog: Dialog, invite: Sip) -> None:
        """ACK a 2xx, now and whenever it comes again (RFC 3261 13.2.2.4)."""
        data, peer = dialog.request("ACK", cseq=invite.cseq)
        self._acks[invite.call_id, invite.cseq] = (data, peer)
        self.link.send(data, peer)

    # ---- transactions ----------------------------------------------------------------------------------------------

    def forget(self, tx: ClientTx) -> None:
        """A client transaction that has its final answer hears retransmissions of it for a while."""
        loop = asyncio.get_running_loop()
        loop.call_later(GIVE_UP, self.clients.pop, (tx.request.branch, tx.request.method), None)

    def retire(self, tx: ServerTx) -> None:
        """A server transaction that has answered."""
        loop = asyncio.get_running_loop()
        request = tx.request
        if request.method == "INVITE" and tx.status < 300:
            self._finals[request.call_id, request.cseq] = tx
            loop.call_later(GIVE_UP, self._finals.pop, (request.call_id, request.cseq), None)
        loop.call_later(GIVE_UP, self.servers.pop, (request.branch, request.method), None)

    def _arrived(self, arrival: Arrival) -> None:
        message = arrival.message
        if message.is_request:
            self.counts[message.method] += 1
            self._request(arrival)
            return
        self.counts[str(message.status)] += 1
        if param(message.get("via"), "branch") and (tx := self.clients.get((message.branch, message.method))):
            tx.take(arrival)
            if not 200 <= message.status < 300 or message.method != "INVITE":
                return
        again = self._acks.get((message.call_id, message.cseq))
        if again is not None and message.method == "INVITE" and 200 <= message.status < 300:
            self.link.send(*again)

    def _request(self, arrival: Arrival) -> None:
        request = arrival.message
        if request.method == "ACK":
            # Branch of the INVITE: the ACK of a refusal. Else that of a 2xx, whose To-tag some phones make up.
            tx = self.servers.get((request.branch, "INVITE"))
            if tx is None or tx.status < 300:
                tx = self._finals.get((request.call_id, request.cseq))
            if tx is None:
                self.counts["stray ACK"] += 1
                return
            first = not tx.acknowledged.is_set()
            tx.acked()
            if first and tx.status < 300:
                self.on_ack(tx, request)
            return
        key = (request.branch, request.method)
        known = self.servers.get(key)
        if known is not None:
            self.counts[f"{request.method} again"] += 1
            known.resend()
            return
        tx = self.servers[key] = ServerTx(self, arrival)
        self.on_request(tx)


def _order(uri: str) -> tuple[str, str, int]:
    host, port, transport = host_port(uri)
    return transport, host, port
