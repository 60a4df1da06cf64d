"""Counters rebuilt from the log say what they said before the restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.desk import Desk
from guard.engine import Engine
from guard.model import CallAttempt, CallEnded, Decision
from guard.recount import STEP, recount
from guard.state.memory import MemoryState
from guard.store.contract import Query
from guard.store.sqlite import SqliteWriter
from tests.deciding import NOW, SELLS, call, engine_of

HOUR = 3_600_000_000
SMALL = '\n[rules."quota.callees"]\nlimit = 4\nper = "line"\n[rules."quota.talk-time"]\nhours = 2\nper = "line"\n'


class Life:
    """One life of a guard: a desk on empty counters, and its log."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.engine = engine
        self.state = MemoryState()
        self.desk = Desk(engine, self.state)
        self.log = SqliteWriter(path, site="test")
        self.ticket = 0

    def call(self, made: CallAttempt, talk_us: int = 0) -> Decision:
        """One call, recorded as the daemon records it."""
        self.ticket += 1
        ((_, decision),) = self.desk.submit(self.ticket, made, made.at)
        seq = self.log.decided(made, decision, None)
        ended = CallEnded(at=made.at + talk_us, outcome="answered", talk_us=talk_us)
        if decision.verdict != "blocked":
            self.desk.departed(self.ticket, made.at)
            self.desk.ended(self.ticket, made.at, ended)
        self.log.ended(seq, ended)
        return decision

    def held_and_cancelled(self, made: CallAttempt) -> None:
        """A call that gave up while it was held."""
        for n in range(11):
            self.ticket += 1
            out = self.desk.submit(self.ticket, call(callee="0199000001", line=f"x{n}", at=made.at), made.at)
            if out:
                self.desk.departed(self.ticket, made.at)
                self.desk.ended(self.ticket, made.at)
        self.ticket += 1
        assert self.desk.submit(self.ticket, made, made.at) == []
        decision = self.desk.withdraw(self.ticket, made.at)
        assert decision is not None
        self.log.ended(self.log.decided(made, decision, None), CallEnded(at=made.at, outcome="cancelled"))

    def again(self, path: Path) -> Life:
        """The next life, rebuilt from this one's log."""
        self.log.close()
        life = Life(self.engine, path)
        with life.log.reader() as reader:
            past = [(d.record.seq, d.body, d.end) for d in reader.details(Query(all=True))]
        assert sum(recount(life.engine, life.state, past)) == sum(
            1 for _, body, _ in past if body.verdict != "blocked" and body.rule != "rate.cps" and not body.emergency
        )
        life.state.restored()
        return life


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


def spoke(decision: Decision) -> list[str]:
    return [f.rule for f in decision.findings]


def test_different_numbers_and_talk_are_known_again(path: Path) -> None:
    life = Life(engine_of(SMALL), path)
    for n in (1, 2, 3):
        life.call(call(callee=f"019900000{n}", at=NOW + n), HOUR // 2)
    life.call(call("+33239112233", "0199000004"))  # refused: it counts nothing
    life.call(call(callee="112"))  # nor does an emergency call
    life = life.again(path)
    assert spoke(life.call(call(callee="0199000002", at=NOW + 10), HOUR // 2)) == ["quota.talk-time"]  # 75 % is past 50
    assert spoke(life.call(call(callee="0199000004", at=NOW + 11))) == ["quota.callees", "quota.talk-time"]
    life = life.again(path)
    assert "quota.callees" in spoke(life.call(call(callee="0199000005", at=NOW + 12)))
    life.log.close()


def test_tries_of_a_consumer_are_known_again(path: Path) -> None:
    life = Life(engine_of(SELLS), path)
    friday = NOW - 19 * HOUR
    made = [call(callee="0199000001", usage=("prospecting",), at=friday + n) for n in range(6)]
    for one in made[:4]:
        assert life.call(one).verdict == "allowed"
    life = life.again(path)
    assert life.call(made[4]).rule == "dst.prospecting-frequency"
    life.log.close()


def test_whoever_gave_up_while_held_counts_nothing(path: Path) -> None:
    life = Life(engine_of(SMALL), path)
    life.held_and_cancelled(call(callee="0199000009"))
    life = life.again(path)
    assert spoke(life.call(call(callee="0199000001", at=NOW + HOUR))) == []
    assert spoke(life.call(call(callee="0199000009", at=NOW + HOUR))) == ["quota.callees"]  # the second: 50 %
    life.log.close()


def test_what_is_restored_beside_newer_calls_leaves_in_its_time() -> None:
    engine = engine_of(SELLS)
    state = MemoryState()
    desk = Desk(engine, state)
    friday = NOW - 19 * HOUR
    new = call(callee="0199000001", usage=("prospecting",), at=friday)
    assert desk.submit(1, new, friday)[0][1].verdict == "allowed"
    desk.departed(1, friday)
    old = [call(callee="0199000001", usage=("prospecting",), at=friday - 29 * 24 * HOUR - n) for n in range(3)]
    for n, one in enumerate(old):
        for touch in engine.counted(one):
            state.restore(replace(touch, ident=f"#{n}"))
    before = state.tallies.members
    state.restored()
    later = call(callee="0199000001", usage=("prospecting",), at=friday + 3 * 24 * HOUR)  # the old ones are over
    assert desk.submit(2, later, later.at)[0][1].verdict == "allowed"
    assert state.tallies.members == before - len(old) + 1


def test_others_work_in_between(path: Path) -> None:
    life = Life(engine_of(SMALL), path)
    for n in range(STEP + 5):
        life.call(call(callee=f"01990{n:05}", at=NOW + n * 1_000_000))
    with life.log.reader() as reader:
        life.log.flush()
        past = [(d.record.seq, d.body, d.end) for d in reader.details(Query(all=True))]
    assert list(recount(life.engine, MemoryState(), past)) == [STEP, 5]
    life.log.close()
