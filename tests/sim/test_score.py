"""Scores: what is counted of a played world, what the figures are made of, and how they are written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.__main__ import main
from sim.score.pages import BEGIN, END, plot, put, table
from sim.score.play import Attacked, Played, play
from sim.score.sums import of_class, quiet, wilson_upper


def world(
    attack: Attacked | None = None, *, alarms: list[tuple[str, str, bool]] | None = None, wrong: int = 0
) -> Played:
    return Played(
        scenario="made up", seed=1, days=3.0, lines=10, legitimate=1_000, refused=0,
        wrong={"traffic.ping-call": wrong} if wrong else {}, beside=0,
        attacks={} if attack is None else {attack.label: attack}, alarms=alarms or [],
    )  # fmt: skip


def pinged(found: int, cents: int = 0) -> Attacked:
    return Attacked(
        "wangiri", calls=100, let_go=found or 100, cents=cents, found=found, rule="traffic.ping-call",
        stopped=found + 1, cents_before=cents,
    )  # fmt: skip


def test_a_world_with_ping_calls_is_scored_call_by_call() -> None:
    played = play("office:5,wangiri", 3, 1.0)
    attack = played.attacks["wangiri"]
    assert attack.rule == "traffic.ping-call"
    assert 0 < attack.found < attack.calls
    assert attack.let_go < attack.calls  # it was stopped
    assert attack.stopped > attack.found  # with the call after the one whose end told
    assert played.legitimate > 0
    assert (played.wrong, played.refused) == ({}, 0)
    assert all(theirs for _, _, theirs in played.alarms)
    assert played == play("office:5,wangiri", 3, 1.0)


def test_a_quiet_world_has_no_attack() -> None:
    played = play("office:5", 3, 1.0)
    assert played.attacks == {}
    assert played.lines >= 4
    assert played.alarms == []


def test_what_costs_is_counted_until_it_is_found() -> None:
    attack = play("office:5,irsf-night", 2, 3.0).attacks["irsf-night"]
    assert 0 < attack.cents_before <= attack.cents


def test_a_class_is_scored_over_its_worlds() -> None:
    worlds = [
        world(pinged(4, 100)), world(pinged(8, 300)), world(pinged(0)),
        world(alarms=[("traffic.ping-call", "office-1/200", False)] * 2),
    ]  # fmt: skip
    score = of_class("wangiri", 1.0, worlds, [])
    assert (score.played, score.found, score.false) == (4, 2, 1)  # one subject, however often it alarmed
    assert (score.precision, score.recall) == (2 / 3, 0.5)
    assert score.f1 == pytest.approx(4 / 7)
    assert (score.calls, score.cents_before) == (6, 200)


def test_what_alarms_in_quiet_worlds_counts_against_every_class_that_it_is_meant_for() -> None:
    calm = [world(alarms=[("traffic.ping-call", "office-1/200", False), ("traffic.scan", "office-1/201", False)])]
    assert of_class("wangiri", 1.0, [world(pinged(4))], calm).false == 1
    assert of_class("gateway", 1.0, [], calm).f1 == 0.0


def test_quiet_worlds_give_a_rate_for_a_line_and_month_and_a_bound() -> None:
    found = quiet([world(wrong=3, alarms=[("traffic.scan", "x", False)] * 4), world()])
    assert (found.calls, found.wrong, found.lines) == (2_000, 3, 20)
    assert found.per_line_and_month == {"traffic.scan": pytest.approx(4 / (20 * 3 / 30))}


# Newcombe 1998, Statistics in Medicine 17, table I, method 3 (Wilson): 81 of 263, 15 of 148, 0 of 20, 1 of 29.
@pytest.mark.parametrize(
    ("found", "of", "upper"), [(81, 263, 0.3662), (15, 148, 0.1605), (0, 20, 0.1611), (1, 29, 0.1718), (0, 0, 1.0)]
)
def test_the_bound_is_wilsons(found: int, of: int, upper: float) -> None:
    assert round(wilson_upper(found, of), 4) == upper


def test_the_page_gets_its_section_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    scores = [of_class("wangiri", 1.0, [world(pinged(4))], [])]
    section = table(scores, [], quiet([world()]), [world(pinged(4))], "1-1", "python -m sim score")
    put(page, section)
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nold\n" not in text
    assert "| wangiri | 1 | 1 of 1 | 0 |" in text
    put(page, section)
    assert page.read_text("utf-8") == text
    page.write_text("no place", "utf-8")
    with pytest.raises(ValueError, match="has no place for scores"):
        put(page, section)


def test_every_row_of_the_table_has_as_many_cells() -> None:
    scores = [of_class("wangiri", x, [world(pinged(4)), world(pinged(0))], []) for x in (0.3, 1.0)]
    lines = table(scores, [], quiet([world()]), [], "1-2", "x").splitlines()
    assert len({line.count("|") for line in lines if line.startswith(("| wangiri", "| attack"))}) == 1


def test_attacks_at_once_have_a_line_of_their_own() -> None:
    at_once = [of_class("wangiri", 1.0, [world(pinged(4)), world(pinged(0))], [])]
    assert "in one world, on the same seeds: wangiri 1 of 2." in table([], at_once, quiet([world()]), [], "1-2", "x")


def test_the_plot_shows_each_class() -> None:
    drawn = plot([of_class("wangiri", 1.0, [world(pinged(4))], []), of_class("gateway", 0.5, [world()], [])])
    assert "wangiri" in drawn
    assert "gateway × 0.5" in drawn
    assert "call never" in drawn


def test_the_command_scores_and_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["score", "--seeds", "1-2", "--attacks", "irsf-night", "--quiet", "1", "--quiet-days", "0.2"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "| irsf-night | 1 | 2 of 2 |" in out
    assert "`python -m sim score --seeds 1-2 --attacks irsf-night --quiet 1 --quiet-days 0.2`" in out
    assert main([*words, "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ['{"label":', '{"quiet":']


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--seeds", "x"], '--seeds "x"'),
        (["--seeds", "9-2"], '--seeds "9-2": 0 seeds'),
        (["--attacks", "flood"], 'no class of attack is called "flood"'),
        (["--strengths", "hard"], '--strengths "hard"'),
    ],
)
def test_what_is_wrongly_asked_is_said(words: list[str], wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *words]) == 1
    assert wrong in capsys.readouterr().err


def test_a_day_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["day", "--lines", "50", "--calls", "500", "--days", "2"]) == 0
    out = capsys.readouterr().out
    assert "50 lines with 2 days behind them" in out
    assert "a day of 500 calls" in out
    assert main(["day", "--lines", "0"]) == 1
