"""What is fuzzed by `make fuzz`, in short: every seed, every input that was ever found, and some thousand changes of
them that are the same each time."""

from __future__ import annotations

import random
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from tests.fuzz import run
from tests.fuzz.targets import GUIDED, NAMES, Target, configuration, policy, target
from tests.fuzz.targets.recipe import CHANGES

FOUND: Final = Path(__file__).parent / "found"
ROUNDS: Final = 1_500  # of each target: together some seconds


def changed(data: bytes, one: Target, dice: random.Random, others: list[bytes]) -> bytes:
    """The same with a few bytes lost, doubled, turned or put in."""
    for _ in range(dice.choice((1, 1, 2, 4))):
        at, n = dice.randrange(len(data) + 1), dice.choice((1, 1, 2, 8, 40))
        piece = dice.choice(
            (b"", bytes([dice.randrange(256)]), dice.choice(one.words), data[at : at + n] * 2, dice.choice(others)[at:])
        )
        data = data[:at] + piece + data[at + dice.choice((0, len(piece), n)) :]
    return data[: one.longest]


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_changes_of_them(name: str) -> None:
    one = target(name)
    seeds = one.seeds()
    assert seeds
    assert max(map(len, seeds)) <= one.longest
    dice = random.Random(name)
    for data in [b"", *seeds, *(changed(dice.choice(seeds), one, dice, seeds) for _ in range(ROUNDS))]:
        try:
            one.check(data)
        except Exception as error:
            error.add_note(f"input {data!r}")
            raise


RECIPES: Final = {"configuration": configuration.RECIPE, **policy.RECIPES}


@pytest.mark.parametrize("kind", RECIPES)
def test_bytes_choose_what_is_toml(kind: str) -> None:
    """Of any bytes: nearly all are TOML, and keys, values, whole tables are put, left out and doubled in them."""
    recipe, dice = RECIPES[kind], random.Random(kind)
    texts = {recipe.text(dice.randbytes(1 + 3 * dice.randrange(CHANGES))) for _ in range(300)}
    assert len(texts) > 200
    good = 0
    for text in texts:
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
        good += 1
    assert good > 0.8 * len(texts)
    assert recipe.text(b"") == ""
    assert tomllib.loads(recipe.text(b"\0"))
    assert len(recipe.text(bytes(10_000))) < 10_000  # of a long input only so many changes


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_what_was_found_once(path: Path) -> None:
    target(path.parent.name).check(path.read_bytes())


def test_a_broken_invariant_is_seen() -> None:
    """The checks themselves: a framer that takes pings elsewhere, a number that means another one."""
    framing, number = target("framing"), target("number")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guard.sip.framing.PING", b"\r\n")
        with pytest.raises(AssertionError, match="depends on how"):
            framing.check(b"\1\r\n\r\n\r\nA a SIP/2.0\r\nl: 0\r\n\r\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.fuzz.targets.number.EMERGENCY", ("15",))
        with pytest.raises(AssertionError):
            number.check(b"112")


def test_what_guides_a_target_is_there() -> None:
    known = run.modules()
    for name, prefixes in GUIDED.items():
        for prefix in prefixes:
            assert any(m.startswith(prefix) for m in known), (name, prefix)


def test_counts_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Fuzzing\n{run.BEGIN}\nold\n{run.END}\nmore\n", "utf-8")
    for name, path in (("RUN", "kept/run"), ("TOLD", "told"), ("KEPT", "kept"), ("PAGE", "page.md")):
        monkeypatch.setattr(run, name, tmp_path / path)
    run.add("hep", 1000, guided=1000, speed=700)
    run.add("number", 10, speed=5)
    run.add("hep", 500, speed=900)
    run.keep()
    run.keep()  # what was told is not told twice
    run.add("hep", 500, guided=200)
    assert (run.total("hep").runs, run.total("hep").guided, run.total("capture").runs) == (2000, 1200, 0)
    assert (run.total("hep").speed, run.total("number").speed) == (900, 5)
    text = page.read_text("utf-8")
    assert text.startswith("# Fuzzing\n")
    assert text.endswith(f"{run.END}\nmore\n")
    assert "old" not in text
    assert " | 1 500 | 1 000 | 900 | " in next(line for line in text.splitlines() if line.startswith("| `hep`"))


def test_one_run_of_ten_is_guided(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, bool]] = []

    def part(name: str, runs: int, *, guided: bool) -> bool:
        asked.append((name, runs, guided))
        return len(asked) < 4

    monkeypatch.setattr(run, "part", part)
    assert not run.rounds("hep", 2 * run.ROUND)  # the fourth part finds something
    a_tenth = run.ROUND // run.GUIDED
    assert asked == [("hep", a_tenth, True), ("hep", run.ROUND - a_tenth, False)] * 2


def test_each_input_that_is_kept_has_a_branch_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else libFuzzer would drop all but one of them where no branch guides it."""
    taken: list[int] = []
    there = iter(range(1, 9))
    fake = SimpleNamespace(_reserve_counter=lambda: next(there), _trace_branch=taken.append)
    monkeypatch.setitem(sys.modules, "atheris", fake)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"")
    seen: list[bytes] = []
    checked = run.told_apart(seen.append, tmp_path)
    for data in (b"1", b"2", b"3", b"4"):
        checked(data)
    assert taken == [1, 2, 3]  # those two, and the empty one that libFuzzer begins with
    assert seen == [b"1", b"2", b"3", b"4"]


def test_the_document_tells_what_was_counted() -> None:
    told = run.PAGE.read_text("utf-8").partition(run.BEGIN)[2].partition(run.END)[0]
    assert told.strip() == run.table(run.counts(run.TOLD)).strip(), "run python -m tests.fuzz.run --keep"
