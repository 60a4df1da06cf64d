"""Alarms: how long they last, what they say together, who is shut off, and what room there is."""

from __future__ import annotations

import pytest

from guard.detectors import alarms as module
from guard.detectors.alarms import FOR_GOOD, Alarms
from guard.detectors.words import DAY, FREE, HOUR, Clause, Evidence, Feature, Kind, Measure, Price, key_of
from tests.detectors.making import CHEAP, DEAR, START, SVA, pattern, rules

ANY = Clause(span_s=60)
KEYS = (("line", "l:pbx/200"), ("number", "n:+33145678900"))


FEATURE_OF: dict[str, tuple[Feature, ...]] = {"a": ("in_order", "calls"), "b": ("refused", "calls")}


def found(
    rule: str = "traffic.x", kind: Kind = "line", subject: str = "pbx/200", at: int = START, *on: Feature
) -> Evidence:
    """An alarm that rests on these features, or those of its rule."""
    measures = tuple(Measure(f, 9, 8, 50) for f in on or FEATURE_OF.get(rule, ("costly",)))
    return Evidence(rule=rule, kind=kind, subject=subject, trunk="operator", at=at, span_s=60, measures=measures)


def begun(*rules_: str, certain: bool = False, hold: int = HOUR, trial: bool = False) -> Alarms:
    """One subject of which these rules alarm, each by features of its own."""
    alarms = Alarms()
    for rule in rules_:
        alarms.begin(pattern(ANY, rule, certain=certain, hold=hold, trial=trial), found(rule), START)
    return alarms


def said(alarms: Alarms, now: int = START, price: Price = FREE) -> list[tuple[str, str]]:
    return rules(alarms.signals(KEYS, price, now, set()))  # type: ignore[arg-type]


def test_an_alarm_lasts_as_long_as_it_is_held() -> None:
    alarms = begun("a")
    assert said(alarms, START + HOUR - 1) == [("a", "alone")]
    assert alarms.lasts("a", "l:pbx/200", START + HOUR - 1)
    assert said(alarms, START + HOUR) == []
    assert not alarms.lasts("a", "l:pbx/200", START + HOUR)
    assert not alarms.any_of("l:pbx/200", START + HOUR)


def test_an_alarm_of_another_subject_says_nothing() -> None:
    alarms = begun("a")
    other = (("line", "l:pbx/201"),)
    assert alarms.signals(other, FREE, START, set()) == ()  # type: ignore[arg-type]


def test_what_is_certain_acts_alone() -> None:
    assert said(begun("a", certain=True)) == [("a", "certain")]


def test_two_that_rest_on_other_features_act_together() -> None:
    alarms = begun("a", "b")
    assert said(alarms) == [("a", "joined"), ("b", "joined")]
    assert [s.other for s in alarms.signals(KEYS, FREE, START, set())] == ["b", "a"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("a", "b", "joined"),
    [
        (("in_order",), ("in_order",), False),
        (("in_order",), ("in_order", "refused"), False),
        (("origins", "refused"), ("calls", "refused"), False),
        (("calls",), ("calls",), False),
        (("calls", "in_order"), ("calls", "refused"), True),  # calls only say how many were looked at
        (("calls",), ("calls", "refused"), True),
        (("calls", "hyper_short"), ("short_rings",), True),
    ],
)
def test_two_that_rest_on_one_feature_are_one_signal(
    a: tuple[Feature, ...], b: tuple[Feature, ...], *, joined: bool
) -> None:
    alarms = Alarms()
    for rule, on in (("a", a), ("b", b)):
        alarms.begin(pattern(ANY, rule, certain=False), found(rule, "line", "pbx/200", START, *on), START)
    says = "joined" if joined else "alone"
    assert said(alarms) == [("a", says), ("b", says)]


def test_one_on_trial_helps_no_other_to_act() -> None:
    alarms = begun("b", trial=True)
    alarms.begin(pattern(ANY, "a", certain=False), found("a"), START)
    assert said(alarms) == [("b", "joined"), ("a", "alone")], "what is on trial only speaks, whatever it says"


def test_features_of_the_line_and_of_its_number_join() -> None:
    alarms = begun("a")
    alarms.begin(pattern(ANY, "b", certain=False), found("b", "number", "+33145678900"), START)
    assert said(alarms) == [("a", "joined"), ("b", "joined")]


def test_one_that_has_run_out_joins_nobody() -> None:
    alarms = begun("a", hold=HOUR)
    alarms.begin(pattern(ANY, "b", certain=False), found("b"), START + HOUR // 2)
    assert said(alarms, START + HOUR) == [("b", "alone")]


@pytest.mark.parametrize("price", [DEAR, SVA])
def test_towards_what_costs_an_alarm_acts_alone(price: Price) -> None:
    assert said(begun("a"), price=price) == [("a", "dear")]


def test_a_cheap_premium_number_is_not_costly() -> None:
    assert said(begun("a"), price=CHEAP) == [("a", "alone")]


def test_one_rule_speaks_once_of_a_call() -> None:
    alarms = begun("a")
    alarms.begin(pattern(ANY, "a", certain=False), found("a", "number", "+33145678900"), START)
    assert said(alarms) == [("a", "alone")]


def test_the_call_with_which_it_began_says_so() -> None:
    alarms = begun("a", "b")
    signals = alarms.signals(KEYS, FREE, START, {"b"})  # type: ignore[arg-type]
    assert [(s.evidence.rule, s.begun, s.until) for s in signals] == [
        ("a", False, START + HOUR), ("b", True, START + HOUR),
    ]  # fmt: skip


def test_it_begins_again() -> None:
    alarms = begun("a")
    alarms.begin(pattern(ANY, "a", certain=False), found("a", at=START + HOUR), START + HOUR)
    assert said(alarms, START + 2 * HOUR - 1) == [("a", "alone")]
    assert len(alarms.fresh) == 2


def test_a_person_releases_it() -> None:
    alarms = begun("a", "b")
    assert alarms.release("line", "pbx/200")
    assert said(alarms) == []
    assert not alarms.release("line", "pbx/200")


# ---- shut off --------------------------------------------------------------------------------------------------------


def closed(alarms: Alarms, now: int, key: str = "l:pbx/200") -> list[tuple[str, str]]:
    return rules(alarms.shut_off((key,), now))


def test_a_quarantine_outlasts_its_alarm() -> None:
    alarms = Alarms()
    alarms.begin(pattern(ANY, "a", quarantine=DAY, hold=HOUR), found("a"), START)
    assert closed(alarms, START + DAY - 1) == [("a", "shut")]
    assert said(alarms, START + DAY - 1) == []
    assert closed(alarms, START + DAY) == []
    assert alarms.closed == {}


def test_until_a_person_releases_it() -> None:
    alarms = Alarms()
    alarms.begin(pattern(ANY, "a", quarantine=-1), found("a"), START)
    assert closed(alarms, START + 10_000 * DAY) == [("a", "shut")]
    assert alarms.release("line", "pbx/200")
    assert closed(alarms, START) == []


def test_shut_off_again_the_longer_time_holds() -> None:
    alarms = Alarms()
    alarms.shut(found("a"), FOR_GOOD)
    alarms.shut(found("b"), START + DAY)
    assert alarms.closed["l:pbx/200"].until == FOR_GOOD


@pytest.mark.parametrize("kind", ["line", "number", "service", "source"])
def test_whatever_can_be_shut_off(kind: Kind) -> None:
    alarms = Alarms()
    alarms.shut(found("a", kind, "x"), FOR_GOOD)
    assert closed(alarms, START, key_of(kind, "x")) == [("a", "shut")]


# ---- room ------------------------------------------------------------------------------------------------------------


@pytest.mark.interpreted
def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ALARMS", 3)
    alarms = Alarms()
    dropped = [alarms.begin(pattern(ANY, "a", quarantine=DAY), found("a", subject=f"{n}"), START) for n in range(5)]
    assert dropped == [0, 0, 0, 2, 2], "the oldest alarm and the oldest quarantine"
    assert len(alarms.closed) == len(alarms.fresh) == 3
    assert alarms.lasts("a", "l:4", START)
    assert not alarms.lasts("a", "l:0", START)


@pytest.mark.interpreted
def test_a_quarantine_that_was_over_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ALARMS", 1)
    alarms = Alarms()
    assert alarms.shut(found("a", subject="1"), START + HOUR) == 0
    assert alarms.shut(found("a", subject="2", at=START + HOUR), START + DAY) == 0
    assert alarms.shut(found("a", subject="3", at=START + HOUR), START + DAY) == 1
