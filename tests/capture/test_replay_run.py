"""The replay itself: faults of ours, limits, and a clock that runs from one due thing to the next."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from guard.capture import replay as module
from guard.capture.replay import Replay
from guard.model import CallAttempt, CallEnded, Decision, Finding
from guard.net.faults import FaultPolicy
from guard.proxy import observer
from guard.proxy.effects import Flow
from guard.proxy.routing import Trunks
from guard.proxy.shapes import CoreSettings, Hop, Trunk
from guard.sources import Source, Sources
from tests.capture.making import GUARD, OPERATOR, PBX, SECOND, T0
from tests.capture.telephony import Dialog, Tape

SETTINGS = CoreSettings(listens=(("udp", GUARD, 5060), ("udp", "2001:db8::10", 5070)), token="")
TRUNKS = Trunks((Trunk(name="operator", hops=(Hop("udp", OPERATOR, 5060),)),))
SOURCES = Sources((Source(name="pbx", networks=(ip_network(f"{PBX}/32"),), trunk="operator"),))


class Book:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[CallAttempt, Decision]] = []
        self.ends: list[tuple[int, CallEnded]] = []

    def decided(
        self, call: CallAttempt, decision: Decision, done: Callable[[BaseException | None], None] | None
    ) -> int:
        assert done is None
        self.told.append((call, decision))
        return len(self.told)

    def ended(self, seq: int, ended: CallEnded) -> None:
        self.ends.append((seq, ended))

    def close(self) -> None:
        raise AssertionError("who opened it closes it")


class Holding:
    """A desk that holds every call for so long, and notes what it is told when."""

    waited = 0

    def __init__(self, hold: int = SECOND) -> None:
        self.hold = hold
        self.waiting: dict[int, int] = {}
        self.notes: list[tuple[str, int, int]] = []

    def submit(self, ticket: int, call: CallAttempt, now: int) -> list[tuple[int, Decision]]:
        if call.caller.value == "+33199009999":
            raise ZeroDivisionError
        self.waiting[ticket] = now + self.hold
        self.notes.append(("submit", ticket, now))
        return []

    def judge(self, call: CallAttempt, now: int) -> Decision:
        raise AssertionError((call, now))

    def withdraw(self, ticket: int, now: int) -> Decision | None:
        self.notes.append(("withdraw", ticket, now))
        return Decision(verdict="flagged") if self.waiting.pop(ticket, None) else None

    def wake(self, now: int) -> list[tuple[int, Decision]]:
        due = [t for t, at in self.waiting.items() if at <= now]
        self.notes += [("wake", t, now) for t in due]
        return [(t, Decision(verdict="allowed", held_us=SECOND)) for t in due if self.waiting.pop(t)]

    def next_wake(self) -> int | None:
        return min(self.waiting.values(), default=None)

    def departed(self, ticket: int, now: int) -> None:
        self.notes.append(("departed", ticket, now))

    def ended(self, ticket: int, now: int, ended: CallEnded | None = None) -> tuple[Finding, ...]:
        self.notes.append(("ended", ticket, now))
        return ()


def fed(tape: Tape, *, faults: FaultPolicy | None = None, hold: int = SECOND) -> tuple[Replay, Holding, Book]:
    """A replay of what is on the tape."""
    desk, book = Holding(hold), Book()
    replay = Replay(SETTINGS, SOURCES, TRUNKS, desk, book, faults=faults)
    flows = ((at, packet[28:], packet[12:16], packet[16:20]) for at, packet in sorted(tape.packets))
    replay.run(
        (data, Flow("udp", (".".join(map(str, dst)), 5060), (".".join(map(str, src)), 5060)), at)
        for at, data, src, dst in flows
    )
    return replay, desk, book


def test_the_clock_runs_from_one_due_thing_to_the_next() -> None:
    tape = Tape()
    Dialog(tape, "one").request(0)
    Dialog(tape, "two").request(0.4)
    Dialog(tape, "three").request(100)
    _, desk, book = fed(tape)
    second = [
        ("submit", 1, T0),
        ("submit", 2, T0 + 400_000),
        ("wake", 1, T0 + SECOND),
        ("departed", 1, T0 + SECOND),
        ("wake", 2, T0 + SECOND + 400_000),
        ("departed", 2, T0 + SECOND + 400_000),
    ]
    assert desk.notes[: len(second)] == second
    assert desk.notes[-2:] == [("wake", 3, T0 + 101 * SECOND), ("departed", 3, T0 + 101 * SECOND)]
    assert [d.held_us for _, d in book.told] == [SECOND] * 3


def test_a_call_that_is_held_when_the_capture_ends_is_waited_out() -> None:
    tape = Tape()
    Dialog(tape, "one").request(0)
    replay, desk, book = fed(tape, hold=20 * SECOND)
    assert desk.notes[1:] == [("wake", 1, T0 + 20 * SECOND), ("departed", 1, T0 + 20 * SECOND)]
    assert len(book.told) == 1
    assert replay.now == T0 + 20 * SECOND


def test_a_refused_call_ends_at_once() -> None:
    tape, book = Tape(), Book()
    Dialog(tape, "one").request(0)
    replay = Replay(SETTINGS, SOURCES, TRUNKS, Refusing(), book)
    replay.feed(tape.packets[0][1][28:], Flow("udp", (GUARD, 5060), (PBX, 5060)), T0)
    assert [(seq, e.at, e.outcome) for seq, e in book.ends] == [(1, T0, "blocked")]


@pytest.mark.parametrize(("verdict", "expected"), [("pass", "flagged"), ("block", "blocked")])
def test_a_fault_of_ours_gives_the_verdict_that_the_file_names(verdict: str, expected: str) -> None:
    tape = Tape()
    Dialog(tape, "one", caller="+33199009999").request(0)
    Dialog(tape, "two").request(1)
    replay, _, book = fed(tape, faults=FaultPolicy(engine=verdict))  # type: ignore[arg-type]
    assert [(c.call_id, d.verdict, d.rule) for c, d in book.told] == [
        ("one", expected, "fault.engine"),
        ("two", "allowed", ""),
    ]
    assert replay.counters["faults_engine"] == 1


class Judging(Holding):
    """A desk that judges strangers."""

    def judge(self, call: CallAttempt, now: int) -> Decision:
        self.notes.append(("judge", int(call.call_id[1:]), now))
        return Decision(verdict="blocked", rule="source.unknown", status=403)


def scan(*, dst: str, port: int = 5060, calls: int = 10, addresses: int = 5) -> tuple[Replay, Book]:
    """Calls of strangers, one each tenth of a second."""
    tape, desk, book = Tape(), Judging(), Book()
    for n in range(calls):
        Dialog(tape, f"c{n}", src=f"203.0.113.{n % addresses}", dst=dst).request(n / 10)
    replay = Replay(SETTINGS, SOURCES, TRUNKS, desk, book)
    replay.run(
        (packet[28:], Flow("udp", (dst, port), (f"203.0.113.{n % addresses}", 5060)), at)
        for n, (at, packet) in enumerate(tape.packets)
    )
    return replay, book


def test_calls_of_strangers_to_the_guard_are_recorded_as_the_daemon_does() -> None:
    """Ten a second, judged, and never answered."""
    replay, book = scan(dst=GUARD, calls=35)
    assert len(book.told) == 35  # ten begin in each second
    assert {(c.source, c.trunk, d.verdict, d.status) for c, d in book.told} == {("", "", "blocked", 0)}
    assert [(e.at, e.outcome, e.by) for _, e in book.ends[:2]] == [
        (T0, "blocked", "guard"),
        (T0 + 100_000, "blocked", "guard"),
    ]
    tape, book = Tape(), Book()
    for n in range(14):
        Dialog(tape, f"c{n}", src="203.0.113.7").request(n / 100)
    replay = Replay(SETTINGS, SOURCES, TRUNKS, Judging(), book)
    replay.run((p[28:], Flow("udp", (GUARD, 5060), ("203.0.113.7", 5060)), at) for at, p in tape.packets)
    assert len(book.told) == 10
    assert replay.counters["strangers_unrecorded"] == 4
    assert replay.strangers == {"203.0.113.7": 14}


@pytest.mark.parametrize(("dst", "port"), [(PBX, 5060), (GUARD, 5070)])
def test_calls_of_strangers_to_others_are_only_counted(dst: str, port: int) -> None:
    replay, book = scan(dst=dst, port=port)
    assert book.told == []
    assert (replay.strangers, sum(replay.others.values())) == ({}, 10)


@pytest.mark.interpreted
def test_addresses_of_strangers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STRANGERS", 3)
    expected = {f"203.0.113.{n}": 2 for n in range(3)}
    assert scan(dst=GUARD)[0].strangers == expected
    assert scan(dst=PBX)[0].others == expected


@pytest.mark.parametrize("via", [GUARD, f"{GUARD}:5060", "[2001:DB8::10]:5070"])
def test_what_the_guard_sent_on_is_counted_apart(via: str) -> None:
    tape = Tape()
    Dialog(tape, "one").request(0, via=via)
    replay, _, book = fed(tape)
    assert replay.observer.counters["own"] == 1
    assert book.told == []


@pytest.mark.parametrize("via", ["192.0.2.5:5060", f"{GUARD}:5061", "[2001:db8::10]", "evil;x=192.0.2.10"])
def test_what_others_sent_is_not_taken_for_the_guards(via: str) -> None:
    tape = Tape()
    Dialog(tape, "one").request(0, via=via)
    assert len(fed(tape)[2].told) == 1


class Refusing(Holding):
    """A desk that refuses every call at once."""

    waited = 0

    def submit(self, ticket: int, call: CallAttempt, now: int) -> list[tuple[int, Decision]]:
        del call, now
        return [(ticket, Decision(verdict="blocked", status=403))]


def repeated(*pauses: float) -> int:
    """How many calls one call makes that the replay refuses, and that was challenged and repeated after pauses."""
    tape = Tape()
    call = Dialog(tape, "one")
    at = 0.0
    for n, pause in enumerate((0.0, *pauses), 1):
        at += pause
        call.cseq = n
        call.request(at)
        call.answer(at, 401)
    book = Book()
    replay = Replay(SETTINGS, SOURCES, TRUNKS, Refusing(), book)
    for instant, packet in tape.packets:
        there, back = (PBX, 5060), (GUARD, 5060)
        replay.feed(
            packet[28:], Flow("udp", back, there) if b"INVITE" in packet[28:34] else Flow("udp", there, back), instant
        )
    replay.finish()
    return len(book.told)


def test_a_refused_call_is_not_counted_again_when_it_is_repeated_with_credentials() -> None:
    assert repeated() == 1
    assert repeated(0.1) == 1
    assert repeated(0.1, 0.1) == 1  # a stale nonce: asked once more
    assert repeated(5) == 1
    assert repeated(5.000001) == 2  # nobody repeats so late: a call of its own under an old name


@pytest.mark.interpreted
def test_awaited_repetitions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "MAX_REPEATS", 0)
    assert repeated(0.1) == 2
