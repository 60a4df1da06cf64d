"""Each class of attack does what its name says: measured on the calls, as a detector would have to."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from guard.model import SECOND
from guard.policy.destinations import load_destinations
from guard.tomlread import Problem
from sim.labelled.actor import Attack
from sim.labelled.going import DEAR
from sim.labelled.office import Office
from sim.labelled.rhythm import PARIS, instant, local
from sim.labelled.scenarios import ATTACKS, scenario
from sim.labelled.tolls import SlowLow
from sim.labelled.words import DAY, HOUR, MINUTE, Placed
from sim.labelled.world import World
from tests.sim.labelled import MONDAY, attack, most, out, world

SEEDS = (1, 2, 3)
HIGH = tuple(prefix for prefix, _, _ in DEAR)


@pytest.mark.parametrize("name", ATTACKS)
def test_it_begins_in_the_second_half_unless_told(name: str) -> None:
    for seed in SEEDS:
        assert attack(name, name, seed=seed, days=4)[0].call.at >= MONDAY + 2 * DAY - HOUR  # IRSF is tried before
    calls = attack(name, name, days=1.5, after=0.0)
    assert MONDAY <= calls[0].call.at <= MONDAY + 23 * HOUR + MINUTE


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - {"slow-low", "slower-low"}))
def test_a_stronger_one_calls_more(name: str) -> None:
    weak, strong = (len(attack(f"{name}:{s}", name, days=3)) for s in (0.5, 3))
    assert strong > 2 * weak


@pytest.mark.parametrize("seed", SEEDS)
def test_wangiri_rings_many_for_a_moment_and_is_called_back(seed: int) -> None:
    calls = attack("wangiri", "wangiri", seed=seed)
    pings = out(calls)
    short = [p for p in pings if p.ended.outcome == "cancelled" and p.ended.by == "caller" and p.ended.ring_us <= 2.5e6]
    assert len(short) / len(pings) > 0.9
    assert len({p.call.callee.value for p in pings}) > 0.99 * len(pings)
    assert all(p.call.callee.value.startswith(("+336", "+337")) for p in pings)
    assert most(pings, 5 * MINUTE) >= 20
    backs = [p for p in calls if p.call.direction == "inbound"]
    pinged = {p.call.callee.value: p.call.at for p in short}
    assert 0.03 < len(backs) / len(pings) < 0.15
    assert all(p.call.at > pinged[p.call.caller.value] for p in backs)
    assert {p.call.callee.value for p in backs} == {pings[0].call.caller.value}


@pytest.mark.parametrize("seed", SEEDS)
def test_pings_come_in_from_dear_numbers_and_some_call_back(seed: int) -> None:
    calls = attack("office,wangiri-in", "wangiri-in", seed=seed)
    pings = [p for p in calls if p.call.direction == "inbound"]
    assert all(p.ended.outcome == "cancelled" and p.ended.ring_us <= 2.5e6 for p in pings)
    assert all(p.call.caller.value.startswith(HIGH) for p in pings)
    assert len({p.call.callee.value for p in pings}) == 20
    baits = {p.call.caller.value for p in pings}
    backs = out(calls)
    assert backs
    assert {p.call.callee.value for p in backs} <= baits
    assert median(p.ended.talk_us for p in backs) > MINUTE


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weekday", [0, 5])
def test_irsf_calls_dear_numbers_at_night_long_and_several_at_once(seed: int, weekday: int) -> None:
    made = World(seed, MONDAY + weekday * DAY, 2, scenario("office,irsf-night"))
    calls = [p for p in made if p.label == "irsf-night"]
    assert all(p.call.callee.value.startswith(HIGH) for p in calls)
    main = [p for p in calls if p.ended.talk_us > MINUTE]
    for p in main:
        there = local(p.call.at)
        assert there.weekday() >= 5 or there.hour >= 22 or there.hour < 6
    assert median(p.ended.talk_us for p in main) > 20 * MINUTE
    assert _at_once(main) > 30
    assert len({p.call.callee.value for p in calls}) > 40
    assert len(calls) / ((calls[-1].call.at - main[0].call.at) / SECOND) == pytest.approx(0.066, rel=0.25)


def _at_once(calls: list[Placed]) -> int:
    steps = sorted([(p.call.at, 1) for p in calls] + [(p.ended.at, -1) for p in calls])
    up = best = 0
    for _, step in steps:
        up += step
        best = max(best, up)
    return best


@pytest.mark.parametrize("seed", SEEDS)
def test_an_account_is_guessed_then_used_from_elsewhere(seed: int) -> None:
    calls = list(world("office,stolen-account", seed=seed, days=2))
    stolen = [p for p in calls if p.label]
    refused = 0
    while stolen[refused].ended.final_status in {401, 403, 407}:
        refused += 1
    assert 12 <= refused <= 40
    assert not any(p.ended.final_status in {401, 403, 407} for p in stolen[refused:])
    (subject,) = {p.subject for p in stolen}
    before = out(p for p in calls if p.subject == subject and not p.label)
    for seen in ("source_address", "user_agent"):
        new = {getattr(p.call, seen) for p in stolen}
        assert len(new) == 1
        assert new.isdisjoint({getattr(p.call, seen) for p in before})
    costly = [p for p in stolen[refused:] if p.ended.talk_us > 2 * MINUTE]
    assert len(costly) > 0.7 * (len(stolen) - refused)
    assert all(p.call.callee.value.startswith(HIGH) for p in costly)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_war_dialler_walks_through_numbers_that_nobody_has(seed: int) -> None:
    calls = attack("war-dialler", "war-dialler", seed=seed)
    numbers = [int(p.call.callee.value) for p in calls]
    assert all(b == a + 1 for a, b in pairwise(numbers))
    unknown = sum(p.ended.final_status in {404, 484} for p in calls) / len(calls)
    assert 0.45 < unknown < 0.65
    assert all(p.ended.talk_us <= 5 * SECOND for p in calls)


@pytest.mark.parametrize("seed", SEEDS)
def test_hyper_short_calls_are_answered_and_over_within_two_seconds(seed: int) -> None:
    calls = attack("hsc-pumping", "hsc-pumping", seed=seed)
    answered = [p for p in calls if p.ended.outcome == "answered"]
    assert all(0 < p.ended.talk_us < 2 * SECOND for p in answered)
    assert len(answered) > 0.5 * len(calls)


@pytest.mark.parametrize("seed", SEEDS)
def test_sva_pumping_keeps_few_premium_numbers_busy(seed: int) -> None:
    calls = attack("sva-pumping", "sva-pumping", seed=seed)
    assert len({p.call.callee.value for p in calls}) <= 3
    assert all(p.call.callee.value.startswith("+33899") for p in calls)
    lines = {p.call.line for p in calls}
    assert len(lines) == 3
    for line in lines:
        own = [p for p in calls if p.call.line == line]
        assert all(0 < b.call.at - a.ended.at <= 20 * SECOND for a, b in pairwise(own))


def test_spoofed_callers_are_none_of_the_sites() -> None:
    made = world("cli-spoofing", days=2)
    (site,) = made.sites
    calls = list(made)
    shown = Counter(p.call.caller.value for p in calls)
    assert not any(n.startswith(site.block) for n in shown)
    assert max(shown.values()) == 3
    foreign = sum(not n.startswith("+33") for n in shown) / len(shown)
    assert 0.35 < foreign < 0.65
    assert {p.call.line for p in calls} == {"201"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gateway_passes_each_call_on_within_a_second(seed: int) -> None:
    calls = attack("gateway", "gateway", seed=seed)
    came = {p.ended.at: p for p in calls if p.call.direction == "inbound"}
    passed = out(calls)
    assert abs(len(passed) - len(came)) <= 1  # the last may come after the world's end
    for p in passed:
        first = came[p.ended.at]
        assert 0 < p.call.at - first.call.at < SECOND
        assert (first.ended.talk_us, first.ended.outcome) == (p.ended.talk_us, p.ended.outcome)
    assert len({p.call.caller.value for p in came.values()}) > 0.95 * len(came)
    assert len({p.call.line for p in passed}) == 1


@pytest.mark.parametrize(("beneath", "span_s"), [(3, 3_600), (8, 300), (2, 86_400)])
def test_the_slow_one_stays_beneath_what_he_knows_for_days(beneath: int, span_s: int) -> None:
    office = Office(10)
    made = World(3, MONDAY, 8, [office, SlowLow(on=office, after=1.0, beneath=beneath, span_s=span_s)])
    calls = [p for p in made if p.label]
    assert most(calls, span_s * SECOND) < beneath
    assert len({local(p.call.at).date() for p in calls}) >= 3
    assert all(local(p.call.at).weekday() < 5 and 9 <= local(p.call.at).hour < 18 for p in calls)
    assert all(p.call.callee.value.startswith(HIGH) for p in calls)


def test_several_at_once_are_each_as_they_would_be_alone() -> None:
    together = Counter(p.label for p in world("office,wangiri,hsc-pumping,irsf-night", days=2))
    for label in ("wangiri", "hsc-pumping", "irsf-night"):
        assert together[label] == len(attack(f"office,{label}", label, days=2))


def test_dear_numbers_are_high_in_the_policies() -> None:
    problems: list[Problem] = []
    destinations = load_destinations(Path(__file__).parents[2] / "policies" / "destinations", problems)
    assert not problems
    for prefix, digits, _ in DEAR:
        risk = destinations.risk(prefix + "1" * digits, instant(datetime(2026, 11, 16, tzinfo=PARIS)))
        assert risk is not None, prefix
        assert risk.level == "high", prefix


def test_a_strength_is_of_every_attack() -> None:
    assert all(issubclass(a.make, Attack) and a.make.kind == name for name, a in ATTACKS.items())
