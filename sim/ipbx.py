"""The simulated IPBX: places calls through the guard as a customer's exchange does, and tells how each went."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from msgspec import Struct

from sim.agent import GIVE_UP, Agent, ClientTx, Dialog, ServerTx, Silence
from sim.link import Peer
from sim.trunk import PASSWORD
from sim.wire import Headers, Sip, build, digest, uri_of

MAX_LEGS = 5  # INVITEs of one call: challenges and redirections that are followed
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
    b"m=audio 30000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
)


class How(Struct, frozen=True, kw_only=True):
    """How a call is placed. Times are seconds.

    `talk` is how long it lasts before the caller hangs up (None: the called party does); `cancel_after` counts from
    the INVITE. `copies` is how often the first INVITE is sent at once, as a network that duplicates would. `patience`
    is how long to wait for each answer. `from_` replaces the whole From but its tag; `line` goes into X-Line, `agent`
    into User-Agent.
    """

    line: str = ""
    pai: str = ""
    ppi: str = ""
    rpid: str = ""
    diversion: str = ""
    history: tuple[str, ...] = ()
    privacy: str = ""
    display: str = ""
    from_: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    transport: str = "udp"
    talk: float | None = 0.05
    cancel_after: float | None = None
    copies: int = 1
    patience: float = GIVE_UP
    call_id: str = ""
    agent: str = "sim-ipbx"


PLAIN = How()


class Result(Struct, kw_only=True):
    """How a call went. `status` is the final one, 0 when nobody answered; `from_seen` is From of the final answer, and
    `retry_after` seconds, None where it was not said. Instants are seconds of `time.monotonic`."""

    call_id: str
    status: int = 0
    reason: tuple[str, ...] = ()
    warning: str = ""
    retry_after: int | None = None
    rang: bool = False
    from_sent: str = ""
    from_seen: str = ""
    bye_to: str = ""  # To of the called party's BYE
    invites: int = 0
    began: float = 0.0
    answered: float = 0.0
    bye_status: int = 0

    @property
    def waited(self) -> float:
        """Seconds from the INVITE to the final answer."""
        return self.answered - self.began


class Ipbx(Agent):
    """The exchange. `guard` is where its calls go: host and port."""

    def __init__(self, guard: tuple[str, int], host: str = "127.0.0.2") -> None:
        super().__init__(host, "ipbx")
        self.guard = guard
        self.taken: list[Sip] = []  # INVITEs of the operator's calls to us
        self.byes: list[Sip] = []  # of the called party, or of the guard in its place
        self._hung: dict[str, asyncio.Future[Sip]] = {}  # by Call-ID: the called party's BYE
        self._inside: dict[str, Dialog] = {}
        self._placing: set[asyncio.Task[Result]] = set()

    async def stop(self) -> None:
        for task in list(self._placing):
            task.cancel()
        await asyncio.gather(*self._placing, return_exceptions=True)
        await super().stop()

    # ---- calls that go out -----------------------------------------------------------------------------------------

    def place(self, caller: str, callee: str, how: How = PLAIN) -> asyncio.Task[Result]:
        """Place a call and do not wait for it."""
        task = asyncio.get_running_loop().create_task(self.call(caller, callee, how))
        self._placing.add(task)
        task.add_done_callback(self._placing.discard)
        return task

    async def call(self, caller: str, callee: str, how: How = PLAIN) -> Result:
        """Place a call and see it to its end. `callee` is a number as dialled, or a whole URI."""
        leg = Leg(self, caller, callee, how)
        result = leg.result
        result.began = time.monotonic()
        answer = await leg.outcome()
        result.answered = time.monotonic()
        result.invites = leg.cseq
        if answer is None:
            return result
        result.status = answer.status
        result.reason = tuple(answer.all("reason"))
        result.warning = answer.get("warning")
        result.from_seen = answer.get("from")
        retry = answer.get("retry-after").split(";")[0].split("(")[0].strip()
        result.retry_after = int(retry) if retry else None
        if answer.status < 300:
            await self._talk(leg, answer)
        return result

    async def _talk(self, leg: Leg, answer: Sip) -> None:
        tx, how, result = leg.tx, leg.how, leg.result
        dialog = Dialog.of_caller(self, tx.request, answer)
        hung = self._hung[result.call_id] = asyncio.get_running_loop().create_future()
        self.acknowledge(dialog, tx.request)
        try:
            if how.talk is None:
                result.bye_to = (await asyncio.wait_for(hung, GIVE_UP)).get("to")
                return
            await asyncio.wait([hung], timeout=how.talk)
            if hung.done():
                result.bye_to = hung.result().get("to")
                return
            try:
                result.bye_status = (await dialog.send("BYE").done(how.patience)).status
            except Silence:
                result.bye_status = 0
        finally:
            del self._hung[result.call_id]

    # ---- what comes in ---------------------------------------------------------------------------------------------

    def on_request(self, tx: ServerTx) -> None:
        """Requests of the operator: BYE of our calls, and its own calls, which are answered at once."""
        request = tx.request
        if request.method == "BYE":
            self.byes.append(request)
            hung = self._hung.get(request.call_id)
            if hung is not None and not hung.done():
                hung.set_result(request)
            ours = hung is not None or self._inside.pop(request.call_id, None) is not None
            tx.reply(200 if ours else 481)
        elif request.method == "INVITE":
            self.taken.append(request)
            self._inside[request.call_id] = Dialog.of_callee(self, tx)
            tx.reply(180)
            tx.reply(
                200, headers=[("Contact", self.contact(request.called)), ("Content-Type", "application/sdp")], body=SDP
            )
        else:
            tx.reply(200)


def _nothing() -> None:
    """Nobody wants to know that it rings."""


class Leg:
    """One call being set up: its INVITEs, one after the other, with one Call-ID and one From-tag."""

    def __init__(self, ipbx: Ipbx, caller: str, callee: str, how: How) -> None:
        self._ipbx = ipbx
        self.how = how
        self._caller = caller
        host, port = ipbx.guard
        self._uri = callee if ":" in callee else f"sip:{callee}@{host}:{port}"
        self._to = f"<{self._uri}>"
        self._peer = Peer(how.transport, host, port)
        shown = how.from_ or f"{how.display} <sip:{caller}@{ipbx.host}>".strip()
        call_id = how.call_id or f"{secrets.token_hex(10)}@{ipbx.host}"
        self.result = Result(call_id=call_id, from_sent=f"{shown};tag={secrets.token_hex(5)}")
        self.cseq = 0
        self.on_ring: Callable[[], None] = _nothing
        self.tx = self._send()
        for _ in range(how.copies - 1):
            ipbx.link.send(self.tx.data, self._peer)

    def _send(self, credentials: str = "") -> ClientTx:
        how, ipbx = self.how, self._ipbx
        self.cseq += 1
        headers: Headers = [
            ("Via", ipbx.via(self._peer)),
            ("Max-Forwards", "70"),
            ("From", self.result.from_sent),
            ("To", self._to),
            ("Call-ID", self.result.call_id),
            ("CSeq", f"{self.cseq} INVITE"),
            ("Contact", ipbx.contact(self._caller, how.transport)),
            ("User-Agent", how.agent),
        ]
        if how.pai:
            headers.append(("P-Asserted-Identity", self._address(how.pai)))
        if how.ppi:
            headers.append(("P-Preferred-Identity", self._address(how.ppi)))
        if how.rpid:
            headers.append(("Remote-Party-ID", self._address(how.rpid) + ";party=calling"))
        if how.diversion:
            headers.append(("Diversion", self._address(how.diversion) + ";reason=unconditional"))
        headers += [("History-Info", self._address(h) + f";index=1{'.1' * i}") for i, h in enumerate(how.history)]
        if how.privacy:
            headers.append(("Privacy", how.privacy))
        if how.line:
            headers.append(("X-Line", how.line))
        headers += how.headers
        if credentials:
            headers.append(("Proxy-Authorization", credentials))
        headers.append(("Content-Type", "application/sdp"))
        return ClientTx.launch(ipbx, build(f"INVITE {self._uri} SIP/2.0", headers, SDP), self._peer)

    def _address(self, number: str) -> str:
        return number if "<" in number else f"<sip:{number}@{self._ipbx.host}>"

    async def outcome(self) -> Sip | None:
        """The final answer to the last INVITE, None for silence. Challenges and redirections are followed."""
        caller_gives_up = self.how.cancel_after
        cancel = asyncio.create_task(self._give_up(caller_gives_up)) if caller_gives_up is not None else None
        try:
            while True:
                answer = await self._final()
                if answer is None or self.cseq == MAX_LEGS or not self._again(answer):
                    return answer
        finally:
            if cancel is not None:
                cancel.cancel()
                await asyncio.gather(cancel, return_exceptions=True)

    async def _final(self) -> Sip | None:
        while True:
            try:
                answer = (await self.tx.next(self.how.patience)).message
            except Silence:
                return None
            if answer.status >= 200:
                return answer
            if answer.status > 100:
                self.result.rang = True
                self.on_ring()

    def _again(self, answer: Sip) -> bool:
        """Whether the answer asks for another INVITE, which then was sent."""
        if answer.status == 407 and self.cseq == 1:
            challenge = answer.get("proxy-authenticate")
            self.tx = self._send(digest(challenge, "INVITE", self._uri, "customer", PASSWORD))
            return True
        if answer.status == 302 and answer.get("contact"):
            self._uri = uri_of(answer.get("contact"))
            self.tx = self._send()
            return True
        return False

    async def _give_up(self, after: float) -> None:
        await asyncio.sleep(after)
        while not self.tx.provisional:  # a CANCEL may not go before any answer (RFC 3261 9.1)
            await asyncio.sleep(0.005)
        self.tx.cancel()
