"""One attempt in several INVITEs: forks on either side, redirections, repetitions with credentials."""

from __future__ import annotations

import pytest

from guard.proxy.calls import MAX_DIALOGS, MAX_TARGETS
from tests.proxy.world import ALLOW, BLOCK, DOWN, SECOND, UP, Leg, World, arrows, reply


def test_forked_200s_all_reach_the_caller_and_the_last_bye_ends_the_call() -> None:
    """RFC 6026 7.1: each 2xx of one INVITE is passed on."""
    w = World()
    leg = Leg(w)
    assert arrows(leg.answer(180, to_tag="x")) == ["up 180"]
    assert arrows(leg.answer(180, to_tag="y")) == ["up 180"]
    assert arrows(leg.answer(200, to_tag="x")) == ["up 200"]
    assert arrows(leg.answer(200, to_tag="y")) == ["up 200"]
    for tag in ("x", "y"):
        assert arrows(w(leg.from_pbx("ACK", to_tag=tag, branch=f"ack{tag}"), UP)) == ["down ACK"]
    w.later(5)
    out = w(leg.from_pbx("BYE", to_tag="y"), UP)
    w(reply(out[0][1], 200), DOWN)
    assert w.ended == []
    assert arrows(leg.answer(200, to_tag="y")) == ["up 200"]  # repeated: it does not come to life again
    w.later(55)
    out = w(leg.from_pbx("BYE", to_tag="x"), UP)
    w(reply(out[0][1], 200), DOWN)
    assert [e.talk_us for _, e in w.ended] == [60 * SECOND]
    w.rest()


def test_a_200_late_by_less_than_timer_m_is_passed_on_and_later_ones_are_not() -> None:
    w = World()
    leg = Leg(w).up()
    w.later(31)
    assert arrows(leg.answer(200, to_tag="late")) == ["up 200"]
    w.later(2)
    assert arrows(leg.answer(200, to_tag="later")) == []
    assert w.core.counters["stray_responses"] == 1


def test_however_many_phones_ring_the_one_that_answers_is_the_call() -> None:
    w = World()
    leg = Leg(w)
    for n in range(MAX_DIALOGS + 4):
        leg.answer(180, to_tag=f"early{n}")
    leg.up()
    leg.bye()
    assert [e.outcome for _, e in w.ended] == ["answered"]
    w.rest()


def test_a_redirected_call_is_the_same_attempt_and_its_new_target_is_judged() -> None:
    w = World()
    leg = Leg(w)
    assert arrows(leg.answer(302, contact="<sip:+33145670002@127.0.0.3>")) == ["down ACK", "up 302"]
    assert w.ended == []
    second = Leg(w, branch="b2", uri="sip:+33145670002@127.0.0.1")
    assert arrows(second.out) == ["up 100", "down INVITE"]
    assert [(a.again, a.call.callee.raw) for a in w.asked] == [(False, "+33145670001"), (True, "+33145670002")]
    second.answer(200)
    second.bye()
    assert [(t, e.outcome) for t, e in w.ended] == [(1, "answered")]
    w.rest()


def test_a_redirection_nobody_follows_ends_after_a_while_as_of_its_answer() -> None:
    w = World()
    leg = Leg(w)
    leg.answer(180)
    w.later(3)
    leg.answer(302)
    w.later(10)
    at, ended = w.now, w.ended[0][1]
    assert (ended.outcome, ended.final_status, ended.ring_us) == ("failed", 302, 3 * SECOND)
    assert ended.at == at - 10 * SECOND
    w.rest()


def test_targets_of_one_redirection_may_be_tried_one_after_the_other() -> None:
    w = World()
    contacts = "<sip:+33145670002@127.0.0.3>\r\nContact: <sip:+33145670003@127.0.0.3>"
    Leg(w).answer(300, contact=contacts)
    Leg(w, branch="b2", uri="sip:+33145670002@127.0.0.1").answer(486)
    assert w.ended == []
    third = Leg(w, branch="b3", uri="sip:+33145670003@127.0.0.1")
    third.answer(200)
    third.bye()
    assert sum(not a.again for a in w.asked) == len(w.ended) == 1
    w.rest()


def test_a_target_that_was_refused_once_stays_refused_and_there_are_not_endless_many() -> None:
    w = World()
    Leg(w).answer(302)
    w.answer = BLOCK
    second = Leg(w, branch="b2", uri="sip:+33145670002@127.0.0.1")
    assert arrows(second.out) == ["up 100", "up 403"]
    assert [(e.outcome, e.final_status, e.by) for _, e in w.ended] == [("failed", 403, "guard")]
    w = World()
    for n in range(MAX_TARGETS):
        Leg(w, branch=f"n{n}", uri=f"sip:+3314567000{n}@127.0.0.1").answer(302)
    assert arrows(Leg(w, branch="over", uri="sip:+33145670099@127.0.0.1").out) == ["up 100", "up 480"]
    w.rest()


def test_a_fork_to_a_refused_number_does_not_pass_on_the_second_try() -> None:
    w = World()
    first = Leg(w)
    w.answer = BLOCK
    bad = "sip:+33899000000@127.0.0.1"
    for branch in ("b2", "b3"):
        assert arrows(Leg(w, branch=branch, uri=bad).out) == ["up 100", "up 403"]
    assert [a.again for a in w.asked] == [False, True], "each target is asked about once"
    first.answer(200)
    first.bye()
    assert [e.outcome for _, e in w.ended] == ["answered"]
    w.rest()


@pytest.mark.parametrize("status", [401, 407])
def test_a_repetition_with_credentials_is_the_same_attempt(status: int) -> None:
    w = World()
    leg = Leg(w)
    challenge = 'Proxy-Authenticate: Digest realm="op", nonce="n"\r\n'
    assert arrows(leg.answer(status, more=challenge)) == ["down ACK", f"up {status}"]
    assert challenge.encode() in w.sent[-1][1]
    again = Leg(w, branch="b2", more='Proxy-Authorization: Digest username="u"\r\n')
    assert arrows(again.out) == ["up 100", "down INVITE"]
    again.answer(200)
    again.bye()
    assert len(w.asked) == len(w.ended) == 1
    w.rest()


def test_forks_that_wait_for_the_decision_wait_together() -> None:
    w = World(answer=None)
    Leg(w, branch="f1")
    Leg(w, branch="f2")
    other = Leg(w, branch="f3", uri="sip:+33145670002@127.0.0.1")
    assert len(w.asked) == 1
    assert arrows(w.decide(1, ALLOW)) == ["down INVITE", "down INVITE"]
    assert [a.again for a in w.asked] == [False, True]
    assert arrows(w(other.cancel().replace(b"70001@", b"70002@"), UP)) == ["up 200", "up 487"]
    assert w.decide(w.asked[1].ticket, ALLOW) == []
    w.rest()


def test_one_of_two_waiting_forks_is_cancelled_and_the_other_ends_the_call() -> None:
    w = World(answer=None)
    first = Leg(w, branch="f1")
    Leg(w, branch="f2")
    assert arrows(w(first.cancel(), UP)) == ["up 200", "up 487"]
    assert w.withdrawn == []
    out = w.decide(1, ALLOW)
    assert arrows(out) == ["down INVITE"]
    w(reply(out[0][1], 486), DOWN)
    assert [(t, e.final_status) for t, e in w.ended] == [(1, 486)]
    w.rest()


def test_a_refusal_refuses_every_fork_that_waits_for_it() -> None:
    w = World(answer=None)
    Leg(w, branch="f1")
    Leg(w, branch="f2", uri="sip:+33145670002@127.0.0.1")
    assert arrows(w.decide(1, BLOCK)) == ["up 403", "up 403"]
    assert [e.outcome for _, e in w.ended] == ["blocked"]
    w.rest()


def test_a_question_about_another_target_that_is_never_answered_costs_no_call() -> None:
    w = World()
    Leg(w).answer(302)
    w.answer = None
    Leg(w, branch="b2", uri="sip:+33145670002@127.0.0.1")
    assert arrows(w.later(33)).count("up 480") >= 1
    assert [e.final_status for _, e in w.ended] == [480]
    w.rest()


def test_a_fork_that_is_answered_late_is_still_the_call() -> None:
    w = World()
    first, second = Leg(w, branch="f1"), Leg(w, branch="f2")
    second.answer(180, to_tag="y")
    first.answer(200, to_tag="x")
    out = w(first.from_pbx("BYE", to_tag="x"), UP)
    w(reply(out[0][1], 200), DOWN)
    assert w.ended == [], "the other phone still rings"
    w.later(3)
    second.answer(200, to_tag="y")
    w.later(4)
    out = w(second.from_pbx("BYE", to_tag="y"), UP)
    w(reply(out[0][1], 200), DOWN)
    assert [e.talk_us for _, e in w.ended] == [7 * SECOND]
    w.rest()


def test_a_caller_that_cancels_the_rest_hopes_for_nothing_more() -> None:
    w = World()
    first, second = Leg(w, branch="f1"), Leg(w, branch="f2")
    first.answer(407)
    second.answer(180)
    w(second.cancel(), UP)
    second.answer(487)
    assert [e.outcome for _, e in w.ended] == ["cancelled"]
    w.rest()
