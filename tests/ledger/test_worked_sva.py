"""An SVA number from the first repeated call to the repeat within a year, to the cent: 003 XII-11.3 and XII-13.1."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.ledger.incidents import Event, Letter, Step, costs
from guard.ledger.lines import LedgerLine
from guard.ledger.penalties import Figures, month_bounds
from guard.ledger.sightings import Sighting
from guard.policy.money import incident_terms
from guard.store.books import Books
from guard.store.money import ledger_lines
from guard.store.reader import SqliteReader
from tests.ledger.test_lines import figures
from tests.policy.reading import IDS, contracts
from tests.store.making import attempt, decision, finding
from tests.store.making_log import PARIS, write

SVA = "+33899123456"
ARTICLE = "003_742b69a7556570e9.txt XII-13.1"
REPEATED = decision("flagged", finding("dst.sva-repeated", "block", "monitor"))


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp()) * 1_000_000


class Story:
    """The books of a trunk under one contract."""

    def __init__(self, folder: Path, contract: str) -> None:
        self.books = Books(folder / "guard.db", PARIS)
        self.terms = incident_terms(contracts()[contract])

    def seen(self, when: str, *, reached: bool = True) -> int:
        sighting = Sighting(
            subject_kind="sva", subject=SVA, trunk="operator", rule="dst.sva-repeated", at=at(when), reached=reached,
            text="11 calls in 60 minutes", terms=self.terms,
        )  # fmt: skip
        return self.books.seen([sighting])[0][0].id

    def step(self, incident: int, name: Step, when: str, letter: Letter = "") -> None:
        self.books.step(Event(step=name, at=at(when), written=at(when), incident=incident, letter=letter))

    def lines(self, now: str) -> list[LedgerLine]:
        return [line for i in self.books.incidents().values() for line in costs(i, at(now), PARIS)]

    def cents(self, now: str) -> list[tuple[str, str, int]]:
        return [(line.kind, line.state, line.amount // 10_000) for line in self.lines(now)]


def test_a_year_with_one_sva_number(tmp_path: Path) -> None:
    s = Story(tmp_path, "technicophone-sva")
    first = s.seen("2026-11-02T10:00")  # a Monday
    assert s.cents("2026-11-02T10:01") == [("sva-number", "accrued", 500_000)]
    s.step(first, "notify", "2026-11-05T16:00", "breach")  # a Thursday: 11 November is a holiday
    assert s.cents("2026-11-13T23:59") == [("sva-number", "accrued", 500_000)]
    late = ("sva-not-put-right", "accrued", 1_000_000)
    assert s.cents("2026-11-14T00:00") == [("sva-number", "accrued", 500_000), late]
    s.step(first, "resolve", "2026-11-16T09:00")
    assert sum(line.amount for line in s.lines("2027-11-01T00:00")) == 15_000_000_000
    again = s.seen("2027-11-16T23:59")  # the last day of the year since it was put right
    assert again != first
    assert s.cents("2027-11-17T00:00")[2:] == [
        ("sva-number", "accrued", 500_000),
        ("sva-repeated-in-a-year", "accrued", 1_000_000),
    ]
    assert {line.article for line in s.lines("2027-11-17T00:00")} == {ARTICLE}
    assert {line.contract for line in s.lines("2027-11-17T00:00")} == {"technicophone-sva"}
    assert sum(line.amount for line in s.lines("2027-11-17T00:00")) == 30_000_000_000


def test_a_year_and_a_day_later_it_is_no_repeat(tmp_path: Path) -> None:
    s = Story(tmp_path, "technicophone-sva")
    s.step(s.seen("2026-11-02T10:00"), "resolve", "2026-11-16T09:00")
    s.seen("2027-11-17T00:00")
    assert [kind for kind, _, _ in s.cents("2027-12-01T00:00")] == ["sva-number", "sva-number"]


def test_put_right_in_time_and_stopped_by_the_guard(tmp_path: Path) -> None:
    s = Story(tmp_path, "technicophone-sva")
    first = s.seen("2026-11-02T10:00", reached=False)
    assert s.cents("2026-11-03T00:00") == [("sva-number", "avoided", 500_000)]
    s.step(first, "notify", "2026-11-05T16:00", "breach")
    s.step(first, "resolve", "2026-11-13T23:59")
    assert s.cents("2027-01-01T00:00") == [("sva-number", "accrued", 500_000)]  # the operator knows of it


def test_the_calls_themselves_cost_beside_it(tmp_path: Path) -> None:
    """XII-11.3: 2 000 EUR a calling number and 0.02 EUR a call, before tax, beside the 5 000 EUR of XII-13.1."""
    by_trunk: dict[str, Figures] = figures(tmp_path, "technicophone-sva")
    path = tmp_path / "guard.db"
    write(path, [(attempt(n, callee=SVA), REPEATED) for n in range(11)], by_trunk)
    with SqliteReader(path) as reader:
        lines = list(ledger_lines(reader, *month_bounds("2026-11", PARIS)))
    assert sum(line.amount for line in lines) == 2_000_000_000 + 11 * 20_000
    assert {line.article for line in lines} == {"003_742b69a7556570e9.txt XII-11.3"}


@pytest.mark.parametrize("name", IDS)
def test_only_one_contract_fixes_a_penalty_for_an_sva_number(tmp_path: Path, name: str) -> None:
    s = Story(tmp_path, name)
    s.step(s.seen("2026-11-02T10:00"), "resolve", "2026-11-03T10:00")
    s.seen("2026-12-01T10:00")
    assert bool(s.lines("2027-06-01T00:00")) == (name == "technicophone-sva")


def test_by_words_as_by_digits(tmp_path: Path) -> None:
    contract = contracts()["technicophone-sva"]
    assert replace(incident_terms(contract, "words"), reading="digits") == incident_terms(contract)
