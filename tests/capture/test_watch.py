"""Mirrored traffic is judged as the same traffic in a capture is, whatever order and whatever clocks it comes with."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from guard.capture.messages import Captured, Messages
from guard.capture.watch import MAX_AHEAD, MAX_BEHIND, MAX_BYTES, MAX_WAITING, SETTLE, Watch
from guard.cli.replay import replay_of
from guard.config import load
from guard.hep.packet import LOG
from guard.ledger.record import CallRecord
from guard.policy.load import load_policy
from guard.store.contract import Query
from guard.store.sqlite import SqliteWriter
from tests.capture.live import lived
from tests.capture.making import GUARD, PBX, SECOND, T0, written
from tests.capture.telephony import THEIRS, Dialog, Tape, config
from tests.capture.test_same_as_live import loopback
from tests.hep.other import mirrored

PHONE, DOOR = (PBX, 5060), (GUARD, 5060)


class Post:
    """A watch by a configuration, and what it wrote down."""

    def __init__(self, conf: Path, key: bytes = b"") -> None:
        loaded = load(conf)
        policy = load_policy(loaded)
        self.writer = SqliteWriter(":memory:", site=loaded.site, money=policy.figures, overflow="wait", salts=bytes)
        self.replay = replay_of(loaded, policy, self.writer)
        self.watch = Watch(self.replay, key)

    def hears(self, messages: list[Captured], lag: int = 0) -> None:
        """Messages as an agent mirrors them, each `lag` µs after it was."""
        for data, flow, at in messages:
            self.watch.until(at + lag)
            self.watch.packet(of(data, flow.peer, flow.local, at), at + lag, "10.0.0.1")

    def records(self) -> list[CallRecord]:
        """The log."""
        self.writer.flush()
        return list(self.writer.reader().records(Query(all=True)))


def of(data: bytes, src: tuple[str, int], dst: tuple[str, int], at: int) -> bytes:
    return mirrored(data, src, dst, at)


def invite(call_id: str) -> bytes:
    """One INVITE of the IPBX."""
    tape = Tape()
    Dialog(tape, call_id).request(0)
    return tape.packets[0][1][28:]


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(config(tmp_path))


@pytest.mark.parametrize("seed", range(4))
def test_the_decisions_of_a_replay(seed: int, tmp_path: Path) -> None:
    conf = loopback(tmp_path, cps=4, channels=12, hold_ms=1500)
    capture = written(tmp_path, lived(conf, seed, 60, 20, scanned=True).capture(both_sides=True))
    watched, replayed = Post(conf), Post(conf)
    watched.hears(list(Messages([capture])), lag=40_000)
    watched.watch.finish()
    replayed.replay.run(Messages([capture]))
    assert watched.records() == replayed.records()
    assert len(watched.records()) >= 80
    assert {r.verdict for r in watched.records()} >= {"allowed", "blocked"}
    assert watched.watch.counters["hep_late"] == watched.watch.counters["hep_skewed"] == 0
    assert watched.replay.counters == replayed.replay.counters


def test_messages_that_come_in_another_order(tmp_path: Path) -> None:
    conf = loopback(tmp_path, cps=4, channels=12, hold_ms=1500)
    capture = written(tmp_path, lived(conf, 1, 40, 10, scanned=False).capture(both_sides=True))
    messages, dice = list(Messages([capture])), random.Random(7)
    # Two messages of one instant have no order but that of their arrival.
    messages = [(data, flow, at + n % 700) for n, (data, flow, at) in enumerate(messages)]
    messages.sort(key=lambda m: m[2])
    watched, replayed = Post(conf), Post(conf)
    arrivals = sorted((at + dice.randrange(SETTLE), n) for n, (_, _, at) in enumerate(messages))
    for arrival, n in arrivals:
        data, flow, at = messages[n]
        watched.watch.until(arrival)
        watched.watch.packet(of(data, flow.peer, flow.local, at), arrival)
    watched.watch.finish()
    replayed.replay.run(messages)
    assert [n for _, n in arrivals] != list(range(len(messages)))
    assert watched.records() == replayed.records()
    assert watched.watch.counters["hep_late"] == 0


def test_a_verdict_comes_when_nothing_before_it_can_come(post: Post) -> None:
    post.watch.packet(of(invite("a"), PHONE, DOOR, T0), T0)
    post.watch.until(T0 + SETTLE - 1)
    assert (post.records(), post.watch.waiting) == ([], 1)
    post.watch.until(T0 + SETTLE)
    assert [r.call_id for r in post.records()] == ["a"]
    assert post.watch.waiting == 0


def test_a_held_call_is_told_by_the_clock_alone(tmp_path: Path) -> None:
    post = Post(config(tmp_path, cps=1))
    for name in ("a", "b"):
        post.watch.packet(of(invite(name), PHONE, DOOR, T0), T0)
    post.watch.until(T0 + SETTLE)
    assert [r.call_id for r in post.records()] == ["a"]
    post.watch.until(T0 + 2 * SECOND)
    assert [(r.call_id, r.verdict, r.held_ms > 900) for r in post.records()][1] == ("b", "allowed", True)


def test_a_call_that_nobody_ends_is_ended_by_the_clock(post: Post) -> None:
    post.watch.packet(of(invite("a"), PHONE, DOOR, T0), T0)
    post.watch.until(T0 + 600 * SECOND)
    assert [r.outcome for r in post.records()] == ["failed"]


@pytest.mark.parametrize(
    ("off", "skewed"), [(MAX_AHEAD, 0), (MAX_AHEAD + 1, 1), (-MAX_BEHIND, 0), (-MAX_BEHIND - 1, 1)]
)
def test_an_agent_whose_clock_is_wrong(post: Post, off: int, skewed: int) -> None:
    post.watch.packet(of(invite("a"), PHONE, DOOR, T0 + off), T0, "10.0.0.1")
    assert post.watch.counters["hep_skewed"] == skewed
    post.watch.finish()
    assert [r.time[:23] for r in post.records()] == [CLOCKS[off] if not skewed else "2026-11-21T10:00:00.000"]
    way = "1 s ahead" if off > 0 else "5 s behind"
    said = f"agent 10.0.0.1: its clock is more than {way}: its messages count when they come"
    assert post.watch.tally.warnings == [said] * skewed


CLOCKS = {MAX_AHEAD: "2026-11-21T10:00:01.000", -MAX_BEHIND: "2026-11-21T09:59:55.000"}


def test_what_comes_late_counts_now(post: Post) -> None:
    post.watch.until(T0 + SETTLE)
    post.watch.packet(of(invite("a"), PHONE, DOOR, T0 - 1), T0 + SETTLE)
    post.watch.until(T0 + SETTLE)
    assert post.watch.counters["hep_late"] == 1
    assert [r.time for r in post.records()] == ["2026-11-21T10:00:00.000000+01:00"]


def test_more_than_may_wait_is_judged_at_once(post: Post) -> None:
    options = b"OPTIONS sip:a@b SIP/2.0\r\n\r\n"
    for n in range(MAX_WAITING):
        post.watch.packet(of(options, PHONE, DOOR, T0 + n), T0)
    assert (post.watch.waiting, post.watch.counters["hep_crowded"]) == (MAX_WAITING, 0)
    post.watch.packet(of(options, PHONE, DOOR, T0), T0)
    assert (post.watch.waiting, post.watch.counters["hep_crowded"]) == (MAX_WAITING, 1)


def test_more_octets_than_may_wait(post: Post) -> None:
    options = b"OPTIONS sip:a@b SIP/2.0\r\n\r\n" + bytes(60_000)
    for n in range(MAX_BYTES // len(options) + 1):
        post.watch.packet(of(options, PHONE, DOOR, T0 + n), T0)
    assert post.watch.counters["hep_crowded"] == 1


@pytest.mark.parametrize(
    ("data", "counter", "warning"),
    [
        (b"\2\x10", "hep_unreadable", "agent 10.0.0.1: HEP version 2: only version 3 is read"),
        (mirrored(b"{}", PHONE, DOOR, T0, kind=LOG, key=b"pw"), "hep_other_types", ""),
        (mirrored(b"\r\n\r\n", PHONE, DOOR, T0, key=b"pw"), "hep_not_sip", ""),
        (mirrored(b"OPTIONS a SIP/2.0\r\n", PHONE, DOOR, T0, key=b"no"), "hep_unauthorised",
         "agent 10.0.0.1: its packets carry another password than [hep] says"),
        (mirrored(b"OPTIONS a SIP/2.0\r\n", PHONE, DOOR, T0), "hep_unauthorised",
         "agent 10.0.0.1: its packets carry another password than [hep] says"),
    ],
)  # fmt: skip
def test_what_is_not_judged_is_counted(data: bytes, counter: str, warning: str, tmp_path: Path) -> None:
    post = Post(config(tmp_path), key=b"pw")
    post.watch.packet(data, T0, "10.0.0.1")
    post.watch.finish()
    assert {k: v for k, v in post.watch.counters.items() if v} == {"hep_packets": 1, counter: 1}
    assert post.watch.tally.warnings == ([warning] if warning else [])
    assert post.records() == []


def test_only_packets_with_the_password_count(tmp_path: Path) -> None:
    post = Post(config(tmp_path), key=b"pw")
    post.watch.packet(mirrored(invite("a"), PHONE, DOOR, T0, key=b"pw"), T0)
    post.watch.finish()
    assert [r.call_id for r in post.records()] == ["a"]


@pytest.mark.parametrize("protocol", [6, 17, 22, 132])
def test_messages_of_every_transport(post: Post, protocol: int) -> None:
    post.watch.packet(mirrored(invite("a"), PHONE, DOOR, T0, protocol=protocol), T0)
    post.watch.finish()
    assert [r.call_id for r in post.records()] == ["a"]


def test_a_refused_call_of_mirrored_traffic(post: Post) -> None:
    tape = Tape()
    Dialog(tape, "bad", caller=THEIRS).answered(0)
    for at, packet in tape.packets:
        post.watch.packet(of(packet[28:], *ends(packet), at), at)
    post.watch.finish()
    assert [(r.verdict, r.response) for r in post.records()] == [("blocked", 403)]


def ends(packet: bytes) -> tuple[tuple[str, int], tuple[str, int]]:
    """Who sent an IPv4 packet to whom."""
    src, dst = (".".join(map(str, packet[n : n + 4])) for n in (12, 16))
    return (src, 5060), (dst, 5060)
