"""SIPS through a whole guard with real TLS on its sockets (RFC 5630): TLS on both legs, or none at all but for 112."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.site import CUSTOMER
from tests.apprig import run
from tests.live.test_transports import World, invite, routed, world
from tests.proxy.world import reply, request

pytestmark = pytest.mark.live


def secure(w: World, number: int, called: str) -> bytes:
    """An INVITE to a SIPS URI, with a Contact of the same kind (RFC 3261 8.1.1.8)."""
    data = invite(w, number, called)
    return data.replace(b"INVITE sip:", b"INVITE sips:", 1).replace(b"Contact: <sip:", b"Contact: <sips:", 1)


def test_a_sips_call_stays_on_tls_from_end_to_end(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, "tls", "tls", "44") as w:
            w.pbx.send(secure(w, 1, CUSTOMER), w.near)
            got = await w.operator.next("INVITE")
            assert got.uri.startswith(b"sips:")
            routes = [value.uri for value in got.routes(b"record-route")]
            assert routes
            assert all(uri.startswith(b"sips:") for uri in routes)
            callee = w.callee.replace("sip:", "sips:").partition(";")[0]
            w.operator.send(reply(got, 200, contact=f"<{callee}>"), w.far)
            answered = await w.pbx.next("200")
            for method, cseq in (("ACK", 1), ("BYE", 2)):
                data = request(
                    method,
                    callee,
                    caller=f"<{got.from_().uri.decode()}>",
                    to_tag="z9",
                    call_id="call1",
                    branch=method,
                    cseq=cseq,
                    transport="TLS",
                    more=routed(answered, turned=True),
                )
                w.pbx.send(data, w.near)
                assert (await w.operator.next(method)).uri == callee.encode()
            assert (w.pbx.connections, w.operator.connections) == (1, 1)

    run(scene)


@pytest.mark.parametrize(("near", "far"), [("tls", "udp"), ("tls", "tcp"), ("udp", "tls"), ("tcp", "tls")])
def test_one_leg_without_tls_refuses_it_and_carries_112(tmp_path: Path, near: str, far: str) -> None:
    async def scene() -> None:
        async with world(tmp_path, near, far, "44") as w:
            w.pbx.send(secure(w, 1, CUSTOMER), w.near)
            refused = await w.pbx.next("480")
            assert b'380 guard "SIPS Not Allowed"' in (refused.first(b"warning") or b"")
            w.pbx.send(secure(w, 2, "112"), w.near)
            got = await w.operator.next("INVITE")  # the first that the operator sees
            assert b":112@" in got.uri

    run(scene)
