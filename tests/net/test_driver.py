"""The driver goes on: whatever raises costs itself and is counted, effects are all performed, and one timer serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from guard.net.driver import BREATH, PAUSE, TIDY, Driver
from guard.net.faults import FaultPolicy
from guard.net.intake import LONGEST
from guard.net.say import Voice
from guard.net.stream import Streams
from guard.net.udp import BATCH
from guard.net.verdicts import Verdicts
from guard.proxy.effects import Close, Decide, Effect, Ended, Flow, Send, Stranger, Withdraw
from guard.proxy.triage import Lot
from tests.net.fakes import ENDED, SECOND, Broken, FakeClock, FakeCore, FakeDesk, FakeLog, call, decision

LOCAL = ("127.0.0.1", 5060)
LOCAL6 = ("::1", 5060)
PEER = ("127.0.0.2", 5060)
UDP = Flow("udp", LOCAL, PEER)
TCP = Flow("tcp", LOCAL, PEER, 3)


class FakeHandle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Keeps what was to happen later; the test makes it happen."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None], FakeHandle]] = []
        self.soon: list[Callable[[], None]] = []
        self.turns: list[Callable[[], None]] = []

    def call_later(self, delay: float, what: Callable[[], None]) -> FakeHandle:
        handle = FakeHandle()
        self.timers.append((delay, what, handle))
        return handle

    def call_soon(self, what: Callable[[], None]) -> None:
        self.turns.append(what)

    def call_soon_threadsafe(self, what: Callable[[], None]) -> None:
        self.soon.append(what)

    def armed(self) -> list[float]:
        """Delays (µs) of the timers that stand."""
        return [delay * SECOND for delay, _, handle in self.timers if not handle.cancelled]

    def fire(self) -> None:
        """The one timer that stands fires."""
        ((_, what, handle),) = [t for t in self.timers if not t[2].cancelled]
        handle.cancelled = True
        what()


class FakeUdp:
    def __init__(self, local: tuple[str, int]) -> None:
        self.local = local
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.works = True
        self.open = True

    def start(self, loop: object, feed: object, crowded: object) -> None:
        del loop, feed, crowded

    def send(self, data: bytes, peer: tuple[str, int]) -> bool:
        self.sent.append((data, peer))
        return self.works

    def close(self) -> None:
        self.open = False


class FakeStreams:
    def __init__(self) -> None:
        self.sent: list[tuple[Flow, bytes, str]] = []
        self.closed: list[Flow] = []
        self.works = True

    def send(self, flow: Flow, data: bytes, key: str) -> bool:
        self.sent.append((flow, data, key))
        return self.works

    def alive(self, flow: Flow) -> bool:
        return flow not in self.closed

    def close_flow(self, flow: Flow) -> None:
        self.closed.append(flow)


class Rig:
    """A driver with stand-ins all around."""

    def __init__(self) -> None:
        self.core = FakeCore()
        self.desk = FakeDesk(decision())
        self.log = FakeLog()
        self.clock = FakeClock()
        self.loop = FakeLoop()
        loop = asyncio.new_event_loop()
        try:
            self.driver = loop.run_until_complete(self._make())
        finally:
            loop.close()
        self.udp, self.udp6, self.streams = FakeUdp(LOCAL), FakeUdp(LOCAL6), FakeStreams()
        driver = self.driver
        self.verdicts = Verdicts(
            self.core, self.desk, self.log, FaultPolicy(), driver.counters, driver.hurry, driver.fault
        )
        streams: Streams = self.streams  # type: ignore[assignment]
        driver.attach([self.udp, self.udp6], streams, self.verdicts)

    async def _make(self) -> Driver:
        driver = Driver(self.core, self.clock, Voice(self.clock.now))
        driver._loop = self.loop  # type: ignore[assignment]  # a stand-in that the test turns by hand
        driver.intake._soon = self.loop.call_soon
        return driver

    def receive(self, *effects: Effect, data: bytes = b"x") -> None:
        """A message whose handling makes the core want this."""
        self.core.on_receive = lambda d, f: self.core.effects.extend(effects)
        self.driver.receive(data, UDP)
        self.core.on_receive = lambda d, f: None

    def raising(self, data: bytes, flow: Flow) -> None:
        raise Broken(data.decode())


# ---- effects ---------------------------------------------------------------------------------------------------------


def test_every_effect_goes_where_it_belongs_in_order() -> None:
    r = Rig()
    r.receive(
        Send(UDP, b"one"), Send(TCP, b"two", "k"), Close(TCP), Decide(1, call()), Ended(1, ENDED),
        Stranger(UDP, "INVITE", "sip:x", call(number=2)),
    )  # fmt: skip
    assert r.udp.sent == [(b"one", PEER)]
    assert r.streams.sent == [(TCP, b"two", "k")]
    assert r.streams.closed == [TCP]
    assert r.core.verdict(1) == "allowed"
    assert [e.outcome for _, e in r.log.ends] == ["answered", "blocked"]
    assert r.driver.counters["sends"] == 2


def test_garbage_is_looked_for_after_every_few_messages_and_not_before_they_are_served() -> None:
    r = Rig()
    served: list[int] = []
    r.driver.tidy = lambda: served.append(r.driver.received["udp"])
    for _ in range(2 * TIDY - 1):
        r.receive()
    assert len(r.loop.turns) == 1
    r.receive()
    for what in r.loop.turns:
        what()
    assert served == [2 * TIDY] * 2


def test_a_held_call_that_is_withdrawn() -> None:
    r = Rig()
    r.desk.answer = None
    r.receive(Decide(1, call()), Withdraw(1, ENDED))
    assert r.log.ends == [(1, ENDED)]


def test_effects_of_effects_are_performed_before_the_set_up_counts_as_departed() -> None:
    r = Rig()
    r.core.on_decided = lambda ticket: r.core.effects.append(Send(UDP, b"INVITE"))
    r.receive(Decide(1, call()))
    assert r.udp.sent == [(b"INVITE", PEER)]
    assert r.desk.departures == [(1, r.clock.at)]


def test_a_datagram_leaves_over_the_socket_that_the_flow_names_or_another_of_its_family() -> None:
    r = Rig()
    r.receive(
        Send(Flow("udp", ("127.0.0.99", 1), PEER), b"4"), Send(Flow("udp", ("127.0.0.99", 1), ("::2", 5060)), b"6")
    )
    assert [d for d, _ in r.udp.sent] == [b"4"]
    assert [d for d, _ in r.udp6.sent] == [b"6"]


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_the_core_hears_of_what_cannot_be_sent(flow: Flow) -> None:
    r = Rig()
    r.udp.works = r.streams.works = False
    r.core.on_failed = lambda key: r.core.effects.append(Close(TCP))
    r.receive(Send(flow, b"x", "b1 INVITE"), Send(flow, b"response"))
    assert r.core.failures == ["b1 INVITE"]
    assert r.driver.counters["sends_failed"] == 1
    assert r.streams.closed == [TCP], "what comes of it is performed too"


def test_a_stream_that_fails_later() -> None:
    r = Rig()
    r.core.on_failed = lambda key: r.core.effects.append(Send(UDP, b"480"))
    r.driver.send_failed("b1 INVITE")
    assert r.core.failures == ["b1 INVITE"]
    assert r.udp.sent == [(b"480", PEER)]
    r.driver.flow_closed(TCP)
    assert r.core.closed == [TCP]


# ---- exceptions ------------------------------------------------------------------------------------------------------


def test_a_message_that_raises_costs_itself(caplog: pytest.LogCaptureFixture) -> None:
    r = Rig()
    r.core.on_receive = r.raising
    with caplog.at_level(logging.WARNING, "guard"):
        r.driver.receive(b"bad", UDP)
    r.receive(Send(UDP, b"good"))
    assert r.udp.sent == [(b"good", PEER)]
    assert r.driver.counters["exceptions"] == 1
    assert "exception: message from 127.0.0.2" in caplog.text


def test_what_the_core_wanted_before_it_raised_is_done() -> None:
    r = Rig()

    def receive(data: bytes, flow: Flow) -> None:
        r.core.effects.append(Send(UDP, b"100"))
        raise Broken

    r.core.on_receive = receive
    r.driver.receive(b"x", UDP)
    assert r.udp.sent == [(b"100", PEER)]


def test_an_effect_that_raises_costs_itself() -> None:
    r = Rig()
    raised = []

    def broken(key: str) -> None:
        raised.append(key)
        raise Broken

    r.core.on_failed = broken
    r.udp.works = False
    r.receive(Send(UDP, b"a", "k1"), Send(UDP, b"b", "k2"), Decide(1, call()), Send(TCP, b"c"))
    assert raised == ["k1", "k2"]
    assert r.core.verdict(1) == "allowed"
    assert r.streams.sent == [(TCP, b"c", "")]
    assert r.driver.counters["exceptions"] == 2


def test_a_decision_that_raises_is_the_configured_one_and_the_next_call_has_its_own() -> None:
    r = Rig()
    r.desk.error = Broken()
    r.receive(Decide(1, call()))
    r.desk.error = None
    r.receive(Decide(2, call(number=2)))
    r.log.commit()
    r.loop.soon.pop()()
    assert r.core.verdict(1) == "flagged fault.engine"
    assert r.core.verdict(2) == "allowed"
    assert r.driver.counters["faults_engine"] == r.driver.counters["exceptions"] == 1


@pytest.mark.interpreted
def test_a_fault_whose_own_handling_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    r = Rig()

    def failed(error: BaseException, now: int) -> bool:
        raise Broken("again")

    monkeypatch.setattr(r.verdicts, "failed", failed)
    r.core.on_receive = r.raising
    r.driver.receive(b"x", UDP)
    r.receive(Send(UDP, b"good"))
    assert r.udp.sent == [(b"good", PEER)]


def test_timers_that_raise_do_not_keep_held_calls_waiting() -> None:
    r = Rig()
    r.desk.answer = None
    r.receive(Decide(1, call()))
    r.desk.ready = [(1, decision())]

    def broken(now: int) -> None:
        raise Broken

    r.core.on_wake = broken
    r.core.timer = r.clock.at
    r.receive()
    r.loop.fire()
    assert r.core.verdict(1) == "allowed"
    assert r.driver.counters["exceptions"] == 1


@pytest.mark.parametrize("what", ["wake", "next_timer", "desk"])
def test_what_is_broken_for_good_does_not_keep_the_loop_busy(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    r = Rig()
    r.core.timer = r.clock.at - SECOND

    def broken(*_: object) -> int:
        raise Broken

    if what == "wake":
        r.core.on_wake = broken  # type: ignore[assignment]  # it never returns
    elif what == "desk":
        r.desk.error = Broken()
    r.receive()
    if what == "next_timer":
        monkeypatch.setattr(r.core, "next_timer", broken)
    for turn in range(1, 4):
        r.loop.fire()
        assert r.driver.counters["exceptions"] == turn
        (delay,) = r.loop.armed()
        assert delay >= BREATH
    r.receive(Send(UDP, b"still there"))
    assert r.udp.sent == [(b"still there", PEER)]


# ---- the timer -------------------------------------------------------------------------------------------------------


def test_the_earliest_wins_and_one_timer_stands() -> None:
    r = Rig()
    r.receive()
    assert r.loop.armed() == []
    r.core.timer = r.clock.at + 500_000
    r.receive()
    assert r.loop.armed() == [pytest.approx(500_500)]
    r.core.timer = r.clock.at + 100_000
    r.receive()
    assert r.loop.armed() == [pytest.approx(100_500)]
    r.desk.at = r.clock.at + 50_000
    r.receive()
    assert r.loop.armed() == [pytest.approx(50_500)]
    r.desk.at = None
    r.receive()
    assert r.loop.armed() == [pytest.approx(50_500)], "a timer that is early stays: it costs one wake-up"


def test_a_timer_that_is_still_good_is_not_set_anew() -> None:
    r = Rig()
    r.core.timer = r.clock.at + 500_000
    for _ in range(100):
        r.clock.at += 10
        r.receive()
    assert len(r.loop.timers) == 1


def test_waking_fires_what_is_due_and_sets_the_next() -> None:
    r = Rig()
    r.core.timer = r.clock.at + 1_000
    r.receive()
    r.clock.at += 1_500

    def wake(now: int) -> None:
        assert now == r.clock.at
        r.core.timer = now + 7_000
        r.core.effects.append(Send(UDP, b"again"))

    r.core.on_wake = wake
    r.loop.fire()
    assert r.udp.sent == [(b"again", PEER)]
    assert r.loop.armed() == [pytest.approx(7_500)]


def test_a_timer_that_is_late_already_fires_in_the_next_turn_and_not_in_this_one() -> None:
    r = Rig()
    r.core.timer = r.clock.at - 5
    r.receive()
    assert r.core.woken == []
    assert r.loop.armed() == [pytest.approx(500)]


# ---- stopping, and the clock -----------------------------------------------------------------------------------------


def test_after_stop_nothing_leaves_and_no_timer_stands() -> None:
    r = Rig()
    r.core.timer = r.clock.at + 1_000
    r.receive()
    r.driver.stop()
    assert r.loop.armed() == []
    assert not r.udp.open
    assert not r.udp6.open
    r.driver.flow_closed(TCP)
    assert r.core.closed == []
    r.core.effects.append(Send(UDP, b"late"))
    r.driver.send_failed("k")
    assert r.udp.sent == []
    assert r.core.effects == []


def test_a_wall_clock_that_was_set_is_followed_and_told(caplog: pytest.LogCaptureFixture) -> None:
    r = Rig()
    before = r.core.wall_offset
    assert before == r.clock.of_wall - r.clock.at
    with caplog.at_level(logging.WARNING, "guard"):
        r.driver.tick()
        assert caplog.text == ""
        r.clock.of_wall += 3600 * SECOND
        r.driver.tick()
    assert r.core.wall_offset == before + 3600 * SECOND
    assert r.driver.counters["wall_clock_set"] == 1
    assert "wall clock" in caplog.text


def test_before_it_is_attached_a_driver_only_drops() -> None:
    async def scene() -> None:
        core = FakeCore()
        clock = FakeClock()
        driver = Driver(core, clock, Voice(clock.now))
        core.on_receive = lambda d, f: core.effects.extend((Send(UDP, b"x", "k"), Decide(1, call())))
        driver.receive(b"x", UDP)
        assert core.failures == ["k"]
        assert core.answers == []
        driver.hurry()
        await asyncio.sleep(0)
        driver.stop()

    asyncio.run(scene())


# ---- more than can be served -----------------------------------------------------------------------------------------


def test_what_is_put_aside_is_served_by_the_loop_s_next_turn() -> None:
    rig = Rig()
    rig.driver.intake.crowded()
    assert rig.driver.receive(b"x", UDP)
    assert rig.core.heard == []
    rig.loop.turns[0]()
    assert rig.core.heard == [(b"x", UDP)]
    assert rig.driver.intake.busy  # until the sockets had a turn in which nothing came
    rig.loop.turns[1]()
    assert not rig.driver.receive(b"y", UDP)
    assert rig.core.heard[1:] == [(b"y", UDP)]


def test_messages_of_streams_one_upon_the_other_are_more_than_can_be_served() -> None:
    rig = Rig()
    for pause in (PAUSE, PAUSE - 1):
        rig.driver._run = 0
        for _ in range(BATCH + 1):
            rig.clock.at += pause
            rig.driver.receive(b"x", TCP)
        assert rig.driver.intake.busy == (pause < PAUSE)
    assert len(rig.driver.intake) == 1


@pytest.mark.parametrize("lot", ["going", "urgent"])
def test_what_came_over_a_connection_that_closed_meanwhile_is_unread_but_for_an_emergency_call(lot: Lot) -> None:
    rig = Rig()
    rig.core.kind = lot
    rig.driver.intake.crowded()
    rig.driver.receive(b"x", TCP)
    rig.streams.closed.append(TCP)
    rig.loop.turns[0]()
    assert rig.core.heard == ([(b"x", TCP)] if lot == "urgent" else [])


def test_calls_that_were_refused_are_told(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.core.kind = "new"
    rig.core.counters["shed"] = 0

    def refuse(data: bytes, flow: Flow) -> None:
        rig.core.counters["shed"] += rig.core.shedding == 480

    rig.core.on_receive = refuse
    rig.driver.intake.crowded()
    rig.driver.receive(b"x", UDP)
    rig.clock.at += LONGEST + 100_000
    with caplog.at_level(logging.WARNING, "guard"):
        rig.loop.turns[0]()
        rig.loop.turns[1]()
    assert "overload: 1 new calls were refused within 1.1 s" in caplog.text
    assert rig.driver.counters["overloads"] == 1
