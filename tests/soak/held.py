"""What every soak in virtual time is held to, however long."""

from __future__ import annotations

from collections import Counter
from typing import Final

from guard.store.schema import JOURNAL_LIMIT
from tests.soak.week import Week

# What a healthy guard never counts.
FAULTS: Final = frozenset(
    {"exceptions", "unrecorded", "store_late", "faults_engine", "faults_store", "detectors_faults", "kept_errors",
     "kept_lost", "incidents_dropped", "illegal", "unroutable", "detectors_clock_back"}
)  # fmt: skip
MET: Final = frozenset({"wangiri", "stolen-account", "cli-spoofing"})  # attacks of which calls are refused


def wrong(week: Week) -> dict[str, object]:
    """What is not as it has to be: every call ends once, every rightful caller hears what he is to hear, attacks are
    met, and nothing fails."""
    counted = {"decided": week.decisions, "ended": week.ended, "placed": week.mornings[-1].calls}
    heard, planned = _rightful(week.statuses), _rightful(week.planned)
    found: dict[str, object] = {
        "ended more than once": week.twice,
        "never ended": week.left,
        "counted apart": counted if len(set(counted.values())) > 1 else {},
        "heard otherwise": {"heard": heard - planned, "planned": planned - heard} if heard != planned else {},
        "not met": MET - {label for label, status in week.statuses if label and status == 403},
        "failed": {name: n for name, n in week.counters.items() if name in FAULTS},
        "went on at night": [at.open for at in week.mornings if at.open or at.files["-calls"]],
        "journal": [at.files["-wal"] for at in week.mornings if at.files["-wal"] > JOURNAL_LIMIT],
    }
    return {name: what for name, what in found.items() if what}


def _rightful(statuses: Counter[tuple[str, int]]) -> Counter[int]:
    return Counter({status: n for (label, status), n in statuses.items() if not label})
