"""What the ledger asks of a log: also of calls that were erased, whose sums stay."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.ledger.lines import LedgerLine, joined, put_off, sums, total
from guard.ledger.penalties import By, Figures, Line, month_bounds, summarise
from guard.ledger.recount import Recount
from guard.store.contract import Query
from guard.store.money import (
    accrued_since,
    erased_decisions,
    erased_sums,
    fined_and_erased,
    kept_calls,
    ledger_lines,
    month_lines,
    surcharges,
)
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from tests.store.making import AT, CALLEE, SECOND, attempt, decision, ended, finding
from tests.store.making_log import DIGITS, PARIS, Call, verified, write

NOVEMBER = month_bounds("2026-11", PARIS)
WATCHED = decision("flagged", finding("cli.premium", mode="monitor"))
BLOCKED = decision("blocked", finding("cli.premium"))
OTHER = "+33148000000"


def erased(path: Path, *seqs: int) -> None:
    writer = SqliteWriter(path, site="hq", money={"operator": DIGITS})
    writer.erase(seqs, "request", AT)
    writer.close()


def written(path: Path) -> None:
    calls = [
        (attempt(0), WATCHED),
        (attempt(1), WATCHED),
        (attempt(2, caller=OTHER), BLOCKED),
        (attempt(3, caller=OTHER, at=AT + SECOND), WATCHED),
        (attempt(4), decision()),
    ]
    write(path, calls)


def test_the_sums_of_erased_calls_stay(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    written(path)
    with SqliteReader(path) as reader:
        before = total(ledger_lines(reader, *NOVEMBER))
    erased(path, 1, 3, 4)
    with SqliteReader(path) as reader:
        lines = list(ledger_lines(reader, *NOVEMBER))
        assert total(lines) == before
        assert lines == put_off(month_lines(reader, *NOVEMBER))
        groups = summarise(reader.exposures(*NOVEMBER), "trunk", PARIS)
        assert groups[-1] == before
        of_first = [one for one in lines if one.seq == 1]
        assert [(one.kind, one.amount, one.call_id) for one in of_first] == [
            ("per-attempt", 50_000, ""),
            ("per-number", 2_500_000_000, ""),
        ]
        assert erased_decisions(reader, *NOVEMBER) == 3
        assert erased_decisions(reader, 0, NOVEMBER[0]) == 0


def test_a_recount_believes_what_rests_on_erased_calls(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    written(path)
    erased(path, 1)
    with SqliteReader(path) as reader:
        bodies = [(d.record.seq, d.body) for d in reader.details(Query(all=True))]
        assert fined_and_erased(reader) == [("operator", AT)]
    blind = Recount({"operator": DIGITS})
    assert [d.seq for seq, body in bodies if (d := blind.take(seq, body)) is not None] == [2]
    told = Recount({"operator": DIGITS})
    told.erased("operator", AT)
    assert [d for seq, body in bodies if (d := told.take(seq, body)) is not None] == []
    assert told.unsure == 1
    other_month = Recount({"operator": DIGITS})
    other_month.erased("operator", AT - 40 * 86_400 * SECOND)
    assert [d.seq for seq, body in bodies if (d := other_month.take(seq, body)) is not None] == [2]


def test_calls_as_an_invoice_can_name_them(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    masked = decision("masked", finding("cli.premium", "mask"), presented="+33145678999", masked=True)
    hidden = replace(masked, presented="")
    calls = [
        (attempt(0), WATCHED),
        (attempt(1), BLOCKED),
        (attempt(2), masked),
        (attempt(3), hidden),
        (attempt(4, trunk="backup"), WATCHED),
        (attempt(5, at=AT - 40 * 86_400 * SECOND), WATCHED),
    ]
    write(path, calls)
    with SqliteReader(path) as reader:
        found = list(kept_calls(reader, *NOVEMBER, "operator"))
    caller = "+33145678900"
    assert [(k.callers, k.left, k.callee) for k in found] == [
        ((caller,), True, CALLEE),
        ((caller,), False, CALLEE),
        (("+33145678999", caller), True, CALLEE),
        (("", caller), True, CALLEE),
    ]
    assert [(k.accrued, k.avoided, k.per_number) for k in found][:2] == [
        (2_500_050_000, 0, 2_500_000_000),
        (0, 50_000, 0),
    ]


def test_what_accrued_comes_in_pages(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(n, at=AT + n), BLOCKED if n % 3 else WATCHED) for n in range(1600)])
    found: list[tuple[int, int, int]] = []
    with SqliteReader(path) as reader:
        while page := accrued_since(reader, AT + 3, found[-1][0] if found else 0):
            assert len(page) <= 500
            found += page
    assert len(found) == 1600 // 3
    assert {at for _, at, _ in found} == {AT + n for n in range(3, 1600, 3)}


# ---- totals are the sums of their lines, whatever was erased ---------------------------------------------------------

TARIFF: Figures = replace(DIGITS, origin_rate=120_000, origin_article="003 V-10.3", article="003 V-10.3")
FOREIGN = decision("flagged", finding("cli.territory", "flag"))
BOTH = decision("flagged", finding("cli.territory", "block", "monitor"))
TALKED = replace(ended(), talk_us=61 * SECOND)


def grouped(path: Path, by: By) -> tuple[list[Line], list[LedgerLine]]:
    """The sums as `guard penalties` makes them, and the lines as `guard penalties lines` does."""
    with SqliteReader(path) as reader:
        groups = summarise(reader.exposures(*NOVEMBER), by, PARIS)
        return joined(groups, sums(surcharges(reader, *NOVEMBER), by, PARIS)), list(ledger_lines(reader, *NOVEMBER))


def forgotten(path: Path, calls: set[int]) -> None:
    """Erase calls as retention and `guard subject erase` do: each decision with its end."""
    writer = SqliteWriter(path, site="hq", money={"operator": TARIFF})
    writer.erase(tuple(sorted(seq for n in calls for seq in (2 * n + 1, 2 * n + 2))), "request", AT)
    writer.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["+33145678900", OTHER, ""]), st.sampled_from([WATCHED, BLOCKED, FOREIGN, BOTH]))
    ),
    st.data(),
)
def test_totals_are_the_sums_of_their_lines_whatever_was_erased(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, object]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("money") / "guard.db"
    calls: list[Call] = [(attempt(n, caller=who), what, TALKED) for n, (who, what) in enumerate(drawn)]  # type: ignore[misc]
    write(path, calls, {"operator": TARIFF})
    _, before = grouped(path, "day")
    forgotten(path, data.draw(st.sets(st.integers(0, max(len(drawn) - 1, 0)))))
    assert verified(path).ok
    for by in get_args(By):
        groups, lines = grouped(path, by)
        assert groups[-1] == total(lines) == total(before)
        made = joined([], sums(lines, by, PARIS))
        if by not in {"number", "line"}:  # a number stands under its token in one, as it is in the other
            assert made == groups


def test_what_was_erased_stands_there_without_its_person(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), BOTH, TALKED), (attempt(1, caller=OTHER), FOREIGN, TALKED)], {"operator": TARIFF})
    forgotten(path, {0, 1})
    _, lines = grouped(path, "day")
    assert [(one.kind, one.amount, one.article, one.calls, one.line, one.call_id) for one in lines] == [
        ("per-attempt", 50_000, "003 V-10.3", 1, "", ""),
        ("per-number", 2_500_000_000, "003 V-10.3", 0, "", ""),
        ("undetermined-origin", 122_000, "003 V-10.3", 0, "", ""),
        ("undetermined-origin", 122_000, "003 V-10.3", 1, "", ""),
    ]
    assert all("+33" not in one.number for one in lines)
    with SqliteReader(path) as reader:
        assert erased_sums(reader, *NOVEMBER) == (2, 2_500_294_000, 0)
        assert erased_sums(reader, 0, NOVEMBER[0]) == (0, 0, 0)


def test_a_penalty_put_off_stays_put_off_when_the_call_that_avoided_it_is_erased(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), BLOCKED, ended("blocked")), (attempt(1), WATCHED, ended())], {"operator": TARIFF})
    forgotten(path, {0})
    groups, lines = grouped(path, "trunk")
    assert groups[-1] == total(lines) == Line(key="total", calls=2, numbers=1, accrued=2_500_050_000, avoided=50_000)
