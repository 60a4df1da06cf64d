"""TCP: framing, connections re-used and opened anew, what comes of input that is none."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from guard.net.reach import reply_address
from guard.proxy.effects import Flow
from tests.net.fakes import Broken
from tests.net.streaming import PBX, STRANGER, Scene, answer, message, run

# ---- what comes in ---------------------------------------------------------------------------------------------------


def test_messages_come_whole_however_they_are_cut() -> None:
    async def scene(s: Scene) -> None:
        peer = await s.dial()
        whole = message(body="one") + message("MESSAGE", body="two")
        for i in range(0, len(whole), 40):
            await peer.send(whole[i : i + 40])
            await asyncio.sleep(0)
        first, flow = await s.heard()
        assert first == message(body="one")
        assert (flow.transport, flow.local, flow.peer) == ("tcp", s.local, peer.name)
        assert flow.conn > 0
        assert await s.heard() == (message("MESSAGE", body="two"), flow)

    run(scene)


def test_a_ping_is_answered_by_a_pong_but_not_to_strangers() -> None:
    async def scene(s: Scene) -> None:
        peer = await s.dial()
        await peer.send(b"\r\n\r\n" + message())
        assert await peer.receive(2) == b"\r\n"
        stranger, _ = await s.greeted(STRANGER)
        await s.heard()
        await stranger.send(b"\r\n\r\n" + message())
        _, flow = await s.heard()
        assert s.streams.send(flow, b"first words", "")
        assert await stranger.receive(11) == b"first words"
        await stranger.send(b"\r\n\r\n")
        assert await stranger.receive(2) == b"\r\n", "it was answered: no stranger any more"

    run(scene)


def test_what_cannot_be_framed_closes_only_its_own_connection() -> None:
    async def scene(s: Scene) -> None:
        good, good_flow = await s.greeted()
        bad = await s.dial()
        head = message().replace(b"Content-Length: 0", b"Content-Length: lots")
        await bad.send(message(body="before") + head)
        assert (await s.heard())[0] == message(body="before")
        assert (await s.heard())[0] == head, "the core may answer it"
        assert await bad.ended()
        await s.closed()
        await good.send(message(body="still here"))
        assert await s.heard() == (message(body="still here"), good_flow)
        assert s.counters["tcp_unframeable"] == 1

    run(scene)


def test_the_answer_to_what_cannot_be_framed_goes_out_before_the_end() -> None:
    async def scene(s: Scene) -> None:
        s.driver.on_message = lambda data, flow: (s.streams.send(flow, b"SIP/2.0 400", ""), None)[1]
        bad = await s.dial()
        await bad.send(message().replace(b"Content-Length: 0\r\n", b""))
        assert await bad.receive(100) == b"SIP/2.0 400"

    run(scene)


def test_an_endless_head_ends_and_nothing_of_it_is_kept() -> None:
    async def scene(s: Scene) -> None:
        bad = await s.dial()
        sending = asyncio.ensure_future(bad.send(b"OPTIONS sip:x SIP/2.0\r\n" + b"X: y\r\n" * 200_000))
        await s.closed()
        with contextlib.suppress(ConnectionError):  # unless all of it fitted into the kernel's buffers
            await sending
        assert s.driver.messages.empty()
        assert len(s.streams) == 0
        assert s.counters["tcp_unframeable"] == 1

    run(scene)


def test_after_a_close_nothing_more_of_that_stream_is_handed_on() -> None:
    async def scene(s: Scene) -> None:
        s.driver.on_message = lambda data, flow: s.streams.close_flow(flow)
        peer = await s.dial()
        await peer.send(message(body="1") + message(body="2") + message(body="3"))
        assert await peer.ended()
        await s.closed()
        assert s.driver.messages.qsize() == 1

    run(scene)


def test_an_exception_while_one_message_is_handled_is_not_the_stream_s() -> None:
    """The driver never raises; were it to, the other connections go on."""

    async def scene(s: Scene) -> None:
        def broken(data: bytes, flow: Flow) -> None:
            raise Broken

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        good, _ = await s.greeted()
        s.driver.on_message = broken
        await (await s.dial()).send(message())
        await s.heard()
        s.driver.on_message = lambda data, flow: None
        await good.send(message(body="x"))
        assert (await s.heard())[0] == message(body="x")

    run(scene)


# ---- sending, over what is there or something new --------------------------------------------------------------------


def test_an_answer_goes_back_over_its_connection() -> None:
    async def scene(s: Scene) -> None:
        peer, flow = await s.greeted()
        assert s.streams.send(flow, answer(), "")
        assert await peer.receive(len(answer())) == answer()
        assert s.counted() == {"tcp_accepted": 1}

    run(scene)


def test_a_request_goes_over_the_connection_that_its_peer_opened() -> None:
    async def scene(s: Scene) -> None:
        peer, _ = await s.greeted()
        assert s.streams.send(s.to(peer.name), message(), "k")
        assert await peer.receive(len(message())) == message()
        assert s.counters["tcp_opened"] == 0

    run(scene)


def test_one_connection_is_opened_and_serves_everything_in_order() -> None:
    async def scene(s: Scene) -> None:
        operator = s.doorstep()
        parts = [message(body=str(i)) for i in range(4)]
        assert s.streams.send(s.to(operator.name), parts[0], "k0")
        assert s.streams.send(s.to(operator.name), parts[1], "k1")
        peer = await s.accept(operator)
        assert await peer.receive(len(parts[0] * 2)) == parts[0] + parts[1]
        for part in parts[2:]:
            assert s.streams.send(s.to(operator.name), part, "k")
        assert await peer.receive(len(parts[0] * 2)) == parts[2] + parts[3]
        assert s.counted() == {"tcp_opened": 1}
        assert peer.sock.getpeername()[0] == s.local[0], "it comes from the address that we listen on"
        await peer.send(message("BYE"))
        data, flow = await s.heard()
        assert (data, flow.peer) == (message("BYE"), operator.name), "and it is read like any other"

    run(scene)


def test_a_connection_that_ended_is_opened_anew() -> None:
    async def scene(s: Scene) -> None:
        operator = s.doorstep()
        for _ in range(2):
            assert s.streams.send(s.to(operator.name), message(), "k")
            peer = await s.accept(operator)
            assert await peer.receive(len(message())) == message()
            peer.sock.close()
            assert (await s.closed()).peer == operator.name
        assert s.counters["tcp_opened"] == 2

    run(scene)


def test_a_connection_that_is_still_closing_does_not_take_its_successor_along() -> None:
    async def scene(s: Scene) -> None:
        operator = s.doorstep(receive=4096)
        to = s.to(operator.name)
        assert s.streams.send(to, b"x", "k")
        first = await s.accept(operator)
        assert await first.receive(1) == b"x"
        (old,) = s.streams._by_number.values()
        assert old._transport is not None
        old._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        assert s.streams.send(to, b"y" * 500_000, "k")  # more than the kernel takes: closing has to wait
        s.streams.close_flow(old.flow)
        assert s.streams.send(to, message(body="1"), "k")
        second = await s.accept(operator)
        assert await second.receive(len(message(body="1"))) == message(body="1")
        assert len(s.streams) == 2
        await first.receive(600_000)
        assert await s.closed() == old.flow
        assert s.streams.send(to, message(body="2"), "k")
        assert await second.receive(len(message(body="2"))) == message(body="2")
        assert s.counters["tcp_opened"] == 2

    run(scene)


def test_answers_to_a_connection_that_ended_go_to_the_port_of_the_via() -> None:
    """RFC 3261 18.2.2: to the address that the request came from, at the sent-by port."""

    async def scene(s: Scene) -> None:
        step = s.doorstep()
        via = f"pbx.example.net:{step.name[1]}"
        peer = await s.dial()
        await peer.send(message(via=via))
        _, flow = await s.heard()
        peer.sock.close()
        await s.closed()
        assert s.streams.send(flow, answer(via), "")
        back = await s.accept(step)
        assert await back.receive(len(answer(via))) == answer(via)

    run(scene)


def test_where_an_answer_goes_when_its_connection_is_gone() -> None:
    peer = (PBX, 40_000)
    assert reply_address(answer("pbx.example.net:5070"), peer) == (PBX, 5070)
    assert reply_address(answer("pbx.example.net"), peer) == (PBX, 5060)
    assert reply_address(message(), peer) == peer, "a request goes to its peer"
    assert reply_address(answer().replace(b"Via: SIP/2.0/TCP", b"Via: ???"), peer) == peer
    assert reply_address(b"SIP/2.0 ", peer) == peer


def test_a_caller_that_closed_its_half_gets_its_answer_over_a_new_connection() -> None:
    async def scene(s: Scene) -> None:
        step = s.doorstep()
        via = f"{PBX}:{step.name[1]}"
        peer = await s.dial()
        await peer.send(message(via=via))
        peer.sock.shutdown(socket.SHUT_WR)
        _, flow = await s.heard()
        await s.closed()
        assert s.streams.send(flow, answer(via), "")
        assert await (await s.accept(step)).receive(len(answer(via))) == answer(via)

    run(scene)


def test_a_peer_that_resets_its_connection_is_gone_and_nothing_else() -> None:
    async def scene(s: Scene) -> None:
        other, _ = await s.greeted()
        peer, flow = await s.greeted()
        peer.reset()
        assert (await s.closed()) == flow
        await other.send(message(body="x"))
        assert (await s.heard())[0] == message(body="x")
        assert len(s.streams) == 1

    run(scene)
