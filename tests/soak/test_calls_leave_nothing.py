"""`make soak`: calls upon calls through the core, the rules and the counters leave nothing behind.

`GUARD_SOAK_ROUNDS` is how many rounds of a thousand calls there are (20).
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

from guard.config import load
from guard.policy.load import load_policy
from guard.proxy import facts
from guard.sip import fields, uri
from guard.sources import Sources
from sim.bench import Calls
from sim.site import Site

ROUNDS = int(os.environ.get("GUARD_SOAK_ROUNDS", "20"))
A_ROUND = 1_000
SETTLED = 10  # rounds until every cache is as full as it gets
AFTER = 40_000_000  # µs; every transaction is over by then (RFC 3261, timers B, F, H, J)
# Objects that the rest may add: each of a hundred callers is judged anew, 3 objects, each quarter of an hour, of which
# three pass. One object a call would be 10 000.
GROWTH = 1_000


def test_calls_leave_nothing(tmp_path: Path) -> None:
    config = load(Site(folder=tmp_path, port=5060, trunk_port=5060, pbx_port=5060).write())
    calls = Calls(load_policy(config), Sources(config.sources), rules=True)
    objects: list[int] = []
    for _ in range(ROUNDS):
        calls.run(A_ROUND)
        calls.now += AFTER
        while (due := calls.core.next_timer()) is not None and due <= calls.now:
            calls.core.wake(calls.now)  # so many timers at a time
        calls.core.effects.clear()
        assert (calls.core.calls, calls.core.transactions) == (0, 0)
        for table in (fields._fields, uri._known, facts._numbers, facts._urgent):
            table.clear()  # they fill and empty as calls go by: not what is looked for here
        gc.collect()
        objects.append(len(gc.get_objects()))
    assert objects[-1] - objects[min(SETTLED, ROUNDS - 1)] < GROWTH
