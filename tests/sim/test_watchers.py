"""The benchmark of the live page: calls go through, streams stay open, both figures and their ratio are said."""

from __future__ import annotations

import re

import pytest

from sim.__main__ import main


def test_it_says_both_and_their_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watchers", "--watchers", "3", "--rounds", "1", "--seconds", "0.5"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"nobody watching: +\d+ µs of the daemon a call", out)
    assert re.search(r"3 people watching: +\d+ µs of the daemon a call", out)
    assert re.search(r"^ratio \d+\.\d{3}$", out, re.MULTILINE)
