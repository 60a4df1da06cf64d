"""Simulated desk phones: pyVoIP, other people's SIP stack, wrapped for asyncio.

pyVoIP 1.6.8 blocks, and runs threads of its own. Made good here is only what keeps a call from ending: its ACK of a 2xx
names a To-tag that it makes up under the INVITE's own branch (RFC 3261 13.2.2.4), and it neither acknowledges nor tells
a refusal other than 404 and 503. It still knows no Record-Route and no rport: what it sends goes to its server,
whatever the route says. It sends no media here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
import warnings
from typing import TYPE_CHECKING, Any, Final

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # audioop, which pyVoIP imports, is deprecated
    import pyVoIP.VoIP  # noqa: F401 - first: pyVoIP.SIP imports it in a circle
    from pyVoIP.RTP import PayloadType, TransmitType
    from pyVoIP.SIP import SIPClient, SIPMessage, SIPMessageType
    from pyVoIP.VoIP import CallState, VoIPCall, VoIPPhone
    from pyVoIP.VoIP.status import PhoneStatus

from msgspec import Struct

from sim.ports import free_port
from sim.wire import Headers, Sip, build, uri_of

if TYPE_CHECKING:
    from collections.abc import Callable

POLL: Final = 0.02  # seconds between looks at pyVoIP's state: it has no events
PATIENCE: Final = 15.0  # seconds for a registration, or a call's final answer


class PhoneResult(Struct, frozen=True):
    """How a phone's call went. `status` is the final one, 0 when none came."""

    call_id: str
    status: int
    rang: bool


class _Call(VoIPCall):
    """A call without media."""

    def create_rtp_clients(self, *_: object) -> None:
        """No sockets, no sound."""


class _Client(SIPClient):
    """pyVoIP's SIP, and what it heard: `finals` by Call-ID, `rang` likewise."""

    def __init__(self, phone: _Voip, password: str, port: int) -> None:
        self.finals: dict[str, int] = {}
        self.rang: set[str] = set()
        self.listening = threading.Event()
        super().__init__(
            phone.server,
            phone.port,
            phone.username,
            password,
            phone=phone,
            myIP=phone.myIP,
            myPort=port,
            callCallback=phone.callback,
            fatalCallback=phone.fatal,
        )

    def gen_call_id(self) -> str:
        """Call-IDs that no other phone has: pyVoIP counts from one, each time it starts."""
        return f"{uuid.uuid4().hex}@{self.myIP}"

    def recv_loop(self) -> None:
        """Until the socket is closed under it."""
        self.listening.set()
        with contextlib.suppress(OSError, UnboundLocalError):
            super().recv_loop()

    def parse_message(self, message: SIPMessage) -> None:
        """Keep what answers say; a refused INVITE is acknowledged (RFC 3261 17.1.1.3)."""
        if message.type == SIPMessageType.RESPONSE:
            answer = Sip(message.raw)
            if answer.method == "INVITE":
                if answer.status == 180:
                    self.rang.add(answer.call_id)
                elif answer.status >= 200:
                    self.finals[answer.call_id] = answer.status
                if answer.status >= 300:
                    self.out.sendto(self.gen_ack(message).encode(), (self.server, self.port))
                    self.s.setblocking(True)
                    return
        super().parse_message(message)

    def gen_ack(self, request: SIPMessage) -> str:
        """The ACK of an answer, its To as answered; that of a 2xx under a branch of its own."""
        answer = Sip(request.raw)
        accepted = answer.status < 300
        via = answer.get("via")
        target = uri_of(answer.get("contact")) if accepted else ""
        if accepted:
            via = f"SIP/2.0/UDP {self.myIP}:{self.myPort};branch={self.gen_branch()}"
        headers: Headers = [("Via", via), ("Max-Forwards", "70")]
        headers += [(name, answer.get(name.lower())) for name in ("From", "To", "Call-ID")]
        headers.append(("CSeq", f"{answer.cseq} ACK"))
        return build(f"ACK {target or uri_of(answer.get('to'))} SIP/2.0", headers).decode()


class _Voip(VoIPPhone):
    """pyVoIP's phone with the two classes above."""

    def __init__(self, server: tuple[str, int], user: str, password: str, host: str, port: int) -> None:
        super().__init__(*server, user, password, myIP=host, sipPort=port)
        self.sip = self.client = _Client(self, password, port)

    def call(self, number: str) -> VoIPCall:
        """Dial."""
        port = self.request_port()
        media: Any = {port: {0: PayloadType.PCMU, 101: PayloadType.EVENT}}  # its annotations contradict its own use
        request, call_id, session = self.sip.invite(number, media, TransmitType.SENDRECV)
        call = _Call(self, CallState.DIALING, request, session, self.myIP, ms=media, sendmode=self.sendmode)
        self.calls[call_id] = call
        return call


class Phone:
    """One phone. `server` is where it registers and sends its calls: an exchange, or the guard itself."""

    def __init__(self, server: tuple[str, int], user: str, host: str = "127.0.0.2", password: str = "secret") -> None:
        self.user = user
        self._voip = _Voip(server, user, password, host, free_port(host))

    @property
    def registered(self) -> bool:
        """Whether the server took it."""
        return bool(self._voip.get_status() == PhoneStatus.REGISTERED)

    async def start(self) -> None:
        """Register. TimeoutError when the server does not take it."""
        await asyncio.to_thread(self._voip.start)
        client = self._voip.client
        await _until(lambda: self.registered and client.listening.is_set(), "registered")

    async def stop(self) -> None:
        """Hang up, deregister, close."""
        await asyncio.to_thread(self._voip.stop)

    async def call(self, number: str, talk: float = 0.1) -> PhoneResult:
        """Dial, talk and hang up."""
        call = await asyncio.to_thread(self._voip.call, number)
        client = self._voip.client
        call_id = str(call.call_id)
        await _until(lambda: call.state == CallState.ANSWERED or call_id in client.finals, "answered")
        status = client.finals.get(call_id, 0)
        if status < 300:
            await _until(lambda: call.state == CallState.ANSWERED, "up")
            await asyncio.sleep(talk)
            await asyncio.to_thread(call.hangup)
        return PhoneResult(call_id, status, call_id in client.rang)


async def _until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"the phone was not {what} in {PATIENCE:g} s")
        await asyncio.sleep(POLL)
