"""The harness: what is missing, ends or never answers fails a test with its reason, and leaves nothing behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.peers.process import Program, answers_options, listens


def test_a_program_that_is_missing_is_a_failure_that_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="sudo apt-get install kamailio"):
        Program("kamailio", "no-such-program", "kamailio", [], tmp_path)


def test_one_that_ends_shows_what_it_said(tmp_path: Path) -> None:
    program = Program("sh", "sh", "dash", ["-c", "echo bad configuration; exit 3"], tmp_path)
    with pytest.raises(AssertionError, match=r"(?s)it ended with status 3; .*bad configuration"):
        program.wait(lambda: False)


def alive(process: Path) -> bool:
    try:
        return (process / "stat").read_text("utf-8").split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_that_never_answers_is_stopped_with_its_children(tmp_path: Path) -> None:
    words = ["-c", "trap '' TERM; sleep 600 & echo $!; wait; wait"]
    program = Program("sh", "sh", "dash", words, tmp_path)
    program.wait(lambda: program.log.read_text("utf-8") != "", "child")
    child = Path("/proc") / program.log.read_text("utf-8").strip()
    assert child.exists()
    with pytest.raises(AssertionError, match=r"no answer in 0\.1 s"):
        program.wait(lambda: False, patience=0.1)
    assert program.process.returncode is not None
    until = time.monotonic() + 10
    while alive(child):  # the kernel takes its time
        assert time.monotonic() < until
        time.sleep(0.01)


def test_probes_see_nobody_where_nobody_is() -> None:
    assert not answers_options("127.0.0.9", 9)
    assert not listens("udp", "127.0.0.9", 9)
