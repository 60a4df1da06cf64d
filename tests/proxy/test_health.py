"""Which hop a call tries first: preference, weight, and what is known of each."""

from __future__ import annotations

from collections import Counter

import pytest

from guard.proxy.health import FOREVER, MAX_AWAY, MAX_TRIES, PROBATION, Health, HopState
from guard.proxy.routing import Here, Trunks
from guard.proxy.shapes import Condition, CoreSettings, Hop, Trunk
from tests.proxy.world import LISTENS, SECOND

CALLS = 20_000
NOW = 1_000 * SECOND


def hop(last: int, tier: int = 0, weight: int = 1) -> Hop:
    return Hop("udp", f"192.0.2.{last}", 5060, tier, weight)


class Table:
    """The health of one trunk's hops, and what was told of them."""

    def __init__(self, *hops: Hop, every: int = 10 * SECOND, down_after: int = 2, up_after: int = 1) -> None:
        self.trunk = Trunk(name="t", hops=hops, every=every, down_after=down_after, up_after=up_after)
        self.told: list[tuple[str, str]] = []
        here = Here(CoreSettings(listens=LISTENS, token="x"))
        self.health = Health(here, Trunks((self.trunk,)), lambda s, why: self.told.append((s.hop.host, why)))

    def order(self, seed: bytes = b"c", now: int = NOW, *, every: bool = False) -> list[str]:
        return [s.hop.host[8:] for s in self.health.order(self.trunk, seed, now, every=every)]

    def state(self, last: int) -> HopState:
        return next(s for s in self.health.order(self.trunk, b"", NOW, every=True) if s.hop.host == f"192.0.2.{last}")

    def fail(self, last: int, now: int = NOW, since: int = NOW) -> None:
        self.health.failed(self.state(last), "silent", now, since=since)


# ---- preference and weight -------------------------------------------------------------------------------------------


def test_lower_tiers_come_first_whatever_stands_first() -> None:
    t = Table(hop(3, 7), hop(1, 0), hop(2, 4))
    assert {tuple(t.order(b"%d" % n)) for n in range(50)} == {("1", "2", "3")}


def test_weights_share_the_calls_of_a_tier() -> None:
    t = Table(hop(1, 0, 60), hop(2, 0, 30), hop(3, 0, 10), hop(9, 1))
    first = Counter(t.order(b"call-%d@pbx" % n)[0] for n in range(CALLS))
    # Four standard deviations of a binomial: sqrt(20000 * 0.6 * 0.4) * 4 = 277.
    assert first["1"] == pytest.approx(CALLS * 0.6, abs=280)
    assert first["2"] == pytest.approx(CALLS * 0.3, abs=280)
    assert first["3"] == pytest.approx(CALLS * 0.1, abs=280)
    second = Counter(o[1] for n in range(CALLS) if (o := t.order(b"call-%d@pbx" % n))[0] == "1")
    assert second["2"] / second.total() == pytest.approx(0.75, abs=0.02)  # RFC 2782: weighed among those that are left


def test_one_call_draws_one_order_and_a_hop_less_moves_no_other_call() -> None:
    three, two = Table(hop(1), hop(2), hop(3)), Table(hop(1), hop(2))
    for n in range(500):
        seed = b"call-%d" % n
        order = three.order(seed)
        assert order == three.order(seed)
        assert [h for h in order if h != "3"] == two.order(seed)


def test_only_so_many_are_tried() -> None:
    t = Table(*(hop(n, n) for n in range(1, MAX_TRIES + 4)))
    assert len(t.order()) == MAX_TRIES
    assert len(t.order(every=True)) == MAX_TRIES + 3
    for n in range(1, MAX_TRIES + 1):
        t.fail(n)
        t.fail(n)
    assert t.order() == ["6", "7", "8", "1", "2"]


# ---- down and up -----------------------------------------------------------------------------------------------------


def test_failures_in_a_row_take_a_hop_down_to_the_end_of_the_order() -> None:
    t = Table(hop(1, 0), hop(2, 1))
    t.fail(1)
    assert t.order() == ["1", "2"]
    t.health.answered(t.state(1), NOW)
    t.fail(1, NOW + 1, NOW + 1)
    assert t.order() == ["1", "2"]
    t.fail(1, NOW + 2, NOW + 2)
    assert t.order(now=NOW + 2) == ["2", "1"]
    assert t.told == [("192.0.2.1", "silent")]
    t.fail(1, NOW + 3, NOW + 3)
    assert len(t.told) == 1


def test_what_it_said_to_others_meanwhile_counts_for_it() -> None:
    t = Table(hop(1, 0), hop(2, 1), down_after=1)
    t.health.answered(t.state(1), NOW + 500)
    t.fail(1, NOW + 1000, since=NOW)
    assert t.order(now=NOW + 1000) == ["1", "2"]
    t.fail(1, NOW + 2000, since=NOW + 501)
    assert t.order(now=NOW + 2000) == ["2", "1"]


def test_an_answered_call_brings_it_back_at_once() -> None:
    t = Table(hop(1, 0), hop(2, 1), down_after=1, up_after=5)
    t.fail(1)
    t.health.answered(t.state(1), NOW)
    assert t.order() == ["1", "2"]
    assert t.told == [("192.0.2.1", "silent"), ("192.0.2.1", "")]


def test_options_bring_it_back_after_so_many() -> None:
    t = Table(hop(1, 0), hop(2, 1), down_after=1, up_after=3)
    t.health.pinged(t.state(1), NOW - 2)
    t.fail(1)
    for _ in range(2):
        t.health.pinged(t.state(1), NOW)
        assert t.order() == ["2", "1"]
    t.fail(1, NOW + 1, NOW + 1)  # in a row
    for _ in range(3):
        t.health.pinged(t.state(1), NOW + 2)
    assert t.order(now=NOW + 2) == ["1", "2"]


def test_one_that_options_tell_nothing_of_is_given_another_call_after_a_while() -> None:
    t = Table(hop(1, 0), hop(2, 1), down_after=1)
    t.fail(1)
    assert t.order(now=NOW + PROBATION - 1) == ["2", "1"]
    assert t.order(now=NOW + PROBATION) == ["1", "2"]
    t.health.pinged(t.state(1), NOW)
    t.fail(1)
    assert t.state(1).down_until == FOREVER  # its OPTIONS will tell


# ---- 503 -------------------------------------------------------------------------------------------------------------


def test_retry_after_leaves_a_hop_out_so_long_and_never_for_an_emergency() -> None:
    t = Table(hop(1, 0), hop(2, 1))
    t.health.refused(t.state(1), 30, NOW)
    assert t.order(now=NOW + 30 * SECOND - 1) == ["2"]
    assert t.order(now=NOW + 30 * SECOND - 1, every=True) == ["2", "1"]
    assert t.order(now=NOW + 30 * SECOND) == ["1", "2"]
    assert t.health.rest(t.trunk, NOW) == 30 * SECOND
    assert t.told == [("192.0.2.1", "503, Retry-After 30")]
    t.health.refused(t.state(1), 3_000_000_000, NOW)
    assert t.state(1).away == NOW + MAX_AWAY


def test_a_503_without_a_time_is_a_failure() -> None:
    t = Table(hop(1, 0), hop(2, 1), down_after=2)
    t.health.refused(t.state(1), 0, NOW)
    assert t.order() == ["1", "2"]
    t.health.refused(t.state(1), 0, NOW)
    assert t.order() == ["2", "1"]


# ---- other trunks ----------------------------------------------------------------------------------------------------


def test_what_is_known_of_a_hop_survives_a_change_of_the_others() -> None:
    t = Table(hop(1, 0), hop(2, 1), down_after=1)
    t.fail(1)
    gone = t.state(2)
    t.trunk = Trunk(name="t", hops=(hop(1, 0), hop(3, 1)))
    t.health.adopt(Trunks((t.trunk, Trunk(name="u", hops=(hop(1),)))))
    assert t.order() == ["3", "1"]
    assert not t.health.knows(gone)
    assert [s.hop.host for s in t.health.order(Trunk(name="u", hops=(hop(1),)), b"", NOW)] == ["192.0.2.1"]


def test_people_are_shown_each_hop() -> None:
    t = Table(hop(1, 0), hop(2, 1), down_after=1)
    t.fail(1)
    assert t.health.conditions(NOW) == (
        Condition("t", ("udp", "192.0.2.1", 5060), False, "silent"),
        Condition("t", ("udp", "192.0.2.2", 5060), True, ""),
    )


def test_hops_of_a_trunk_without_a_choice_are_not_watched() -> None:
    assert Table(hop(1)).health.watched() == ()
    assert len(Table(hop(1), hop(2)).health.watched()) == 2
    assert Table(hop(1), hop(2), every=0).health.watched() == ()
