"""Worlds through the real engine with the real policies: straight, and as a capture that `guard replay` reads."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.capture.messages import Messages
from guard.cli.main import main as guard
from guard.cli.replay import replay_of
from guard.config import load
from guard.model import SECOND, CallAttempt, CallEnded, Decision
from guard.policy.load import load_policy
from sim.labelled import capture
from sim.labelled.going import spoken
from sim.labelled.straight import Straight
from sim.labelled.words import HOUR, MINUTE, Line, Placed, Site, e164
from tests.sim.labelled import ATTACKS, LEGITIMATE, MONDAY, desk, out, world, written

MAY_FLAG = {"dst.callback"}  # a legitimate call that calls back who rang in vain from abroad


# ---- straight --------------------------------------------------------------------------------------------------------


def test_the_guard_toml_of_a_world_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(world(f"{LEGITIMATE},office,{ATTACKS}"), tmp_path)
    assert guard(["check", "-c", str(path)]) == 0
    assert "right; 13 sources, 13 trunks" in capsys.readouterr().out


@pytest.mark.parametrize(("seed", "names"), [(1, LEGITIMATE), (2, "office:60,dialler:400,hotel:300,branch:40")])
def test_legitimate_calls_are_allowed_by_the_real_rules(seed: int, names: str, tmp_path: Path) -> None:
    made = world(names, seed=seed, days=8)  # a week, and the first day of the next
    said: Counter[tuple[str, str]] = Counter()
    calls = 0
    for _, decision in Straight(desk(made, tmp_path, watched=False)).run(made):
        calls += 1
        said[decision.verdict, decision.rule] += 1
    assert calls > 10_000
    assert {verdict for verdict, _ in said} <= {"allowed", "flagged"}
    assert {rule for verdict, rule in said if verdict == "flagged"} <= MAY_FLAG
    assert said["allowed", ""] > 0.99 * calls


def test_a_spoofed_caller_is_always_refused(tmp_path: Path) -> None:
    made = world("cli-spoofing,office", days=2)
    for placed, decision in Straight(desk(made, tmp_path)).run(made):
        assert (decision.verdict == "blocked") is (placed.label == "cli-spoofing")


def test_every_call_is_decided_once_and_every_end_told(tmp_path: Path) -> None:
    made = world("office,wangiri:80,war-dialler:40", days=0.003, after=0.0)  # more than ten a second: some are held
    run = Straight(desk(made, tmp_path, watched=False))
    decided = list(run.run(made))
    assert Counter(p.call.call_id for p, _ in decided) == Counter(p.call.call_id for p in made)
    held = [d.held_us for _, d in decided if d.held_us]
    assert held
    assert any(d.verdict == "allowed" and d.held_us for _, d in decided)
    assert any(d.rule == "rate.cps" and d.verdict == "blocked" for _, d in decided)
    assert run.open == 0


def test_channels_come_back_when_calls_end(tmp_path: Path) -> None:
    made = world("office:3", days=5)
    calls = [(p, d) for p, d in Straight(desk(made, tmp_path, watched=False)).run(made)]
    assert len(calls) > 15 * 2
    assert {d.verdict for _, d in calls} == {"allowed"}


class Book:
    """A desk that only notes what it is told. With `hold_us` each call waits so long."""

    def __init__(self, decision: Decision, hold_us: int = 0) -> None:
        self.decision = decision
        self.hold_us = hold_us
        self.held: list[tuple[int, int]] = []
        self.told: list[tuple[str, int, int]] = []
        self.ends: list[CallEnded] = []

    def submit(self, ticket: int, call: CallAttempt, now: int) -> list[tuple[int, Decision]]:
        self.told.append(("submit", ticket, now))
        if self.hold_us:
            self.held.append((now + self.hold_us, ticket))
            return []
        return [(ticket, self.decision)]

    def next_wake(self) -> int | None:
        return self.held[0][0] if self.held else None

    def wake(self, now: int) -> list[tuple[int, Decision]]:
        assert now == self.held[0][0]
        return [(self.held.pop(0)[1], self.decision)]

    def departed(self, ticket: int, now: int) -> None:
        self.told.append(("departed", ticket, now))

    def ended(self, ticket: int, now: int, ended: CallEnded) -> tuple[()]:
        self.told.append(("ended", ticket, now))
        self.ends.append(ended)
        return ()


@pytest.fixture
def two() -> list[Placed]:
    line = Line(Site(kind="office"), "2000", e164("+33140000000"))
    callee = e164("+33140000001")
    first = line.out(MONDAY, ("a", 1), callee, spoken(SECOND, 40 * MINUTE, delay=SECOND))
    return [first, line.out(MONDAY + HOUR, ("a", 2), callee, spoken(SECOND, MINUTE, delay=SECOND))]


def test_ends_are_told_before_what_comes_after_them(two: list[Placed]) -> None:
    book = Book(Decision(verdict="allowed"))
    list(Straight(book).run(two))  # type: ignore[arg-type]
    assert [what for what, _, _ in book.told] == ["submit", "departed", "ended", "submit", "departed", "ended"]
    assert [now for what, _, now in book.told if what == "ended"] == [p.ended.at + 2_000 for p in two]


def test_a_refused_call_ends_at_once(two: list[Placed]) -> None:
    book = Book(Decision(verdict="blocked", status=403))
    list(Straight(book).run(two[:1]))  # type: ignore[arg-type]
    assert book.told == [("submit", 1, MONDAY), ("ended", 1, MONDAY)]
    assert book.ends == [CallEnded(at=MONDAY, outcome="blocked", final_status=403, by="guard")]


def test_a_call_that_may_not_talk_on_is_ended(two: list[Placed]) -> None:
    book = Book(Decision(verdict="allowed", max_talk_us=30 * MINUTE))
    list(Straight(book).run(two))  # type: ignore[arg-type]
    assert [(e.talk_us, e.by) for e in book.ends] == [(30 * MINUTE, "guard"), (MINUTE, "caller")]
    assert book.ends[0].at == MONDAY + 2 * SECOND + 30 * MINUTE


def test_a_held_call_leaves_and_ends_as_much_later(two: list[Placed]) -> None:
    book = Book(Decision(verdict="allowed"), hold_us=2 * SECOND)
    assert [p for p, _ in Straight(book).run(two)] == two  # type: ignore[arg-type]
    assert [now for what, _, now in book.told if what == "departed"] == [p.call.at + 2 * SECOND for p in two]
    assert [(e.at, e.talk_us) for e in book.ends] == [(p.ended.at + 2 * SECOND, p.ended.talk_us) for p in two]


# ---- as a capture ----------------------------------------------------------------------------------------------------


class Log:
    """The log of a replay, in memory."""

    def __init__(self) -> None:
        self.calls: dict[int, tuple[CallAttempt, Decision]] = {}
        self.ends: dict[int, CallEnded] = {}

    def decided(
        self, call: CallAttempt, decision: Decision, done: Callable[[BaseException | None], None] | None
    ) -> int:
        del done
        seq = len(self.calls) + 1
        self.calls[seq] = call, decision
        return seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        self.ends[seq] = ended

    def close(self) -> None:
        """Nothing is open."""


def test_a_replayed_capture_is_decided_as_the_straight_run(tmp_path: Path) -> None:
    made = world(f"{LEGITIMATE},{ATTACKS}", days=0.1, start=MONDAY + 9 * HOUR)
    straight = {p.call.call_id: (p, d) for p, d in Straight(desk(made, tmp_path)).run(made)}
    count = capture.write(made, tmp_path / "world.pcap")
    config = load(tmp_path / "guard.toml")
    log = Log()
    replay = replay_of(config, load_policy(config), log)
    messages = Messages([tmp_path / "world.pcap"])
    replay.run(messages)
    assert messages.tally.sip == messages.tally.frames == count
    assert len(log.calls) == len(straight) > 5_000
    for seq, (call, decision) in log.calls.items():
        placed, before = straight[call.call_id]
        assert call == placed.call
        assert decision == before
        if decision.verdict != "blocked":
            ended = log.ends[seq]
            for what in ("at", "outcome", "ring_us", "talk_us", "final_status", "by"):
                assert getattr(ended, what) == getattr(placed.ended, what), what
    assert {d.verdict for _, d in log.calls.values()} == {"allowed", "flagged", "blocked"}


def test_whoever_hangs_up_says_bye() -> None:
    made = world("office:20", days=1)
    by = {p.call.call_id: (p.ended.by, p.call.source_address) for p in made if p.ended.outcome == "answered"}
    byes = 0
    for _, source, _, data in capture.messages(made):
        if data.startswith(b"BYE"):
            who, address = by[data.partition(b"Call-ID: ")[2].partition(b"\r\n")[0].decode()]
            assert (source[0] == address) is (who == "caller")
            byes += 1
    assert byes == len(by)


def test_messages_are_in_order_and_few_are_kept() -> None:
    made = world("office:50,irsf-night,gateway", days=1)
    up = most = last = 0
    for at, _, _, data in capture.messages(made):
        assert at >= last
        last = at
        up += data.startswith(b"INVITE") - data.startswith(b"ACK")
        most = max(most, up)
    assert up == 0
    assert most < 20


def test_other_programs_read_the_capture(tmp_path: Path) -> None:
    path = tmp_path / "w.pcap"
    made = world("office:2,wangiri", days=1)
    capture.write(made, path)
    fields = [
        "-T",
        "fields",
        "-e",
        "sip.Method",
        "-e",
        "sip.Status-Code",
        "-e",
        "_ws.malformed",
        "-e",
        "ip.checksum.status",
    ]
    ports = ["-d", "udp.port==5060,sip", "-o", "ip.check_checksum:TRUE"]
    done = subprocess.run(["tshark", "-r", str(path), *ports, *fields], capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert not any(row[2] for row in rows)
    assert {row[3] for row in rows} == {"1"}
    assert sum(row[0] == "INVITE" for row in rows) == sum(1 for _ in made)
    assert sum(row[0] == "BYE" for row in rows) == sum(p.ended.outcome == "answered" for p in made)
    assert sum(row[0] == "CANCEL" for row in rows) == sum(p.ended.outcome == "cancelled" for p in made)
    assert out(made)
