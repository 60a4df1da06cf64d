"""ARCEP's MAJNUM.csv read: what of it is kept, and every way in which a file can be none."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

import pytest

from guard.numbering import majnum as code
from guard.numbering.allotted import Block, blocks_in, date_in
from guard.numbering.majnum import MAX_TOLD, Unreadable, date_of, read_majnum, written
from guard.tomlread import Problem
from tests.numbering.making import HEADER, majnum, row

SHIPPED: Final = Path(__file__).parent.parent.parent / "policies" / "numbering" / "allotted.csv"
TODAY: Final = date(2026, 11, 21)


def wrong(data: bytes) -> list[tuple[int, str]]:
    """Line and reason of each mistake."""
    with pytest.raises(Unreadable) as raised:
        read_majnum(data, "M.csv")
    assert {p.file for p in raised.value.problems} == {"M.csv"}
    assert str(raised.value).startswith("M.csv:")
    return [(p.line, p.what) for p in raised.value.problems]


def test_blocks_are_kept_and_sorted() -> None:
    data = majnum(row("0590271", "OUTR", "GP", "03/02/2001"), row("0145"), row("3949", "POLE", "", "2009-01-02"))
    assert read_majnum(data, "M.csv") == [
        Block("0145", "FRTE", "FR", date(2017, 1, 1)),
        Block("0590271", "OUTR", "GP", date(2001, 2, 3)),
        Block("3949", "POLE", "", date(2009, 1, 2)),
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-8-sig"])
def test_both_encodings_are_read(encoding: str) -> None:
    assert len(read_majnum(majnum(row("0590271", territory="GP"), encoding=encoding), "M.csv")) == 1


def test_the_shipped_file_comes_out_of_it_again() -> None:
    text = SHIPPED.read_text("utf-8")
    lines = [line.split(",") for line in text.splitlines() if line[0] not in "#b"]
    blocks = read_majnum(majnum(*(row(*line) for line in reversed(lines))), "M.csv")
    assert len(blocks) == 19_991
    assert date_of(blocks, TODAY) == date(2026, 4, 17)
    assert written(blocks, date(2026, 4, 17)) == text


def test_what_is_written_is_read_again() -> None:
    blocks = read_majnum(majnum(row("0145"), row("07005000", territory="GP"), row("050840", territory="PM")), "M.csv")
    problems: list[Problem] = []
    text = written(blocks, date(2026, 11, 13))
    assert blocks_in(text, "", problems) == {"+33145": 12, "+5907005000": 16, "+50840": 10}
    assert date_in(text, "", problems) == date(2026, 11, 13)
    assert problems == []


def test_the_date_is_the_newest_rows_that_has_come() -> None:
    blocks = read_majnum(majnum(row("0145", day="2026-11-13"), row("0146", day="2027-01-01"), row("0147")), "M.csv")
    assert date_of(blocks, TODAY) == date(2026, 11, 13)
    assert date_of(blocks, date(2027, 1, 1)) == date(2027, 1, 1)
    assert date_of(blocks[1:2], TODAY) is None


GOOD: Final = row("0145")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0146;0146000000;0146999999;FRTE;Métro", "5 columns, not 6: is the file cut short?"),
        ("", "0 columns, not 6: is the file cut short?"),
        (GOOD.replace("0145;", "145x;", 1), '"145x" is no block of numbers'),
        (GOOD.replace("0145;", "²³;", 1), '"²³" is no block of numbers'),
        ("3949123;3949123;3949123;FRTE;National;01/01/2017", '"3949123" begins with no 0, and is too long'),
        (
            row("0146").replace("0146999999", "0146899999"),
            "0146: 0146000000 to 0146899999 is not that block, of numbers",
        ),
        (row("07000000").replace("000000000000;", "0000000;"), "is not that block, of numbers of 14 digits"),
        (row("0146", "frte"), '0146: "frte" is no operator\'s code'),
        (row("0146").replace("Métropole", "Corse"), '0146: no territory is called "Corse"'),
        (row("0146", territory="GP"), "0146: its numbers are under +33, which is not Guadeloupe"),
        (row("0590271"), "0590271: its numbers are under +590, which is not Métropole"),
        (row("0146", day="31/02/2017"), '0146: "31/02/2017" is no date'),
        (row("0146", day="2017/01/01"), '0146: "2017/01/01" is no date'),
        (GOOD, "0145: also in line 2"),
        (row("014512"), "014512: part of the block 0145 of line 2"),
        ('"0146;', "columns, not 6"),
    ],
)
def test_a_wrong_line_is_told(line: str, what: str) -> None:
    ((at, said),) = wrong(majnum(GOOD, line))
    assert at == 3
    assert what in said


def test_an_outer_block_after_its_part_is_told_at_the_part() -> None:
    assert wrong(majnum(row("014512"), GOOD)) == [(2, "014512: part of the block 0145 of line 3")]


@pytest.mark.parametrize(
    ("data", "line", "what"),
    [
        (b"", 1, "not ARCEP's MAJNUM"),
        (majnum(GOOD, header="Ressource;Code Attributaire"), 1, "not ARCEP's MAJNUM"),
        (majnum(GOOD, header=HEADER.replace(";", ",")), 1, "not ARCEP's MAJNUM"),
        (majnum(), 0, "holds no block"),
        (majnum(GOOD) + b"\x81", 3, "not Windows-1252 text"),
        (b"PK\x03\x04 a zip of it", 1, "not ARCEP's MAJNUM"),
        (majnum("0146;" + "x" * 200_000), 2, "field larger than field limit"),
    ],
)
def test_a_file_that_is_none_is_told(data: bytes, line: int, what: str) -> None:
    ((at, said),) = wrong(data)
    assert at == line
    assert what in said


def test_only_the_first_mistakes_are_told() -> None:
    assert [line for line, _ in wrong(majnum(*["x"] * 100))] == list(range(2, MAX_TOLD + 2))


def test_there_is_an_end_to_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MAX_BLOCKS", 2)
    assert len(read_majnum(majnum(row("0145"), row("0146")), "M.csv")) == 2
    assert wrong(majnum(row("0145"), row("0146"), row("0147"))) == [(4, "more than 2 blocks")]
