"""What the ledger asks of a log: also of calls that were erased, whose sums stay."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from guard.ledger.lines import put_off, total
from guard.ledger.penalties import month_bounds, summarise
from guard.ledger.recount import Recount
from guard.store.contract import Query
from guard.store.money import accrued_since, erased_decisions, fined_and_erased, kept_calls, ledger_lines, month_lines
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from tests.store.making import AT, CALLEE, SECOND, attempt, decision, finding
from tests.store.making_log import DIGITS, PARIS, write

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
