"""Labelled traffic: the same from the same seed, in order, apart by actor, by the hours of the week, within bounds."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from itertools import pairwise
from random import Random

import pytest
from msgspec import json

from guard.numbering.number import Dial, normalise
from guard.prospecting.hours import Grid, within, zone_of
from sim.labelled.centres import HOURS, PASS_DAYS, Dialler
from sim.labelled.going import DEAR, FRANCE, MOBILES, NEIGHBOURS, Prefixes, busy
from sim.labelled.houses import ABROAD, AT_HOME, OVERSEAS
from sim.labelled.office import MAX_PEOPLE, Office
from sim.labelled.rhythm import MAX_LATER, PARIS, Later, instant, local, night
from sim.labelled.scenarios import ATTACKS, LEGITIMATE, scenario
from sim.labelled.words import DAY, KINDS, MAX_SITES, MINUTE, Line, SimError, Site, e164
from sim.labelled.world import World
from tests.sim import labelled
from tests.sim.labelled import MONDAY, out, world

ALL = f"{labelled.LEGITIMATE},{labelled.ATTACKS}"


def octets(made: World) -> bytes:
    return b"\n".join(json.encode(p) for p in made)


# ---- the same, and apart ---------------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_octets_each_time() -> None:
    made = world(ALL, days=1.5)
    first = octets(made)
    assert first == octets(made)
    assert first == octets(world(ALL, days=1.5))
    assert first != octets(world(ALL, days=1.5, seed=8))


def test_another_actor_changes_no_call_of_the_others() -> None:
    alone = octets(world("office,wangiri"))
    together = [
        p for p in world("office,hotel,call-centre:3,wangiri,war-dialler") if p.actor in {"office-1", "wangiri-1"}
    ]
    assert b"\n".join(json.encode(p) for p in together) == alone


def test_two_of_a_kind_differ() -> None:
    called: dict[str, set[str]] = {"office-1": set(), "office-2": set()}
    for p in out(world("office,office")):
        called[p.actor].add(p.call.callee.value)
    assert len(called["office-1"] & called["office-2"]) < 10  # services that everybody calls


def test_a_longer_world_begins_as_the_shorter_one() -> None:
    short = [json.encode(p) for p in world("office,hotel,call-centre,dialler,clinic,branch", days=1)]
    longer = [json.encode(p) for p in world("office,hotel,call-centre,dialler,clinic,branch", days=2)]
    assert longer[: len(short)] == short


def test_calls_come_in_order_with_names_of_their_own() -> None:
    calls = list(world(ALL, days=3))
    assert all(a.call.at <= b.call.at for a, b in pairwise(calls))
    assert len({p.call.call_id for p in calls}) == len(calls)
    assert all(p.call.at >= MONDAY for p in calls)
    assert all(p.call.at < MONDAY + 3 * DAY for p in calls)


def test_every_call_has_an_end_that_fits() -> None:
    for p in world(ALL, days=2):
        end = p.ended
        assert end.at - end.talk_us - end.ring_us > p.call.at
        known = {
            "answered": (200,), "cancelled": (487,), "failed": (401, 403, 404, 407, 480, 484, 486, 503),
        }  # fmt: skip
        assert end.final_status in known[end.outcome]
        assert (end.talk_us > 0) is (end.outcome == "answered")
        assert end.ring_us > 0 or end.outcome == "failed"


def test_labels_say_which_calls_are_attacks() -> None:
    found = Counter(p.label for p in world(ALL, days=3))
    assert set(found) == {"", *ATTACKS}
    assert all(p.label == "" for p in world(labelled.LEGITIMATE, days=3))
    for p in world(ALL, days=2):
        assert (p.label or p.actor.rpartition("-")[0]) == p.actor.rpartition("-")[0]
        assert p.subject.partition("/")[0] == p.call.source
        if p.call.direction == "outbound":
            assert p.subject == f"{p.call.source}/{p.call.line}"


def test_a_thief_sits_on_a_line_of_the_office_before_him() -> None:
    lines = {f"office-1/{line.name}" for line in Office(20).lines()}
    for label in ("irsf-night", "stolen-account", "slow-low", "slower-low", "wangiri-in"):
        calls = labelled.attack(f"clinic,office,{label}", label)
        assert calls
        assert {p.subject for p in calls} <= lines
        assert {p.call.source for p in calls} == {"office-1"}


def test_without_anybody_before_him_he_attacks_from_his_own() -> None:
    assert {p.call.source for p in labelled.attack("irsf-night", "irsf-night")} == {"irsf-night-1"}


# ---- rhythm ----------------------------------------------------------------------------------------------------------


def test_an_office_sleeps_at_night_and_at_weekends() -> None:
    calls = out(world("office:100", days=7))
    at = [local(p.call.at) for p in calls]
    weekend = sum(t.weekday() >= 5 for t in at) / len(at)
    nights = sum(t.hour < 7 or t.hour >= 20 for t in at) / len(at)
    busiest = Counter(t.hour for t in at).most_common(2)
    assert 0.003 < weekend < 0.03
    assert nights < 0.03
    assert {h for h, _ in busiest} <= {9, 10, 11, 14, 15}
    assert 8 < len(calls) / 500 < 12  # 9 calls a person and working day, with redials


def test_holidays_are_sundays() -> None:
    monday = instant(datetime(2026, 11, 9, tzinfo=PARIS))
    calls = Counter(
        local(p.call.at).day for p in world("office:100,call-centre:5,dialler,clinic", start=monday, days=4)
    )
    assert calls[11] < calls[10] / 20  # 11 November


def test_the_branch_overseas_begins_its_day_before_paris() -> None:
    early = dict.fromkeys(("office", "branch"), 0)
    for name in early:
        at = [local(p.call.at) for p in world(f"{name}:50", days=5)]
        early[name] = sum(t.hour < 7 for t in at) * 100 // len(at)
    assert early["office"] == 0
    assert early["branch"] > 10


def test_a_dialler_keeps_hours_spacing_order_and_tries() -> None:
    made = world("dialler", days=30)
    calls = out(made)
    grid = Grid(weekdays=(0, 1, 2, 3, 4), spans=((time(10), time(13)), (time(14), time(20))))
    assert all(within(grid, p.call.at, zone_of(p.call.callee.value))[0] for p in calls)
    assert {p.call.caller.value[:6] for p in calls} == {"+33162"}
    assert max(Counter(p.call.callee.value for p in calls).values()) <= 3
    first = calls[: 120 * HOURS * PASS_DAYS]
    assert [p.call.callee.value for p in first] == sorted({p.call.callee.value for p in first})
    gaps = [b.call.at - a.call.at for a, b in pairwise(calls) if b.call.at - a.call.at < MINUTE]
    assert len(gaps) > 0.95 * len(calls)
    assert max(gaps) - min(gaps) <= 0.05 * 30 * 1_000_000
    agreed = set(made.actors[0].consents(7, MONDAY))
    assert {p.call.callee.value for p in calls} <= agreed


def test_a_clinics_reminders_are_short_and_called_back() -> None:
    calls = list(world("clinic:400", days=5))
    talks = sorted(p.ended.talk_us for p in out(calls) if p.ended.talk_us)
    assert 15e6 < talks[len(talks) // 2] < 30e6
    assert any(p.call.direction == "inbound" for p in calls)


def test_a_hotel_calls_taxis_again_and_again_at_check_out() -> None:
    calls = [p for p in world("hotel:300", days=7) if p.call.line == "desk"]
    assert len({p.call.callee.value for p in calls}) == 4
    assert {local(p.call.at).hour for p in calls} == {9, 10, 11}
    woken = [p for p in world("hotel:300", days=7) if p.call.line == "porter"]
    assert {local(p.call.at).hour for p in woken} <= {5, 6, 7, 8}


def test_an_agent_of_a_call_centre_takes_one_call_at_a_time() -> None:
    ends: dict[str, int] = {}
    for p in out(world("call-centre:5", days=2)):
        assert p.call.at >= ends.get(p.call.line, 0) + 5_000_000
        ends[p.call.line] = p.ended.at


def test_people_call_favourites_of_their_own_again_and_again() -> None:
    by_line: dict[str, Counter[str]] = {}
    for p in out(world("office:10", days=28)):
        by_line.setdefault(p.call.line, Counter())[p.call.callee.value] += 1
    tops = {line: {n for n, _ in c.most_common(5)} for line, c in by_line.items()}
    for line, counted in by_line.items():
        assert sum(n for _, n in counted.most_common(40)) > 0.6 * counted.total()
        assert not any(tops[line] == tops[other] for other in tops if other != line)


def test_people_give_up_early_redial_and_call_back() -> None:
    calls = list(world("office:200", days=5))
    sent = out(calls)
    early = sum(0 < p.ended.ring_us <= 6_000_000 and p.ended.outcome == "cancelled" for p in sent) / len(sent)
    answered = sum(p.ended.outcome == "answered" for p in sent) / len(sent)
    short = sum(0 < p.ended.talk_us <= 6_000_000 for p in sent) / sum(p.ended.talk_us > 0 for p in sent)
    assert 0.03 < early < 0.06
    assert 0.6 < answered < 0.8
    assert short < 0.15
    engaged = {(p.call.line, p.call.callee.value) for p in sent if p.ended.final_status == 486}
    redialled = Counter((p.call.line, p.call.callee.value) for p in sent)
    assert sum(redialled[pair] > 1 for pair in engaged) > 0.4 * len(engaged)


# ---- numbers and sites -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefixes", [FRANCE, MOBILES, NEIGHBOURS, DEAR, ABROAD, AT_HOME, OVERSEAS])
def test_numbers_are_as_the_guard_reads_them(prefixes: tuple[tuple[str, int, float], ...]) -> None:
    drawn = Prefixes(Random(1), prefixes)
    for _ in range(2_000):
        number = drawn.draw()
        assert normalise(number.raw, Dial(), callee=True) == number


def test_sites_share_neither_addresses_nor_numbers() -> None:
    for home in ("geographic", "verified", "reunion"):
        kinds = {"geographic": KINDS, "verified": ("dialler", "clinic"), "reunion": ("branch",)}[home]
        sites = [Site(kind=k, n=n, home=home) for k in kinds for n in range(1, MAX_SITES + 1)]
        assert len({s.block for s in sites}) == len({s.address for s in sites}) == len(sites)
        assert len({len(s.number(i).value) for s in sites for i in (0, 999)}) == 1


def test_planned_calls_are_bounded() -> None:
    later = Later()
    line = Line(Site(kind="office"), "1", e164("+33140000000"))
    call = line.out(5, ("x", 1), e164("+33140000001"), busy())
    for _ in range(MAX_LATER + 10):
        later.put(call)
    assert sum(1 for _ in later.until(6)) == MAX_LATER


def test_a_night_begins_at_eleven_and_a_weekend_is_one() -> None:
    noon = datetime(2026, 11, 18, 12, tzinfo=PARIS)
    assert local(night(instant(noon))) == noon.replace(hour=23)
    saturday = instant(noon + timedelta(days=3))
    assert night(saturday) == saturday


# ---- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("offise", 'no scenario is called "offise"; did you mean "office"?'),
        ("", 'no scenario is called ""'),
        ("office:x", 'office: "x" is no number of people'),
        ("office:0", f"office: 0 people are not between 1 and {MAX_PEOPLE}"),
        (f"office:{MAX_PEOPLE + 1}", "people are not between"),
        ("hotel:901", "901 rooms are not between 1 and 900"),
        ("dialler:0", "0 calls an hour"),
        ("clinic:0", "0 patients"),
        ("call-centre:0", "0 agents"),
        ("wangiri:x", 'wangiri: "x" is no strength'),
        ("wangiri:0", "strength 0 is not above 0"),
        ("wangiri:nan", "strength nan is not above 0"),
        ("wangiri:101", "strength 101 is not above 0 and at most 100"),
    ],
)
def test_what_is_wrongly_asked_is_told(names: str, said: str) -> None:
    with pytest.raises(SimError) as error:
        scenario(names)
    assert said in str(error.value)


@pytest.mark.parametrize("days", [0.0, -1.0, 401.0, float("nan")])
def test_days_that_cannot_be(days: float) -> None:
    with pytest.raises(SimError, match="are not between 0 and 400"):
        world("office", days=days)


def test_more_that_cannot_be() -> None:
    with pytest.raises(SimError, match="two actors are called office-1"):
        World(1, MONDAY, 1, [Office(1), Office(2)])
    with pytest.raises(SimError, match="there are at most 250 of a kind"):
        Office(1, MAX_SITES + 1)
    with pytest.raises(SimError, match='no kind of site is called "shop"'):
        Site(kind="shop")
    with pytest.raises(SimError, match="dialler-1 has no line that could be taken over"):
        ATTACKS["irsf-night"].make(1, on=Dialler())
    with pytest.raises(SimError, match="500 days after the start"):
        scenario("wangiri", 500.0)


def test_every_kind_has_a_place_of_its_own() -> None:
    assert set(KINDS) == {*LEGITIMATE, *ATTACKS}
