"""The measuring of replays, with next to nothing to replay."""

from __future__ import annotations

import re

import pytest

from sim.__main__ import main
from sim.race.proxies import ROOT


def test_a_line_for_each_guard(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(ROOT), "--people", "2", "--rounds", "1"]) == 0
    told = capfd.readouterr().out.splitlines()
    assert re.fullmatch(r"[1-9]\d* packets; .*", told[0])
    assert re.fullmatch(rf" *[\d,]+ packets/s  × 1\.00  \(.*\)  {re.escape(str(ROOT))}", told[1])
    assert len(told) == 2
