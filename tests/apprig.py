"""A whole guard in this process, on free loopback ports, between an IPBX and an operator that are plain UDP sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop

from guard.app import App
from guard.app_parts import open_store
from guard.config import load
from guard.nexthops import resolved
from guard.policy.load import load_policy
from guard.proxy.effects import Address
from guard.sip.message import Message, parse
from guard.store.contract import Query
from guard.store.reader import Detail, SqliteReader
from guard.store.sqlite import SqliteWriter
from sim.ports import free_port
from sim.site import ALICE, CUSTOMER, GUARD, IPBX, OPERATOR, PREMIUM, Site
from tests.proxy.world import reply, request

PATIENCE = 15.0  # seconds until a test that waits for a message has failed
RESEND = 0.5  # seconds after which a caller sends its INVITE again (RFC 3261, T1)
MASKED = f'"0892" <sip:{PREMIUM}@{IPBX}>'  # a caller that is shown as the site's main number
FOREIGN = f"<sip:+33239112233@{IPBX}>"  # a caller that may not present this number


class Peer:
    """A UDP socket that speaks SIP when it is told to."""

    def __init__(self, host: str, guard: Address) -> None:
        self.guard = guard
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((host, 0))
        self.host = host
        self.port = int(self.sock.getsockname()[1])
        self.heard: list[str] = []
        self.remote = ""  # the other side's Contact

    def send(self, data: bytes) -> None:
        self.sock.sendto(data, self.guard)

    def invite(
        self,
        number: int = 1,
        *,
        caller: str = f"<sip:{ALICE}@{IPBX}>",
        uri: str = f"sip:{CUSTOMER}@{GUARD}",
        more: str = "",
    ) -> bytes:
        """Send the first INVITE of call `number`."""
        data = request(
            uri=uri,
            caller=caller,
            call_id=f"call{number}",
            branch=f"b{number}",
            tag=f"t{number}",
            host=self.host,
            port=self.port,
            more=more,
        )
        self.send(data)
        return data

    def say(self, method: str, number: int = 1, *, to_tag: str = "z9", more: str = "", cseq: int = 2) -> None:
        """Send another request of call `number`."""
        self.send(
            request(
                method,
                self.remote if to_tag else f"sip:{CUSTOMER}@{GUARD}",
                caller=f"<sip:{ALICE}@{IPBX}>",
                call_id=f"call{number}",
                branch=f"b{number}" if method == "CANCEL" else f"b{number}{method}",
                tag=f"t{number}",
                to_tag=to_tag,
                cseq=1 if method in {"ACK", "CANCEL"} else cseq,
                host=self.host,
                port=self.port,
                more=f"Route: <sip:{self.guard[0]}:{self.guard[1]};lr>\r\n{more}" if to_tag else more,
            )
        )

    async def next(self, what: str = "", *, number: int | None = None) -> Message:
        """The next message that is `what` (a method or a status), of call `number`; others are passed over."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            while True:
                m = parse(await loop.sock_recv(self.sock, 65_535))
                said = m.method.decode() if m.is_request else str(m.status)
                self.heard.append(said)
                if what in {"", said} and (number is None or m.call_id() == f"call{number}".encode()):
                    return m

    async def final(self, number: int) -> Message:
        """The final answer to call `number`."""
        while (m := await self.next(number=number)).is_request or m.status < 200:
            pass
        return m

    async def insist(self, data: bytes, wanted: Awaitable[Message]) -> Message:
        """Send it again and again, as callers do over UDP, until what is wanted has come."""
        waiting = asyncio.ensure_future(wanted)
        while not waiting.done():
            self.send(data)
            await asyncio.wait({waiting}, timeout=RESEND)
        return await waiting

    async def none_of(self, what: str) -> None:
        """Nothing of what the guard has sent so far is `what`."""
        self.send(
            request(
                "OPTIONS",
                f"sip:{self.guard[0]}:{self.guard[1]}",
                call_id=f"ping{len(self.heard)}",
                branch=f"ping{len(self.heard)}",
                host=self.host,
                port=self.port,
            )
        )
        before = len(self.heard)
        await self.next("200")
        assert what not in self.heard[before:]


class Rig:
    """One guard with its peers."""

    def __init__(self, site: Site, app: App, store: SqliteWriter, pbx: Peer, operator: Peer) -> None:
        self.site = site
        self.app = app
        self.store = store
        self.pbx = pbx
        self.operator = operator
        self.counters = app.driver.counters
        self.stopped = False

    def answer(self, m: Message, status: int, **more: str) -> None:
        """The operator answers what it got."""
        self.operator.send(reply(m, status, contact=f"<sip:{OPERATOR}:{self.operator.port}>", **more))

    async def carried(self, number: int = 1, **how: str) -> Message:
        """Place a call; the INVITE as the operator gets it."""
        self.pbx.invite(number, **how)
        return await self.operator.next("INVITE", number=number)

    async def connected(self, number: int = 1, **how: str) -> None:
        """Place a call that is answered."""
        self.answer(await self.carried(number, **how), 200)
        await self.pbx.next("200", number=number)
        self.pbx.say("ACK", number)
        await self.operator.next("ACK", number=number)

    async def hung_up(self, number: int = 1) -> None:
        """The caller ends it."""
        self.pbx.say("BYE", number)
        self.answer(await self.operator.next("BYE", number=number), 200)
        await self.pbx.next("200", number=number)

    async def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            await self.app.stop()

    def log(self) -> list[Detail]:
        """All records, once the guard has stopped."""
        assert self.stopped
        with SqliteReader(self.site.folder / self.site.store) as reader:
            return list(reader.details(Query(all=True)))


@asynccontextmanager
async def guard(folder: Path, *, more: str = "", cps: int | None = None) -> AsyncIterator[Rig]:
    """A guard that takes calls. `more` is TOML that is added to its file."""
    address = (GUARD, free_port(GUARD))
    async with AsyncExitStack() as stack:
        pbx, operator = Peer(IPBX, address), Peer(OPERATOR, address)
        stack.enter_context(pbx.sock)
        stack.enter_context(operator.sock)
        site = Site(folder=folder, port=address[1], trunk_port=operator.port, pbx_port=pbx.port, more=more, cps=cps)
        config = load(site.write())
        policy = load_policy(config)
        store = open_store(config, policy)
        pbx.remote = f"sip:{OPERATOR}:{operator.port}"
        rig = Rig(site, App(config, policy, store, resolved(config)), store, pbx, operator)
        stack.push_async_callback(rig.stop)
        await rig.app.start()
        yield rig


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run one scene on the daemon's own loop."""

    async def bounded() -> None:
        async with asyncio.timeout(4 * PATIENCE):
            await scene()

    uvloop.run(bounded())


def rules(detail: Detail) -> list[str]:
    """The rules that spoke of a call."""
    return [f.rule for f in detail.record.findings]
