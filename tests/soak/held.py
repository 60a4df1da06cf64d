"""What every soak in virtual time is held to, however long."""

from __future__ import annotations

from typing import Final

from guard.store.schema import JOURNAL_LIMIT
from tests.soak.week import Week

# What a healthy guard never counts.
FAULTS: Final = frozenset(
    {"exceptions", "unrecorded", "store_late", "faults_engine", "faults_store", "detectors_faults", "kept_errors",
     "kept_lost", "incidents_dropped", "illegal", "unroutable", "detectors_clock_back"}
)  # fmt: skip


def held_to(week: Week) -> None:
    """Every call ended once, every rightful caller heard what he was to hear, attacks were met, and nothing failed."""
    assert week.twice == []
    assert week.left == {}
    assert week.decisions == week.ended == week.mornings[-1].calls
    assert _rightful(week.statuses) == _rightful(week.planned)
    refused = {label for label, status in week.statuses if label and status == 403}
    assert refused >= {"wangiri", "stolen-account", "cli-spoofing"}
    assert FAULTS.isdisjoint(week.counters)
    for morning in week.mornings:
        assert morning.open == 0
        assert morning.files["-wal"] <= JOURNAL_LIMIT
        assert morning.files["-calls"] == 0


def _rightful(statuses: dict[tuple[str, int], int]) -> dict[int, int]:
    return {status: n for (label, status), n in statuses.items() if not label}
