"""Promotion of a rule: Wilson's interval against published values, what would not have accrued, and the verdict."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.ledger.incidents import Event, Incident, Step, after, opened
from guard.ledger.penalties import Exposure
from guard.ledger.promotion import (
    NEEDED_CALLS,
    SLACK,
    Judged,
    Promotion,
    Spoken,
    Way,
    avoided,
    judged,
    shown,
    spoken,
    weigh,
    wilson,
)
from guard.ledger.record import DecisionBody, EndBody, FindingRecord, Money
from guard.model import Action, Mode, Text
from tests.store.making import AT, CALLEE, CALLER, SECOND
from tests.store.making_log import PARIS

RULE: Final = "traffic.scan"
DAY: Final = 86_400 * SECOND

# ---- Wilson ----------------------------------------------------------------------------------------------------------

# R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998) 857-872,
# table I: method 3, the score method without continuity correction, 95 %.
NEWCOMBE: Final = (
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
)


@pytest.mark.parametrize(("found", "of", "low", "high"), NEWCOMBE)
def test_published_values(found: int, of: int, low: float, high: float) -> None:
    assert [round(x, 4) for x in wilson(found, of)] == [low, high]


def test_with_nothing_found_it_is_not_nothing() -> None:
    low, high = wilson(0, 10_000)
    assert low == 0
    assert high == pytest.approx(3.841458820694124 / 10_003.841458820694)
    assert shown(high) == "1 in 2,604"


def test_with_nothing_seen_it_may_be_anything() -> None:
    assert wilson(0, 0) == (0, 1)


@given(st.integers(0, 5_000), st.integers(1, 5_000))
def test_it_holds_what_was_seen_and_shrinks_as_more_is_seen(found: int, of: int) -> None:
    found = min(found, of)
    low, high = wilson(found, of)
    assert 0 <= low <= found / of <= high <= 1
    more = wilson(found * 2, of * 2)
    assert more[1] - more[0] < high - low


# ---- one call --------------------------------------------------------------------------------------------------------


def said(action: Action = "block", mode: Mode = "monitor", rule: str = RULE, **facts: str) -> FindingRecord:
    return FindingRecord(rule=rule, action=action, mode=mode, article=(), text=Text("x", "y"), facts=dict(facts))


def body(*findings: FindingRecord, verdict: str = "flagged", money: Money | None = None) -> DecisionBody:
    made = DecisionBody(
        at=AT, call_id="c", source="pbx", trunk="operator", line="200", caller=CALLER, callee=CALLEE,
        verdict=verdict, findings=findings,  # type: ignore[arg-type]  # words of tests
    )  # fmt: skip
    return made if money is None else replace(made, money=money)


FINE: Final = Money(accrued=2_500_050_000, rule=RULE, number=CALLER, per_attempt=50_000, per_number=2_500_000_000)


def of(
    made: DecisionBody, way: Way = "mode", seq: int = 7, end_seq: int = 0, end: EndBody | None = None
) -> Spoken | None:
    return spoken(RULE, way, seq, end_seq, made, end)


def made(*args: object, **more: object) -> Spoken:
    found = of(*args, **more)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_what_it_would_have_stopped() -> None:
    assert of(body(said())) is not None
    assert of(body(said("flag"))) is None, "on trial it would only have flagged"
    assert of(body(said("flag")), "action") is not None
    assert of(body(said("allow")), "action") is None
    assert of(body(said(rule="traffic.other"))) is None
    assert of(replace(body(said()), emergency="112")) is None


def test_what_was_stopped_anyway() -> None:
    assert not made(body(said())).anyway
    assert made(body(said(), said(rule="cli.premium"), verdict="blocked")).anyway


def test_what_it_cost() -> None:
    one = made(body(said(), money=FINE))
    assert (one.attempt, one.number, one.group) == (50_000, 2_500_000_000, ("operator", CALLER))
    masked = made(body(said("mask"), money=FINE))
    assert (masked.attempt, masked.number) == (0, 0), "a masked call is an attempt all the same"
    stopped = made(body(said(), verdict="blocked", money=replace(FINE, accrued=0, avoided=FINE.accrued)))
    assert (stopped.attempt, stopped.number) == (0, 0)


def test_the_tariff_of_undetermined_origin_is_part_of_it() -> None:
    rate = Money(origin_rate=600_000, origin_article="V-10.3")
    end = EndBody(call=7, at=AT, outcome="answered", talk_us=30 * SECOND)
    assert made(body(said(), money=rate), end=end).attempt == 300_000


def test_what_was_found_late_would_have_cost_all_the_same_and_counts_where_it_stands() -> None:
    end = EndBody(call=7, at=AT, outcome="answered", money=FINE)
    one = made(body(said()), end=end, end_seq=9)
    assert (one.attempt, one.number, one.group) == (50_000, 2_500_000_000, ("operator", CALLER))


# ---- money -----------------------------------------------------------------------------------------------------------


def exposure(
    seq: int, *, at: int = AT, number: str = CALLER, accrued: int = 50_000, trunk: str = "operator"
) -> Exposure:
    return Exposure(
        at=at, trunk=trunk, line="200", number=number, rule="cli.premium", accrued=accrued, avoided=0, per_number=0,
        contract="x", reading="", seq=seq,
    )  # fmt: skip


ONE: Final = made(body(said(), money=FINE), end_seq=8)


@pytest.mark.parametrize(
    ("others", "stays"),
    [
        ((), False),
        ((exposure(7), exposure(8)), False),  # the call itself, and its end
        ((exposure(20),), True),
        ((exposure(20, accrued=0),), False),  # it did not go out
        ((exposure(20, number="+33145678901"),), False),
        ((exposure(20, trunk="other"),), False),
        ((exposure(20, at=AT + 20 * DAY),), False),  # December
    ],
)
def test_a_number_is_fined_once(others: tuple[Exposure, ...], stays: bool) -> None:
    assert avoided([ONE], others, PARIS) == (50_000 if stays else 2_500_050_000)


def test_a_number_that_is_fined_once_for_good() -> None:
    assert avoided([ONE], [exposure(20, at=AT + 20 * DAY)], PARIS, ever=True) == 50_000


# ---- what people said ------------------------------------------------------------------------------------------------


def incident(
    *steps: Step, kind: str = "number", subject: str = CALLER, rule: str = RULE, at: int = AT, trunk: str = "operator"
) -> Incident:
    first = Event(step="open", at=at, written=at, subject_kind=kind, subject=subject, trunk=trunk, rule=rule)  # type: ignore[arg-type]
    found = opened(1, first)
    for n, name in enumerate(steps, 1):
        found = after(found, Event(step=name, at=at + n * DAY, written=at + n * DAY, incident=1, rule=rule))
    return found


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (incident(), ""),
        (incident("release"), "wrong"),
        (incident("resolve"), "right"),
        (incident("resolve", rule="cli.premium"), ""),
        (incident("release", rule="cli.premium"), "wrong"),  # the number did nothing wrong
        (incident("release", kind="line", subject="pbx/200"), "wrong"),
        (incident("release", kind="line", subject="200"), "wrong"),
        (incident("release", kind="sva", subject=CALLEE), "wrong"),
        (incident("release", kind="source", subject="pbx"), "wrong"),
        (incident("release", kind="line", subject="201"), ""),
        (incident("release", trunk="other"), ""),
        (incident("release", at=AT + SLACK), "wrong"),
        (incident("release", at=AT + SLACK + 1), ""),
        (incident("release", at=AT - DAY), "wrong"),
        (incident("release", at=AT - DAY - 1), ""),  # it was closed before
    ],
)
def test_what_a_closed_incident_says(one: Incident, expected: Judged) -> None:
    assert judged(ONE, RULE, [one], ()) == expected


def test_the_subject_that_detection_named() -> None:
    one = made(body(said(kind="service", subject="+33899000001")))
    assert judged(one, RULE, [incident("release", kind="sva", subject="+33899000001")], ()) == "wrong"


def test_a_call_that_a_person_names() -> None:
    assert judged(ONE, RULE, [incident("resolve")], {7}) == "wrong"
    assert judged(ONE, RULE, [incident("resolve"), incident("release")], ()) == "wrong", "in doubt against the rule"


# ---- the verdict -----------------------------------------------------------------------------------------------------


def verdict(days: int, calls: int, *words: Judged, looked: bool = False) -> Promotion:
    return weigh(RULE, "mode", (0, AT), days, calls, [(ONE, w) for w in words], 5, looked=looked)


def test_ready() -> None:
    told = verdict(7, NEEDED_CALLS, "right", "right")
    assert told.ready
    assert (told.stops, told.anyway, told.right, told.wrong, told.unjudged, told.avoided) == (2, 0, 2, 0, 0, 5)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (verdict(6, NEEDED_CALLS), "6 days with calls: 7 are needed"),
        (verdict(7, NEEDED_CALLS - 1), "9,999 calls: 10,000 are needed"),
        (
            verdict(7, NEEDED_CALLS, *["wrong"] * 5),  # type: ignore[arg-type]
            "5 rightful calls of 10,000: up to 1 in 854, and no more than 1 in 1,000 may be",
        ),
        (
            verdict(7, NEEDED_CALLS, *[""] * 5),  # type: ignore[arg-type]
            "5 calls that nobody has judged: if all were rightful, up to 1 in 854",
        ),
    ],
)
def test_not_yet(told: Promotion, why: str) -> None:
    assert told.why == (why,)
    assert not told.ready


def test_near_misses() -> None:
    assert verdict(7, NEEDED_CALLS, *["wrong"] * 3).ready  # type: ignore[arg-type]
    assert verdict(7, NEEDED_CALLS, *[""] * 3).ready, "so few that it matters little"  # type: ignore[arg-type]
    assert verdict(7, NEEDED_CALLS, *[""] * 50, looked=True).ready  # type: ignore[arg-type]
    assert not verdict(7, NEEDED_CALLS, *["wrong"] * 50, looked=True).ready  # type: ignore[arg-type]


def test_every_reason_is_told() -> None:
    assert len(verdict(0, 0).why) == 3
