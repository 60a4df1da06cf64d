"""A call over every pair of transports and address families, through a whole guard in this process."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from pathlib import Path

import pytest

from guard.app import App
from guard.app_parts import open_store
from guard.config import load
from guard.nexthops import resolved
from guard.policy.load import load_policy
from guard.proxy.effects import Address
from guard.proxy.routing import host_text
from guard.sip.framing import StreamFramer
from guard.sip.message import Message, parse
from sim.ports import free_port
from sim.site import ALICE, CUSTOMER, MAIN
from tests.apprig import PATIENCE, run
from tests.certs import authority, side
from tests.proxy.world import reply, request

pytestmark = pytest.mark.live

CA = authority()
HOSTS = {"4": ("127.0.0.1", "127.0.0.2", "127.0.0.3"), "6": ("::1", "::1", "::1")}  # guard, IPBX, operator
WAYS = ("udp", "tcp", "tls")
FAMILIES = ("44", "64", "46")  # IPBX, operator; ::1 is the only IPv6 address of its kind, so never both


class End(asyncio.DatagramProtocol, asyncio.Protocol):
    """One end of a call: a UDP socket, or one connection, whoever opened it."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.up = asyncio.Event()
        self.connections = 0
        self._framer = StreamFramer()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.connections += 1
        self.up.set()

    def data_received(self, data: bytes) -> None:
        for item in self._framer.feed(data):
            if isinstance(item, bytes):
                self.heard.put_nowait(item)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.put_nowait(data)

    def send(self, data: bytes, to: Address) -> None:
        if self.way == "udp":
            self._transport.sendto(data, to)  # type: ignore[union-attr]  # a datagram transport
        else:
            self._transport.write(data)  # type: ignore[union-attr]  # a stream's

    async def next(self, what: str) -> Message:
        """The next message that is `what`, a method or a status; others are passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                m = parse(await self.heard.get())
                if what == (m.method.decode() if m.is_request else str(m.status)):
                    return m

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class World:
    """A guard between an IPBX and an operator."""

    def __init__(
        self, app: App, pbx: End, operator: End, near: Address, far: Address, at: Address, hop: Address
    ) -> None:
        self.app = app
        self.pbx = pbx
        self.operator = operator
        self.near = near  # where the guard takes the IPBX's calls
        self.far = far  # where it takes the operator's
        self.at = at  # the IPBX
        self.callee = f"sip:{CUSTOMER}@{host_text(hop[0])}:{hop[1]};transport={operator.way}"


def config(
    folder: Path, ports: dict[str, int], near: str, families: str, far: tuple[str, Address], at: Address
) -> Path:
    """The guard.toml of one pair."""
    listens = "".join(
        f"{way} = [{', '.join(repr(f'{host_text(HOSTS[f][0])}:{ports[way]}') for f in sorted(set(families)))}]\n"
        for way in WAYS
    )
    guard = CA.issue("guard.example")
    guard.write(folder, "guard")
    CA.write(folder)
    way, hop = far
    path = folder / "guard.toml"
    path.write_text(
        f"""\
[listen]
{listens}
[tls]
certificate = "guard.pem"
ca = "ca.pem"
client = "request"

[[trunk]]
name = "operator"
next_hop = ["sip:{host_text(hop[0])}:{hop[1]};transport={way}"]
tls_name = "trunk.example"

[[source]]
name = "pbx"
address = ["{at[0]}"]
trunk = "operator"
contact = "sip:{host_text(at[0])}:{at[1]};transport={near}"

[[number]]
range = "{MAIN}-+33145678999"

[store]
path = "guard.db"
""",
        "utf-8",
    )
    return path


@asynccontextmanager
async def world(folder: Path, near: str, far: str, families: str) -> AsyncIterator[World]:
    loop = asyncio.get_running_loop()
    guard_near, pbx_host, _ = HOSTS[families[0]]
    guard_far, _, operator_host = HOSTS[families[1]]
    async with AsyncExitStack() as stack:
        operator = End(far)
        if far == "udp":
            transport, _ = await loop.create_datagram_endpoint(lambda: operator, local_addr=(operator_host, 0))
            hop: Address = transport.get_extra_info("sockname")[:2]
        else:
            shown = side(folder, server=True, issued=CA.issue("trunk.example"), ca=CA) if far == "tls" else None
            server = await loop.create_server(lambda: operator, operator_host, 0, ssl=shown)
            stack.callback(server.close)
            hop = server.sockets[0].getsockname()[:2]
        ports = {way: free_port("127.0.0.1") for way in WAYS}
        pbx = End(near)
        at: Address = (pbx_host, 0)
        if near == "udp":
            transport, _ = await loop.create_datagram_endpoint(lambda: pbx, local_addr=(pbx_host, 0))
            at = transport.get_extra_info("sockname")[:2]
        loaded = load(config(folder, ports, near, families, (far, hop), (at[0], at[1] or 5060)))
        policy = load_policy(loaded)
        app = App(loaded, policy, open_store(loaded, policy), resolved(loaded))
        stack.push_async_callback(app.stop)
        stack.callback(operator.close)
        stack.callback(pbx.close)
        await app.start()
        if near != "udp":
            shown = side(folder, server=False, issued=CA.issue("pbx.example"), ca=CA) if near == "tls" else None
            name = "guard.example" if shown is not None else None
            to = (guard_near, ports[near])
            stream, _ = await loop.create_connection(
                lambda: pbx, *to, ssl=shown, server_hostname=name, local_addr=(pbx_host, 0)
            )
            at = stream.get_extra_info("sockname")[:2]
        yield World(app, pbx, operator, (guard_near, ports[near]), (guard_far, ports[far]), at, hop)


def invite(w: World, number: int, called: str) -> bytes:
    return request(
        uri=f"sip:{called}@{host_text(w.near[0])}:{w.near[1]}",
        caller=f"<sip:{ALICE}@pbx.example>",
        call_id=f"call{number}",
        branch=f"b{number}",
        host=host_text(w.at[0]),
        port=w.at[1],
        transport=w.pbx.way.upper(),
        contact=f"<sip:200@{host_text(w.at[0])}:{w.at[1]};transport={w.pbx.way}>",
    )


def routed(m: Message, *, turned: bool) -> str:
    """The route set that a message gives its receiver (RFC 3261 12.1)."""
    values = [r.text.decode() for r in m.routes(b"record-route")]
    return "".join(f"Route: {v}\r\n" for v in (reversed(values) if turned else values))


async def call(w: World, number: int) -> None:
    """One call: set up, answered, ended by the operator's side."""
    w.pbx.send(invite(w, number, CUSTOMER), w.near)
    got = await w.operator.next("INVITE")
    assert got.via().transport == w.operator.way.upper().encode()
    for status in (180, 200):
        w.operator.send(reply(got, status, contact=f"<{w.callee}>"), w.far)
        answered = await w.pbx.next(str(status))
    ends = {"call_id": f"call{number}", "to_tag": "z9", "host": host_text(w.at[0]), "port": w.at[1]}
    caller = f"<sip:{ALICE}@pbx.example>"
    ack = request(
        "ACK",
        w.callee,
        caller=caller,
        branch=f"ack{number}",
        more=routed(answered, turned=True),
        **ends,  # type: ignore[arg-type]  # as `request` names them
    )
    w.pbx.send(ack, w.near)
    acked = await w.operator.next("ACK")
    assert acked.call_id() == f"call{number}".encode()
    bye = request(
        "BYE",
        f"sip:200@{host_text(w.at[0])}:{w.at[1]};transport={w.pbx.way}",
        caller="<sip:+33145670001@127.0.0.1>",
        to=caller,
        tag="z9",
        to_tag="a1",
        call_id=f"call{number}",
        branch=f"bye{number}",
        host=HOSTS["4"][2],
        transport=w.operator.way.upper(),
        more=routed(got, turned=False),
    )
    bye = bye.replace(b"Via: SIP/2.0/UDP 127.0.0.3:5060;", b"Via: SIP/2.0/UDP 127.0.0.3:5060;rport;")
    w.operator.send(bye, w.far)
    ended = await w.pbx.next("BYE")
    w.pbx.send(reply(ended, 200), w.near)
    await w.operator.next("200")


@pytest.mark.parametrize("families", FAMILIES)
@pytest.mark.parametrize(("near", "far"), list(product(WAYS, WAYS)))
def test_a_call_over_every_pair(tmp_path: Path, near: str, far: str, families: str) -> None:
    async def scene() -> None:
        async with world(tmp_path, near, far, families) as w:
            for number in (1, 2):
                await call(w, number)
            w.pbx.send(invite(w, 3, "112"), w.near)
            assert b"112" in (await w.operator.next("INVITE")).uri
            assert (w.pbx.connections, w.operator.connections) == (1, 1), "one connection serves all of it"
            counters = {**w.app.core.counters, **w.app.driver.counters}
            assert [counters[k] for k in ("exceptions", "sends_failed", "tls_untrusted", "rejected")] == [0, 0, 0, 0]
            assert counters["emergency_calls"] == 1

    run(scene)


def test_a_connection_that_dies_under_a_call_costs_it_nothing_more(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, "udp", "tls", "44") as w:
            await call(w, 1)
            w.pbx.send(invite(w, 2, CUSTOMER), w.near)
            await w.operator.next("INVITE")
            w.operator.close()  # with an INVITE that heard nothing
            failed = await w.pbx.next("480")
            assert b"cannot be reached" in (failed.first(b"reason") or b"")
            await call(w, 3)  # over a new connection
            assert w.operator.connections == 2

    run(scene)


def test_a_certificate_is_renewed_under_a_call(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, "tls", "tls", "44") as w:
            await call(w, 1)
            fresh = CA.issue("guard.example")
            await renewed(w, tmp_path, fresh.certificate + fresh.key)
            assert (w.app.certificates.done, w.app.certificates.failed) == (1, 0)
            assert await shown(w) == fresh.certificate
            await renewed(w, tmp_path, b"half a file")
            assert (w.app.certificates.done, w.app.certificates.failed) == (1, 1)
            assert await shown(w) == fresh.certificate
            await call(w, 2)
            assert (w.pbx.connections, w.operator.connections) == (1, 1)

    run(scene)


async def renewed(w: World, folder: Path, data: bytes) -> None:
    """Other files, looked at until they have rested and were read."""
    (folder / "guard.pem").write_bytes(data)
    before = w.app.certificates.done + w.app.certificates.failed
    async with asyncio.timeout(PATIENCE):
        while w.app.certificates.done + w.app.certificates.failed == before:
            await w.app.certificates.look()
            await asyncio.sleep(0.01)


async def shown(w: World) -> bytes:
    """The certificate that a new connection gets."""
    context = side(Path(), server=False, ca=CA)
    to: Callable[..., Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = asyncio.open_connection
    _, writer = await to(*w.near, ssl=context, server_hostname="guard.example")
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return ssl.DER_cert_to_PEM_cert(found).encode()
