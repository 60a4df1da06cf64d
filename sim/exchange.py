"""An IPBX with phones: they register at it, and their calls leave through the guard as the exchange's own (a B2BUA)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from msgspec import Struct

from sim.agent import Dialog, ServerTx
from sim.ipbx import SDP, How, Ipbx, Leg
from sim.link import Peer
from sim.wire import Sip, host_port, uri_of, user

EXPIRES = "60"


class Bridged(Struct):
    """A phone's call and the one that leaves for it. `up` are both dialogs once it is answered."""

    inside: ServerTx
    leg: Leg
    up: tuple[Dialog, Dialog] | None = None


class Exchange(Ipbx):
    """`lines`: what number each phone's user presents to the operator."""

    def __init__(self, guard: tuple[str, int], lines: dict[str, str], host: str = "127.0.0.2") -> None:
        super().__init__(guard, host)
        self.lines = lines
        self.registered: dict[str, Peer] = {}
        self.refused: list[int] = []  # final statuses handed on to phones
        self._bridged: dict[str, Bridged] = {}  # by both Call-IDs
        self._work: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await super().stop()

    def on_request(self, tx: ServerTx) -> None:
        """REGISTER, and the calls of phones that did; everything else is the operator's."""
        request = tx.request
        phone = user(uri_of(request.get("from")))
        if request.method == "REGISTER":
            self._register(tx, phone)
        elif request.method == "INVITE" and phone in self.registered and not request.to_tag:
            tx.reply(100)
            self._spawn(self._bridge(tx, phone))
        elif request.method == "CANCEL" and request.call_id in self._bridged:
            tx.reply(200)
            self._bridged[request.call_id].leg.tx.cancel()
        elif request.method == "BYE" and request.call_id in self._bridged:
            tx.reply(200)
            self._spawn(self._end(request))
        else:
            super().on_request(tx)

    def _register(self, tx: ServerTx, phone: str) -> None:
        if phone not in self.lines:
            tx.reply(404)
            return
        contact = tx.request.get("contact")
        if tx.request.get("expires") == "0":
            self.registered.pop(phone, None)
        else:
            host, port, transport = host_port(uri_of(contact))
            self.registered[phone] = Peer(transport, host, port)
        tx.reply(200, headers=[("Contact", contact), ("Expires", EXPIRES)])

    async def _bridge(self, tx: ServerTx, phone: str) -> None:
        leg = Leg(self, self.lines[phone], tx.request.called, How(line=phone))
        bridged = Bridged(tx, leg)
        self._bridged[tx.request.call_id] = self._bridged[leg.result.call_id] = bridged
        leg.on_ring = lambda: tx.reply(180)
        answer = await leg.outcome()
        if answer is None or answer.status >= 300:
            status = 480 if answer is None else answer.status
            self.refused.append(status)
            tx.reply(status)
            self._forget(bridged)
            return
        outside = Dialog.of_caller(self, leg.tx.request, answer)
        self.acknowledge(outside, leg.tx.request)
        bridged.up = (Dialog.of_callee(self, tx), outside)
        tx.reply(200, headers=[("Contact", self.contact(phone)), ("Content-Type", "application/sdp")], body=SDP)

    async def _end(self, bye: Sip) -> None:
        """One side hung up: so does the exchange towards the other."""
        bridged = self._bridged[bye.call_id]
        self._forget(bridged)
        if bridged.up is not None:
            inside, outside = bridged.up
            await (outside if bye.call_id == inside.call_id else inside).send("BYE").done()

    def _forget(self, bridged: Bridged) -> None:
        self._bridged.pop(bridged.inside.request.call_id, None)
        self._bridged.pop(bridged.leg.result.call_id, None)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
