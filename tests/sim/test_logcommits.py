"""The benchmark of the log's writer runs, and says both figures."""

from __future__ import annotations

import re

import pytest

from sim.__main__ import main


def test_it_says_what_a_call_costs_either_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logcommits", "--calls", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(
        re.search(r"% refused: +[0-9.]+ µs a call, +[0-9.]+ where all goes through the view$", one) for one in lines
    )
