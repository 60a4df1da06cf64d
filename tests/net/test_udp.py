"""The UDP socket on real loopback sockets: what is handed on, what is not, and what a failure to send counts as."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from guard.net import udp
from guard.net.udp import COUNTERS, MAX_DATAGRAM, UdpSocket, bound, target
from guard.proxy.effects import Flow
from sim.ports import free_port
from tests.net.fakes import PATIENCE

HOST = "127.0.0.1"


class Served:
    """One socket of the guard's that is read, and a peer."""

    def __init__(self, host: str = HOST) -> None:
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.sock = UdpSocket(bound(host, 0), self.counters)
        self.heard: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.sock.start(asyncio.get_running_loop(), lambda data, flow: self.heard.put_nowait((data, flow)))
        self.peer = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.settimeout(PATIENCE)
        self.peer.bind((host, 0))
        self.peer_name: tuple[str, int] = self.peer.getsockname()[:2]

    def send(self, data: bytes) -> None:
        self.peer.sendto(data, self.sock.local)

    async def next(self) -> tuple[bytes, Flow]:
        return await asyncio.wait_for(self.heard.get(), PATIENCE)

    def counted(self) -> dict[str, int]:
        return {k: v for k, v in self.counters.items() if v}


@contextmanager
def served(host: str = HOST) -> Iterator[Served]:
    s = Served(host)
    try:
        yield s
    finally:
        s.sock.close()
        s.peer.close()


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * PATIENCE):
            await scene()

    uvloop.run(bounded())


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_a_datagram_comes_with_its_flow_and_the_answer_goes_back(host: str) -> None:
    async def scene() -> None:
        with served(host) as s:
            s.send(b"REGISTER")
            data, flow = await s.next()
            assert data == b"REGISTER"
            assert flow == Flow("udp", s.sock.local, s.peer_name)
            assert s.sock.send(b"200", flow.peer)
            assert s.peer.recvfrom(100) == (b"200", s.sock.local if host == HOST else (*s.sock.local, 0, 0))

    run(scene)


@pytest.mark.parametrize("data", [b"", b"\0", b"\r\n", b"\r\n\r\n", b"\0\0\0\0"])
def test_what_keeps_a_nat_open_is_counted_and_not_handed_on(data: bytes) -> None:
    async def scene() -> None:
        with served() as s:
            s.send(data)
            s.send(b"hello")
            assert (await s.next())[0] == b"hello"
            assert s.counted() == {"udp_keepalives": 1}

    run(scene)


def test_the_longest_datagram_comes_whole() -> None:
    async def scene() -> None:
        with served() as s:
            biggest = bytes(range(256)) * 255 + b"x" * (65_507 - 255 * 256)  # 65 535 less the IP and UDP headers
            s.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            s.send(biggest)
            assert (await s.next())[0] == biggest
            assert s.sock.send(biggest, s.peer_name)
            assert s.peer.recv(MAX_DATAGRAM) == biggest

    run(scene)


def test_what_is_too_long_for_a_datagram_cannot_be_sent_and_nothing_else_suffers() -> None:
    async def scene() -> None:
        with served() as s:
            assert not s.sock.send(b"x" * 70_000, s.peer_name)
            assert s.counted() == {"udp_too_long": 1}
            assert s.sock.send(b"short", s.peer_name)
            assert s.peer.recv(100) == b"short"

    run(scene)


@pytest.mark.parametrize("peer", [(HOST, 0), (HOST, 65_536), ("::1", 5060), ("255.255.255.255", 5060), ("fe80::1%nowhere", 5060)])  # fmt: skip  # noqa: E501
def test_a_peer_that_cannot_be_reached_from_here(peer: tuple[str, int]) -> None:
    async def scene() -> None:
        with served() as s:
            assert not s.sock.send(b"x", peer)
            assert s.counted() == {"udp_errors": 1}

    run(scene)


@pytest.mark.parametrize(
    ("number", "sent", "counter"),
    [
        (errno.EAGAIN, True, "udp_full"),
        (errno.ENOBUFS, True, "udp_full"),
        (errno.ENETUNREACH, False, "udp_errors"),
        (errno.EPERM, False, "udp_errors"),
        (errno.EMSGSIZE, False, "udp_too_long"),
    ],
)
def test_what_is_lost_for_want_of_room_counts_as_sent(number: int, sent: bool, counter: str) -> None:
    class Full:
        def getsockname(self) -> tuple[str, int]:
            return HOST, 5060

        def sendto(self, data: bytes, peer: object) -> int:
            raise OSError(number, "stand-in")

    counters = dict.fromkeys(COUNTERS, 0)
    sock = UdpSocket(Full(), counters)  # type: ignore[arg-type]
    assert sock.send(b"x", (HOST, 5060)) is sent
    assert {k: v for k, v in counters.items() if v} == {counter: 1}


def test_an_error_that_the_kernel_tells_when_reading_is_counted_and_reading_goes_on() -> None:
    async def scene() -> None:
        with served() as s:
            s.peer.close()
            s.sock._sock.connect(s.peer_name)  # only of a connected socket does Linux tell that a port is closed
            for round_ in range(1, 4):
                s.sock._sock.send(b"x")
                async with asyncio.timeout(PATIENCE):
                    while s.counters["udp_errors"] < round_:
                        await asyncio.sleep(0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
                back.bind(s.peer_name)
                back.sendto(b"hello", s.sock.local)
                assert (await s.next())[0] == b"hello"

    run(scene)


def test_a_flood_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "BATCH", 4)

    async def scene() -> None:
        with served() as s:
            turns: list[int] = []
            loop = asyncio.get_running_loop()

            def turn() -> None:
                turns.append(s.heard.qsize())
                if s.heard.qsize() < 40:
                    loop.call_soon(turn)

            for _ in range(40):
                s.send(b"flood")
            loop.call_soon(turn)
            for _ in range(40):
                await s.next()
            assert len(turns) >= 40 / 4, "the loop did something else in between"

    run(scene)


def test_flows_of_many_peers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "MAX_FLOWS", 8)

    async def scene() -> None:
        with served() as s:
            for _ in range(30):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                    stranger.bind((HOST, 0))
                    stranger.sendto(b"hello", s.sock.local)
                    _, flow = await s.next()
                    assert flow.peer == stranger.getsockname()
                    assert len(s.sock._flows) <= 8

    run(scene)


def test_a_flow_is_made_once_for_each_peer() -> None:
    async def scene() -> None:
        with served() as s:
            s.send(b"one of")
            s.send(b"two of")
            assert (await s.next())[1] is (await s.next())[1]

    run(scene)


def test_a_closed_socket_gives_its_port_back() -> None:
    async def scene() -> None:
        with served() as s:
            local = s.sock.local
        with bound(*local) as again:
            assert again.getsockname() == local

    run(scene)


def test_a_port_in_use_is_an_error_and_leaves_no_socket_behind() -> None:
    with bound(HOST, 0) as first, pytest.raises(OSError, match="in use") as info:
        bound(*first.getsockname())
    assert info.value.errno == errno.EADDRINUSE


def test_an_ipv6_socket_leaves_ipv4_to_its_own() -> None:
    port = free_port("0.0.0.0")
    with bound("::", port) as six, bound("0.0.0.0", port) as four:
        assert four.getsockname()[1] == six.getsockname()[1]


def test_peers_as_the_kernel_wants_them() -> None:
    assert target("192.0.2.1", 5060) == ("192.0.2.1", 5060)
    assert target("fe80::1%7", 5060) == ("fe80::1", 5060, 0, 7)
    assert target("fe80::1%lo", 5060) == ("fe80::1", 5060, 0, socket.if_nametoindex("lo"))


def test_a_zone_is_part_of_the_peer() -> None:
    class Idle:
        def getsockname(self) -> tuple[str, int]:
            return "fe80::2", 5060

    sock = UdpSocket(Idle(), dict.fromkeys(COUNTERS, 0))  # type: ignore[arg-type]
    assert sock._flow(("fe80::1%lo", 5060, 0, 1)).peer == ("fe80::1%1", 5060)
    assert sock._flow(("2001:db8::1", 5060, 0, 0)).peer == ("2001:db8::1", 5060)


def test_a_whole_batch_that_was_served_is_told_and_what_is_only_put_aside_is_read_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp, "BATCH", 3)
    monkeypatch.setattr(udp, "MOST", 5)
    told: list[int] = []
    heard: list[bytes] = []

    async def scene() -> None:
        with served() as s:
            s.sock.start(
                asyncio.get_running_loop(),
                lambda data, flow: heard.append(data) or bool(told),  # type: ignore[func-returns-value]
                lambda: told.append(len(heard)),
            )
            for n in range(20):
                s.send(b"message %02d" % n)
            async with asyncio.timeout(PATIENCE):
                while len(heard) < 20:
                    await asyncio.sleep(0)
            assert told == [3]
            assert heard == [b"message %02d" % n for n in range(20)]

    run(scene)
