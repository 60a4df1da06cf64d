"""A recount from the log gives the ledger that was written, whatever happened; and what was changed is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from guard.ledger.penalties import Figures
from guard.ledger.recount import Difference, Recount
from guard.model import Decision
from tests.ledger.drawing import DAYS, FOR_GOOD, TRUNKS, Call
from tests.store.making import attempt, decision, finding
from tests.store.making_log import details, write

BLOCKED = decision("blocked", finding("cli.premium"))
WATCHED = decision("flagged", finding("cli.premium", mode="monitor"))


def recounted(path: Path, figures: Mapping[str, Figures] = TRUNKS) -> tuple[Recount, list[Difference]]:
    count = Recount(figures)
    found = [count.take(d.record.seq, d.body) for d in details(path)]
    return count, [f for f in found if f is not None]


@pytest.mark.parametrize("figures", [TRUNKS, FOR_GOOD], ids=["month", "ever"])
def test_a_recount_gives_what_was_written(figures: Mapping[str, Figures]) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(DAYS)
    def holds(day: list[Call]) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "guard.db"
            write(path, day, figures)
            count, differences = recounted(path, figures)
            assert differences == []
            assert count.calls == len(day)
            bodies = [d.body.money for d in details(path)]
            assert (count.accrued, count.avoided) == (sum(m.accrued for m in bodies), sum(m.avoided for m in bodies))

    holds()


def test_what_comes_out_otherwise_is_named(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), BLOCKED), (attempt(1), WATCHED), (attempt(2, trunk="backup"), decision())], TRUNKS)
    other = {**TRUNKS, "operator": replace(TRUNKS["operator"], per_attempt=20_000, reading="words")}
    count, differences = recounted(path, other)
    assert [(d.seq, d.fields) for d in differences] == [
        (1, ("avoided", "per_attempt", "reading")),
        (2, ("accrued", "per_attempt", "reading")),
    ]
    assert (count.avoided, count.accrued) == (2_500_020_000, 2_500_020_000)
    assert differences[0].written.avoided == 2_500_050_000


def test_a_trunk_that_is_gone_is_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), BLOCKED)], TRUNKS)
    _, (difference,) = recounted(path, {})
    assert (difference.trunk, difference.counted.avoided) == ("operator", 0)


def test_a_call_given_up_while_it_was_held_costs_nothing_in_either(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), replace(WATCHED, held_until=5)), (attempt(1), WATCHED)], TRUNKS)
    count, differences = recounted(path)
    assert differences == []
    assert [d.body.withdrawn for d in details(path)] == [True, False]
    assert count.accrued == 2_500_050_000


@pytest.mark.parametrize(
    ("decisions", "fined"), [((WATCHED, BLOCKED), [True, False]), ((BLOCKED, WATCHED, BLOCKED), [True, True, False])]
)
def test_a_penalty_that_accrued_is_not_avoided_any_more(
    tmp_path: Path, decisions: tuple[Decision, ...], fined: list[bool]
) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(n), d) for n, d in enumerate(decisions)], TRUNKS)
    assert [d.body.money.per_number > 0 for d in details(path)] == fined
    assert recounted(path)[1] == []
