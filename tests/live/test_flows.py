"""A phone that listens nowhere and has no certificate registers through a whole guard, and is called over its own
connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from guard.app import App
from guard.app_parts import open_store
from guard.config import load
from guard.nexthops import resolved
from guard.policy.load import load_policy
from guard.proxy.effects import Address
from sim.ports import free_port
from sim.site import ALICE, CUSTOMER, MAIN
from tests.apprig import run
from tests.certs import authority, side
from tests.live.test_transports import End
from tests.proxy.world import reply, request

pytestmark = pytest.mark.live

CA = authority()
AOR = "<sip:alice@operator.example>"


class Site:
    """A guard, an operator over UDP, and where phones find the guard."""

    def __init__(self, app: App, operator: End, sip: Address, near: Address, folder: Path) -> None:
        self.app = app
        self.operator = operator
        self.sip = sip
        self.near = near
        self.folder = folder
        self.stack = AsyncExitStack()

    async def phone(self, way: str) -> tuple[End, Address]:
        """A phone's connection to the guard, and its own end of it."""
        phone = End(way)
        shown = side(self.folder, server=False, ca=CA) if way == "tls" else None
        stream, _ = await asyncio.get_running_loop().create_connection(
            lambda: phone,
            *self.near,
            ssl=shown,
            server_hostname="guard.example" if shown is not None else None,
            local_addr=("127.0.0.2", 0),
        )
        self.stack.callback(phone.close)
        return phone, stream.get_extra_info("sockname")[:2]


@asynccontextmanager
async def site(folder: Path, way: str, trunk: str = "") -> AsyncIterator[Site]:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        operator = End("udp")
        transport, _ = await loop.create_datagram_endpoint(lambda: operator, local_addr=("127.0.0.3", 0))
        stack.callback(operator.close)
        hop = transport.get_extra_info("sockname")[:2]
        udp, port = free_port("127.0.0.1"), free_port("127.0.0.1")
        CA.issue("guard.example").write(folder, "guard")
        path = folder / "guard.toml"
        path.write_text(
            f"""\
[listen]
udp = ["127.0.0.1:{udp}"]
{way} = ["127.0.0.1:{port}"]

[tls]
certificate = "guard.pem"

[[trunk]]
name = "operator"
next_hop = ["sip:{hop[0]}:{hop[1]}"]
{trunk}

[[source]]
name = "pbx"
address = ["127.0.0.2"]
trunk = "operator"

[[number]]
range = "{MAIN}-+33145678999"

[store]
path = "guard.db"
""",
            "utf-8",
        )
        loaded = load(path)
        policy = load_policy(loaded)
        app = App(loaded, policy, open_store(loaded, policy), resolved(loaded))
        stack.push_async_callback(app.stop)
        await app.start()
        found = Site(app, operator, ("127.0.0.1", udp), ("127.0.0.1", port), folder)
        stack.push_async_callback(found.stack.aclose)
        yield found


async def register(s: Site, phone: End, at: Address, way: str, number: int) -> str:
    """Register; the contact as the registrar has it."""
    contact = f"<sip:alice@{at[0]}:9;transport={way}>"  # nobody takes calls there
    phone.send(
        request(
            "REGISTER",
            "sip:operator.example",
            caller=AOR,
            to=AOR,
            contact=contact,
            call_id="reg@phone",
            branch=f"r{number}",
            cseq=number,
            host=at[0],
            port=at[1],
            transport=way.upper(),
        ),
        s.near,
    )
    got = await s.operator.next("REGISTER")
    (bound,) = got.routes(b"contact")
    s.operator.send(reply(got, 200, contact=bound.text.decode()), s.sip)
    answer = await phone.next("200")
    assert answer.routes(b"contact")[0].text.decode() == contact
    return bound.uri.decode()


def ring(s: Site, uri: str, call_id: str) -> None:
    host, port = s.operator._transport.get_extra_info("sockname")[:2]  # type: ignore[union-attr]
    s.operator.send(
        request(
            uri=uri, caller=f"<sip:{CUSTOMER}@op>", to=f"<sip:{ALICE}@op>", call_id=call_id, branch=call_id, host=host,
            port=port,
        ),
        s.sip,
    )  # fmt: skip


@pytest.mark.parametrize("way", ["tcp", "tls"])
def test_a_phone_without_a_port_is_called_over_the_connection_that_it_registered_over(tmp_path: Path, way: str) -> None:
    async def scene() -> None:
        async with site(tmp_path, way) as s:
            phone, at = await s.phone(way)
            uri = await register(s, phone, at, way, 1)
            ring(s, uri, "one@op")
            invite = await phone.next("INVITE")
            assert invite.uri == f"sip:alice@{at[0]}:9;transport={way}".encode()
            phone.send(reply(invite, 486), s.near)
            assert (await s.operator.next("486")).first(b"call-id") == b"one@op"

            phone.close()  # it goes, and comes back by another port: what it registers is what it was
            again, at2 = await s.phone(way)
            assert await register(s, again, at2, way, 2) == uri
            ring(s, uri, "two@op")
            invite = await again.next("INVITE")
            assert invite.first(b"call-id") == b"two@op"
            again.send(reply(invite, 486), s.near)
            await s.operator.next("486")

            again.close()  # gone for good: nothing listens where its contact says
            ring(s, uri, "three@op")
            assert (await s.operator.next("480")).first(b"call-id") == b"three@op"

    run(scene)
