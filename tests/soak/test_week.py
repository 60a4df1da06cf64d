"""`make soak`: a week of an office, in virtual time, through the whole guard leaves it as it was on the second day.

`GUARD_SOAK_DAYS` is how many days (7).
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.soak.flat import A_SUBJECT, AN_INCIDENT, GUARD, STAYS, grown
from tests.soak.held import wrong
from tests.soak.week import days

DAYS = int(os.environ.get("GUARD_SOAK_DAYS", "7"))
KNOWN = "incidents.Incidents._known"  # as many as were opened, while these are fewer than it holds
DAY_OF_LOG = 1.15  # the busiest day of the week to the second: the file has had room for it


def test_a_week_leaves_the_guard_as_it_was(tmp_path: Path) -> None:
    week = days(tmp_path, DAYS)
    for at in week.mornings:
        print(f"{at.calls} calls, {at.subjects} subjects, octets held {at.held.octets}, files {at.files}")
    assert wrong(week) == {}
    assert grown(week) == {}
    second, last = week.mornings[1], week.mornings[-1]
    assert last.held.octets["guard"] - second.held.octets["guard"] < GUARD
    assert last.held.octets["detection"] < A_SUBJECT * last.subjects
    # Two days of calls are in the log: of all before there is what stays when they are erased.
    erased = last.calls - second.calls
    assert last.files[""] - DAY_OF_LOG * second.files[""] < STAYS * erased
    assert last.files["-books"] - second.files["-books"] < AN_INCIDENT * last.held.tables[KNOWN]
