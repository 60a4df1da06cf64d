"""`guard demo`: what a newcomer sees first, and what stays for him to look at."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.world import guard

pytestmark = pytest.mark.live

DEMO = [sys.executable, "-m", "guard.cli.main", "demo"]
ROOT = Path(__file__).parent.parent.parent
RULES = (
    *("cli.premium", "cli.not-authorised", "cli.automated-range", "cli.automated-mobile", "cli.anonymous", "rate.cps"),
    *("limit.line-calls", "dst.emergency", "source.unknown", "cli.mobile-on-trunk (monitor)"),
)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a demonstration whose files stay in a folder; none outlives its test."""
    running: list[subprocess.Popen[str]] = []

    def launch(folder: Path, *words: str) -> subprocess.Popen[str]:
        command = [*DEMO, "--dir", str(folder), *words]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield launch
    for process in running:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def test_its_script_has_every_kind_of_verdict_and_its_commands_work(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    out, err = process.communicate(timeout=110)
    assert (process.returncode, err) == (0, "")
    for word in ("allowed", "flagged", "masked", "blocked"):
        assert any(f"  {word}  " in line for line in out.splitlines()), word
    for rule in RULES:
        assert rule in out, rule
    assert "at most 10 in any second" in out
    suggested = [shlex.split(line) for line in out.splitlines() if line.startswith("  ") and " -c " in line]
    assert [words[1] for words in suggested] == ["log", "log", "explain", "explain", "penalties"]
    for words in suggested:
        assert guard(*words[1:]).strip()


def test_it_ends_after_n_calls_in_json_and_in_french(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, "--calls", "5", "--json", "--store", str(tmp_path / "other.db"))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert len(records) == 5
    assert all(r["outcome"] for r in records)
    kept = guard("log", "-c", str(tmp_path / "guard.toml"), "--all", "--json").splitlines()
    assert {json.loads(line)["hash"] for line in kept} == {r["hash"] for r in records}
    assert (tmp_path / "other.db").exists()
    process = start(tmp_path, "--calls", "4", "--lang", "fr")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "surtaxé" in out
    assert "4 appels passés" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_its_guard(tmp_path: Path, start: Start, number: signal.Signals) -> None:
    process = start(tmp_path)
    until = time.monotonic() + 30
    assert process.stdout is not None
    while "blocked" not in process.stdout.readline():
        assert time.monotonic() < until
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    assert len(children) == 1
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "guard explain" in out or "explain -c" in out
    assert not Path(f"/proc/{children[0]}").exists()


def test_a_log_that_another_guard_writes_is_told(tmp_path: Path, start: Start) -> None:
    first = start(tmp_path, "--seconds", "60")
    assert first.stdout is not None
    while "allowed" not in first.stdout.readline():
        assert first.poll() is None
    second = start(tmp_path / "second", "--store", str(tmp_path / "guard.db"))
    _, err = second.communicate(timeout=40)
    assert second.returncode == 1
    assert "guard.db" in err
    assert "Traceback" not in err
    os.kill(first.pid, signal.SIGTERM)
    assert first.communicate(timeout=30)[1] == ""
    assert first.returncode == 0
