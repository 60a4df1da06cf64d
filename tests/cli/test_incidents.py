"""guard incidents: worked from the first sight to the end, with letters, deadlines and what a miss costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Guard, Ran
from tests.test_config import GOOD

SVA = "+33899123456"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    text = GOOD.replace('name = "operator"\n', 'name = "operator"\ncontract = "technicophone-sva"\n', 1)
    (tmp_path / "guard.toml").write_text(text + '\n[store]\npath = "guard.db"\n', encoding="utf-8")
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7 letter")
    return tmp_path


def work(guard: Guard, site: Path, *words: str | Path) -> Ran:
    return guard("incidents", *words, "-c", site / "guard.toml")


def opened(guard: Guard, site: Path, *more: str) -> Ran:
    return work(
        guard, site, "open", SVA, "--kind", "sva", "--rule", "traffic.ping-call", "--at", "2026-11-02T10:00", *more
    )


def test_from_the_first_sight_to_the_end(guard: Guard, site: Path) -> None:
    assert opened(guard, site).out == "INC-1 is open\n"
    letter = ("--letter", "breach", "--at", "2026-11-03T09:00", "--document", site / "letter.pdf", "--text", "e-mail")
    assert work(guard, site, "notify", "INC-1", *letter).out == "INC-1 is notified\n"
    (found,) = work(guard, site, "--json").objects()
    assert (found["id"], found["state"], found["subject"], found["trunk"]) == ("INC-1", "notified", SVA, "operator")
    (clock,) = found["deadlines"]
    assert (clock["due"], clock["missed"]) == ("2026-11-10T23:59:59.999999+01:00", True)
    assert clock["article"] == "003_742b69a7556570e9.txt XII-13.1"
    assert (found["accrued_microeuros"], found["at_stake_microeuros"]) == (15_000_000_000, 0)
    document = found["events"][1]["document"]
    assert (document["name"], document["size"]) == ("letter.pdf", 15)
    assert (site / "guard.db-files" / document["kept"]).read_bytes() == b"%PDF-1.7 letter"
    shown = work(guard, site, "show", "1").out
    wanted = (
        "INC-1: sva +33899123456, notified",
        "due 2026-11-10 23:59  breach: missed; 10,000.00 EUR",
        "accrued 5,000.00 EUR  sva-number",
        "accrued 10,000.00 EUR  sva-not-put-right",
        document["sha256"],
    )
    for text in wanted:
        assert text in shown
    assert work(guard, site, "resolve", "1", "--at", "2026-11-12").out == "INC-1 is resolved\n"
    assert work(guard, site).out == "none is open\n"
    assert work(guard, site, "list", "--all", "--json").objects()[0]["state"] == "resolved"


def test_its_costs_are_in_the_ledger(guard: Guard, site: Path) -> None:
    from guard.store.sqlite import SqliteWriter

    SqliteWriter(site / "guard.db", site="hq").close()
    opened(guard, site)
    ran = guard("penalties", "-c", site / "guard.toml", "--month", "2026-11", "--json")
    assert ran.objects() == [
        {"key": "traffic.ping-call", "calls": 0, "numbers": 0, "accrued_cents": 500_000, "avoided_cents": 0},
        {"key": "total", "calls": 0, "numbers": 0, "accrued_cents": 500_000, "avoided_cents": 0},
    ]
    (line,) = guard("penalties", "lines", "-c", site / "guard.toml", "--month", "2026-11", "--json").objects()
    assert (line["incident"], line["kind"], line["number"]) == ("INC-1", "sva-number", SVA)
    for month in ("2026-10", "2026-12"):
        assert guard("penalties", "lines", "-c", site / "guard.toml", "--month", month, "--json").out == ""
    work(guard, site, "release", "1")
    assert guard("penalties", "lines", "-c", site / "guard.toml", "--month", "2026-11", "--json").out == ""


def test_a_number_is_one_subject_however_it_is_written(guard: Guard, site: Path) -> None:
    work(guard, site, "open", "01 45 67 89 01")
    assert work(guard, site, "--json").objects()[0]["subject"] == "+33145678901"
    ran = work(guard, site, "open", "+33 1 45 67 89 01")
    assert (ran.status, "INC-1 is open for +33145678901 already" in ran.err) == (1, True)
    ran = work(guard, site, "open", "alice")
    assert (ran.status, '"alice" is no telephone number' in ran.err) == (2, True)


def test_the_nearest_deadline_comes_first(guard: Guard, site: Path) -> None:
    work(guard, site, "open", "200", "--kind", "line")
    opened(guard, site, "--avoided")
    work(guard, site, "notify", "2", "--letter", "question")
    first, second = work(guard, site, "--json").objects()
    assert (first["id"], second["id"]) == ("INC-2", "INC-1")
    assert first["deadlines"][0]["missed"] is False
    lines = work(guard, site).out.splitlines()
    assert lines[1].startswith("INC-2")
    assert "question by " in lines[1]


def test_a_second_one_of_the_same_subject_is_a_repeat(guard: Guard, site: Path) -> None:
    opened(guard, site)
    again = opened(guard, site)
    assert (again.status, again.out) == (1, "")
    assert "INC-1 is open for +33899123456 already" in again.err
    work(guard, site, "resolve", "1", "--at", "2026-11-02T11:00")
    (found,) = work(guard, site, "open", SVA, "--kind", "sva", "--at", "2026-11-20", "--json").objects()
    assert (found["state"], found["repeats"], found["accrued_microeuros"]) == ("repeated", "INC-1", 15_000_000_000)


def test_masked_for_those_who_may_not_see_numbers(guard: Guard, site: Path) -> None:
    opened(guard, site, "--text", "0899123456 rings once")
    shown = work(guard, site, "--json", "--numbers", "masked").out
    assert SVA not in shown
    assert "0899123456" not in shown
    assert "+3389912****" in shown


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["show", "7"], 1, 'guard: no incident "7"'),
        (["show", "x"], 1, 'no incident "x"'),
        (["resolve", "INC-9"], 1, 'no incident "INC-9"'),
        (["open", "1", "--kind", "svaa"], 2, 'did you mean "sva"'),
        (["open", " "], 2, "an incident is of something"),
        (["open", "1", "--trunk", "x"], 2, 'no [[trunk]] "x"'),
        (["open", "1", "--at", "2999-01-01"], 2, "still to come"),
        (["open", "1", "--at", "0001-01-01"], 2, "out of range"),
        (["open", "1", "--document", "none.pdf"], 1, "none.pdf"),
        (["answer", "1"], 1, "no letter has come"),
        (["notify", "1", "--letter", "breech"], 2, 'did you mean "breach"'),
        (["notify", "1"], 2, "--letter"),
        (["resolve", "1", "--at", "2026-11-01"], 1, "before it was opened"),
    ],
)
def test_mistakes(guard: Guard, site: Path, words: list[str], status: int, says: str) -> None:
    opened(guard, site)
    ran = work(guard, site, *words)
    assert (ran.status, ran.out) == (status, "")
    assert says in ran.err
    assert len(work(guard, site, "--json").objects()[0]["events"]) == 1


def test_a_letter_that_starts_no_clock_says_so(guard: Guard, site: Path) -> None:
    opened(guard, site)
    said = work(guard, site, "notify", "INC-1", "--letter", "suspension").out
    assert said == (
        "INC-1 is notified; the contract technicophone-sva ties no deadline to this letter (suspension, about sva)\n"
    )
