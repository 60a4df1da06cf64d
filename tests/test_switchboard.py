"""What other switches ask before they dial: judged by the live desk, counted once, and free again when it is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guard.control import Answer, Ask, DecideAsk, Decided, EndedAsk, Fault, FiguresAsk
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.figures import Figures
from guard.model import SECOND, CallAttempt
from guard.net.faults import FaultPolicy
from guard.net.verdicts import Verdicts
from guard.proxy.effects import Decide, Ended
from guard.state.memory import MemoryState
from guard.switchboard import FRESH, MAX_OPEN, REFUSED, REPEATS, Switchboard
from tests.deciding import NOW, PREMIUM, SECOND_OWN, STRANGERS, config_of, policy_of
from tests.net.fakes import ENDED, Broken, FakeCore, FakeLog
from tests.waiting import SPAN
from tests.web.some_figures import SOME

CUSTOMER = "0199001234"
LIFE = "5eed"


class Heard:
    """The way back for one answer."""

    def __init__(self) -> None:
        self.alive = True
        self.gone: Callable[[], None] | None = None
        self.answer: Answer | None = None

    def __call__(self, answer: Answer) -> None:
        assert self.answer is None, "answered twice"
        self.alive = False
        self.answer = answer

    def hang_up(self) -> None:
        self.alive = False
        if self.gone is not None:
            self.gone()

    @property
    def decided(self) -> Decided:
        assert self.answer is not None
        assert self.answer.decided is not None, self.answer.error
        return self.answer.decided

    @property
    def fault(self) -> Fault:
        assert self.answer is not None
        assert self.answer.error is not None
        return self.answer.error


class Board:
    """A switchboard with a real desk, a log of the test's, and a clock that stands still until it is moved."""

    def __init__(self, more: str = "", *, store: str = "pass", engine: str = "pass") -> None:
        config = config_of(more + f'\n[faults]\nengine = "{engine}"\nstore = "{store}"\n')
        self.now = 1_000 * SECOND
        self.state = MemoryState()
        self.desk = Desk(Engine(policy_of(more)), self.state, watch=Watch())
        self.core, self.log = FakeCore(), FakeLog()
        self.core.wall_offset = NOW - self.now
        self.told: list[Exception] = []
        self.counters: dict[str, int] = {}
        faults = config.file.faults
        self.verdicts = Verdicts(
            self.core,
            self.desk,
            self.log,
            FaultPolicy(engine=faults.engine, store=faults.store),
            dict.fromkeys(("decided", "allowed", "flagged", "masked", "blocked", "held", "faults_engine",
                           "faults_store", "store_late", "unrecorded"), 0),
            self.hurried,
            self.told.append,
        )  # fmt: skip
        self.reads = self.asked = 0
        self.board = Switchboard(
            lambda: config, self.read, self.desk, self.verdicts, self.core, self.turn, lambda: self.now, LIFE,
            self.told.append,
        )  # fmt: skip

    def read(self) -> Figures:
        self.reads += 1
        return SOME

    def hurried(self) -> None:
        self.turn(self.verdicts.land)

    def turn(self, what: Callable[[int], None]) -> None:
        """What the driver does."""
        try:
            what(self.now)
        except Exception as error:  # noqa: BLE001 - as the driver
            self.told.append(error)
            self.verdicts.failed(error, self.now)
        self.verdicts.depart(lambda: self.now)

    def ask(self, ask: Ask) -> Heard:
        heard = Heard()
        self.board.ask(ask, heard)
        self.log.commit()
        return heard

    def decide(self, callee: str = CUSTOMER, **how: object) -> Heard:
        self.asked += 1
        asked = {"caller": SECOND_OWN, "callee": callee, "line": str(200 + self.asked)} | how
        return self.ask(DecideAsk(**asked))  # type: ignore[arg-type]  # the test names its fields

    def later(self, micros: int) -> None:
        self.now += micros
        self.turn(self.verdicts.wake)
        self.board.tick()
        self.log.commit()

    @property
    def channels(self) -> int:
        return self.state.value("channels:operator", self.now)

    @property
    def second(self) -> int:
        return self.state.value("cps:operator", self.now)


def test_a_decision_takes_its_channel_and_its_place_and_its_end_gives_the_channel_back() -> None:
    b = Board()
    found = b.decide(call_id="k1").decided
    assert (found.allow, found.verdict, found.counted, found.seq, found.ticket) == (True, "allowed", True, 1, "5eed-1")
    assert (b.channels, b.second, b.board.open) == (1, 1, 1)
    assert b.log.records[0][0].call_id == "k1"
    b.now += 61 * SECOND
    ask = EndedAsk(ticket=found.ticket, ring_ms=1500, talk_ms=59_000, final_status=200, by="caller")
    assert b.ask(ask).answer == Answer(ended=True)
    assert (b.channels, b.board.open) == (0, 0)
    seq, end = b.log.ends[0]
    assert (seq, end.outcome, end.ring_us, end.talk_us, end.by) == (1, "answered", 1_500_000, 59_000_000, "caller")


def test_a_refusal_says_why_holds_nothing_and_is_over() -> None:
    b = Board()
    found = b.decide(caller=STRANGERS).decided
    assert (found.allow, found.verdict, found.status, found.rule) == (False, "blocked", 403, "cli.not-authorised")
    assert found.findings[0].text.fr
    assert (found.ticket, b.channels, b.second, b.board.open) == ("", 0, 0, 0)
    assert [(seq, e.outcome, e.final_status) for seq, e in b.log.ends] == [(1, "blocked", 403)]


def test_a_masked_caller_is_told_with_what_stands_in_for_it() -> None:
    found = Board().decide(caller=PREMIUM).decided
    assert (found.allow, found.verdict, found.presented) == (True, "masked", "+33145678999")
    assert found.masked_numbers == (PREMIUM,)


def test_what_is_only_asked_leaves_nothing_behind() -> None:
    b = Board()
    watch = b.desk.watch
    assert watch is not None
    for _ in range(30):
        found = b.decide(count=False).decided
        assert (found.verdict, found.counted, found.seq, found.ticket) == ("allowed", False, 0, "")
    assert (b.channels, b.second, b.board.open, len(b.log.records)) == (0, 0, 0, 0)
    assert len(watch.subjects) == 0


def test_what_is_only_asked_sees_the_counters_as_they_stand() -> None:
    b = Board()
    for _ in range(10):
        assert b.decide().decided.allow
    found = b.decide(count=False).decided
    assert (found.would_wait, found.findings[0].rule) == (True, "rate.cps")
    b.later(SPAN)
    assert not b.decide(count=False).decided.would_wait


def test_a_call_that_has_to_wait_is_answered_when_its_place_comes() -> None:
    b = Board()
    for _ in range(10):
        b.decide()
    heard = b.decide()
    assert heard.answer is None
    b.later(SPAN)
    assert (heard.decided.allow, heard.decided.held_ms) == (True, SPAN // 1000)


def test_who_gives_up_waiting_is_recorded_as_withdrawn_and_takes_nothing() -> None:
    b = Board()
    for _ in range(10):
        b.decide()
    heard = b.decide(call_id="gone")
    heard.hang_up()
    assert (len(b.desk), b.board.open) == (0, 10)
    assert [(seq, e.outcome, e.by) for seq, e in b.log.ends] == [(11, "cancelled", "caller")]


def test_a_refusal_waits_for_its_record() -> None:
    b = Board()
    heard = Heard()
    b.board.ask(DecideAsk(caller=STRANGERS, callee=CUSTOMER), heard)
    assert heard.answer is None
    b.log.commit()
    assert heard.decided.verdict == "blocked"


def test_the_same_attempt_asked_again_counts_once() -> None:
    b = Board()
    first = b.decide(call_id="k1")
    assert b.decide(call_id="k1").decided == first.decided
    refused = b.decide(call_id="k2", caller=STRANGERS)
    assert b.decide(call_id="k2", caller=STRANGERS).decided == refused.decided
    assert (b.second, b.channels, len(b.log.records)) == (1, 1, 2)
    assert b.decide(call_id="k1", callee="0199005678").decided.ticket == "5eed-3", "another target is another call"
    b.later(REPEATS)
    assert b.decide(call_id="k1").decided.ticket == "5eed-4", "long after it is a new attempt"


def test_two_that_ask_for_one_attempt_while_it_waits_hear_the_same() -> None:
    b = Board()
    for _ in range(10):
        b.decide()
    one, other = b.decide(call_id="k1"), b.decide(call_id="k1")
    one.hang_up()
    assert len(b.desk) == 1, "somebody still waits for it"
    b.later(SPAN)
    assert other.decided.allow


def test_a_lease_that_is_over_frees_the_channel_and_leaves_the_record_open() -> None:
    b = Board("\n[web]\nlease_s = 60\n")
    long, short = b.decide(lease_s=90).decided, b.decide().decided
    b.later(60 * SECOND)
    assert b.channels == 1
    assert b.ask(EndedAsk(ticket=short.ticket)).fault.code == "unknown-ticket"
    b.later(30 * SECOND)
    assert (b.channels, b.board.open, b.log.ends) == (0, 0, [])
    assert b.ask(EndedAsk(ticket=long.ticket)).fault.code == "unknown-ticket"
    assert b.desk.watch is not None
    assert not b.desk.watch._open, "detection awaits no end of it"


def test_a_lease_of_nothing_keeps_the_place_in_the_second() -> None:
    b = Board()
    b.decide(lease_s=0)
    b.later(1)
    assert (b.channels, b.second) == (0, 1)


def test_talk_is_no_longer_than_the_call_is_known() -> None:
    b = Board()
    found = b.decide().decided
    b.now += 5 * SECOND
    b.ask(EndedAsk(ticket=found.ticket, talk_ms=86_400_000))
    assert b.log.ends[0][1].talk_us == 5 * SECOND


@pytest.mark.parametrize("ticket", ["", "x", "5eed-", "5eed-2", "5eed--1", "5eed-1x", "dead-1", "5eed-²", "1"])
def test_a_ticket_of_nobody_ends_nothing(ticket: str) -> None:
    b = Board()
    b.decide()
    assert b.ask(EndedAsk(ticket=ticket)).fault.code == "unknown-ticket"
    assert b.channels == 1


def test_no_source_of_that_name() -> None:
    fault = Board().decide(source="nobody").fault
    assert (fault.code, fault.text) == ("unknown-source", 'no [[source]] "nobody": there are pbx, robot, branch')


def test_so_many_at_once_and_no_more_but_for_help() -> None:
    b = Board()
    b.decide()
    b.board._calls |= dict.fromkeys(range(-MAX_OPEN - 100, -100), b.board._calls[-1])
    assert b.decide().fault.code == "busy"
    assert b.decide("112").decided.allow


def test_a_guard_that_stops_decides_nothing_but_for_help() -> None:
    b = Board()
    b.board.drain()
    assert b.decide().fault.code == "stopping"
    assert b.decide("112").decided.allow


def test_refusals_are_remembered_within_bounds() -> None:
    b = Board()
    for i in range(REFUSED + 10):
        b.decide(call_id=f"k{i}", caller=STRANGERS)
    assert len(b.board._refused) == REFUSED
    assert b.board.open == 0


def test_figures_are_read_at_most_four_times_a_second() -> None:
    b = Board()
    for _ in range(50):
        assert b.ask(FiguresAsk()).answer == Answer(figures=SOME)
    assert b.reads == 1
    b.now += FRESH
    b.ask(FiguresAsk())
    assert b.reads == 2


# ---- emergency calls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("callee", ["112", "15", "sip:112@ipbx", "urn:service:sos.fire", "tel:18"])
def test_an_emergency_call_is_allowed_and_recorded(callee: str) -> None:
    b = Board()
    found = b.decide(callee, caller=STRANGERS).decided
    assert (found.allow, found.emergency, found.seq, found.counted) == (True, True, 1, True)


def test_an_emergency_call_waits_for_no_place() -> None:
    b = Board()
    for _ in range(10):
        b.decide()
    assert b.decide("112").decided.held_ms == 0


@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize("engine", ["pass", "block"])
@pytest.mark.parametrize("part", ["prepare", "decide", "submit", "attempt", "verdicts", "config"])
def test_an_emergency_call_is_allowed_whatever_fails(part: str, engine: str, count: bool) -> None:
    b = Board(engine=engine, store="block")

    def fails(*_: object, **__: object) -> None:
        raise Broken

    owner: object = {
        "prepare": b.desk._engine,
        "decide": b.desk._engine,
        "submit": b.desk,
        "attempt": b.board,
        "verdicts": b.verdicts,
        "config": b.board,
    }[part]
    name = {"attempt": "_attempt", "verdicts": "_settle", "config": "_judge"}.get(part, part)
    setattr(owner, name, fails)
    found = b.decide("112", count=count).decided
    assert (found.allow, found.status, found.emergency) == (True, 0, True)
    b.now += SECOND
    assert (b.decide("112", count=count).decided.allow) is True


def test_a_switch_that_nobody_knows_may_call_for_help() -> None:
    assert Board().decide("112", source="nobody").decided.allow


@pytest.mark.parametrize(("engine", "allow"), [("pass", True), ("block", False)])
def test_any_other_call_of_a_fault_gets_what_the_file_says(engine: str, allow: bool) -> None:
    for count in (True, False):
        b = Board(engine=engine)
        b.desk._engine.prepare = lambda *_: (_ for _ in ()).throw(Broken())  # type: ignore[method-assign]
        found = b.decide(count=count).decided
        assert (found.allow, found.rule) == (allow, "fault.engine")
        assert b.told


# ---- beside the proxy's own calls ------------------------------------------------------------------------------------


def test_calls_of_the_proxy_and_of_others_do_not_meet() -> None:
    b = Board()
    own = CallAttempt(
        call_id="own", from_tag="t", at=NOW, source="pbx", source_address="192.0.2.5", trunk="operator", line="",
        callee=b.board._attempt(DecideAsk(callee=CUSTOMER), b.board._config().sources[0], b.now).callee,
    )  # fmt: skip
    b.turn(lambda now: b.verdicts.decide(Decide(1, own), now))
    found = b.decide().decided
    assert [t for t, _, _ in b.core.answers] == [1]
    assert (found.ticket, b.channels) == ("5eed-1", 2)
    b.turn(lambda now: b.verdicts.ended(Ended(1, ENDED), now))
    assert b.channels == 1
