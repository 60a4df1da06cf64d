"""What is decided reaches the core only when it may: after its record, or as the file says for a log that fails."""

from __future__ import annotations

import pytest

from guard.model import CallEnded, Verdict
from guard.net.verdicts import REPEATS, STRANGERS_RECORDED, STRANGERS_REMEMBERED
from guard.proxy.effects import Decide, Ended, Flow, Stranger, Withdraw
from tests.net.fakes import ENDED, SECOND, Bench, Broken, call, decision

FLOW = Flow("udp", ("127.0.0.1", 5060), ("192.0.2.66", 5060))
CANCELLED = CallEnded(at=2, outcome="cancelled", final_status=487, by="caller")
WAIT = 50_000  # µs, FaultPolicy.wait

# ---- when a decision may be revealed --------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["flagged", "masked", "blocked"])
def test_what_touches_a_call_is_revealed_after_its_record(verdict: Verdict) -> None:
    b = Bench(decision(verdict))
    b.decide()
    assert [d.verdict for _, d in b.log.records] == [verdict]
    assert b.core.answers == []
    b.land()
    assert b.core.answers == [], "nothing was committed yet"
    b.log.commit()
    assert b.core.answers == [], "the log's thread never talks to the core"
    assert b.hurries == 1
    b.land()
    assert b.core.answers == [(1, decision(verdict), 1)]


def test_an_allowed_call_goes_at_once() -> None:
    b = Bench(decision())
    b.decide()
    assert b.core.verdict(1) == "allowed"
    assert b.log.waiting == []
    assert len(b.log.records) == 1


def test_an_allowed_call_waits_for_its_record_where_the_file_says_so() -> None:
    b = Bench(decision(), store="block")
    b.decide()
    assert b.core.answers == []
    b.commit()
    assert b.core.verdict(1) == "allowed"


@pytest.mark.parametrize("store", ["pass", "block"])
def test_an_emergency_call_waits_for_nothing(store: str) -> None:
    b = Bench(decision("flagged"), store=store)
    b.decide(passed=True, emergency="112")
    assert b.core.verdict(1) == "flagged cli.test"
    assert b.log.waiting == []


def test_a_call_on_its_way_is_never_recorded_as_stopped() -> None:
    b = Bench(decision("blocked"))
    b.decide(passed=True)
    assert [(d.verdict, d.status) for _, d in b.log.records] == [("flagged", 0)]


def test_one_wake_up_serves_all_that_land_together() -> None:
    b = Bench(decision("flagged"))
    for ticket in (1, 2, 3):
        b.decide(ticket)
    b.commit()
    assert b.hurries == 1
    assert [t for t, _, _ in b.core.answers] == [1, 2, 3]
    b.decide(4)
    b.commit()
    assert b.hurries == 2


def test_a_set_up_departs_once_it_was_sent_and_a_refusal_never() -> None:
    b = Bench(decision())
    b.decide(1)
    b.desk.answer = decision("blocked")
    b.decide(2)
    b.commit()
    assert b.desk.departures == []
    b.verdicts.depart(lambda: 77)
    assert b.desk.departures == [(1, 77)]


# ---- another target of a call ---------------------------------------------------------------------------------------


def test_another_allowed_target_is_no_record() -> None:
    b = Bench(decision())
    b.decide(again=True)
    assert b.core.answers == [(1, decision(), 0)]
    assert b.log.records == []
    assert b.counted() == {}


def test_another_refused_target_is_revealed_after_its_record() -> None:
    b = Bench(decision("blocked"))
    b.decide(again=True)
    assert b.core.answers == []
    b.commit()
    assert b.core.answers == [(1, decision("blocked"), 1)]
    assert b.desk.departures == []


# ---- the log is late, refuses, is full, raises -----------------------------------------------------------------------


@pytest.mark.parametrize(("store", "heard"), [("pass", "masked cli.test"), ("block", "blocked fault.store")])
def test_a_log_that_is_late(store: str, heard: str) -> None:
    b = Bench(decision("masked"), store=store)
    b.decide()
    assert b.verdicts.next_wake() == b.now + WAIT
    b.later(WAIT - 1)
    assert b.core.answers == []
    b.later(1)
    assert b.core.verdict(1) == heard
    assert b.counters["store_late"] == 1
    b.commit()
    assert len(b.core.answers) == 1, "it landed after all: nobody waits any more"
    assert b.verdicts.next_wake() is None


@pytest.mark.parametrize(("store", "heard"), [("pass", "blocked cli.test"), ("block", "blocked fault.store")])
def test_a_disk_that_refuses(store: str, heard: str) -> None:
    b = Bench(decision("blocked"), store=store)
    b.decide()
    b.commit(Broken())
    assert b.core.verdict(1) == heard
    assert b.counters["faults_store"] == 1
    b.later(WAIT)
    assert len(b.core.answers) == 1
    assert b.counters["store_late"] == 0


def test_a_stopped_call_says_when_to_try_again() -> None:
    b = Bench(decision(), store="block")
    b.decide()
    b.commit(Broken())
    (_, said, _) = b.core.answers[0]
    assert (said.status, said.retry_after) == (480, 5)
    assert said.findings[0].rule == "fault.store"


@pytest.mark.parametrize(
    ("store", "verdict", "heard"),
    [
        ("pass", "allowed", "allowed"),
        ("pass", "masked", "masked cli.test"),
        ("block", "allowed", "blocked fault.store"),
    ],
)
def test_a_log_that_is_full(store: str, verdict: Verdict, heard: str) -> None:
    b = Bench(decision(verdict), store=store)
    b.log.full = True
    b.decide()
    b.commit(Broken())
    assert b.core.verdict(1) == heard
    assert b.core.answers[0][2] == 0
    assert b.counters["unrecorded"] == 1
    b.verdicts.ended(Ended(1, ENDED), b.now)
    assert b.log.ends == []
    assert b.desk.over == [1], "counters go back all the same"


@pytest.mark.parametrize(
    ("store", "verdict", "heard"),
    [
        ("pass", "allowed", "allowed"),
        ("pass", "blocked", "blocked cli.test"),
        ("block", "masked", "blocked fault.store"),
        ("block", "allowed", "blocked fault.store"),
    ],
)
def test_a_log_that_raises(store: str, verdict: Verdict, heard: str) -> None:
    b = Bench(decision(verdict), store=store)
    b.log.error = Broken()
    b.decide()
    assert b.core.verdict(1) == heard
    assert b.counters["faults_store"] == b.counters["unrecorded"] == len(b.told) == 1
    b.verdicts.ended(Ended(1, ENDED), b.now)
    assert b.log.ends == []
    assert b.desk.over == [1]


def test_an_emergency_call_whose_log_raises() -> None:
    b = Bench(decision("flagged"), store="block")
    b.log.error = Broken()
    b.decide(passed=True, emergency="112")
    assert b.core.verdict(1) == "flagged cli.test"


# ---- the engine, the desk and the core raise -------------------------------------------------------------------------


@pytest.mark.parametrize(("engine", "heard"), [("pass", "flagged fault.engine"), ("block", "blocked fault.engine")])
@pytest.mark.parametrize("again", [False, True])
def test_an_engine_that_raises(engine: str, heard: str, again: bool) -> None:
    b = Bench(decision(), engine=engine)
    b.desk.error = Broken()
    b.decide(again=again)
    assert b.core.answers == [], "what flags or refuses is recorded first, here too"
    b.commit()
    assert b.core.verdict(1) == heard
    assert b.log.records[0][1].findings[0].facts == {"error": "Broken"}
    assert b.counters["faults_engine"] == 1


def test_an_engine_that_raises_over_an_emergency_call() -> None:
    b = Bench(decision(), engine="block")
    b.desk.error = Broken()
    b.decide(passed=True, emergency="112")
    assert b.core.verdict(1) == "flagged fault.engine"
    assert "let through" in b.log.records[0][1].findings[0].text.en


@pytest.mark.parametrize(("engine", "heard"), [("pass", "flagged fault.engine"), ("block", "blocked fault.engine")])
def test_nobody_waits_for_a_desk_that_raises(engine: str, heard: str) -> None:
    b = Bench(None, engine=engine)
    b.decide(1)
    b.decide(2)
    b.desk.error = Broken()
    b.later(1)
    b.commit()
    assert [b.core.verdict(t) for t in (1, 2)] == [heard, heard]
    assert b.desk.held == {}
    assert b.counters["faults_engine"] == 2
    assert len(b.told) == 1


def test_a_desk_that_raises_does_not_stop_late_commits() -> None:
    b = Bench(decision("masked"))
    b.decide()
    b.desk.error = Broken()
    b.later(WAIT)
    assert b.core.verdict(1) == "masked cli.test"


@pytest.mark.parametrize("how", ["land", "wake", "late"])
def test_a_core_that_raises_over_one_call_hears_of_the_next(how: str) -> None:
    b = Bench(None if how == "wake" else decision("flagged"))

    def broken(ticket: int) -> None:
        if ticket == 1:
            raise Broken

    b.core.on_decided = broken
    b.decide(1)
    b.decide(2)
    if how == "wake":
        b.desk.ready = [(1, decision()), (2, decision())]
    elif how == "land":
        b.log.commit()
        b.land()
    b.later(WAIT)
    assert [t for t, _, _ in b.core.answers] == [1, 2]
    assert len(b.told) == 1


def test_a_desk_that_raises_at_the_end_of_a_call_does_not_keep_the_record_open() -> None:
    b = Bench(decision())
    b.decide()
    b.desk.error = Broken()
    b.verdicts.ended(Ended(1, ENDED), b.now)
    assert b.log.ends == [(1, ENDED)]


def test_departures_that_raise_are_told_one_by_one() -> None:
    b = Bench(decision())
    b.decide(1)
    b.decide(2)
    b.desk.error = Broken()
    b.verdicts.depart(lambda: 1)
    assert len(b.told) == 2


def test_without_anybody_to_tell_exceptions_are_raised() -> None:
    b = Bench(decision())
    b.verdicts._told = None
    b.log.error = Broken()
    with pytest.raises(Broken):
        b.verdicts.decide(Decide(1, call()), b.now)


# ---- giving up, and the one end of each record -----------------------------------------------------------------------


def test_a_held_call_that_is_cancelled_is_one_record_with_its_end() -> None:
    b = Bench(None)
    b.decide()
    assert b.counters["held"] == 1
    assert b.log.records == []
    b.verdicts.withdraw(Withdraw(1, CANCELLED), b.now)
    assert [d.verdict for _, d in b.log.records] == ["flagged"]
    assert b.log.ends == [(1, CANCELLED)]
    assert b.log.waiting == [], "nothing is revealed by it"
    b.desk.ready = [(1, decision())]
    b.later(SECOND)
    assert b.core.answers == []
    assert len(b.log.records) == 1


def test_a_held_call_that_the_desk_has_lost_is_still_a_record() -> None:
    b = Bench(None)
    b.decide()
    b.desk.held.clear()
    b.verdicts.withdraw(Withdraw(1, CANCELLED), b.now)
    assert [d.rule for _, d in b.log.records] == ["fault.engine"]
    assert b.log.ends == [(1, CANCELLED)]


def test_a_call_cancelled_before_its_commit_is_not_revealed_any_more() -> None:
    b = Bench(decision("masked"))
    b.decide()
    b.verdicts.withdraw(Withdraw(1, CANCELLED), b.now)
    assert b.log.ends == [(1, CANCELLED)]
    assert b.desk.over == [1]
    b.commit()
    b.later(WAIT)
    assert b.core.answers == []
    assert b.counters["store_late"] == 0


def test_exactly_one_end_for_each_call() -> None:
    b = Bench(decision())
    b.decide()
    b.verdicts.ended(Ended(1, ENDED), b.now)
    b.verdicts.ended(Ended(1, ENDED), b.now)
    b.verdicts.withdraw(Withdraw(1, CANCELLED), b.now)
    assert b.log.ends == [(1, ENDED)]
    assert b.desk.over == [1]


def test_an_end_of_what_was_never_decided_is_nothing() -> None:
    b = Bench(decision())
    b.verdicts.ended(Ended(9, ENDED), b.now)
    assert b.log.ends == []
    assert b.log.records == []


def test_held_calls_leave_in_their_turn() -> None:
    b = Bench(None)
    b.decide(1)
    b.decide(2)
    b.desk.at = b.now + 5
    assert b.verdicts.next_wake() == b.now + 5
    b.desk.ready = [(1, decision())]
    b.later(5)
    assert [t for t, _, _ in b.core.answers] == [1]
    b.desk.ready = [(2, decision("blocked"))]
    b.later(5)
    b.commit()
    assert b.core.verdict(2) == "blocked cli.test"


def test_the_earlier_of_two_reasons_to_wake() -> None:
    b = Bench(decision("masked"))
    b.decide()
    b.desk.at = b.now + WAIT + 1
    assert b.verdicts.next_wake() == b.now + WAIT
    b.desk.at = b.now + WAIT - 1
    assert b.verdicts.next_wake() == b.now + WAIT - 1


def test_nothing_is_kept_of_calls_that_are_over() -> None:
    b = Bench(decision("masked"))
    for ticket in range(1, 200):
        b.decide(ticket)
        b.commit()
        b.verdicts.ended(Ended(ticket, ENDED), b.now)
        b.verdicts.depart(lambda: b.now)
        b.later(1_000)
    b.later(WAIT)
    v = b.verdicts
    assert [len(t) for t in (v._asked, v._seqs, v._uncommitted, v._deadlines, v._landed, v._departing)] == [0] * 6


# ---- strangers -------------------------------------------------------------------------------------------------------


def test_strangers_are_recorded_so_many_a_second_as_blocked_and_ended() -> None:
    b = Bench(decision("flagged"))
    for number in range(STRANGERS_RECORDED + 5):
        b.verdicts.stranger(Stranger(FLOW, "INVITE", "sip:x", call(number=number)), b.now)
    assert len(b.log.records) == STRANGERS_RECORDED
    assert {(d.verdict, d.status, d.retry_after) for _, d in b.log.records} == {("blocked", 0, 0)}
    assert [seq for seq, _ in b.log.ends] == list(range(1, STRANGERS_RECORDED + 1))
    assert b.counters["strangers_unrecorded"] == 5
    assert b.desk.judged == STRANGERS_RECORDED, "what is not recorded costs no judging either"
    b.now += SECOND
    strange(b, STRANGERS_RECORDED + 5)
    assert len(b.log.records) == STRANGERS_RECORDED + 1


def strange(b: Bench, number: int = 1) -> None:
    """One INVITE from nowhere."""
    b.verdicts.stranger(Stranger(FLOW, "INVITE", "sip:x", call(number=number)), b.now)


def test_what_a_stranger_repeats_for_want_of_an_answer_is_one_record() -> None:
    b = Bench(decision())
    strange(b)
    for after in (SECOND // 2, SECOND):
        b.now += after
        strange(b)
    assert len(b.log.records) == len(b.log.ends) == 1
    assert b.counters["strangers_repeated"] == 2
    strange(b, 2)
    assert len(b.log.records) == 2, "another attempt"


def test_an_attempt_of_a_stranger_is_another_one_after_32_seconds() -> None:
    b = Bench(decision())
    strange(b)
    b.now += REPEATS - 1
    strange(b)
    assert len(b.log.records) == 1
    b.now += 1
    strange(b)
    assert len(b.log.records) == 2
    b.now += 1
    strange(b)
    assert (len(b.log.records), b.counters["strangers_repeated"]) == (2, 2)


def test_repetitions_of_what_was_not_recorded_are_none_either() -> None:
    b = Bench(decision())
    for number in range(STRANGERS_RECORDED + 1):
        strange(b, number)
    b.now += SECOND
    strange(b, STRANGERS_RECORDED)
    assert len(b.log.records) == STRANGERS_RECORDED
    assert (b.counters["strangers_unrecorded"], b.counters["strangers_repeated"]) == (1, 1)


def test_attempts_of_strangers_are_remembered_so_many_and_no_more() -> None:
    b = Bench(decision())
    for number in range(STRANGERS_REMEMBERED + 1):
        strange(b, number)
    assert len(b.verdicts._met) == STRANGERS_REMEMBERED
    strange(b, 1)
    assert b.counters["strangers_repeated"] == 1
    strange(b, 0)
    assert b.counters["strangers_repeated"] == 1, "the oldest was forgotten"
    assert len(b.verdicts._met) == STRANGERS_REMEMBERED


def test_only_calls_of_strangers_are_records() -> None:
    b = Bench(decision())
    b.verdicts.stranger(Stranger(FLOW, "OPTIONS", "sip:x", None), b.now)
    assert b.log.records == []


def test_a_stranger_at_a_full_log_has_no_end() -> None:
    b = Bench(decision())
    b.log.full = True
    b.verdicts.stranger(Stranger(FLOW, "INVITE", "sip:x", call()), b.now)
    assert b.log.ends == []
    assert b.counters["unrecorded"] == 1
