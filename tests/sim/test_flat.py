"""`python -m sim flat`: workers know and carry what they are told to, and ratios are reckoned right."""

from __future__ import annotations

import xml.etree.ElementTree as Tree

import pytest

from sim.bench import AT
from sim.flat.command import Place, laid_out, sizes, turns
from sim.flat.lines import caller_of, number_of
from sim.flat.pages import AIM, Found, Point, page, plot
from sim.flat.world import BEFORE, Grown, settled
from sim.labelled.words import SimError
from sim.race.proxies import ROOT

GROWN = Grown(known=1000, line_kb=4.8, call_kb=2.5, collection_ms=27)


def test_a_worker_knows_its_lines_carries_its_calls_and_tells_what_one_costs() -> None:
    places = [Place("lines, all calling", 30, 5, 0), Place("calls and callers", 30, 10, 20), Place("calls", 30, 5, 30)]
    found = turns("interpreted", ROOT, places, 2, 20)
    assert [grown.known for grown, _ in found] == [30, 30, 30]
    assert [len(times) for _, times in found] == [2, 2, 2]
    assert found[0] == found[2], "what is the same is measured once"
    assert all(us > 0 for _, times in found for us in times)
    assert all(grown.collection_ms > 0 for grown, _ in found)


def test_a_worker_that_ends_is_told() -> None:
    with pytest.raises(SimError, match="a worker ended with status 1"):
        turns("interpreted", ROOT, [Place("lines, all calling", 0, 1, 0)], 1, 1)


def test_a_known_line_is_settled_and_at_rest_says_the_same() -> None:
    line = settled(AT)
    assert line.calls >= 8
    assert line.last < AT
    assert len(line.recent) == 20
    assert number_of(7) == "+33170000007"
    assert len({caller_of(n, 20_000) for n in range(20_000)}) == 20_000  # each has its turn
    assert BEFORE > 0


def test_every_axis_begins_with_what_the_others_are_compared_with() -> None:
    places = laid_out([1_000, 2_000], [10, 20])
    assert [(p.axis, p.size) for p in places] == [
        ("lines, all calling", 1_000), ("lines, all calling", 2_000), ("lines, the same calling", 1_000),
        ("lines, the same calling", 2_000), ("calls, the same callers", 10), ("calls, the same callers", 20),
        ("calls and callers", 10), ("calls and callers", 20),
    ]  # fmt: skip
    assert {(p.lines, p.callers) for p in places if p.axis == "calls, the same callers"} == {(400, 400)}
    assert [p.callers for p in places if p.axis == "calls and callers"] == [200, 400]
    assert {p.callers for p in places if p.axis == "lines, the same calling"} == {1_000}


@pytest.mark.parametrize("text", ["", "0,10", "10,10", "10,5", "many"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(SimError, match=r"--lines .*rising numbers"):
        sizes("lines", text)


def test_ratios_are_of_the_same_round_and_to_the_smallest() -> None:
    found = Found(
        "interpreted",
        [
            Point("lines, all calling", 1_000, GROWN, [100, 200, 400]),
            Point("lines, all calling", 1_000_000, GROWN, [110, 220, 800]),
            Point("calls and callers", 10, GROWN, [50, 50, 50]),
        ],
    )
    text = page([found], "python -m sim flat", "all", 0.5, 48, 3, 400)
    assert "| 1 000 | **1.00** | 200 | 100 to 400 | 4.8 | 27 |" in text
    assert "| 1 000 000 | **1.10** | 220 | 110 to 800 | 4.8 | 27 |" in text
    assert "| 10 | **1.00** | 50 | 50 to 50 | 2.5 | 27 |" in text
    root = Tree.fromstring(plot([found]))
    lines = [e for e in root if e.tag.endswith("polyline")]
    assert len(lines) == 2
    assert 0 < AIM < 1
