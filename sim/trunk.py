"""The simulated operator: answers calls by the number called, and keeps what it saw of each new one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

from msgspec import Struct

from sim.agent import GIVE_UP, Agent, ClientTx, Dialog, ServerTx, Silence
from sim.link import Peer
from sim.wire import Headers, Sip, build, proves

REALM = "operator"
PASSWORD = "secret"  # of every customer of this operator
SECOND = 1_000_000_000  # nanoseconds
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.3\r\ns=-\r\nc=IN IP4 127.0.0.3\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
)  # media goes nowhere: the guard never touches it


class Habit(Struct, frozen=True, kw_only=True):
    """How calls to a number go. Times are seconds from the INVITE; None: never.

    `refuse` is a final status given in place of an answer; `challenge` asks once for credentials (407); `moved_to` is
    the target of a 302; `hang_up` is how long after its answer the called party ends the call.
    """

    ring: float | None = 0.02
    answer: float | None = 0.06
    refuse: int = 0
    challenge: bool = False
    moved_to: str = ""
    hang_up: float | None = None


NO_ANSWER = Habit(answer=None)
BUSY = Habit(refuse=486)


class Seen(Struct, frozen=True, kw_only=True):
    """One INVITE without To-tag. `at` is the kernel's receive time, ns of Unix time; `first`: not a repetition of the
    same attempt with credentials or another target."""

    at: int
    first: bool
    called: str
    call_id: str
    from_: str
    pai: str
    message: Sip


class Trunk(Agent):
    """The operator. `habits` go by the longest prefix of the called number that fits."""

    def __init__(self, host: str = "127.0.0.3", habits: dict[str, Habit] | None = None) -> None:
        super().__init__(host, "operator")
        self.habits: dict[str, Habit] = {"": Habit(), **(habits or {})}
        self.seen: list[Seen] = []
        self.dialogs: dict[str, Dialog] = {}  # by Call-ID: the calls that are up
        self.answered: set[str] = set()
        self.cancelled: set[str] = set()
        self.ended: set[str] = set()  # by either side's BYE
        self.byes: list[Sip] = []  # from the caller
        self._known: set[tuple[str, str]] = set()
        self._ringing: dict[str, tuple[ServerTx, list[asyncio.TimerHandle]]] = {}  # by branch
        self._tasks: set[asyncio.Task[None]] = set()

    def habit(self, called: str) -> Habit:
        """What is done with calls to a number."""
        return self.habits[max((p for p in self.habits if called.startswith(p)), key=len)]

    @property
    def news(self) -> list[Seen]:
        """The new calls, without repetitions."""
        return [s for s in self.seen if s.first]

    def of(self, call_id: str) -> list[Seen]:
        """Every INVITE of one call."""
        return [s for s in self.seen if s.call_id == call_id]

    async def stop(self) -> None:
        for _, timers in self._ringing.values():
            for timer in timers:
                timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().stop()

    def hang_up(self, call_id: str) -> ClientTx:
        """The called party ends the call: BYE, which `done()` of the result awaits."""
        self.ended.add(call_id)
        return self.dialogs.pop(call_id).send("BYE")

    async def call(self, guard: tuple[str, int], caller: str, callee: str, *, target: str = "") -> int:
        """A call from the operator's side to the IPBX through the guard: final status, 0 for silence; ended at once."""
        host, port = guard
        peer_uri = target or f"sip:{callee}@{host}:{port}"
        call_id = f"{secrets.token_hex(8)}@{self.host}"
        tx = self._invite(peer_uri, guard, caller, callee, call_id)
        try:
            answer = await tx.done()
        except Silence:
            return 0
        if answer.status < 300:
            dialog = Dialog.of_caller(self, tx.request, answer)
            self.acknowledge(dialog, tx.request)
            await dialog.send("BYE").done()
        return answer.status

    def _invite(self, uri: str, guard: tuple[str, int], caller: str, callee: str, call_id: str) -> ClientTx:
        peer = Peer("udp", *guard)
        headers: Headers = [
            ("Via", self.via(peer)),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{caller}@{self.host}>;tag={secrets.token_hex(4)}"),
            ("To", f"<sip:{callee}@{guard[0]}>"),
            ("Call-ID", call_id),
            ("CSeq", "1 INVITE"),
            ("Contact", self.contact(caller)),
        ]
        return ClientTx.launch(self, build(f"INVITE {uri} SIP/2.0", headers), peer)

    # ---- calls that come in ----------------------------------------------------------------------------------------

    def on_request(self, tx: ServerTx) -> None:
        """A new request."""
        request = tx.request
        if request.method == "INVITE":
            if request.to_tag:
                tx.reply(200, headers=[("Contact", self.contact("operator", tx.peer.transport))])
            else:
                self._set_up(tx)
        elif request.method == "CANCEL":
            self._cancel(tx)
        elif request.method == "BYE":
            known = self.dialogs.pop(request.call_id, None) is not None
            self.byes.append(request)
            self.ended.add(request.call_id)
            tx.reply(200 if known or request.call_id in self.answered else 481)
        elif request.method == "REGISTER":
            tx.reply(200, headers=[("Contact", request.get("contact")), ("Expires", "60")])
        else:
            tx.reply(200)

    def _set_up(self, tx: ServerTx) -> None:
        request = tx.request
        attempt = (request.call_id, request.from_tag)
        self.seen.append(
            Seen(
                at=tx.at,
                first=attempt not in self._known,
                called=request.called,
                call_id=request.call_id,
                from_=request.get("from"),
                pai=request.get("p-asserted-identity"),
                message=request,
            )
        )
        self._known.add(attempt)
        tx.reply(100)
        habit = self.habit(request.called)
        if habit.challenge and not self._proved(request):
            nonce = secrets.token_hex(8)
            challenge = f'Digest realm="{REALM}",nonce="{nonce}",algorithm=MD5'
            tx.reply(407, headers=[("Proxy-Authenticate", challenge)])
            return
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(habit.ring, self._ring, tx)] if habit.ring is not None else []
        if habit.moved_to:
            timers.append(loop.call_later(habit.answer or 0.0, self._moved, tx, habit.moved_to))
        elif habit.refuse:
            timers.append(loop.call_later(habit.answer or 0.0, self._final, tx, habit.refuse))
        elif habit.answer is not None:
            timers.append(loop.call_later(habit.answer, self._answer, tx, habit))
        self._ringing[request.branch] = (tx, timers)

    @staticmethod
    def _proved(request: Sip) -> bool:
        credentials = request.get("proxy-authorization")
        return bool(credentials) and proves(credentials, "INVITE", PASSWORD)

    def _ring(self, tx: ServerTx) -> None:
        if tx.status < 200:
            tx.reply(180, headers=[("Contact", self.contact(tx.request.called, tx.peer.transport))])

    def _final(self, tx: ServerTx, status: int) -> None:
        self._ringing.pop(tx.request.branch, None)
        tx.reply(status)

    def _moved(self, tx: ServerTx, target: str) -> None:
        self._ringing.pop(tx.request.branch, None)
        tx.reply(302, headers=[("Contact", f"<{target}>")])

    def _answer(self, tx: ServerTx, habit: Habit) -> None:
        self._ringing.pop(tx.request.branch, None)
        call_id = tx.request.call_id
        self.answered.add(call_id)
        self.dialogs[call_id] = Dialog.of_callee(self, tx)
        headers: Headers = [
            ("Contact", self.contact(tx.request.called, tx.peer.transport)),
            ("Content-Type", "application/sdp"),
        ]
        tx.reply(200, headers=headers, body=SDP)
        if habit.hang_up is not None:
            task = asyncio.get_running_loop().create_task(self._hang_up_later(tx, habit.hang_up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _hang_up_later(self, tx: ServerTx, after: float) -> None:
        await asyncio.wait_for(tx.acknowledged.wait(), GIVE_UP)
        await asyncio.sleep(after)
        if tx.request.call_id in self.dialogs:
            await self.hang_up(tx.request.call_id).done()

    def _cancel(self, tx: ServerTx) -> None:
        found = self._ringing.pop(tx.request.branch, None)
        if found is None:
            tx.reply(200 if (tx.request.branch, "INVITE") in self.servers else 481)
            return
        invite, timers = found
        for timer in timers:
            timer.cancel()
        tx.reply(200)
        self.cancelled.add(invite.request.call_id)
        invite.reply(487)


def busiest(instants: Iterable[int], span: int = SECOND) -> int:
    """The most of `instants` (ns) in any window of `span`, wherever it starts (its end is outside)."""
    times = sorted(instants)
    most = start = 0
    for end, at in enumerate(times):
        while at - times[start] >= span:
            start += 1
        most = max(most, end - start + 1)
    return most
