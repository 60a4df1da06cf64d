"""`python -m sim traffic`, as people type it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import json

from guard.cli.main import main as guard
from sim.__main__ import main
from sim.labelled.words import Placed
from tests.sim.labelled import world

SCENARIO = "office:3,dialler:20,wangiri"


def traffic(*words: str) -> int:
    return main(["traffic", *words])


def test_json_is_the_same_in_every_process() -> None:
    words = [
        sys.executable,
        "-m",
        "sim",
        "traffic",
        "--scenario",
        "office:3,dialler:20,wangiri",
        "--seed",
        "7",
        "--json",
    ]
    runs = [
        subprocess.run(words, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    calls = [json.decode(line, type=Placed) for line in runs[0].splitlines()]
    assert calls == list(world(SCENARIO))


def test_a_capture_and_its_configuration_are_what_replay_wants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pcap, folder = tmp_path / "w.pcap", tmp_path / "site"
    words = ["--scenario", "office:5,dialler:30,cli-spoofing:0.1", "--days", "0.7", "--after", "0.5"]
    assert traffic(*words, "--pcap", str(pcap), "--config", str(folder)) == 0
    assert "messages" in capsys.readouterr().out
    assert guard(["replay", str(pcap), "-c", str(folder / "guard.toml")]) == 0
    assert "cli.not-authorised" in capsys.readouterr().out


def test_straight_into_the_engine_by_label(capsys: pytest.CaptureFixture[str]) -> None:
    assert traffic("--scenario", "office:5,cli-spoofing:0.1", "--engine") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("cli-spoofing" in line and "blocked by cli." in line for line in lines)
    assert any("office-1" in line and "allowed" in line for line in lines)
    assert lines[-1].split() == [str(sum(int(line.split()[0]) for line in lines[:-1])), "in", "all"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scenario", "offise", "--json"], 'sim: no scenario is called "offise"; did you mean "office"?'),
        (["--scenario", "office", "--days", "0", "--json"], "sim: 0 days are not between 0 and 400"),
        (["--scenario", "office", "--pcap", "/nowhere/at/all.pcap"], "No such file or directory"),
        (["--scenario", "office", "--live", "--calls", "0"], "sim: 0 live calls are not between"),
    ],
)
def test_what_cannot_be_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert traffic(*words) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["--scenario", "office"], ["--scenario", "office", "--json", "--live"], ["--start", "x", "--json"]]
)
def test_wrong_usage_is_status_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        traffic(*words)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    words = [sys.executable, "-m", "sim", "traffic", "--scenario", "office:200", "--days", "5", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
