"""Money: who owes what, once a number and month, whatever the grouping; integers only."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.ledger.penalties import (
    By,
    Exposure,
    Figures,
    Line,
    assess,
    month_bounds,
    month_of,
    period_of,
    summarise,
)
from guard.model import CallAttempt, Decision, Finding, Identity
from guard.numbering.number import NONE, Number
from tests.store.making import AT, CALLER, SECOND, attempt, decision, finding, number
from tests.store.making_log import DIGITS, PARIS, details, write

WORDS = replace(DIGITS, per_number=2_000_000_000, per_attempt=20_000, reading="words")
GROUPS: tuple[By, ...] = ("rule", "number", "trunk", "line", "day")
PREMIUM = finding("cli.premium")


def paris(*when: int) -> int:
    """An instant by the clock on the wall in Paris, in microseconds."""
    return int(datetime(*when, tzinfo=PARIS).astimezone(UTC).timestamp()) * SECOND  # type: ignore[arg-type,misc]


def owed(call: CallAttempt, decided: Decision, figures: Figures = DIGITS) -> tuple[str, str] | None:
    stake = assess(call, decided, figures)
    return (stake.state, stake.rule) if stake else None


@pytest.mark.parametrize(
    ("decided", "wanted"),
    [
        (decision(), None),
        (decision("blocked", PREMIUM), ("avoided", "cli.premium")),
        (decision("allowed", finding("cli.premium", mode="monitor")), ("accrued", "cli.premium")),
        (decision("flagged", finding("cli.premium", "flag")), None),  # asks for a look, is no breach
        (decision("masked", finding("cli.premium", "mask"), masked=True), ("accrued", "cli.premium")),
        (decision("blocked", finding("rate.cps")), None),
        (decision("blocked", finding("limit.channels")), None),
        (decision("blocked", finding("rate.cps"), PREMIUM), ("avoided", "cli.premium")),
        (decision("blocked", finding("cli.mobile"), PREMIUM), ("avoided", "cli.mobile")),  # one call, one stake
        (replace(decision("flagged", PREMIUM), held_until=5), None),  # withdrawn while held: never left
        (decision("blocked", finding("source.unknown")), None),
    ],
)
def test_what_a_call_puts_at_stake(decided: Decision, wanted: tuple[str, str] | None) -> None:
    assert owed(attempt(), decided) == wanted


def test_a_mask_may_put_things_right_by_setting() -> None:
    lenient = replace(DIGITS, mask_accrues=False)
    mask = finding("cli.premium", "mask")
    assert owed(attempt(), decision("masked", mask, masked=True), lenient) == ("avoided", "cli.premium")
    # Where a second breach was not put right, the call went out as a breach all the same.
    other = finding("cli.mobile", "block", "monitor")
    assert owed(attempt(), decision("masked", mask, other, masked=True), lenient) == ("accrued", "cli.premium")


def test_limits_and_emergency_calls_cost_nothing_whatever_a_contract_says() -> None:
    greedy = replace(DIGITS, rules=("*",))
    for rule in ("rate.cps", "limit.channels", "quota.minutes", "dst.emergency"):
        assert owed(attempt(), decision("blocked", finding(rule)), greedy) is None
    assert owed(attempt(emergency="112"), decision("allowed", finding("cli.premium", mode="monitor"))) is None
    assert owed(attempt(), decision("blocked", finding("source.unknown")), greedy) == ("avoided", "source.unknown")


def test_rules_of_a_contract_by_name_and_by_beginning() -> None:
    one = replace(DIGITS, rules=("cli.premium",))
    assert owed(attempt(), decision("blocked", finding("cli.premium-band")), one) is None
    assert owed(attempt(), decision("blocked", PREMIUM), one) == ("avoided", "cli.premium")


def test_the_number_that_is_fined() -> None:
    pai = Identity("pai", number("+33145678911"))
    hidden = Identity("from", Number("", "anonymous", "anonymous"))
    broken = Number("", "malformed", "12345678901234567890", "too-long")

    def fined(call: CallAttempt) -> str:
        stake = assess(call, decision("blocked", PREMIUM), DIGITS)
        assert stake is not None
        return stake.number

    assert fined(attempt(identities=(pai,))) == CALLER
    assert fined(replace(attempt(identities=(pai,)), caller=Number("", "anonymous", "anonymous"))) == "+33145678911"
    assert fined(replace(attempt(identities=(hidden, pai)), caller=NONE)) == "+33145678911"
    assert fined(replace(attempt(), caller=broken)) == broken.raw
    assert fined(replace(attempt(), caller=NONE)) == ""


def test_the_two_readings(tmp_path: Path) -> None:
    for figures, first, second in ((DIGITS, 250_005, 5), (WORDS, 200_002, 2)):
        path = tmp_path / f"{figures.reading}.db"
        write(path, [(attempt(n), decision("blocked", PREMIUM)) for n in range(2)], {"operator": figures})
        found = details(path)
        assert [d.record.avoided_cents for d in found] == [first, second]
        assert {(d.body.money.reading, d.body.money.contract) for d in found} == {
            (figures.reading, "technicophone-sip-trunk")
        }


BORDERS = [
    (paris(2026, 11, 30, 23, 59, 59), "2026-11"),
    (paris(2026, 12, 1), "2026-12"),
    (paris(2026, 12, 1) - 1, "2026-11"),
    (paris(2026, 4, 1), "2026-04"),  # summer time since 29 March: one hour before, by UTC, than in winter
    (paris(2026, 4, 1) - 1, "2026-03"),
    (paris(2026, 11, 1), "2026-11"),  # winter time since 25 October
    (paris(2026, 11, 1) - 1, "2026-10"),
    (paris(2027, 1, 1) - 1, "2026-12"),
]


@pytest.mark.parametrize(("at", "month"), BORDERS)
def test_billing_months_begin_at_midnight_in_paris(at: int, month: str) -> None:
    assert month_of(at, PARIS) == month
    assert period_of(at, DIGITS) == month
    first, after = month_bounds(month, PARIS)
    assert first <= at < after


def test_months_follow_each_other_without_gap_or_overlap_through_both_changes_of_the_clock() -> None:
    months = [f"2026-{m:02d}" for m in range(1, 13)] + ["2027-01"]
    for before, month in pairwise(months):
        assert month_bounds(before, PARIS)[1] == month_bounds(month, PARIS)[0]
    hour = 3600 * SECOND
    length = {m: (b - a) // hour for m in ("2026-03", "2026-10") for a, b in [month_bounds(m, PARIS)]}
    assert length == {"2026-03": 31 * 24 - 1, "2026-10": 31 * 24 + 1}
    assert month_bounds("2026-11", PARIS)[0] == 1_793_487_600 * SECOND  # 31 October, 23:00 UTC
    for bad in ("2026-13", "2026", "x"):
        with pytest.raises(ValueError, match=r"does not match|unconverted"):
            month_bounds(bad, PARIS)


def costs(path: Path) -> list[int]:
    return [d.body.money.per_number for d in details(path)]


def test_a_number_is_fined_once_a_billing_month(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    times = [paris(2026, 11, 30, 23, 59, 59), paris(2026, 12, 1) - 1, paris(2026, 12, 1), paris(2026, 12, 31)]
    write(path, [(attempt(n, at=t), decision("blocked", PREMIUM)) for n, t in enumerate(times)])
    write(path, [(attempt(9, at=paris(2026, 12, 31)), decision("blocked", PREMIUM))])  # the next run of the guard
    amount = DIGITS.per_number
    assert costs(path) == [amount, 0, amount, 0, 0]


def test_a_number_is_fined_once_for_good_by_setting(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    ever = {"operator": replace(DIGITS, period="ever")}
    times = [paris(2026, 11, 30), paris(2026, 12, 1), paris(2027, 12, 1)]
    write(path, [(attempt(n, at=t), decision("blocked", PREMIUM)) for n, t in enumerate(times)], ever)
    assert costs(path) == [DIGITS.per_number, 0, 0]


def test_each_number_and_each_trunk_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    blocked = decision("blocked", PREMIUM)
    calls = [
        (attempt(1), blocked),
        (attempt(2, caller="+33145678901"), blocked),
        (attempt(3, trunk="backup"), blocked),
        (attempt(4, trunk="other"), blocked),  # has no contract that fines
        (attempt(5, caller=""), blocked),  # no number: the attempt alone
    ]
    write(path, calls, {"operator": DIGITS, "backup": WORDS})
    assert costs(path) == [DIGITS.per_number, DIGITS.per_number, WORDS.per_number, 0, 0]
    assert [d.body.money.per_attempt for d in details(path)] == [50_000, 50_000, 20_000, 0, 50_000]


def test_what_has_accrued_can_no_longer_be_avoided_and_what_accrues_was_not_avoided(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    blocked, passed = decision("blocked", PREMIUM), decision("allowed", finding("cli.premium", mode="monitor"))
    write(path, [(attempt(n), d) for n, d in enumerate([blocked, passed, blocked])])
    write(path, [(attempt(n), d) for n, d in enumerate([blocked, passed], 3)])  # the next run of the guard
    amount = DIGITS.per_number
    assert costs(path) == [amount, amount, 0, 0, 0]  # each record says what was so at its instant
    from guard.store.reader import SqliteReader

    with SqliteReader(path) as reader:
        (one, total) = summarise(reader.exposures(0, AT * 2), "number", PARIS)
    assert (one.key, one.calls, one.numbers) == (CALLER, 5, 1)
    assert (one.accrued, one.avoided) == (amount + 100_000, 150_000)
    assert (total.accrued, total.avoided, total.numbers) == (one.accrued, one.avoided, 1)


def test_what_accrued_before_a_restart_is_not_avoided_after_it(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), decision("allowed", finding("cli.premium", mode="monitor")))])
    write(path, [(attempt(1), decision("blocked", PREMIUM))])
    assert costs(path) == [DIGITS.per_number, 0]


def test_days_are_those_of_the_zone() -> None:
    late = exposure(at=paris(2026, 3, 29, 23, 30), accrued=1, trunk="t")
    assert [x.key for x in summarise([late], "day", PARIS)] == ["2026-03-29", "total"]
    assert [x.key for x in summarise([late], "day", ZoneInfo("Indian/Reunion"))] == ["2026-03-30", "total"]


def exposure(*, at: int = AT, accrued: int = 0, avoided: int = 0, per_number: int = 0, trunk: str = "") -> Exposure:
    return Exposure(
        at=at,
        trunk=trunk,
        line="",
        number="",
        rule="cli.premium",
        accrued=accrued,
        avoided=avoided,
        per_number=per_number,
        contract="c",
        reading="digits",
    )


@st.composite
def exposures(draw: st.DrawFn) -> list[Exposure]:
    """One month's, as a log can hold them: of each trunk and number at most one per-number penalty a state."""
    found, owed_already = [], set()
    for _ in range(draw(st.integers(0, 30))):
        number_, trunk = draw(st.sampled_from(["", "+331", "+332"])), draw(st.sampled_from(["a", "b"]))
        state, attempt_ = draw(st.sampled_from(["accrued", "avoided"])), draw(st.integers(1, 10**7))
        key = (trunk, number_, state)
        per_number = draw(st.integers(0, 10**10)) if number_ and key not in owed_already else 0
        if per_number:
            owed_already.add(key)
        amount = attempt_ + per_number
        found.append(
            Exposure(
                at=AT + draw(st.integers(-9, 9)) * 86_400 * SECOND,
                trunk=trunk,
                line=draw(st.sampled_from(["", "1", "total"])),
                number=number_,
                rule=draw(st.sampled_from(["cli.premium", "cli.mobile"])),
                accrued=amount if state == "accrued" else 0,
                avoided=amount if state == "avoided" else 0,
                per_number=per_number,
                contract="c",
                reading="digits",
            )
        )
    return found


def columns(line: Line) -> tuple[int, int, int, int]:
    return line.calls, line.numbers, line.accrued, line.avoided


@settings(max_examples=80, deadline=None)
@given(found=exposures(), seed=st.randoms(use_true_random=False))
def test_groups_sum_to_the_total_which_no_grouping_and_no_order_changes(found: list[Exposure], seed: object) -> None:
    totals = set()
    for by in GROUPS:
        *groups, total = summarise(found, by, PARIS)
        assert total.key == "total"
        assert columns(total) == tuple(map(sum, zip(*map(columns, groups), strict=True))) or not groups
        assert all(type(v) is int and v >= 0 for line in (*groups, total) for v in columns(line))
        shuffled = list(found)
        seed.shuffle(shuffled)  # type: ignore[attr-defined]
        assert summarise(shuffled, by, PARIS) == [*groups, total]
        totals.add(columns(total))
    assert len(totals) == 1
    assert total.calls == len(found)
    assert total.accrued == sum(e.accrued for e in found)
    late = {(e.trunk, e.number) for e in found if e.per_number and e.accrued}
    off = sum(e.per_number for e in found if e.avoided and (e.trunk, e.number) in late)
    assert total.avoided == sum(e.avoided for e in found) - off


def test_money_of_the_ledger_is_integers() -> None:
    stake = assess(attempt(), Decision(verdict="blocked", findings=(PREMIUM,), rule="cli.premium"), DIGITS)
    assert stake is not None
    for first in (True, False):
        money = stake.money(first=first)
        assert all(type(v) is int for v in (money.accrued, money.avoided, money.per_attempt, money.per_number))
    assert isinstance(PREMIUM, Finding)
