"""Connections of ours are kept alive, and missed when they die (RFC 5626 4.4.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from guard.net import connection, stream
from guard.net.reach import alias_of, reply_address
from guard.net.stream import Streams
from guard.proxy.effects import Address
from tests.net.streaming import PBX, Peer, Scene, answer, message
from tests.net.streaming import run as plain

EVERY = 100_000_000
PING = b"\r\n\r\n"


def run(monkeypatch: pytest.MonkeyPatch, scene: Callable[[Scene, Peer], Awaitable[None]], every: int = EVERY) -> None:
    """A scene with a connection that the guard opened."""
    monkeypatch.setattr(stream, "SWEEP", 0.001)

    async def both(s: Scene) -> None:
        await s.streams.close()
        loop = asyncio.get_running_loop()
        s.streams = Streams(loop, s.driver, s.counters, lambda host: True, None, every)
        operator = s.doorstep()
        assert s.streams.send(s.to(operator.name), message(), "k")
        peer = await s.accept(operator)
        assert await peer.receive(len(message())) == message()
        await scene(s, peer)

    plain(both)


def answered(s: Scene) -> bool:
    """Whether the one connection has had its pong."""
    (held,) = s.streams._by_number.values()
    return held.pongs and not held.pinged and not held._framer.pending


def test_a_quiet_connection_is_pinged_and_a_pong_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(s: Scene, peer: Peer) -> None:
        for n in range(1, 4):
            s.driver.at += EVERY - 1
            await asyncio.sleep(0.005)
            assert s.counters["tcp_pings"] == n - 1
            s.driver.at += 1
            assert await peer.receive(4) == PING
            for byte in b"\r\n":  # however it comes
                await peer.send(bytes((byte,)))
            await s.until(lambda: answered(s))
        assert s.counters["tcp_keepalives"] == 0, "two pongs are no ping"
        await peer.send(answer())
        assert (await s.heard())[0] == answer()

    run(monkeypatch, scene)


def test_a_peer_that_answered_once_and_then_no_more_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(s: Scene, peer: Peer) -> None:
        s.driver.at += EVERY
        await peer.receive(4)
        await peer.send(b"\r\n")
        (held,) = s.streams._by_number.values()
        await s.until(lambda: held.pongs)
        s.driver.at += EVERY
        await peer.receive(4)
        s.driver.at += connection.PONG_TIME + 1
        assert await peer.ended()
        await s.closed()
        assert s.counters["tcp_silent"] == 1

    run(monkeypatch, scene)


def test_a_peer_that_never_answers_pings_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(s: Scene, peer: Peer) -> None:
        for _ in range(3):
            s.driver.at += EVERY
            assert await peer.receive(4) == PING
        assert len(s.streams) == 1

    run(monkeypatch, scene)


def test_messages_are_as_good_as_pongs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(s: Scene, peer: Peer) -> None:
        s.driver.at += EVERY - 1
        await peer.send(answer())
        await s.heard()
        s.driver.at += 1
        await asyncio.sleep(0.005)
        assert s.counters["tcp_pings"] == 0
        s.driver.at += EVERY
        await peer.receive(4)
        await peer.send(b"\r\n" + answer())
        assert (await s.heard())[0] == answer()
        (held,) = s.streams._by_number.values()
        assert not held.pinged

    run(monkeypatch, scene)


def test_no_pings_where_none_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(s: Scene, peer: Peer) -> None:
        s.driver.at += 100 * EVERY
        await asyncio.sleep(0.005)
        assert s.counters["tcp_pings"] == 0

    run(monkeypatch, scene, every=0)


# ---- where to, without the connection --------------------------------------------------------------------------------

AT: Address = (PBX, 40_000)


def bye(uri: str, route: str = "") -> bytes:
    line = f"Route: <{route};lr>\r\n" if route else ""
    return (
        f"BYE {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.5;branch=z9hG4bKx\r\n{line}Content-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("data", "transport", "port"),
    [
        (answer("127.0.0.2:5070"), "tcp", 5070),
        (answer("127.0.0.2"), "tcp", 5060),
        (answer("127.0.0.2"), "tls", 5061),
        (bye("sip:a@127.0.0.2:5099;transport=tcp"), "tcp", 5099),
        (bye("sips:a@127.0.0.2"), "tls", 5061),
        (bye("sip:a@127.0.0.9:5099", "sip:127.0.0.2:5071;transport=tls"), "tls", 5071),
        (bye("sip:a@127.0.0.9:5099"), "tls", 40_000),  # of another host: it is not meant
        (bye("sip:a@pbx.example"), "tls", 40_000),
        (b"nonsense", "tls", 40_000),
    ],
)
def test_where_a_message_goes_whose_connection_has_gone(data: bytes, transport: str, port: int) -> None:
    assert reply_address(data, AT, transport) == (PBX, port)


@pytest.mark.parametrize(
    ("via", "names", "port"),
    [
        ("pbx.example:5071;alias", ("pbx.example",), 5071),
        ("pbx.example;alias", ("pbx.example",), 5061),
        ("PBX.example;alias", ("pbx.example",), 5061),
        ("127.0.0.2:5071;alias", ("127.0.0.2",), 5071),
        ("127.0.0.3:5071;alias", ("127.0.0.3",), 0),
        ("pbx.example:5071;alias", ("other.example",), 0),
        ("pbx.example:5071;branch=z9hG4bKalias", ("pbx.example",), 0),
        (";alias", ("pbx.example",), 0),
    ],
)
def test_who_may_be_called_backwards(via: str, names: tuple[str, ...], port: int) -> None:
    assert alias_of(message(via=via), PBX, names) == port


def test_answers_make_no_alias() -> None:
    assert alias_of(answer("pbx.example:5071;alias"), PBX, ("pbx.example",)) == 0
