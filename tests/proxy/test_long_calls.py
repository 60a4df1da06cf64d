"""Calls that last days, and calls whose end nobody saw: what session timers (RFC 4028) tell of them."""

from __future__ import annotations

import pytest

from guard.proxy.calls import ECHO_WAIT, MISSED, NAP, SILENCE_WAIT
from guard.proxy.core import ProxyCore
from guard.proxy.kept import keep
from tests.proxy.test_observer_inbound import Incoming
from tests.proxy.world import DOWN, SECOND, UP, Leg, World, arrows, reply

DAY = 24 * 3600
TIMER = "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n"
GONE = (MISSED * 1800 * SECOND + ECHO_WAIT + NAP) / SECOND  # s after which a call without refreshes is over at last


def timed(w: World, more: str = "Require: timer\r\nSession-Expires: 1800;refresher=uac\r\n") -> Leg:
    """A call that is up, with a session timer."""
    leg = Leg(w, more=TIMER)
    leg.answer(200, more=more)
    w(leg.from_pbx("ACK"), UP)
    return leg


def refresh(w: World, leg: Leg, method: str, interval: str = "1800") -> None:
    """The caller refreshes the session."""
    out = w(leg.from_pbx(method, more=f"Route: <sip:127.0.0.1:5060;lr>\r\n{TIMER}"), UP)
    sent = next(m for side, m in out if side == "down")
    assert sent.first(b"session-expires") == b"1800;refresher=uac"
    more = f"Require: timer\r\nSession-Expires: {interval};refresher=uac\r\n" if interval else ""
    back = w(reply(sent, 200, more=more), DOWN)
    assert back[-1][1].first(b"session-expires") == (f"{interval};refresher=uac".encode() if interval else None)
    if method == "INVITE":
        w(leg.from_pbx("ACK"), UP)


def test_the_headers_of_session_timers_pass_both_ways() -> None:
    w = World()
    leg = Leg(w, more=TIMER)
    for line in TIMER.encode().splitlines():
        assert line in leg.invite.data
    (back,) = leg.answer(200, more="Require: timer\r\nSession-Expires: 1800;refresher=uas\r\n")
    assert back[1].first(b"session-expires") == b"1800;refresher=uas"
    assert back[1].first(b"require") == b"timer"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_call_of_three_days_that_is_refreshed_lasts_three_days(method: str) -> None:
    w = World()
    leg = timed(w)
    for _ in range(3 * DAY // 900):
        w.later(900)
        refresh(w, leg, method)
    assert w.core.calls == 1
    leg.bye()
    assert [(e.outcome, e.talk_us, e.by) for _, e in w.ended] == [("answered", 3 * DAY * SECOND, "caller")]
    w.rest()


def test_without_refreshes_it_ended_where_it_was_last_heard() -> None:
    w = World()
    leg = timed(w)
    w.later(900)
    refresh(w, leg, "UPDATE")
    w.later(MISSED * 1800)
    assert w.core.calls == 1  # a refresh may come late, or be lost
    w.later(GONE)
    assert [(e.talk_us, e.by) for _, e in w.ended] == [(900 * SECOND, "silence")]
    w.rest()


@pytest.mark.parametrize("interval", ["", "0", "x", "99999999999", "90 0"])
def test_without_a_timer_that_can_be_read_a_day_is_waited(interval: str) -> None:
    w = World()
    leg = timed(w)
    refresh(w, leg, "UPDATE", interval)
    w.later(SILENCE_WAIT / SECOND - NAP / SECOND)
    assert w.core.calls == 1
    w.later(2 * NAP / SECOND)
    assert w.core.calls == 0


def test_of_forked_calls_each_has_its_own_timer_and_a_day_is_waited() -> None:
    w = World()
    leg = timed(w)
    leg.answer(200, to_tag="other")
    refresh(w, leg, "UPDATE")  # of the first; the other has none
    w.later(2 * GONE)
    assert w.core.calls == 1


def test_it_is_known_after_a_restart() -> None:
    w = World()
    w.core.keep()
    timed(w)
    (call,) = [c for c in w.core.changed().values() if c is not None]
    kept = keep(call, 1, w.core.wall_offset)
    w.core = ProxyCore(w.settings, w.sources, w.trunks)
    w.core.revive(kept, w.core.next_ticket(), w.now)
    w.later(GONE)
    assert [e.by for _, e in w.ended] == ["silence"]


def test_a_call_from_the_operator_has_its_timer_as_well() -> None:
    w = World()
    incoming = Incoming(w, more=TIMER)
    answer = reply(incoming.invite, 200, contact="<sip:127.0.0.2:5060>", more="Session-Expires: 1800;refresher=uac\r\n")
    assert arrows(w(answer, UP)) == ["down 200"]
    w.later(GONE)
    assert [e.by for _, e in w.ended] == ["silence"]
