"""OPTIONS to next hops: which are asked, how often, and what their answers and their silence mean."""

from __future__ import annotations

import pytest

from guard.proxy.effects import Flow
from guard.proxy.pings import DOWN_EVERY, SPREAD, WAIT
from guard.proxy.routing import Trunks
from guard.proxy.shapes import Trunk
from guard.sip.check import check_request
from guard.sip.message import parse
from tests.proxy.test_hunt import A, B, C, hops
from tests.proxy.world import GUARD, SECOND, Leg, World, reply

EVERY = 10 * SECOND


def world(*hosts: str, transport: str = "udp", up_after: int = 1) -> World:
    trunk = Trunk(name="operator", hops=hops(*hosts, transport=transport), every=EVERY, down_after=2, up_after=up_after)
    w = World(trunks=(trunk,))
    w.core.begin(w.now)
    return w


def pings(w: World, seconds: float, *answering: str, status: int = 200, more: str = "") -> list[tuple[float, str]]:
    """Each first OPTIONS in this time: when, and to whom. Those of `answering` answer at once."""
    start, seen, found = w.now, set[bytes](), []
    until = w.now + int(seconds * SECOND)
    while (at := w.core.next_timer()) is not None and at <= until:
        before = len(w.sent)
        w.now = max(w.now, at)
        w.core.wake(w.now)
        w.drain()
        for flow, data in w.sent[before:]:
            m = parse(data)
            branch = m.via().branch or b""
            if m.method == b"OPTIONS" and branch not in seen:
                seen.add(branch)
                found.append(((w.now - start) / SECOND, flow.peer[0]))
                if flow.peer[0] in answering:
                    w(reply(m, status, more=more), Flow("udp", GUARD, flow.peer))
    w.now = until
    return found


def test_every_hop_is_asked_in_turn_and_again() -> None:
    w = world(A, B)
    found = pings(w, 21, A, B)
    assert found == [(0.1, A), (0.2, B), (10.1, A), (10.2, B), (20.1, A), (20.2, B)]
    assert SPREAD == 100_000
    assert w.core.counters["pings"] == 6
    assert w.turned == []


def test_what_is_asked_is_a_good_request() -> None:
    w = world(A, B)
    pings(w, 0.15)
    m = parse(w.sent[-1][1])
    check_request(m)
    assert (m.method, m.uri, m.first(b"max-forwards")) == (b"OPTIONS", b"sip:127.0.0.3:5060", b"70")
    assert m.via().sent_by == b"127.0.0.1:5060"


@pytest.mark.parametrize("status", [200, 404, 405, 486, 500])
def test_any_answer_means_that_somebody_is_there(status: int) -> None:
    w = world(A, B)
    pings(w, 5, A, B, status=status)
    pings(w, 100, B, status=status)
    assert w.turned == [(A, "OPTIONS unanswered")]


def test_a_silent_hop_goes_down_and_comes_back_by_itself() -> None:
    w = world(A, B, up_after=2)
    pings(w, 5, A, B)
    found = pings(w, 30, B)
    # Missed at 5.1 + 2 and 17.1 + 2: from then on it is asked every other second, beside the wait for each answer.
    to_a = [at for at, host in found if host == A]
    assert to_a[:3] == pytest.approx([5.1, 17.1, 21.1])
    assert (WAIT, DOWN_EVERY) == (2 * SECOND, 2 * SECOND)
    assert w.turned == [(A, "OPTIONS unanswered")]
    call = Leg(w)
    assert w.sent[-1][0].peer[0] == B
    assert call.invite.method == b"INVITE"
    pings(w, 4.5, A, B)
    assert w.turned[-1] == (A, "")
    Leg(w, call_id="c2", branch="c2")
    assert w.sent[-1][0].peer[0] == A
    assert w.core.counters["hops_down"] == w.core.counters["hops_up"] == 1


def test_one_that_never_answers_options_is_not_down_for_that() -> None:
    w = world(A, B)
    pings(w, 300, B)
    assert w.turned == []
    assert w.core.counters["pings_unanswered"] > 20
    Leg(w)
    assert w.sent[-1][0].peer[0] == A


def test_one_that_cannot_be_reached_is_down() -> None:
    w = world(A, B, transport="tcp")
    for _ in range(2):
        while not w.sent or w.sent[-1][0].peer[0] != A:
            w.later(0.1)
        w.unreachable()
        w.later(0.2)
    assert w.turned == [(A, "unreachable")]
    assert w.core.counters["pings_unanswered"] == 1  # B's own silence


def test_a_503_asks_for_rest() -> None:
    w = world(A, B)
    pings(w, 0.15, A, status=503, more="Retry-After: 20\r\n")
    assert w.turned == [(A, "503, Retry-After 20")]
    Leg(w)
    assert w.sent[-1][0].peer[0] == B


def test_silence_leaves_nothing_behind() -> None:
    w = world(A, B)
    for _ in range(50):
        pings(w, 20)
        assert w.core.transactions <= 2


def test_hops_that_go_are_asked_no_more_and_those_that_come_are() -> None:
    w = world(A, B)
    pings(w, 5, A, B)
    fresh = Trunks((Trunk(name="operator", hops=hops(A, C), every=EVERY),))
    w.core.reroute(fresh, w.now)
    found = pings(w, 40, A, C)
    assert {host for _, host in found} == {A, C}
    assert len([1 for _, host in found if host == A]) == 4
    w.core.adopt(w.sources, Trunks((Trunk(name="operator", hops=hops(A)),)), "private")
    pings(w, 12, A)
    assert pings(w, 100, A) == []
