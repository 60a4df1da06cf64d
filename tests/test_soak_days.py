"""Two days of a small office in virtual time through the whole guard; `make soak` lives through a week of a larger."""

from __future__ import annotations

from pathlib import Path

from tests.soak.flat import grown
from tests.soak.held import wrong
from tests.soak.week import days


def test_two_days_leave_nothing_behind(tmp_path: Path) -> None:
    week = days(tmp_path, 2, people=10, hard=0.25)
    assert wrong(week) == {}
    assert grown(week) == {}
