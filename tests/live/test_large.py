"""A call too long for UDP, through a whole guard: over TCP to an operator that takes it, over UDP to one that does
not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sim.site import ALICE, CUSTOMER
from tests.apprig import run
from tests.live.test_flows import Site, site
from tests.live.test_transports import End
from tests.proxy.world import reply, request

pytestmark = pytest.mark.live


async def calling(s: Site) -> End:
    """An IPBX over UDP, whose call is too long."""
    pbx = End("udp")
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: pbx, local_addr=("127.0.0.2", 0))
    s.stack.callback(pbx.close)
    host, port = transport.get_extra_info("sockname")[:2]
    called = f"sip:{CUSTOMER}@{s.sip[0]}:{s.sip[1]}"
    more = f"X-Long: {'x' * 1500}\r\n"
    pbx.send(request(uri=called, caller=f"<sip:{ALICE}@pbx>", host=host, port=port, more=more), s.sip)
    return pbx


async def scene(folder: Path, *, taken: bool) -> None:
    async with site(folder, "tcp", 'large = "tcp"') as s:
        over = s.operator
        if taken:
            over = End("tcp")
            host, port = s.operator._transport.get_extra_info("sockname")[:2]  # type: ignore[union-attr]
            server = await asyncio.get_running_loop().create_server(lambda: over, host, port)
            s.stack.callback(server.close)
            s.stack.callback(over.close)
        pbx = await calling(s)
        invite = await over.next("INVITE")
        assert invite.via().transport == (b"TCP" if taken else b"UDP")
        over.send(reply(invite, 486), s.sip)
        await pbx.next("486")
        await over.next("ACK")


def test_an_operator_that_takes_tcp_gets_it_over_tcp(tmp_path: Path) -> None:
    run(lambda: scene(tmp_path, taken=True))


def test_an_operator_that_takes_none_gets_it_over_udp(tmp_path: Path) -> None:
    run(lambda: scene(tmp_path, taken=False))
