"""The follower of captures ends a call whose talk is limited when the live guard does, whatever went by then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from guard.model import Decision
from tests.proxy.tapped import Tapped, compare
from tests.proxy.world import DOWN, SECOND, UP, Leg, Out, reply

LIMIT = 60
CAPPED = Decision(verdict="allowed", max_talk_us=LIMIT * SECOND, talk_rule="dst.sva-cap")


def agree(w: Tapped, out: Out) -> None:
    """Both sides answer the guard's BYE."""
    for side, m in [(side, m) for side, m in out if m.method == b"BYE"]:
        w(reply(m, 200), UP if side == "up" else DOWN)


def both_agree(w: Tapped) -> None:
    Leg(w).up()
    agree(w, w.later(LIMIT))


def one_agrees(w: Tapped) -> None:
    Leg(w).up()
    agree(w, w.later(LIMIT)[:1])


def they_hang_up_before(w: Tapped) -> None:
    leg = Leg(w).up()
    w.later(LIMIT - 1)
    leg.bye()


def a_bye_is_on_its_way(w: Tapped) -> None:
    leg = Leg(w).up()
    w.later(LIMIT - 1)
    out = w(leg.from_pbx("BYE"), UP)
    w.later(5)
    w(reply(out[0][1], 200), DOWN)


def a_bye_that_was_refused(w: Tapped) -> None:
    leg = Leg(w).up()
    w.later(5)
    out = w(leg.from_pbx("BYE"), UP)
    w(reply(out[0][1], 407), DOWN)
    agree(w, w.later(LIMIT - 5))


def forked(w: Tapped) -> None:
    leg = Leg(w)
    leg.answer(200, to_tag="x")
    w.later(20)
    leg.answer(200, to_tag="y")
    agree(w, w.later(40))
    w.later(5)
    agree(w, w.later(15))


def answered_again(w: Tapped) -> None:
    leg = Leg(w).up()
    w.later(2)
    leg.answer(200)
    agree(w, w.later(LIMIT - 2))


def authenticated(w: Tapped) -> None:
    Leg(w).answer(407)
    Leg(w, branch="b2", more='Proxy-Authorization: Digest username="u"\r\n').up()
    agree(w, w.later(LIMIT))


def emergency(w: Tapped) -> None:
    leg = Leg(w, uri="sip:112@127.0.0.1").up()
    w.later(LIMIT * 3)
    leg.bye()


FLOWS: list[Callable[[Tapped], None]] = [
    both_agree, one_agrees, they_hang_up_before, a_bye_is_on_its_way, a_bye_that_was_refused, forked, answered_again,
    authenticated, emergency,
]  # fmt: skip


@pytest.mark.parametrize("both", [False, True], ids=["the side of the IPBX", "both sides"])
@pytest.mark.parametrize("flow", FLOWS)
def test_both_end_a_call_alike(flow: Callable[[Tapped], None], both: bool) -> None:
    w = Tapped(CAPPED, both=both)
    flow(w)
    w.later(26 * 3600)
    compare(w)
    assert len(w.tap.ended) == 1


@pytest.mark.parametrize("flow", [both_agree, forked])
def test_without_a_limit_the_byes_of_a_guard_end_the_call_all_the_same(flow: Callable[[Tapped], None]) -> None:
    """The capture was made beside a guard that had one."""
    w = Tapped(CAPPED)
    w.tap.answer = replace(CAPPED, max_talk_us=0)
    flow(w)
    w.later(26 * 3600)
    assert [(e.outcome, e.talk_us) for e in w.tap.ended] == [(e.outcome, e.talk_us) for _, e in w.ended]
