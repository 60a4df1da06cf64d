"""The CSV files of `[prospecting]`: forms that are read, rows that are broken, and how those are told."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from guard.prospecting.lists import NAMED, SHAPES, Lists, load_lists
from guard.tomlread import Problem

PARIS = ZoneInfo("Europe/Paris")
KEY = b"a key of this test"


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp()) * 1_000_000


def read(tmp_path: Path, text: str | bytes, name: str = "consents") -> tuple[Lists, list[Problem]]:
    path = tmp_path / f"{name}.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems: list[Problem] = []
    return load_lists({name: path}, PARIS, KEY, problems), problems


@pytest.mark.parametrize(
    "text",
    [
        "number,from,until,proof\n+33612345678,2026-03-01,2026-06-30,form\n",
        "number;from;until;proof\r\n06 12 34 56 78;2026-03-01;2026-06-30;form\r\n",
        "\ufeffProof, Until ,FROM,Number\nform,2026-06-30,2026-03-01,0033612345678\n\n",
        'number,from,until,proof,remark\n"0612345678","2026-03-01T00:00","2026-07-01T00:00","a, ""quoted"" form",x\n',
        "number,from,until,proof\n33612345678,2026-03-01T00:00+01:00,2026-06-30,form\n",
    ],
)
def test_forms(tmp_path: Path, text: str) -> None:
    lists, problems = read(tmp_path, text)
    assert problems == []
    (entry,) = lists["consents"].of("+33612345678")
    assert (entry.since, entry.until) == (micros("2026-03-01"), micros("2026-07-01"))
    assert lists["consents"].at("+33612345678", micros("2026-03-01")) == entry
    assert lists["consents"].at("+33612345678", micros("2026-03-01") - 1) is None
    assert lists["consents"].at("+33612345678", micros("2026-07-01")) is None
    assert lists["consents"].of("+33612345679") == ()


def test_a_consent_lasts_a_year_at_most(tmp_path: Path) -> None:
    rows = "0612345678,2026-03-01,2030-01-01,x\n0612345679,2024-02-29,,x\n0612345670,2025-10-26T02:30,,x\n"
    lists, problems = read(tmp_path, "number,from,until,proof\n" + rows)
    assert problems == []
    assert lists["consents"].of("+33612345678")[0].until == micros("2027-03-01")
    assert lists["consents"].of("+33612345679")[0].until == micros("2025-03-01")
    assert lists["consents"].of("+33612345670")[0].until == micros("2026-10-26T02:30")


def test_contracts_have_no_such_end(tmp_path: Path) -> None:
    lists, _ = read(tmp_path, "number,from,proof\n0612345678,2020-03-01,x\n", "contracts")
    assert lists["contracts"].at("+33612345678", micros("2040-01-01")) is not None


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("abc,2026-03-01,,x", '"abc" is no telephone number (not-digits)'),
        ("anonymous,2026-03-01,,x", '"anonymous" is no telephone number (anonymous)'),
        (",2026-03-01,,x", '"" is no telephone number (empty)'),
        ("3949,2026-03-01,,x", '"3949" is no telephone number (short)'),
        ("0612345678,01/03/2026,,x", 'from: "01/03/2026" is no date: write it as 2026-03-01'),
        ("0612345678,2026-02-30,,x", 'from: "2026-02-30" is no date: write it as 2026-03-01'),
        ("0612345678,,,x", 'from: "" is no date: write it as 2026-03-01'),
        ("0612345678,2026-03-01,2026-02-01,x", "it ends (2026-02-01) before it begins (2026-03-01)"),
        ("0612345678,2026-03-01,,", "no proof is named"),
        ("0612345678", "no proof is named"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, row: str, what: str) -> None:
    lists, problems = read(tmp_path, f"number,from,until,proof\n0699999999,2026-03-01,,x\n{row}\n")
    assert [(p.line, p.key, p.what) for p in problems] == [(3, "prospecting.consents", what)]
    assert len(lists["consents"]) == 1


def test_many_broken_rows_are_counted(tmp_path: Path) -> None:
    _, problems = read(tmp_path, "number,at\n" + "x,2026-01-01\n" * (NAMED + 3), "refusals")
    assert len(problems) == NAMED + 1
    assert problems[-1].what == f"3 more rows are broken, {NAMED + 3} in all"


def test_as_many_as_are_named_are_not_counted_again(tmp_path: Path) -> None:
    _, problems = read(tmp_path, "number,at\n" + "x,2026-01-01\n" * NAMED, "refusals")
    assert len(problems) == NAMED


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    _, problems = read(tmp_path, "numbre,from,proof\n0612345678,2026-03-01,x\n")
    (problem,) = problems
    assert (problem.line, problem.what) == (
        1,
        'no column "number"; did you mean "numbre"?; it wants number, from, proof',
    )


@pytest.mark.parametrize("text", [b"", b"\xff\xfenumber", b"number,from,proof\n\xe9\n"])
def test_no_csv(tmp_path: Path, text: bytes) -> None:
    _, problems = read(tmp_path, text)
    assert problems


def test_no_file(tmp_path: Path) -> None:
    problems: list[Problem] = []
    load_lists({"consents": tmp_path / "none.csv"}, PARIS, KEY, problems)
    assert [p.what for p in problems] == ["No such file or directory"]


def test_whoever_loads_lets_others_work(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("number\n" + "".join(f"06{n:08}\n" for n in range(5_000)))
    paused: list[None] = []
    lists = load_lists({"professionals": path}, PARIS, KEY, [], lambda: paused.append(None))
    assert len(lists["professionals"]) == 5_000
    assert len(paused) > 256
    assert all(lists["professionals"].at(f"+336{n:08}", 0) is not None for n in range(0, 5_000, 37))
    assert lists["professionals"].at("+33700000000", 0) is None


def test_one_number_may_stand_several_times(tmp_path: Path) -> None:
    rows = "0612345678,2026-01-01,2026-02-01,x\n0612345678,2026-03-01,2026-04-01,y\n"
    lists, _ = read(tmp_path, "number,from,until,proof\n" + rows)
    assert len(lists["consents"].of("+33612345678")) == 2
    found = lists["consents"].at("+33612345678", micros("2026-03-15"))
    assert found is not None
    assert found.line == 3


def test_memory_holds_no_number(tmp_path: Path) -> None:
    lists, _ = read(tmp_path, "number,at\n0612345678,2026-01-01\n", "refusals")
    table = lists["refusals"]
    kept = b"".join(h.tobytes() for h in table._hashes)
    assert len(kept) == 8
    assert (612345678).to_bytes(8, "little") != kept
    assert load_lists(lists_paths(lists), PARIS, b"another", [])["refusals"]._hashes != table._hashes


def lists_paths(lists: Lists) -> dict[str, Path]:
    return {n: Path(p) for n, p in lists.paths.items()}


def test_every_list_is_a_key_of_the_configuration() -> None:
    from guard.configschema import Prospecting

    assert set(SHAPES) == set(Prospecting.__struct_fields__) - {"sector"}
