"""ARCEP's allotted blocks: the shipped file, what is asked of it, and every way in which such a file can be wrong."""

from __future__ import annotations

import csv
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.numbering.allotted import COLUMNS, MAX_BLOCKS, NOTHING, Allotted, read_allotted
from guard.numbering.number import EMERGENCY, Dial, normalise
from guard.numbering.plan import Plan, PlanError, load_plan
from guard.tomlread import MAX_FILE, Problem

HERE: Final = Path(__file__).parent
FOLDER: Final = HERE.parent.parent / "policies" / "numbering"
PLAN: Final = load_plan(FOLDER)
DAY: Final = 24 * 3600 * 1_000_000
NOW: Final = 1_795_251_600_000_000  # 2026-11-21T10:00 in Paris


def rows(name: str) -> list[dict[str, str]]:
    """The file read again, without the code under test."""
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


BLOCKS: Final = [row["block"] for name in ("allotted.csv", "allotted-short.csv") for row in rows(name)]
IN_A_BLOCK: Final = frozenset(BLOCKS)


def told(national: str) -> bool:
    """Whether a number, as dialled in France, is of a block: the slow way."""
    if national[0] != "0":
        return national in IN_A_BLOCK
    return any(national[:n] in IN_A_BLOCK for n in range(2, len(national) + 1))


def value_of(national: str) -> str:
    return normalise(national, Dial()).value


def test_the_shipped_file_is_arceps_of_april() -> None:
    assert PLAN.blocks.on == date(2026, 4, 17)
    assert PLAN.blocks.at == 1_776_376_800_000_000  # its midnight in Paris
    assert len(PLAN.blocks) == len(BLOCKS) == 19_991 + 36
    for name in ("allotted.csv", "allotted-short.csv"):
        head = (FOLDER / name).read_text("utf-8")[:600]
        assert "# source: ARCEP open data, MAJ" in head
        assert "# licence: Licence Ouverte 2.0" in head
        assert "# date: 2026-04-17\n" in head


@pytest.mark.parametrize(
    ("value", "allotted"),
    [
        ("+33145678900", True),  # 0145, whole
        ("+33180909090", True),  # 018090
        ("+33180990000", False),  # 018099 is nobody's
        ("+33239112233", False),  # 0239 never opened
        ("+33937123456", False),  # a reserve
        ("+33151012345", False),  # general interest: none yet
        ("+33199001234", False),  # fiction
        ("+33612345678", True),
        ("+33630000000", True),
        ("+33840123456", False),
        ("+33892681234", True),
        ("+262262123456", True),
        ("+590590271234", True),
        ("+590145678900", False),  # a metropolitan number under Guadeloupe's code is nobody's
        ("+33590271234", False),  # and Guadeloupe's under +33 neither: it is asked for in its own form
        ("+508411234", True),
        ("+508391234", False),
        ("+508708561234", True),
        ("+337000000123456", True),  # 14 digits with the 0
        ("+3370000001234567", False),
        ("+33700000012345", False),
        ("+590700500012345", True),  # 13 overseas
        ("+3314567890", False),
        ("+331456789000", False),
        ("3949", True),
        ("3009", False),
        ("118218", True),
        ("116006", True),
        ("1611", True),
        ("3179", True),
        ("394", False),
        *((n, True) for n in EMERGENCY),
        ("", None),
        ("+", None),
        ("+442071234567", None),
        ("+687201234", None),
        ("+2693201234", None),
        ("anonymous", None),
        ("1234567", None),  # no short number, and no E.164
        ("²³", None),
    ],
)
def test_numbers(value: str, allotted: bool | None) -> None:
    assert PLAN.allotted(value) is allotted


def test_both_edges_of_every_block_and_what_lies_beyond() -> None:
    for block in BLOCKS:
        whole = len(block) if block[0] != "0" else 10
        if block[:4] in {"0700", "0901"}:
            whole = 14 if block[4] in "01234" else 13
        first, last = block.ljust(whole, "0"), block.ljust(whole, "9")
        assert PLAN.allotted(value_of(first)) is True, first
        assert PLAN.allotted(value_of(last)) is True, last
        for near in (str(int(first) - 1).zfill(whole), str(int(last) + 1).zfill(whole)):
            value = value_of(near)
            if value and len(near) == whole:
                assert PLAN.allotted(value) is told(near), near


def test_every_block_has_a_category_and_nothing_unopened_has_a_block() -> None:
    for one in PLAN.ranges:
        if one.opened is False:
            assert PLAN.allotted(one.low) is PLAN.allotted(one.high) is False, one.prefix
    for block in BLOCKS:
        if block[0] == "0" and block[:4] not in {"0700", "0901"}:
            found = PLAN.lookup(value_of(block.ljust(10, "0")), NOW)
            assert found.id, block
            assert found.length_ok, block


@given(st.from_regex(r"0[1-9][0-9]{8}", fullmatch=True))
@settings(max_examples=500, deadline=None)
def test_any_national_number_agrees_with_the_slow_way(national: str) -> None:
    value = value_of(national)
    assert PLAN.allotted(value) is (told(national) if value else None)


@given(st.text(max_size=24) | st.text(alphabet="+0123456789", max_size=20))
@settings(max_examples=300, deadline=None)
def test_asking_never_raises(value: str) -> None:
    assert PLAN.allotted(value) in {True, False, None}


def test_nobody_can_tell_without_a_file(tmp_path: Path) -> None:
    for plan in (Plan((), {}, {}), Plan((), {}, {}, NOTHING)):
        assert plan.allotted("+33145678900") is None
        assert plan.allotted("3949") is None
        assert plan.blocks.on is None
    assert read_allotted(tmp_path, []) == ({}, None)


def test_short_numbers_alone_tell_nothing(tmp_path: Path) -> None:
    """Without MAJNUM every number would look as if it were nobody's."""
    (tmp_path / "allotted-short.csv").write_text(f"# date: 2026-04-17\n{COLUMNS}\n112,URG,,2002-12-19\n", "utf-8")
    assert read_allotted(tmp_path, []) == ({}, None)


def test_memory_stays_small() -> None:
    tracemalloc.start()
    try:
        blocks, _ = read_allotted(FOLDER, [])
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(blocks) > 20_000
    assert kept < 4_000_000
    assert most < 10_000_000


GOOD: Final = f"# date: 2026-04-17\n{COLUMNS}\n0145,FRTE,FR,2017-01-01\n"


def problems_of(folder: Path, body: bytes) -> list[Problem]:
    (folder / "allotted.csv").write_bytes(body)
    problems: list[Problem] = []
    read_allotted(folder, problems)
    return problems


@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        (GOOD + "0146,FRTE,FR\n", 4, '"0146,FRTE,FR" is no block: wanted is block,operator,territory,allotted'),
        (GOOD + "0146,FRTE,XX,2017-01-01\n", 4, '"0146,FRTE,XX,2017-01-01" is no block'),
        (GOOD + "+33146,FRTE,FR,2017-01-01\n", 4, "is no block"),
        (GOOD + "0146,frte,FR,2017-01-01\n", 4, "is no block"),
        (GOOD + "block\n", 4, '"block" is no block'),
        (GOOD + "0145,SFR0,FR,2018-01-01\n", 4, '"0145" stands here twice'),
        (GOOD.replace("# date: 2026-04-17", "# dated"), 0, 'wanted is a line such as "# date: 2026-04-17"'),
        (GOOD.replace("04-17", "02-30"), 0, "its head tells no date"),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, body: str, line: int, what: str) -> None:
    (found,) = problems_of(tmp_path, body.encode())
    assert found.line == line
    assert what in found.what


def test_every_wrong_line_is_told_at_once(tmp_path: Path) -> None:
    assert [p.line for p in problems_of(tmp_path, (GOOD + "x\n0146,A,FR,2017-01-01\ny\n").encode())] == [4, 6]


def test_what_is_too_large_or_no_text_is_not_read(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, b"\xff" + GOOD.encode())
    assert found.what == "not UTF-8 at byte 0"
    (found,) = problems_of(tmp_path, b"#" * (MAX_FILE + 1))
    assert found.what == f"larger than {MAX_FILE} bytes"
    many = "\n".join(f"{n:09},A,FR,2017-01-01" for n in range(MAX_BLOCKS + 1))
    (found,) = problems_of(tmp_path, f"{GOOD}{many}\n".encode())
    assert found.what == f"more than {MAX_BLOCKS} blocks"
    (tmp_path / "allotted.csv").unlink()
    (tmp_path / "allotted.csv").mkdir()
    problems: list[Problem] = []
    assert read_allotted(tmp_path, problems) == ({}, None)
    assert [p.what for p in problems] == ["Is a directory"]


def test_two_files_may_not_have_one_block(tmp_path: Path) -> None:
    (tmp_path / "allotted-more.csv").write_text(GOOD, "utf-8")
    (found,) = problems_of(tmp_path, GOOD.encode())
    assert "blocks that another file has, too" in found.what


def test_a_plan_with_a_wrong_file_is_wrong(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert load_plan(tmp_path).allotted("+33145678900") is None
    (tmp_path / "allotted.csv").write_text(GOOD + "x\n", "utf-8")
    with pytest.raises(PlanError) as raised:
        load_plan(tmp_path)
    assert [p.line for p in raised.value.problems] == [4]


def test_blocks_of_any_length_are_found() -> None:
    blocks = Allotted({"+331": 12, "+3321234567": 12, "10": 2}, date(2026, 1, 1), 0)
    assert len(blocks) == 3
    assert blocks.has("+33145678900") is blocks.has("+33212345678") is blocks.has("10") is True
    assert blocks.has("+33212345578") is blocks.has("+33345678900") is blocks.has("11") is False
