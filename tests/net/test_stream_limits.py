"""TCP: what cannot be sent, what no peer may have more of, peers that misbehave, and the end."""

from __future__ import annotations

import asyncio
import socket

import pytest

from guard.net import connection, stream
from guard.net.connection import USER_TIMEOUT
from guard.net.stream import bound
from guard.proxy.effects import Address
from tests.net.fakes import Broken
from tests.net.streaming import GUARD, PBX, STRANGER, Peer, Scene, message, run

# ---- what cannot be sent ---------------------------------------------------------------------------------------------


def test_a_peer_that_refuses_is_told_of_by_key() -> None:
    async def scene(s: Scene) -> None:
        with socket.create_server((PBX, 0)) as gone:
            nobody = gone.getsockname()
        assert s.streams.send(s.to(nobody), message(), "k1")
        assert s.streams.send(s.to(nobody), message(), "")
        assert s.streams.send(s.to(nobody), message(), "k2")
        assert [await s.failed(), await s.failed()] == ["k1", "k2"]
        assert s.counted() == {"tcp_unreachable": 1}
        assert s.streams._opening == {}

    run(scene)


@pytest.mark.parametrize("peer", [(PBX, 0), (PBX, 65_536), ("::1", 5060), ("fe80::1%nowhere", 5060)])
def test_a_peer_that_is_none(peer: Address) -> None:
    async def scene(s: Scene) -> None:
        assert s.streams.send(s.to(peer), message(), "k")
        assert await s.failed() == "k"
        assert s.counters["tcp_unreachable"] == 1

    run(scene)


def test_a_peer_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CONNECT_TIME", 1_000)

    async def scene(s: Scene) -> None:
        async def silent(peer: Address, local: Address) -> socket.socket:
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(s.streams, "_connected", silent)
        assert s.streams.send(s.to((PBX, 5060)), message(), "k")
        assert await s.failed() == "k"
        assert s.counters["tcp_unreachable"] == 1

    run(scene)


def test_a_fault_of_ours_while_connecting_is_told_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(s: Scene) -> None:
        async def broken(peer: Address, local: Address) -> socket.socket:
            raise Broken

        monkeypatch.setattr(s.streams, "_connected", broken)
        assert s.streams.send(s.to((PBX, 5060)), message(), "k")
        assert await s.failed() == "k"
        assert len(s.driver.faults) == 1
        s.driver.faults.clear()

    run(scene)


def test_so_much_waits_for_a_connection_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_WAITING", 2 * len(message()))

    async def scene(s: Scene) -> None:
        operator = s.doorstep()
        to = s.to(operator.name)
        assert [s.streams.send(to, message(), "k") for _ in range(3)] == [True, True, False]
        peer = await s.accept(operator)
        assert await peer.receive(2 * len(message())) == message() * 2

    run(scene)


def test_a_peer_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_UNSENT", 64 * 1024)

    async def scene(s: Scene) -> None:
        other, _ = await s.greeted()
        slow = await s.dial(receive=4096)
        await slow.send(message())
        _, flow = await s.heard()
        sent = 0
        while s.streams.send(flow, b"x" * 10_000, "k"):
            sent += 10_000
            assert sent < 50_000_000
        assert await s.closed() == flow
        assert s.counters["tcp_slow_readers"] == 1
        await other.send(message(body="x"))
        assert (await s.heard())[0] == message(body="x")

    run(scene)


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_so_many_connections_of_one_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_PER_PEER", 2)

    async def scene(s: Scene) -> None:
        await s.greeted()
        second, _ = await s.greeted()
        third = await s.dial()
        assert await third.ended()
        await s.greeted("127.0.0.3")
        assert s.counters["tcp_refused"] == 1
        second.sock.close()
        await s.closed()
        await s.greeted()
        assert len(s.streams) == 3
        assert await (await s.dial()).ended()
        assert s.counters["tcp_refused"] == 2

    run(scene)


def test_so_many_connections_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_CONNECTIONS", 2)

    async def scene(s: Scene) -> None:
        await s.greeted()
        await s.greeted("127.0.0.3")
        assert await (await s.dial("127.0.0.4")).ended()
        operator = s.doorstep()
        assert not s.streams.send(s.to(operator.name), message(), "k"), "none is opened either"
        assert s.counters["tcp_refused"] == 2

    run(scene)


def test_of_strangers_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_UNKNOWN", 2)

    async def scene(s: Scene) -> None:
        first, _ = await s.greeted(STRANGER)
        second, flow = await s.greeted(STRANGER)
        assert s.streams.send(flow, b"welcome", ""), "an emergency call, say"
        third, _ = await s.greeted(STRANGER)
        assert s.counters["tcp_evicted"] == 0
        fourth, _ = await s.greeted(STRANGER)
        assert await first.ended()
        fifth, _ = await s.greeted(STRANGER)
        assert await third.ended()
        assert s.counters["tcp_evicted"] == 2
        assert await second.receive(7) == b"welcome"
        for peer in (second, fourth, fifth):
            await peer.send(message(body="x"))
            assert (await s.heard())[1].peer == peer.name
        listed, _ = await s.greeted()
        await listed.send(message(body="y"))
        assert (await s.heard())[0] == message(body="y")

    run(scene)


def test_strangers_that_left_are_no_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_UNKNOWN", 2)

    async def scene(s: Scene) -> None:
        for _ in range(6):
            peer, _ = await s.greeted(STRANGER)
            peer.sock.close()
            await s.closed()
        assert s.counters["tcp_evicted"] == 0
        assert s.streams._unknown == {}

    run(scene)


def test_times_that_are_up() -> None:
    async def scene(s: Scene) -> None:
        idle, _ = await s.greeted()
        stalled = await s.dial("127.0.0.3")
        await stalled.send(message()[:-20])
        unknown, _ = await s.greeted(STRANGER)
        await s.until(lambda: any(c.begun for c in s.streams._by_number.values()))
        s.driver.at += connection.UNKNOWN_TIME + 1
        s.streams._look()
        assert await unknown.ended()
        assert s.counters["tcp_idle"] == 1
        await stalled.send(b"X")  # a byte now and then does not help
        await s.until(lambda: any(c.begun and c.heard == s.driver.at for c in s.streams._by_number.values()))
        s.driver.at += connection.MESSAGE_TIME - connection.UNKNOWN_TIME
        s.streams._look()
        assert await stalled.ended()
        assert s.counters["tcp_stalled"] == 1
        s.driver.at += connection.IDLE_TIME - connection.MESSAGE_TIME - 1
        s.streams._look()
        await idle.send(message(body="x"))
        await s.heard()
        s.driver.at += connection.IDLE_TIME + 1
        s.streams._look()
        assert await idle.ended()
        assert s.counters["tcp_idle"] == 2

    run(scene)


def test_a_message_after_the_other_is_never_stalled() -> None:
    async def scene(s: Scene) -> None:
        peer = await s.dial()
        whole = message()
        await peer.send(whole[:30])
        await s.until(lambda: any(c.begun for c in s.streams._by_number.values()))
        for _ in range(4):  # each read ends the one message and begins the next
            s.driver.at += connection.MESSAGE_TIME
            await peer.send(whole[30:] + whole[:30])
            await s.heard()
            s.streams._look()
        assert len(s.streams) == 1
        await peer.send(whole[30:] + b"\r\n")
        await s.heard()
        s.driver.at += 10 * connection.MESSAGE_TIME
        s.streams._look()
        assert len(s.streams) == 1, "half a ping is no message"

    run(scene)


def test_a_peer_that_does_not_let_us_close() -> None:
    async def scene(s: Scene) -> None:
        peer = await s.dial(receive=4096)
        await peer.send(message())
        _, flow = await s.heard()
        assert s.streams.send(flow, b"x" * 400_000, "")
        s.streams.close_flow(flow)
        s.streams._look()
        assert len(s.streams) == 1, "it has its time to read"
        s.driver.at += connection.MESSAGE_TIME + 1
        s.streams._look()
        await s.closed()
        assert s.counters["tcp_slow_readers"] == 1

    run(scene)


def test_the_sweep_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SWEEP", 0.001)

    async def scene(s: Scene) -> None:
        s.streams._look()
        for _ in range(3):
            peer, _ = await s.greeted(STRANGER)
            s.driver.at += 2 * connection.UNKNOWN_TIME
            assert await peer.ended()

    run(scene)


def test_dead_peers_are_noticed_by_the_kernel() -> None:
    async def scene(s: Scene) -> None:
        await s.greeted()
        (connection,) = s.streams._by_number.values()
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60

    run(scene)


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_closing_lets_what_was_written_go_out() -> None:
    async def scene(s: Scene) -> None:
        peer, flow = await s.greeted()
        assert s.streams.send(flow, b"x" * 200_000, "")
        reading = asyncio.ensure_future(peer.receive(300_000))
        await s.streams.close()
        assert await reading == b"x" * 200_000
        assert len(s.streams) == 0
        with pytest.raises(ConnectionRefusedError):
            await Peer.dial(s.local)

    run(scene)


def test_closing_waits_for_nobody_who_does_not_read() -> None:
    async def scene(s: Scene) -> None:
        slow = await s.dial(receive=4096)
        await slow.send(message())
        _, flow = await s.heard()
        assert s.streams.send(flow, b"x" * 400_000, "")
        operator = s.doorstep()

        async def silent(peer: Address, local: Address) -> socket.socket:
            await asyncio.Event().wait()
            raise AssertionError

        s.streams._connected = silent  # type: ignore[method-assign]
        assert s.streams.send(s.to(operator.name), message(), "k")
        await asyncio.sleep(0)
        await s.streams.close()
        assert len(s.streams) == 0
        assert s.streams._tasks == set()

    run(scene)


def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server((GUARD, 0)) as first, pytest.raises(OSError, match="in use"):
        bound(*first.getsockname())


def test_a_restart_does_not_wait_for_old_connections() -> None:
    """A connection in TIME_WAIT on our port, and it can be bound again."""
    local: Address = (GUARD, 0)

    async def scene(s: Scene) -> None:
        nonlocal local
        local = s.local
        _, flow = await s.greeted()
        s.streams.close_flow(flow)
        await s.closed()

    run(scene)
    bound(*local).close()
