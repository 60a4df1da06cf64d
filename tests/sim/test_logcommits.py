"""The benchmark of the log's writer runs, and says both figures."""

from __future__ import annotations

import re

import pytest

from sim.__main__ import main


@pytest.mark.parametrize("before", ["0", "200"])
def test_it_says_what_a_call_costs_either_way(capsys: pytest.CaptureFixture[str], before: str) -> None:
    assert main(["logcommits", "--calls", "100", "--before", before]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(
        re.search(r"% refused: +[0-9.]+ µs a call, +[0-9.]+ where all goes through the view$", one) for one in lines
    )


@pytest.mark.parametrize("words", [["--calls", "0"], ["--before", "-1"]])
def test_sizes_that_are_none_are_refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["logcommits", *words]) != 0
    assert "--calls: more than 0; --before: 0 or more" in capsys.readouterr().err
