"""Which calls become messages of their own, and what the summaries of the others say."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from guard.ledger.record import CallRecord, FindingRecord
from guard.messages.choice import BACK, MINUTE, NAMED, Choice, Windows, alone, merged
from guard.messages.events import CallsSummary
from guard.model import Text, Verdict

PARIS = ZoneInfo("Europe/Paris")
AT = 1_795_251_600_000_000  # a whole minute


def record(seq: int, verdict: Verdict = "blocked", rule: str = "cli.mismatch", source: str = "pbx") -> CallRecord:
    """A call in which one rule spoke; 2,500.05 EUR avoided and a millionth of a euro."""
    finding = FindingRecord(rule=rule, action="block", mode="enforce", article=(), text=Text("", ""), facts={})
    return CallRecord(
        seq=seq, hash="ab" * 32, time="2026-11-21T10:00:00.000000+01:00", call_id=f"c{seq}", site="hq", source=source,
        trunk="operator", line="200", direction="outbound", caller="+33145678900", presented="", callee="+33612345678",
        usage=("human",), verdict=verdict, response=403, findings=(finding,) if rule else (), accrued_cents=3,
        avoided_cents=250_005, held_ms=0, policy="sha256:0", avoided_microeuros=2_500_050_001,
    )  # fmt: skip


def choice(
    rate: int = 2, verdicts: tuple[Verdict, ...] = ("blocked", "flagged"), rules: tuple[str, ...] = (),
    windows: Windows | None = None,
) -> Choice:  # fmt: skip
    return Choice("hq", PARIS, verdicts, rules, rate, {} if windows is None else windows)


@pytest.mark.parametrize(
    ("rules", "rule", "wanted"),
    [
        ((), "cli.mismatch", True),
        ((), "", True),
        (("cli.mismatch",), "cli.mismatch", True),
        (("cli.mismatch",), "cli.mismatched", False),
        (("cli.*",), "cli.mismatch", True),
        (("cli.*",), "dst.premium", False),
        (("dst.*", "cli.mismatch"), "cli.mismatch", True),
        (("cli.*",), "", False),
    ],
)
def test_only_calls_of_the_rules_that_are_named(rules: tuple[str, ...], rule: str, wanted: bool) -> None:
    assert choice(rules=rules).wants(record(1, rule=rule)) is wanted


def test_only_verdicts_that_are_named() -> None:
    assert [choice().wants(record(1, v)) for v in ("blocked", "masked", "flagged", "allowed")] == [
        True, False, True, False,
    ]  # fmt: skip


def test_beyond_the_rate_one_summary_stands_for_a_thousand_calls() -> None:
    found = choice()
    taken = [found.take(record(n, rule="a" if n % 2 else "b"), AT + n) for n in range(1, 1003)]
    assert [own for _, own in taken] == [True] * 2 + [False] * 1000
    assert all(closed is None for closed, _ in taken)
    (summary,) = found.over(AT + MINUTE)
    assert summary == CallsSummary(
        site="hq", why="rate", verdict="blocked", since="2026-11-21T10:00:00.000003+01:00",
        until="2026-11-21T10:00:00.001002+01:00", first_seq=3, last_seq=1002, calls=1000,
        rules={"a": 500, "b": 500}, sources={"pbx": 1000}, accrued_microeuros=30_000 * 1000,
        avoided_microeuros=2_500_050_001 * 1000,
    )  # fmt: skip
    assert found.windows == {}


def test_a_minute_is_not_over_before_its_end_and_says_nothing_where_there_is_nothing() -> None:
    found = choice()
    for n in range(1, 4):
        found.take(record(n), AT + n)
    assert found.over(AT + MINUTE - 1) == []
    assert [s.calls for s in found.over(AT + MINUTE)] == [1]
    assert found.over(AT + MINUTE) == []
    found.take(record(9), AT + 5 * MINUTE)
    assert found.over(AT + 6 * MINUTE) == []


def test_the_next_minute_closes_the_one_before_and_has_a_rate_of_its_own() -> None:
    found = choice()
    for n in range(1, 5):
        found.take(record(n), AT)
    closed, own = found.take(record(5), AT + MINUTE)
    assert own
    assert closed is not None
    assert (closed.calls, closed.first_seq, closed.last_seq) == (2, 3, 4)


def test_a_flood_of_one_verdict_does_not_hide_another() -> None:
    found = choice()
    for n in range(1, 50):
        found.take(record(n, "flagged"), AT)
    assert found.take(record(50, "blocked"), AT) == (None, True)


def test_a_call_that_was_held_counts_in_the_minute_that_runs() -> None:
    found = choice()
    found.take(record(1), AT + MINUTE)
    found.take(record(2), AT + MINUTE)
    assert found.take(record(3), AT + MINUTE - 1) == (None, False)


def test_a_clock_that_is_put_back_begins_anew() -> None:
    found = choice()
    for n in range(1, 5):
        found.take(record(n), AT)
    closed, own = found.take(record(5), AT - BACK)
    assert own
    assert closed is not None
    for n in range(6, 9):
        found.take(record(n), AT - BACK)
    assert [s.calls for s in found.over(AT - 3 * BACK)] == [2]


def test_who_goes_on_from_what_was_remembered_says_the_same() -> None:
    whole, first = choice(), choice()
    for n in range(1, 6):
        whole.take(record(n), AT)
        first.take(record(n), AT)
    second = choice(windows=first.windows)
    for n in range(6, 9):
        assert whole.take(record(n), AT) == second.take(record(n), AT)
    assert whole.over(AT + MINUTE) == second.over(AT + MINUTE)


def test_a_rate_of_nothing_sums_all_up() -> None:
    found = choice(rate=0)
    assert found.take(record(1), AT) == (None, False)
    assert [s.calls for s in found.over(AT + MINUTE)] == [1]


def test_a_summary_names_the_most_and_no_more() -> None:
    found = choice(rate=0)
    for n in range(1, 101):
        found.take(record(n, rule=f"cli.r{n % 40:02d}", source=f"s{n % 30:02d}"), AT)
    (summary,) = found.over(AT + MINUTE)
    assert len(summary.rules) == len(summary.sources) == NAMED
    assert min(summary.rules.values()) == 3
    assert "cli.r01" in summary.rules
    assert "cli.r39" not in summary.rules


def test_messages_that_are_given_up_are_added_up() -> None:
    first = merged("hq", None, alone(record(5, rule="a")))
    both = merged("hq", first, alone(record(9, "flagged", rule="b", source="dialler")))
    assert (both.why, both.verdict, both.calls, both.first_seq, both.last_seq) == ("full", None, 2, 5, 9)
    assert both.rules == {"a": 1, "b": 1}
    assert both.sources == {"dialler": 1, "pbx": 1}
    assert (both.accrued_microeuros, both.avoided_microeuros) == (60_000, 5_000_100_002)
