"""What detection learns again from the log is what it knew, and no call that comes meanwhile is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.desk import Desk
from guard.detectors.alarms import FOR_GOOD
from guard.detectors.watch import Watch
from guard.detectors.words import DAY, Evidence, Signal
from guard.engine import Engine
from guard.model import SECOND, CallAttempt, CallEnded
from guard.relearn import AGAIN, JOURNAL_DROPPED, SPAN, STEP, Journaled, Relearning
from guard.rules.detect import SHUT
from guard.shut import Name
from guard.state.memory import MemoryState
from guard.store.contract import Query
from guard.store.reader import Detail
from guard.store.sqlite import SqliteWriter
from tests.deciding import MAIN, NOW, call, engine_of

HOUR = 3600 * SECOND
PINGED: tuple[Name, ...] = (("number", MAIN), ("line", "pbx/200"))


class Life:
    """One life of a guard: a desk, its watch, and the log."""

    def __init__(self, path: Path, engine: Engine | None = None, watch: Watch | None = None, ticket: int = 0) -> None:
        self.engine = engine if engine is not None else engine_of()
        self.desk = Desk(self.engine, MemoryState(), watch=watch if watch is not None else Watch())
        self.log = SqliteWriter(path, site="test")
        self.ticket = ticket
        self.seqs: dict[int, int] = {}

    @property
    def watch(self) -> Watch:
        assert self.desk.watch is not None
        return self.desk.watch

    def begin(self, made: CallAttempt) -> int:
        self.ticket += 1
        made = replace(made, call_id=f"c{self.ticket}")
        ((_, decision),) = self.desk.submit(self.ticket, made, made.at)
        self.seqs[self.ticket] = self.log.decided(made, decision, None)
        if decision.verdict != "blocked":
            self.desk.departed(self.ticket, made.at)
        else:
            self.end(self.ticket, CallEnded(at=made.at, outcome="blocked", by="guard"))
        return self.ticket

    def end(self, ticket: int, ended: CallEnded) -> None:
        late = self.desk.ended(ticket, ended.at, ended)
        self.log.ended(self.seqs.pop(ticket), replace(ended, findings=late))

    def ping(self, n: int, at: int) -> None:
        """A call that is cancelled after a second of ringing."""
        ticket = self.begin(call(callee=f"01990{1000 + 7 * n:05}", at=at))
        if ticket in self.seqs:
            ended = CallEnded(at=at + 2 * SECOND, outcome="cancelled", ring_us=SECOND, by="caller", final_status=487)
            self.end(ticket, ended)

    def details(self) -> list[Detail]:
        self.log.flush()
        with self.log.reader() as reader:
            return list(reader.details(Query(all=True)))


def fed(
    details: Iterable[Detail],
    now: int,
    live: Journaled | None = None,
    *,
    releases: Iterable[tuple[int, Name]] = (),
    revived: dict[int, int] | None = None,
    upto: int = 1 << 40,
) -> Watch:
    relearning = Relearning(engine_of(), now, upto, releases, revived)
    list(relearning.feed(((d.record.seq, d.body, d.end), d.end_seq) for d in details))
    live = live if live is not None else Journaled()
    relearning.catch_up(live.journal, whole=True)
    return relearning.finish(live)


def known(watch: Watch) -> dict[str, bytes]:
    """All that is kept of all subjects."""
    subjects = watch.subjects
    asleep = {**subjects._young, **subjects._settled}
    return {key: subject.packed() for key, subject in subjects._work.items()} | asleep


def says(watch: Watch, made: CallAttempt) -> list[tuple[str, str, int]]:
    engine = engine_of()
    found: tuple[Signal, ...] = watch.attempt("next", made, engine.price(made), closed=engine.closed(made))
    return [(s.evidence.rule, s.says, s.until) for s in found]


def month(life: Life) -> Iterator[int]:
    """Calls of some lines over a week, of every kind of end, many at once; the instants at which they are set up."""
    up: list[tuple[int, int, CallEnded]] = []
    for n in range(400):
        at = NOW + n * 1500 * SECOND
        while up and up[0][0] <= at:
            _, ticket, ended = up.pop(0)
            life.end(ticket, ended)
        caller = MAIN if n % 3 else "+33145678901"
        callee = "0899123456" if n % 11 == 0 else f"01990{(n * 37) % 9999:05}"
        foreign = "+33239112233" if n % 13 == 0 else caller  # refused: not the site's own
        ticket = life.begin(call(foreign, callee, line=f"{200 + n % 5}", at=at))
        if ticket in life.seqs:
            over = at + (n % 7 + 1) * 900 * SECOND
            kind = ("answered", "cancelled", "failed")[n % 3]
            talk = (n % 7 + 1) * 890 * SECOND if kind == "answered" else 0
            ended = CallEnded(at=over, outcome=kind, ring_us=9 * SECOND, talk_us=talk, final_status=404, by="callee")  # type: ignore[arg-type]
            up.append((over, ticket, ended))
            up.sort()
        yield at
    for _, ticket, ended in up:
        life.end(ticket, ended)


def test_what_is_learned_again_is_what_was_known(tmp_path: Path) -> None:
    life = Life(tmp_path / "guard.db")
    last = max(month(life))
    for n in range(7):
        life.ping(n, last + DAY + n * 10 * SECOND)
    now = last + DAY + 90 * SECOND
    again = fed(life.details(), now)
    assert known(again) == known(life.watch)
    assert len(known(again)) > 5
    made = call(at=now)
    assert says(again, made) == says(life.watch, made)
    assert says(again, made)[0][:2] == ("traffic.ping-call", "certain")
    life.log.close()


def test_calls_that_come_meanwhile_are_not_lost(tmp_path: Path) -> None:
    """The same calls, in one life and in two: four pings before a restart, three while the past is learned."""
    one = Life(tmp_path / "one.db")
    first = Life(tmp_path / "two.db")
    for life in (one, first):
        for n in range(4):
            life.ping(n, NOW + n * 10 * SECOND)
    now = NOW + 60 * SECOND
    upto = first.details()[-1].end_seq
    first.log.close()
    second = Life(tmp_path / "two.db", watch=Journaled(), ticket=1000)
    live = second.watch
    assert isinstance(live, Journaled)
    for n in range(4, 7):
        one.ping(n, NOW + n * 10 * SECOND + HOUR // 60)
        second.ping(n, NOW + n * 10 * SECOND + HOUR // 60)
    assert says(live, call(at=now + HOUR // 30)) == []  # it knows of three
    live.journal.pop()
    again = fed(second.details(), now, live, upto=upto)  # the log has the new ones too: they count once
    assert known(again) == known(one.watch)
    assert says(again, call(at=now + HOUR // 30)) == says(one.watch, call(at=now + HOUR // 30)) != []
    assert [e.rule for e in again.alarms.fresh] == ["traffic.ping-call"] * 2  # of the line and of the number
    one.log.close()
    second.log.close()


def test_a_call_that_goes_on_keeps_its_name(tmp_path: Path) -> None:
    life = Life(tmp_path / "guard.db")
    for n in range(6):
        life.ping(n, NOW + n * 10 * SECOND)
    ticket = life.begin(call(callee="0199009999", at=NOW + 70 * SECOND))
    seq = life.seqs[ticket]
    ended = CallEnded(at=NOW + 72 * SECOND, outcome="cancelled", ring_us=SECOND, by="caller")
    found = fed(life.details(), NOW + 71 * SECOND, revived={seq: 77})
    assert [e.rule for e in found.ended("77", ended)] == ["traffic.ping-call"] * 2
    gone = fed(life.details(), NOW + 71 * SECOND)  # nobody goes on with it: how it ended nobody knows
    assert gone.ended("77", ended) == ()
    assert gone._open == {}
    life.log.close()


def test_whoever_was_released_is_not_caught_again_for_the_same(tmp_path: Path) -> None:
    life = Life(tmp_path / "guard.db")
    for n in range(7):
        life.ping(n, NOW + n * 10 * SECOND)
    details, later = life.details(), NOW + 120 * SECOND
    assert says(fed(details, later), call(at=later))
    for at, caught in ((80, False), (5, False), (-1, True)):  # after all, after the first one, before
        releases = [(NOW + at * SECOND, name) for name in PINGED]
        assert bool(says(fed(details, later, releases=releases), call(at=later))) == caught
    live = Journaled()
    for name in PINGED:
        live.release(*name)
    assert says(fed(details, later, live), call(at=later)) == []
    life.log.close()


@pytest.mark.parametrize("age", [AGAIN - SECOND, AGAIN + 60 * SECOND])
def test_alarms_of_the_last_hour_are_told_again_and_older_ones_are_in_the_books(tmp_path: Path, age: int) -> None:
    engine = engine_of('[rules."traffic.ping-call"]\nquarantine_minutes = -1\n')
    life = Life(tmp_path / "guard.db", engine)
    for n in range(7):
        life.ping(n, NOW + n * 10 * SECOND)
    relearning = Relearning(engine, NOW + 62 * SECOND + age, 1 << 40)
    list(relearning.feed(((d.record.seq, d.body, d.end), d.end_seq) for d in life.details()))
    relearning.catch_up(Journaled().journal, whole=True)
    watch = relearning.finish(Journaled())
    lately = age < AGAIN
    assert bool(watch.alarms.fresh) == bool(watch.alarms.closed) == lately
    life.log.close()


def test_who_is_shut_off_now_stays_so(tmp_path: Path) -> None:
    live = Journaled()
    by_hand = Evidence(rule=SHUT, kind="source", subject="pbx", trunk="", at=NOW - DAY, span_s=0, measures=())
    live.alarms.shut(by_hand, FOR_GOOD)
    live.counters["detectors_alarms_dropped"] = 2
    found = fed([], NOW, live)
    assert says(found, call(at=NOW)) == [(SHUT, "shut", FOR_GOOD)]
    assert found.counters["detectors_alarms_dropped"] == 2


def test_a_journal_has_its_bound_and_says_so() -> None:
    live = Journaled(most=5)
    engine = engine_of()
    for n in range(8):
        live.attempt(str(n), call(at=NOW + n), engine.price(call(at=NOW)))
    assert len(live.journal) == 5
    assert live.counters[JOURNAL_DROPPED] == 3
    live.give_up()
    live.stopped("1")
    assert not live.journal
    assert live.counters[JOURNAL_DROPPED] == 3


def test_emergency_strangers_old_calls_and_second_targets_are_not_learned_from(tmp_path: Path) -> None:
    life = Life(tmp_path / "guard.db")
    made = call(at=NOW)
    for one in (
        call(callee="112", at=NOW),
        replace(call(at=NOW), source="", call_id="stranger"),
        call(at=NOW - SPAN - DAY),
    ):
        seq = life.log.decided(one, life.engine.judge(one), None)
        life.log.ended(seq, CallEnded(at=one.at, outcome="failed"))
    first = life.log.decided(made, life.engine.judge(made), None)
    again = replace(made, at=NOW + SECOND, callee=call(callee="0199001111").callee)
    life.log.decided(again, life.engine.judge(again), None)  # of the call that is up
    life.log.ended(first, CallEnded(at=NOW + 5 * SECOND, outcome="failed"))
    found = fed(life.details(), NOW + DAY)
    assert {key: s.calls for key, s in found.subjects._work.items()} == {f"n:{MAIN}": 1, "l:pbx/200": 1}
    life.log.close()


def test_others_work_in_between(tmp_path: Path) -> None:
    life = Life(tmp_path / "guard.db")
    for n in range(2 * STEP + 5):
        life.begin(call(callee=f"01990{n:05}", line=f"l{n}", at=NOW + n * SECOND))
    relearning = Relearning(engine_of(), NOW + HOUR, 1 << 40)
    assert len(list(relearning.feed(((d.record.seq, d.body, d.end), d.end_seq) for d in life.details()))) == 2
    life.log.close()
