"""The ten features, each with a value that meets its bound and one that does not; shares, weights, what would pass."""

from __future__ import annotations

from typing import Any

import pytest

from guard.detectors.measure import GAPS, IRREGULAR, RUN, Ready, View, evidence, holds
from guard.detectors.recent import (
    ANSWERED,
    CANCELLED,
    CLOSED,
    DEAR,
    FAILED,
    HYPER,
    REFUSED,
    SHORT,
    STEP,
    SVA,
    Past,
)
from guard.detectors.subject import NEXT, Subject
from guard.detectors.words import BACKS, DAY, FEATURES, MAX_SPAN_S, ORIGINS, RECENT, Clause, Feature
from guard.model import SECOND
from tests.detectors.making import START, held, past, subject


def clause(span_s: int = 900, **more: Any) -> Clause:  # noqa: ANN401 - words of a clause
    return Clause(span_s=span_s, **more)


def least(feature: Feature, bound: int, one: Subject, span_s: int = 900, **more: Any) -> int | None:  # noqa: ANN401
    """The value of a feature where it meets a bound from below; None where it does not."""
    found = held(clause(span_s, at_least={feature: bound}, **more), one)
    return None if found is None else found[feature][0]


def several(many: int, **more: Any) -> list[Past]:  # noqa: ANN401
    """Calls a minute apart, to numbers of their own that are far from each other and in no order."""
    return [past(60 * (many - n), (n * 7639) % 10_000 * 1000, **more) for n in range(many)]


# ---- one by one ------------------------------------------------------------------------------------------------------


def test_calls() -> None:
    one = subject(*several(5))
    assert least("calls", 5, one) == 5
    assert least("calls", 6, one) is None
    assert least("calls", 1, one, span_s=59) is None
    assert least("calls", 1, one, span_s=60) == 1


def test_different_numbers_called() -> None:
    one = subject(past(5, 1000), past(4, 5000), past(3, 1000), past(2, 9000))
    assert least("calls", 3, one, different=True) == 3
    assert least("calls", 4, one, different=True) is None
    assert least("calls", 4, one) == 4


@pytest.mark.parametrize(("to", "mark"), [("sva", SVA), ("dear", DEAR)])
def test_only_calls_to_such_destinations(to: str, mark: int) -> None:
    one = subject(*several(3), *several(2, marks=mark))
    assert least("calls", 2, one, to=to) == 2
    assert least("calls", 3, one, to=to) is None


def test_only_calls_while_offices_are_closed() -> None:
    one = subject(*several(2), *several(2, marks=DEAR | CLOSED))
    assert least("calls", 2, one, to="dear", closed=True) == 2
    assert least("calls", 3, one, closed=True) is None


def test_short_rings_are_counted_by_number() -> None:
    rang = [past(9 - n, callee, marks=SHORT, outcome=CANCELLED) for n, callee in enumerate((10, 10, 5000))]
    one = subject(*rang, past(6, 9000, outcome=CANCELLED))
    assert least("short_rings", 2, one) == 2
    assert least("short_rings", 3, one) is None


def test_call_backs_are_those_of_the_number() -> None:
    line, number = subject(past(9)), subject()
    for ago in (1000, 500, 1):
        number.called_back(START - ago * SECOND)
    assert held(clause(at_least={"called_back": 2}), line, START, number) == {"called_back": (2, 2, False)}
    assert held(clause(at_least={"called_back": 3}), line, START, number) is None
    assert held(clause(1000, at_least={"called_back": 3}), line, START, number) is not None
    assert held(clause(at_least={"called_back": 1}), line) is None


def test_hyper_short_calls() -> None:
    one = subject(*several(4, marks=HYPER, outcome=ANSWERED), *several(2, outcome=ANSWERED))
    assert least("hyper_short", 4, one) == 4
    assert least("hyper_short", 5, one) is None


def test_numbers_in_order() -> None:
    one = subject(past(9, 1000), *(past(8 - n, 1000 + NEXT * (n + 1)) for n in range(5)))
    assert least("in_order", 5, one) == 5
    assert least("in_order", 6, one) is None
    far = subject(past(9, 1000), *(past(8 - n, 1000 + (NEXT + 1) * (n + 1)) for n in range(5)))
    assert least("in_order", 1, far) is None
    down = subject(past(9, 1000), past(8, 999), past(7, 998))
    assert least("in_order", 2, down) == 2


def test_a_long_run_of_rising_numbers_is_in_order_too() -> None:
    def rising(many: int) -> Subject:
        return subject(past(99, 10**9), *(past(90 - n, 1000 * (n + 1)) for n in range(many)))

    assert least("in_order", RUN, rising(RUN)) == RUN
    assert least("in_order", 1, rising(RUN - 1)) is None
    assert least("in_order", 1, rising(RUN), span_s=80) is None, "the run began before"


def even(gaps: list[float]) -> Subject:
    """A subject with these spaces between its calls."""
    ago, calls = sum(gaps), []
    for i, gap in enumerate([*gaps, 0.0]):
        calls.append(past(ago, i * 7639 % 10_000))
        ago -= gap
    return subject(*calls)


def regular(gaps: list[float]) -> int:
    one = even(gaps)
    return View(one, one, START).value("regularity", Ready(clause(MAX_SPAN_S)))


def test_regularity() -> None:
    assert regular([30.0] * GAPS) == 0
    assert regular([30.0] * (GAPS - 1)) == IRREGULAR, "too few to tell"
    assert regular([30, 33, 27, 30, 33, 27, 30, 33, 27, 30]) == 10
    assert regular([5, 300, 20, 90, 700, 12, 45, 130, 8, 60]) > 50
    assert regular([0.0] * GAPS) == 0
    assert regular([1.0] * 7 + [10_000.0] * 5) == IRREGULAR


def test_a_pause_or_two_do_not_hide_a_machine() -> None:
    assert regular([30.0] * 12 + [3600, 1800]) == 0


def test_regularity_is_bounded_from_above() -> None:
    found = held(clause(MAX_SPAN_S, at_most={"regularity": 8}), even([30.0] * 10))
    assert found == {"regularity": (0, 8, True)}
    assert held(clause(MAX_SPAN_S, at_most={"regularity": 8}), even([30, 33, 27, 30, 33, 27, 30, 33, 27, 30])) is None


def test_cost() -> None:
    one = subject(past(30, cents=150), past(20, 5, cents=20, fee=80, outcome=ANSWERED, talk=90))
    assert least("costly", 230, one) == 230
    assert least("costly", 231, one) is None


def test_cost_above_what_is_usual() -> None:
    def used_to(cents: int, minute: int) -> Subject:
        found = subject()
        found.cost(START - 3 * DAY, cents)
        found.called(past(30, cents=minute))
        return found

    one = used_to(75, 150)
    assert held(clause(usual=2, at_least={"costly": 100}), one) == {"costly": (150, 150, False)}
    assert held(clause(usual=2, at_least={"costly": 100}), used_to(75, 149)) is None
    assert held(clause(usual=2, at_least={"costly": 100}), used_to(10, 100)) == {"costly": (100, 100, False)}


def test_calls_received() -> None:
    line, number = subject(past(9)), subject()
    number.got(START - 901 * SECOND)
    assert held(clause(at_most={"received": 0}), line, START, number) == {"received": (0, 0, True)}
    number.got(START - 900 * SECOND)
    assert held(clause(at_most={"received": 0}), line, START, number) is None
    assert held(clause(at_least={"received": 1}), line, START, number) is not None


def test_of_no_call_nothing_alarms() -> None:
    assert held(clause(at_most={"received": 0}), subject()) is None
    assert held(clause(at_most={"received": 0}), subject(past(901))) is None
    assert held(clause(at_most={"received": 0}, to="sva"), subject(past(9))) is None


def test_calls_that_go_out_as_others_come_in() -> None:
    one = subject(*several(3, marks=STEP), *several(2))
    assert least("received", 3, one, step=True) == 3
    assert least("received", 4, one, step=True) is None


def test_calls_that_were_refused() -> None:
    one = subject(*several(3, marks=REFUSED, outcome=FAILED), *several(2, outcome=FAILED))
    assert least("refused", 3, one) == 3
    assert least("refused", 4, one) is None


def test_origins() -> None:
    one = subject(past(9))
    one.origins.seen((1, 2, 3), START - 9 * DAY)
    one.origins.seen((4, 5, 3), START)
    assert least("origins", 2, one) == 2
    assert least("origins", 3, one) is None


def test_callers_of_these_calls() -> None:
    one = subject(*(past(9 - n, caller=c) for n, c in enumerate("aabc")))
    assert least("origins", 3, one, callers=True) == 3
    assert least("origins", 4, one, callers=True) is None
    same = subject(past(9), past(8))
    assert least("origins", 1, same, callers=True) == 1
    assert least("origins", 2, same, callers=True) is None


def test_what_is_usual_for_the_line() -> None:
    one = subject(past(9))
    for hour in range(START // 3_600_000_000 - 700, START // 3_600_000_000):
        one.usual.one_more(hour, frozen=False)
    for _ in range(14):
        one.usual.one_more(START // 3_600_000_000, frozen=False)
    own = clause(3600, own=True, at_least={"calls": 5})
    assert one.usual.limit() == 12
    assert held(own, one) == {"calls": (14, 13, False)}
    assert held(clause(3600, own=True, at_least={"calls": 15}), one) is None
    one.usual.count = 12
    assert held(own, one) is None


# ---- shares ----------------------------------------------------------------------------------------------------------


def share(feature: Feature, part: int, one: Subject, **more: Any) -> tuple[int, int, bool] | None:  # noqa: ANN401
    found = held(clause(share={feature: part}, **more), one)
    return None if found is None else found[feature]


def test_a_share_of_all_calls() -> None:
    one = subject(*several(6, marks=SVA), *several(2))
    assert share("calls", 750, one, to="sva") == (6, 6, False)
    assert share("calls", 751, one, to="sva") is None


def test_a_share_of_those_that_were_answered() -> None:
    one = subject(
        *several(3, marks=HYPER, outcome=ANSWERED), *several(1, outcome=ANSWERED), *several(9, outcome=FAILED)
    )
    assert share("hyper_short", 750, one) == (3, 3, False)
    assert share("hyper_short", 751, one) is None


def test_a_share_of_those_that_are_over() -> None:
    one = subject(*several(3, marks=REFUSED, outcome=FAILED), *several(1, outcome=ANSWERED), *several(9))
    assert share("refused", 750, one) == (3, 3, False)
    assert share("refused", 751, one) is None


def test_a_share_of_nothing_is_no_share() -> None:
    assert share("hyper_short", 0, subject(*several(3))) is None


def test_a_share_does_not_hide_its_bound() -> None:
    one = subject(*several(4, marks=HYPER, outcome=ANSWERED))
    found = held(clause(at_least={"hyper_short": 3}, share={"hyper_short": 500}), one)
    assert found == {"hyper_short": (4, 3, False)}


# ---- evidence --------------------------------------------------------------------------------------------------------


def told(one: Clause, of: Subject) -> tuple[dict[str, tuple[int, int | None, int]], tuple[Feature, int]]:
    ready, view = Ready(one), View(of, of, START)
    found = holds(ready, view)
    assert found is not None
    measures, passes = evidence(ready, found, view)
    assert [m.feature for m in measures] == list(FEATURES)
    return {m.feature: (m.value, m.limit, m.share) for m in measures}, passes


def test_evidence_tells_every_feature_and_what_would_have_passed() -> None:
    one = subject(*several(10, marks=HYPER, outcome=ANSWERED), *several(2, outcome=ANSWERED, talk=60, cents=5))
    measures, passes = told(clause(at_least={"hyper_short": 5, "calls": 11}), one)
    assert measures["hyper_short"] == (10, 5, 62)
    assert measures["calls"] == (12, 11, 37)
    assert measures["costly"] == (10, None, 0)
    assert passes == ("calls", 10), "the feature that is nearest to its bound"


def test_what_would_have_passed_of_a_bound_from_above() -> None:
    one = subject(*several(8, marks=SVA))
    measures, passes = told(clause(to="sva", at_least={"calls": 4}, at_most={"received": 0}), one)
    assert measures["received"] == (0, 0, 35)
    assert passes == ("received", 1)


# ---- which moments can make a clause hold ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "set_up", "end"),
    [
        (clause(at_least={"calls": 3}), True, False),
        (clause(at_most={"regularity": 3}), True, False),
        (clause(own=True), True, False),
        (clause(at_least={"short_rings": 3}), False, True),
        (clause(share={"hyper_short": 300}), False, True),
        (clause(at_least={"origins": 1, "refused": 3}), True, True),
        (clause(at_least={"called_back": 1}), False, True),
    ],
)
def test_set_ups_and_ends(made: Clause, set_up: bool, end: bool) -> None:
    ready = Ready(made)
    assert (ready.at_set_up, ready.at_end) == (set_up, end)


# ---- bounds that could never be met ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "most"),
    [
        *((f, RECENT) for f in ("calls", "short_rings", "hyper_short", "in_order", "refused")),
        *((f, BACKS) for f in ("called_back", "received")),
        ("origins", ORIGINS),
    ],
)
def test_a_bound_beyond_what_is_kept_is_a_mistake(feature: Feature, most: int) -> None:
    clause(at_least={feature: most})
    with pytest.raises(ValueError, match=f"{feature} = {most + 1}: no more than {most} are kept of it"):
        clause(at_least={feature: most + 1})


def test_what_is_counted_otherwise_has_no_such_bound() -> None:
    clause(own=True, at_least={"calls": 500})
    clause(at_least={"costly": 50_000})
    clause(step=True, at_least={"received": RECENT})
    clause(callers=True, at_least={"origins": RECENT})
    with pytest.raises(ValueError, match="origins"):
        clause(callers=True, at_least={"origins": RECENT + 1})
