"""Lines of the ledger: worked examples of each contract to the cent, and totals that are sums of lines, always."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from guard.ledger.lines import joined, put_off, sums, total
from guard.ledger.penalties import By, Figures, month_bounds, month_of, summarise
from guard.ledger.tally import Tally
from guard.model import CallEnded
from guard.policy.money import figures_of
from guard.store.money import ledger_lines, month_lines, surcharges
from guard.store.reader import SqliteReader
from tests.ledger.drawing import DAY, DAYS, TRUNKS, Call
from tests.policy.reading import contracts
from tests.store.making import AT, SECOND, attempt, decision, ended, finding
from tests.store.making_log import PARIS, write
from tests.test_config import GOOD, loaded

BLOCKED = decision("blocked", finding("cli.automated-range"))
WATCHED = decision("flagged", finding("cli.automated-range", mode="monitor"))
FOREIGN = decision("flagged", finding("cli.territory", "flag"))
OTHER: Final = "+33612345678"


def talked(seconds: float) -> CallEnded:
    return replace(ended(), talk_us=int(seconds * SECOND))


# Ten calls of two numbers that left, three of one of these that the guard stopped: the first of them before any left.
STORY: Final[list[Call]] = [
    (attempt(0, caller=OTHER), BLOCKED),
    *((attempt(n, at=AT + n * SECOND), WATCHED) for n in range(1, 9)),
    (attempt(9, caller=OTHER, at=AT + 9 * SECOND), WATCHED),
    (attempt(10, at=AT + DAY), WATCHED),
    (attempt(11, at=AT + DAY), BLOCKED),
    (attempt(12, at=AT + DAY, caller="+33148000000"), BLOCKED),
    (attempt(13, at=AT + DAY, caller=""), BLOCKED),
]

# contract, reading, accrued and avoided in euro cents: 2 numbers and 10 calls accrued, 1 number and 4 calls avoided
WORKED = [
    ("technicophone-sip-trunk", "digits", 2 * 250_000 + 10 * 5, 250_000 + 4 * 5, "IV-10.3"),
    ("technicophone-sip-trunk", "words", 2 * 200_000 + 10 * 2, 200_000 + 4 * 2, "IV-10.3"),
    ("technicophone-centrex", "digits", 500_050, 250_020, "V-10.3"),
    ("technicophone-centrex", "words", 400_020, 200_008, "V-10.3"),
    ("technicophone-mobile", "digits", 400_020, 200_008, "IX-11.3"),
    ("technicophone-mobile", "words", 400_020, 200_008, "IX-11.3"),
    ("technicophone-sva", "digits", 400_020, 200_008, "XII-11.3"),
    ("technicophone-vga", "digits", 0, 0, ""),
    ("technicophone-preselection", "digits", 0, 0, ""),
    ("technicophone-contact", "digits", 0, 0, ""),
    ("techcrea-centrex", "digits", 0, 0, ""),
    ("expert-telecom-sip-trunk", "digits", 0, 0, ""),
    ("easy2phone", "digits", 0, 0, ""),
    ("crossing-telecom", "digits", 0, 0, ""),
]


def figures(folder: Path, contract: str, reading: str = "digits", *, tariff: str = "0") -> dict[str, Figures]:
    more = f'contract = "{contract}"\nreading = "{reading}"\nundetermined_origin = {tariff}\n'
    config = loaded(folder, text=GOOD.replace('name = "operator"\n', f'name = "operator"\n{more}', 1))
    return figures_of(config, contracts())


@pytest.mark.parametrize(("contract", "reading", "accrued", "avoided", "article"), WORKED)
def test_worked_examples(tmp_path: Path, contract: str, reading: str, accrued: int, avoided: int, article: str) -> None:
    path = tmp_path / "guard.db"
    write(path, STORY, figures(tmp_path, contract, reading))
    with SqliteReader(path) as reader:
        lines = put_off(month_lines(reader, *month_bounds("2026-11", PARIS)))
    whole = total(lines)
    assert (whole.accrued, whole.avoided) == (accrued * 10_000, avoided * 10_000)
    assert {one.article for one in lines} == ({f"003_742b69a7556570e9.txt {article}"} if article else set())
    assert {(one.contract, one.reading) for one in lines} == ({(contract, reading)} if article else set())
    assert all(one.call_id and one.seq and one.rule == "cli.automated-range" for one in lines)
    assert (whole.calls, whole.numbers) == ((14, 3) if article else (0, 0))


@pytest.mark.parametrize(
    ("seconds", "micros"),
    [(0, 0), (0.4, 2_000), (1, 2_000), (59.2, 120_000), (60, 120_000), (61, 122_000), (3_600, 7_200_000)],
)
def test_the_tariff_of_undetermined_origin_is_by_the_second(tmp_path: Path, seconds: float, micros: int) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), FOREIGN, talked(seconds))], figures(tmp_path, "technicophone-mobile", tariff="0.12"))
    with SqliteReader(path) as reader:
        lines = list(month_lines(reader, *month_bounds("2026-11", PARIS)))
    assert [(one.kind, one.state, one.amount) for one in lines] == (
        [("undetermined-origin", "accrued", micros)] if micros else []
    )
    assert all(one.article == "003_742b69a7556570e9.txt IX-11.3" and one.calls == 1 for one in lines)


def test_a_third_of_a_cent_is_rounded_up_to_a_micro_euro(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(0), FOREIGN, talked(1))], figures(tmp_path, "technicophone-mobile", tariff="0.1"))
    with SqliteReader(path) as reader:
        (line,) = month_lines(reader, *month_bounds("2026-11", PARIS))
    assert line.amount == 1_667


def test_the_tariff_comes_on_top_of_the_penalties_of_a_call_that_left(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    watched = decision("flagged", finding("cli.territory", "block", "monitor"))
    refused = decision("blocked", finding("cli.territory"))
    hidden = decision("masked", finding("cli.territory", "mask"), masked=True)
    calls: list[Call] = [(attempt(n), d, talked(60)) for n, d in enumerate((watched, refused, hidden))]
    write(path, calls, figures(tmp_path, "technicophone-centrex", tariff="0.12"))
    with SqliteReader(path) as reader:
        lines = list(month_lines(reader, *month_bounds("2026-11", PARIS)))
        (alone,) = surcharges(reader, *month_bounds("2026-11", PARIS))
    assert [(one.seq, one.kind, one.state, one.amount, one.calls) for one in lines] == [
        (1, "per-attempt", "accrued", 50_000, 1),
        (1, "per-number", "accrued", 2_500_000_000, 0),
        (1, "undetermined-origin", "accrued", 120_000, 0),
        (3, "per-attempt", "avoided", 50_000, 1),
        (5, "per-attempt", "avoided", 50_000, 1),
    ]
    assert alone == lines[2]


def test_a_number_that_counts_for_good_is_fined_in_its_first_month_only(tmp_path: Path) -> None:
    terms = {name: replace(f, period="ever") for name, f in figures(tmp_path, "technicophone-mobile").items()}
    path = tmp_path / "guard.db"
    write(path, [(attempt(n, at=AT + n * 31 * DAY), WATCHED) for n in range(3)], terms)
    months = ("2026-11", "2026-12", "2027-01")
    with SqliteReader(path) as reader:
        found = [total(put_off(month_lines(reader, *month_bounds(m, PARIS)))).accrued for m in months]
    assert found == [2_000_020_000, 20_000, 20_000]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DAYS)
def test_totals_are_the_sums_of_their_lines_and_the_same_by_every_way(day: list[Call]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "guard.db"
        write(path, day, TRUNKS)
        months = {month_of(call.at, PARIS) for call, *_ in day}
        with SqliteReader(path) as reader:
            for month in months:
                bounds = month_bounds(month, PARIS)
                lines = put_off(month_lines(reader, *bounds))
                assert list(ledger_lines(reader, *bounds)) == lines
                whole = total(lines)
                tally = Tally(PARIS)
                for line in lines:
                    tally.add(line)
                assert tally.total == whole
                more = list(surcharges(reader, *bounds))
                assert more == [one for one in lines if one.kind == "undetermined-origin"]
                for by in get_args(By):
                    groups = joined(summarise(reader.exposures(*bounds), by, PARIS), sums(more, by, PARIS))
                    assert groups[-1] == whole
                    mine = sums(lines, by, PARIS)
                    assert tally.by(by) == [mine[key] for key in sorted(mine)]
                    assert sorted(mine) == sorted(g.key for g in groups[:-1] if g.calls or g.accrued or g.avoided)
                    for group in groups[:-1]:
                        assert mine.get(group.key, group) == group
