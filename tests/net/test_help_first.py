"""How long an emergency call may wait for the guard, in units of other work, with a socket, a loop and a clock that the
test turns: real sockets' code, driver, order and core; each message costs what the test says."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import pytest

from guard.net.driver import LONG, Driver
from guard.net.faults import FaultPolicy
from guard.net.intake import SLICE
from guard.net.say import Voice
from guard.net.stream import Streams
from guard.net.udp import BATCH, MOST, UdpSocket
from guard.net.verdicts import LANDED, Verdicts
from guard.proxy.core import FIRED
from guard.proxy.effects import Flow
from guard.proxy.triage import Lot
from guard.sip.message import parse
from tests.net.fakes import FakeClock, FakeDesk, FakeLog, decision
from tests.net.test_driver import FakeLoop, FakeStreams
from tests.proxy.world import GUARD, OPERATOR, PBX, STRANGER, World, reply, request

pytestmark = pytest.mark.interpreted  # it puts its own in the place of two of the core's methods

COST = LONG  # µs that a message takes here, thrice what an INVITE with its decision takes: one more, and it is too long
GLANCE = 10  # µs to read a datagram and tell what it is, twice what it takes
DEAR = 6_000  # µs: the dearest message that there is (docs/security.md)
BOUND = 50_000  # µs that an emergency call may take
SOS = request(uri="sip:112@127.0.0.1", branch="sos", call_id="sos")
Peer = tuple[str, int]


class Wire:
    """A UDP socket. What was sent is kept with the instant."""

    def __init__(self, clock: FakeClock) -> None:
        self.waiting: deque[tuple[bytes, Peer]] = deque()
        self.sent: list[tuple[int, bytes, Peer]] = []
        self._clock = clock

    def getsockname(self) -> Peer:
        return GUARD

    def fileno(self) -> int:
        return -1

    def recvfrom(self, most: int) -> tuple[bytes, Peer]:
        if not self.waiting:
            raise BlockingIOError
        return self.waiting.popleft()

    def register(self, fd: int, mask: int) -> None:
        """It watches nothing but itself."""

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return [(-1, 1)] if self.waiting else []

    def sendto(self, data: bytes, peer: Peer) -> None:
        self.sent.append((self._clock.at, data, peer))

    def close(self) -> None:
        self.waiting.clear()


class Loop(FakeLoop):
    """`turn`: what was to come soon, then the sockets, as libuv does it."""

    def add_reader(self, fd: int, read: Callable[[], None]) -> None:
        self._read = read

    def remove_reader(self, fd: int) -> None:
        """It is over."""

    def turn(self) -> None:
        turns, self.turns = self.turns, []
        soon, self.soon = self.soon, []
        for what in (*turns, *soon):
            what()
        self._read()


class Bench:
    """A guard that is read as it would be; `dear` messages cost more than others."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.wire = Wire(self.clock)
        self.loop = Loop()
        self.core = World().core
        self.log = FakeLog()
        self.desk = FakeDesk(decision())
        self.dear: set[bytes] = set()
        self.served: list[bytes] = []
        receive, lot = self.core.receive, self.core.lot

        def received(data: bytes, flow: Flow, now: int) -> None:
            self.served.append(data)
            self.clock.at += DEAR if data in self.dear else COST
            receive(data, flow, now)

        def told(data: bytes, flow: Flow) -> Lot:
            self.clock.at += GLANCE
            return lot(data, flow)

        self.core.receive = received  # type: ignore[method-assign]
        self.core.lot = told  # type: ignore[method-assign]
        self.driver = asyncio.run(self._made())
        self.verdicts = Verdicts(
            self.core, self.desk, self.log, FaultPolicy(), self.driver.counters, self.driver.hurry, self.driver.fault
        )
        sock = UdpSocket(self.wire, self.driver.counters, lambda: self.wire)  # type: ignore[arg-type]  # a stand-in
        streams: Streams = FakeStreams()  # type: ignore[assignment]
        self.driver.attach([sock], streams, self.verdicts)

    async def _made(self) -> Driver:
        driver = Driver(self.core, self.clock, Voice(self.clock.now))
        driver._loop = self.loop  # type: ignore[assignment]  # a stand-in that the test turns by hand
        driver.intake._soon = self.loop.call_soon
        return driver

    def put(self, *messages: bytes, peer: Peer = PBX) -> None:
        self.wire.waiting.extend((m, peer) for m in messages)

    def left(self, start: bytes, peer: Peer) -> int | None:
        """When a message that begins so left for somebody."""
        return next((at for at, data, to in self.wire.sent if to == peer and data.startswith(start)), None)

    def until(self, start: bytes, peer: Peer) -> tuple[int, int]:
        """Turn until such a message has left: µs, and how many others were served before it."""
        began, served = self.clock.at, len(self.served)
        for _ in range(1_000):
            self.loop.turn()
            if (at := self.left(start, peer)) is not None:
                return at - began, len(self.served) - served - 1
        raise AssertionError(f"{start!r} never left")


def calls(count: int, name: str = "c") -> list[bytes]:
    return [request(branch=f"{name}{n}", call_id=f"{name}{n}@pbx") for n in range(count)]


def test_behind_a_full_socket_it_waits_for_one_batch() -> None:
    """All that the socket holds before it is looked at, and no more than a batch of it is served."""
    b = Bench()
    b.put(*calls(MOST - BATCH - 2), SOS)
    took, others = b.until(b"INVITE sip:112@", OPERATOR)
    assert others == BATCH
    assert took < BOUND


def test_behind_a_backlog_that_waits_since_long_it_waits_for_one_slice() -> None:
    b = Bench()
    b.put(*calls(500), *(request("OPTIONS", branch=f"o{n}", call_id=f"o{n}") for n in range(500)))
    b.loop.turn()
    began = b.clock.at
    b.loop.turns[0]()  # it comes while a slice is being worked
    b.put(SOS)
    b.loop.turns.clear()
    took, others = b.until(b"INVITE sip:112@", OPERATOR)
    assert others == 0
    assert b.clock.at - began <= SLICE + COST + GLANCE + COST
    assert took < BOUND


def test_behind_the_dearest_messages_it_waits_for_one_of_them() -> None:
    b = Bench()
    dear = calls(200, "d")
    b.dear = set(dear)
    b.put(*dear[:100], peer=STRANGER)
    b.put(*dear[100:])
    b.put(SOS)
    took, others = b.until(b"INVITE sip:112@", OPERATOR)
    assert others == 1
    assert took <= DEAR + 201 * GLANCE + COST


def test_what_is_said_in_it_waits_for_nobody_either() -> None:
    """The way back, and the rest of the call: 180, 200, ACK and BYE behind a thousand others each."""
    b = Bench()
    b.put(SOS)
    b.until(b"INVITE sip:112@", OPERATOR)
    ours = parse(next(data for _, data, to in b.wire.sent if to == OPERATOR))
    ok = reply(ours, 200)
    tag = (parse(ok).to().tag or b"").decode()

    def said(method: str) -> bytes:
        return request(method, uri="sip:112@127.0.0.1", branch=f"sos{method}", call_id="sos", to_tag=tag, cseq=2)

    ways = [(reply(ours, 180), OPERATOR, b"SIP/2.0 180", PBX), (ok, OPERATOR, b"SIP/2.0 200", PBX)]
    ways += [(said("ACK"), PBX, b"ACK ", OPERATOR), (said("BYE"), PBX, b"BYE ", OPERATOR)]
    for n, (data, sender, start, heard) in enumerate(ways):
        b.wire.sent.clear()
        b.put(*calls(1_000, f"n{n}"))
        b.put(*(request("OPTIONS", branch=f"o{n}{i}", call_id=f"o{n}{i}") for i in range(500)))
        b.put(data, peer=sender)
        took, others = b.until(start, heard)
        assert others <= BATCH, start
        assert took < BOUND, start
    assert set(b.core._c.calls.helping) == {b"sos"}  # its BYE has no answer yet


def test_a_flood_of_emergency_calls_leaves_others_their_turn() -> None:
    b = Bench()
    b.put(*(request(uri="sip:112@127.0.0.1", branch=f"f{n}", call_id=f"f{n}") for n in range(200)))
    b.loop.turn()
    assert len(b.served) <= 2 * BATCH + 2
    while b.wire.waiting:
        b.loop.turn()
    assert len(b.served) == 200


def test_timers_and_commits_that_come_all_at_once_let_it_through() -> None:
    """A thousand decisions that one commit brings, and a thousand timers that are due together, come in parts."""
    b = Bench()
    b.desk.answer = decision("blocked")
    b.put(*calls(1_000))
    while b.wire.waiting or b.driver.intake.busy:
        b.loop.turn()
    assert len(b.log.waiting) > LANDED
    b.log.commit()
    b.wire.sent.clear()
    b.put(SOS)
    b.loop.turn()
    assert b.left(b"INVITE sip:112@", OPERATOR) is not None
    refused = sum(data.startswith(b"SIP/2.0 403") for _, data, _ in b.wire.sent)
    assert 0 < refused <= LANDED
    while b.loop.soon:
        b.loop.turn()
    assert sum(data.startswith(b"SIP/2.0 403") for _, data, _ in b.wire.sent) > LANDED  # the rest came after it

    b.clock.at += 600_000  # T1 has passed: nobody has acknowledged
    b.wire.sent.clear()
    b.driver._wake()
    assert 0 < len(b.wire.sent) <= FIRED
    at = b.core.next_timer()
    assert at is not None
    assert at <= b.clock.at  # the others are due in the next turn
