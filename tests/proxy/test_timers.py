"""Each timer of RFC 3261 table 4, with RFC 6026: when it fires, how often, and what it ends."""

from __future__ import annotations

import pytest

from guard.proxy.effects import Flow
from guard.proxy.requests import DECISION_WAIT
from guard.proxy.shapes import Hop
from guard.proxy.timers import TIMER_C_WAIT
from guard.proxy.transactions import GIVE_UP, T1, T2, T4
from tests.proxy.world import ALLOW, BLOCK, DOWN, OPERATOR, SECOND, UP, Leg, World, arrows, reply, request

TCP_UP = Flow("tcp", ("127.0.0.1", 5060), ("127.0.0.2", 49152), 7)
B = GIVE_UP / SECOND  # 64*T1


def times(w: World, seconds: float, what: str) -> list[float]:
    """When `what` left during the next seconds, in seconds from now, to the millisecond."""
    start, until, out = w.now, w.now + int(seconds * SECOND), []
    while (at := w.core.next_timer()) is not None and at <= until:
        out += [(at - start) / SECOND for a in arrows(w.later((at - w.now) / SECOND)) if a == what]
    w.later((until - w.now) / SECOND)
    return out


def test_the_constants_are_those_of_table_4() -> None:
    assert (T1, T2, T4, GIVE_UP) == (500_000, 4 * SECOND, 5 * SECOND, 32 * SECOND)
    assert TIMER_C_WAIT > 180 * SECOND


def test_timer_a_doubles_without_end_and_timer_b_gives_up() -> None:
    w = World()
    Leg(w)
    assert times(w, 31.9, "down INVITE") == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert w.ended == []
    assert arrows(w.later(0.2)) == ["up 480"]
    assert [(e.outcome, e.final_status, e.by) for _, e in w.ended] == [("failed", 480, "guard")]
    w.rest()


def test_timer_b_after_a_cancel_tells_the_caller_487() -> None:
    w = World()
    leg = Leg(w)
    w(leg.cancel(), UP)
    assert "up 487" in arrows(w.later(33))
    assert [(e.outcome, e.by) for _, e in w.ended] == [("cancelled", "caller")]
    w.rest()


def test_timer_c_cancels_and_then_gives_up_and_every_ringing_begins_it_anew() -> None:
    w = World()
    leg = Leg(w)
    leg.answer(100)
    w.later(100)
    leg.answer(180)
    w.later(100)
    leg.answer(180)
    assert w.later(184.9) == []
    out = w.later(0.2)
    assert arrows(out) == ["down CANCEL"]
    w(reply(out[0][1], 200), DOWN)
    leg.answer(180)  # nothing makes it longer now
    assert w.later(31.8) == []
    assert arrows(w.later(0.2)) == ["up 408"]
    assert [(e.outcome, e.final_status) for _, e in w.ended] == [("failed", 408)]
    w.rest()


def test_a_cancel_that_the_operator_ignores_ends_the_call_all_the_same() -> None:
    w = World()
    leg = Leg(w)
    leg.answer(180)
    w(leg.cancel(), UP)
    out = w.later(32.1)
    assert arrows(out)[-1] == "up 487"
    assert set(arrows(out)[:-1]) == {"down CANCEL"}
    assert [e.outcome for _, e in w.ended] == ["cancelled"]
    w.rest()


@pytest.mark.parametrize(("hop", "seconds"), [("udp", B), ("tcp", 0.0)])
def test_timer_d_absorbs_repeated_refusals(hop: str, seconds: float) -> None:
    w = World(hop=Hop("tcp" if hop == "tcp" else "udp", *OPERATOR))
    leg = Leg(w)
    leg.answer(486)
    if seconds:
        w.later(seconds - 0.1)
        assert arrows(leg.answer(486)) == ["down ACK"]
        w.later(0.2)
    else:
        w.later(0.001)
    assert arrows(leg.answer(486)) == []
    assert w.core.counters["stray_responses"] == 1


def test_timer_e_doubles_up_to_t2_and_timer_f_gives_up_in_silence() -> None:
    w = World()
    leg = Leg(w).up()
    w(leg.from_pbx("INFO"), UP)
    # 0.5 s doubled up to 4 s, until 32 s.
    assert times(w, 40, "down INFO") == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert "up 408" not in arrows(w.shown(0))
    leg.bye()
    w.rest()


def test_timer_e_is_t2_once_a_provisional_answer_came_and_f_still_stands() -> None:
    w = World()
    leg = Leg(w).up()
    out = w(leg.from_pbx("INFO"), UP)
    w.later(1)
    assert arrows(w(reply(out[0][1], 182), DOWN)) == ["up 182"]
    assert times(w, 40, "down INFO") == [4, 8, 12, 16, 20, 24, 28]
    leg.bye()
    w.rest()


def test_timer_g_repeats_a_refusal_and_timer_h_gives_up_on_the_ack() -> None:
    w = World(answer=BLOCK)
    assert arrows(w(request(), UP)) == ["up 100", "up 403"]
    assert times(w, 40, "up 403") == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert w.core.transactions == 0


def test_the_ack_stops_timer_g_and_timer_i_absorbs_others() -> None:
    w = World(answer=BLOCK)
    w(request(), UP)
    ack = request("ACK", to_tag="t")
    assert w(ack, UP) == []
    assert w.later(4.9) == []
    assert w.core.transactions == 1
    assert w(ack, UP) == []
    assert w(request(), UP) == []
    w.later(0.2)
    assert w.core.transactions == 0


def test_a_stream_repeats_nothing_and_lingers_for_nothing() -> None:
    w = World(answer=BLOCK)
    w(request(transport="TCP"), TCP_UP)
    assert times(w, 31, "up 403") == []
    assert w.core.transactions == 1, "timer H waits for the ACK over TCP as well"
    w(request("ACK", to_tag="t", transport="TCP"), TCP_UP)
    w.later(0.001)
    assert w.core.transactions == 0
    w = World(hop=Hop("tcp", *OPERATOR))
    Leg(w)
    assert times(w, 31, "down INVITE") == []
    assert set(arrows(w.later(2))) == {"up 480"}


@pytest.mark.parametrize(("flow", "seconds"), [(UP, B), (TCP_UP, 0.0)])
def test_timer_j_repeats_the_answer_of_a_request(flow: Flow, seconds: float) -> None:
    w = World()
    data = request("OPTIONS", "sip:127.0.0.1:5060", transport=flow.transport.upper())
    assert arrows(w(data, flow)) == ["up 200"]
    if seconds:
        w.later(seconds - 0.1)
        assert arrows(w(data, flow)) == ["up 200"]
        w.later(0.2)
    else:
        w.later(0.001)
    assert w.core.transactions == 0
    assert arrows(w(data, flow)) == ["up 200"], "as a new one"


def test_timer_k_absorbs_repeated_answers() -> None:
    w = World()
    leg = Leg(w).up()
    out = w(leg.from_pbx("INFO"), UP)
    before = w.core.transactions
    answer = reply(out[0][1], 200)
    assert arrows(w(answer, DOWN)) == ["up 200"]
    w.later(4.9)
    assert w(answer, DOWN) == []
    assert w.core.counters["stray_responses"] == 0
    w.later(0.2)
    assert w.core.transactions == before - 1
    assert w(answer, DOWN) == []
    assert w.core.counters["stray_responses"] == 1


def test_timer_l_absorbs_a_repeated_invite_and_timer_m_passes_repeated_200s() -> None:
    w = World()
    leg = Leg(w).up()
    w.later(31.9)
    assert w(leg.raw, UP) == []
    assert arrows(leg.answer(200)) == ["up 200"]
    w.later(0.2)
    assert w.core.transactions == 0
    assert len(w.asked) == 1


def test_a_decision_that_never_comes_is_480_and_no_call() -> None:
    w = World(answer=None)
    w(request(), UP)
    w.later(DECISION_WAIT / SECOND - 0.1)
    assert w.withdrawn == []
    out = w.later(0.2)
    assert arrows(out) == ["up 480"]
    assert b'text="no decision in time"' in out[0][1].data
    assert [(e.outcome, e.final_status, e.by) for _, e in w.withdrawn] == [("failed", 480, "guard")]
    assert w.decide(1, ALLOW) == []
    w.rest()
