"""`python -P sim/flat/served.py LINES COMMAND ...`: the guard's command line, but that detection and the counters know
so many lines (`sim.flat.lines`) before the first call. Each has called once an hour for 60 hours."""

from __future__ import annotations

import runpy
import sys

from guard.app import App
from guard.asked import Question, attempt_of
from guard.detection import Detection
from guard.detectors.subjects import AT_WORK
from sim.flat.lines import number_of
from sim.flat.world import know
from sim.site import ALICE

load = Detection.load


async def unlearned(self: Detection, upto: int | None) -> None:
    """Nothing is in the log to learn from, and what is known is not to be replaced by it."""
    del upto
    await load(self, None)


def serve(lines: int) -> None:
    """Every guard of this process knows so many lines."""
    begin = App.start

    async def start(self: App) -> None:
        at = self._clock.wall()
        attempt = attempt_of(Question(source=self.config.sources[0], caller=ALICE, callee="0199001234", at=at))
        self.detection.forget()
        know(self.desk, self._engine, lines, attempt, map(number_of, range(min(lines, AT_WORK))))
        await begin(self)

    App.start = start  # type: ignore[method-assign]
    Detection.load = unlearned  # type: ignore[method-assign]


if __name__ == "__main__":
    serve(int(sys.argv[1]))
    sys.argv = ["guard", *sys.argv[2:]]
    runpy.run_module("guard.cli.main", run_name="__main__")
